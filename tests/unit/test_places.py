"""The names of places: which texts are URLs, and where paths of tables lead from there."""

from __future__ import annotations

from pathlib import Path

import pytest
from mocrop_prep.errors import UsageError
from mocrop_prep.remote import Url, join, location


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("videos", Path("videos")),
        ("/data/s3:/videos", Path("/data/s3:/videos")),
        ("file:///data/videos", Path("/data/videos")),
        ("local:///data/videos", Path("/data/videos")),
        ("s3://bucket/videos/", Url("s3://bucket/videos")),
        ("S3://Bucket", Url("s3://Bucket")),
        ("s3://bucket//a/ b#?%20é", Url("s3://bucket//a/ b#?%20é")),
        ("memory://a", Url("memory://a")),
    ],
)
def test_a_text_with_a_scheme_is_a_url_and_any_other_a_path(text: str, place: Path | Url) -> None:
    assert location(text) == place


@pytest.mark.parametrize("text", ["s3://", "s3:///", "zip://a::s3://b/c"])
def test_a_url_without_a_name_or_around_another_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected (one,|a URL) such as s3://"):
        location(text)


def test_the_parts_of_a_url_are_those_of_a_path() -> None:
    clip = location("s3://bucket/clips/a.b.MP4")
    assert isinstance(clip, Url)
    assert (clip.scheme, clip.name, clip.suffix) == ("s3", "a.b.MP4", ".MP4")
    assert clip.parent == Url("s3://bucket/clips")
    assert clip.parent.parent == clip.parent.parent.parent == Url("s3://bucket")
    assert clip.parent / "a.b.MP4" == clip
    assert clip.is_below(clip.parent)
    assert clip.is_below(clip)
    assert not clip.is_below(Url("s3://bucket/clip"))


@pytest.mark.parametrize(
    ("root", "path", "place"),
    [
        ("/data", "a/b.mp4", "/data/a/b.mp4"),
        ("/data", "/else/b.mp4", "/else/b.mp4"),
        ("/data", "s3://bucket/b.mp4", "s3://bucket/b.mp4"),
        ("s3://bucket/clips", "a//b.mp4", "s3://bucket/clips/a//b.mp4"),
        ("s3://bucket/clips", "../more/./b.mp4", "s3://bucket/more/b.mp4"),
        ("s3://bucket", "a/../b.mp4", "s3://bucket/b.mp4"),
        ("s3://bucket/clips", "gs://other/b.mp4", "gs://other/b.mp4"),
    ],
)
def test_a_path_leads_on_from_its_table_and_a_url_from_anywhere(root: str, path: str, place: str) -> None:
    assert str(join(location(root), path)) == place


@pytest.mark.parametrize("path", ["/etc/passwd", "../../other/b.mp4", "a/../../../b.mp4"])
def test_a_table_in_a_store_leads_neither_to_the_disk_nor_out_of_its_bucket(path: str) -> None:
    with pytest.raises(UsageError, match="expected a path"):
        join(Url("s3://bucket/clips"), path)

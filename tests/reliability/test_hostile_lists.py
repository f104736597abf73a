"""Lists are data too: whatever a CSV names is read or refused, clip by clip, and nothing else is touched."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mocrop_manifests import read_clips, read_crops

from tests.commands import DEFAULT, ok, prep, tree
from tests.films import Film, encode, moving_square


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", moving_square(14), Film(codec="mpeg4"))


@pytest.fixture
def place(clip: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder with clips that no list may change, and the list beside some of them; WORKDIR is elsewhere."""
    place = tmp_path / "place"
    for name in ("in/a.mp4", "elsewhere/b.mp4", "c.mp4"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, place / name)
    yield place
    # what was there is as it was, and beside it there is nothing new
    assert set(tree(place)) == {"in/clips.csv", "in/a.mp4", "elsewhere/b.mp4", "c.mp4"}


def listed(place: Path, *paths: str) -> Path:
    table = place / "in/clips.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("path", "label"), *((path, "x") for path in paths)])
    return table


def codes(workdir: Path) -> dict[str, str]:
    """Return the codes of the clips that failed, by their paths."""
    with (workdir / "reports/failures.csv").open(newline="") as stream:
        return {row["path"]: row["code"] for row in csv.DictReader(stream)}


def test_clips_outside_of_the_folder_are_read_and_nothing_is_written_beside_them(
    place: Path, tmp_path: Path
) -> None:
    before = tree(place)
    paths = ("a.mp4", str(place / "elsewhere/b.mp4"), "../c.mp4")
    ok("run", listed(place, *paths), tmp_path / "work", "--size", 32, "--keep")
    rows = read_crops(tmp_path / f"work/crops/{DEFAULT}.csv")
    assert {row.path for row in rows if row.status != "failed"} == set(paths)
    assert {name: digest for name, digest in tree(place).items() if name in before} == before
    for path in (tmp_path / "work").rglob("*"):
        assert path.resolve().is_relative_to(tmp_path / "work")


def test_what_is_no_file_fails_alone_with_a_code_and_at_once(place: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    expected = {
        "x" * 300 + ".mp4": "unreadable",
        "/".join(["y" * 200] * 25): "unreadable",
        "/": "not-video",
        "..": "not-video",
        "/dev/zero": "not-video",
        "/dev/stdin": "not-video",
        str(tmp_path / "pipe.mp4"): "not-video",
        "a.mp4/b.mp4": "missing-file",
        "~/a.mp4": "missing-file",
        "$HOME/a.mp4": "missing-file",
        "$(touch ran).mp4": "missing-file",
        "a.mp4; touch ran": "missing-file",
        "file:a.mp4": "missing-file",
        "concat:a.mp4|a.mp4": "missing-file",
        "subfile,,start,0,end,0,,:a.mp4": "missing-file",
        "http:/127.0.0.1:9/a.mp4": "missing-file",
        "data:video/mp4;base64,AAAA": "missing-file",
        "pipe:0": "missing-file",
        "%03d.mp4": "missing-file",
        "*.mp4": "missing-file",
    }
    outcome = prep("run", listed(place, "a.mp4", *expected), tmp_path / "work", "--size", 32, "--jobs", 1)
    assert outcome.status == 1
    assert f"{len(expected)} of {len(expected) + 1} clips failed" in outcome.err
    assert codes(tmp_path / "work") == expected
    assert max(map(len, outcome.err.splitlines())) < 1000


@pytest.mark.parametrize(
    "content",
    [
        "ffconcat version 1.0\nfile b.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nb.mp4\n#EXT-X-ENDLIST\n",
    ],
    ids=["concat", "hls"],
)
@pytest.mark.parametrize("name", ["list.mp4", "list.m3u8"])
def test_a_playlist_under_the_name_of_a_video_does_not_lead_to_another_file(
    clip: Path, tmp_path: Path, content: str, name: str
) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(clip, tmp_path / "in/b.mp4")
    (tmp_path / "in" / name).write_text(content)
    (tmp_path / "in/clips.csv").write_text(f"path,label\nb.mp4,x\n{name},x\n")
    assert prep("run", tmp_path / "in/clips.csv", tmp_path / "work", "--size", 32, "--jobs", 1).status == 1
    assert codes(tmp_path / "work") == {name: "not-video"}


def test_labels_that_would_be_equal_if_escapes_were_not_escaped_stay_apart(
    place: Path, tmp_path: Path
) -> None:
    table = place / "in/clips.csv"
    table.write_text("path,label\na.mp4,=x\n../c.mp4,\\x3dx\n../elsewhere/b.mp4,\\\\x3dx\n")
    ok("run", table, tmp_path / "work", "--size", 32)
    names = {clip.path: clip.label_name for clip in read_clips(tmp_path / "work/clips.csv")}
    assert names == {
        "a.mp4": r"\x3dx",
        "../c.mp4": r"\\x3dx",
        "../elsewhere/b.mp4": r"\\\\x3dx",
    }
    assert len({clip.label for clip in read_clips(tmp_path / "work/clips.csv")}) == 3


def test_a_source_of_links_is_followed_and_left_as_it_is(clip: Path, tmp_path: Path) -> None:
    real = tmp_path / "real"
    (real / "walk").mkdir(parents=True)
    shutil.copy(clip, real / "walk/a.mp4")
    links = tmp_path / "links"
    links.mkdir()
    (links / "run").symlink_to(real / "walk")
    (links / "loop").symlink_to(links)
    (links / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "source").symlink_to(links)
    before = tree(real)
    ok("run", tmp_path / "source", tmp_path / "work", "--size", 32, "--keep")
    assert [row.path for row in read_crops(tmp_path / f"work/crops/{DEFAULT}.csv")] == ["run/a.mp4"]
    assert tree(real) == before
    assert sorted(path.name for path in links.iterdir()) == ["gone", "loop", "run"]


def test_folders_as_deep_as_paths_may_be_have_ids_of_a_bearable_length(clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clips" / "walk"
    while len(str(folder)) < 3600:
        folder /= "d" * 200
    folder.mkdir(parents=True)
    shutil.copy(clip, folder / "a.mp4")
    shutil.copy(clip, folder / "b.mp4")
    ok("run", tmp_path / "clips", tmp_path / "work", "--size", 32, "--keep")
    ids = [row.clip_id for row in read_crops(tmp_path / f"work/crops/{DEFAULT}.csv")]
    assert len(set(ids)) == 2
    assert {len(clip_id) for clip_id in ids} == {160}
    assert prep("verify", tmp_path / "work").status == 0


def test_a_folder_deeper_than_paths_may_be_is_told_in_one_line(tmp_path: Path) -> None:
    start = Path.cwd()
    (tmp_path / "clips/walk").mkdir(parents=True)
    try:
        os.chdir(tmp_path / "clips/walk")
        for _ in range(25):  # one by one, as no path is long enough to name the last
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
    finally:
        os.chdir(start)
    outcome = prep("run", tmp_path / "clips", tmp_path / "work")
    assert outcome.status == 2
    assert len(outcome.errors) == 1
    assert outcome.errors[0].endswith("File name too long")

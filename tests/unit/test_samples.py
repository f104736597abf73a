"""One clip's sample in a tar: readable by anybody, the same bytes each time, and back again."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mocrop_prep.samples import (
    END_OF_TAR,
    Sample,
    SampleInfo,
    clip_members,
    frame_members,
    parse_info,
    read_samples,
    tar_bytes,
)

INFO = SampleInfo(
    clip_id="walk__a",
    label=3,
    label_name="Straße, quer",
    split="train",
    group="g01",
    frame_index=(6, 18, 30),
    pts=(0.24, 0.72, 1.2),
    crop=(40, 0, 240, 240),
    width=320,
    height=240,
    method="mocrop-v1",
)
SAMPLE = Sample(INFO, (b"\xff\xd8one", b"\xff\xd8" + bytes(512), b"\xff\xd8three"))


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    count = draw(st.integers(1, 4))
    info = SampleInfo(
        clip_id=draw(st.from_regex(r"[A-Za-z0-9_-]{1,160}", fullmatch=True)),
        label=draw(st.integers(0, 2**31)),
        label_name=draw(st.text(max_size=8)),
        split=draw(st.sampled_from(("train", "val", "test"))),
        group=draw(st.text(max_size=8)),
        frame_index=tuple(draw(st.lists(st.integers(0, 10**6), min_size=count, max_size=count))),
        pts=tuple(draw(st.lists(st.floats(0, 1e6), min_size=count, max_size=count))),
        crop=draw(st.tuples(*[st.integers(0, 9000)] * 4)),
        width=draw(st.integers(1, 16384)),
        height=draw(st.integers(1, 16384)),
        method=draw(st.text(max_size=8)),
    )
    return Sample(info, tuple(draw(st.lists(st.binary(max_size=1100), min_size=count, max_size=count))))


def test_a_tar_holds_the_documented_members() -> None:
    with tarfile.open(fileobj=io.BytesIO(tar_bytes(clip_members(SAMPLE)) + END_OF_TAR)) as archive:
        contents = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
        members = archive.getmembers()
    names = ["walk__a.000.jpg", "walk__a.001.jpg", "walk__a.002.jpg", "walk__a.cls", "walk__a.json"]
    assert list(contents) == names
    assert tuple(contents[name] for name in names[:3]) == SAMPLE.jpegs
    assert contents["walk__a.cls"] == b"3"
    assert json.loads(contents["walk__a.json"]) == {
        "clip_id": "walk__a",
        "label": 3,
        "label_name": "Straße, quer",
        "split": "train",
        "group": "g01",
        "frame_index": [6, 18, 30],
        "pts": [0.24, 0.72, 1.2],
        "crop": [40, 0, 240, 240],
        "width": 320,
        "height": 240,
        "method": "mocrop-v1",
    }
    assert list(json.loads(contents["walk__a.json"])) == sorted(SampleInfo.__slots__)
    for member in members:
        assert (member.uid, member.gid, member.uname, member.gname, member.mtime) == (0, 0, "", "", 0)
        assert (member.mode, member.isfile()) == (0o644, True)


def test_frames_are_samples_of_their_own() -> None:
    members = dict(frame_members(SAMPLE))
    assert list(members) == [
        f"walk__a_{number:03d}.{ending}" for number in range(3) for ending in ("jpg", "cls", "json")
    ]
    assert members["walk__a_001.jpg"] == SAMPLE.jpegs[1]
    body = json.loads(members["walk__a_002.json"])
    assert (body["frame"], body["frame_index"], body["pts"], body["clip_id"]) == (2, 30, 1.2, "walk__a")
    assert list(body) == sorted([*SampleInfo.__slots__, "frame"])


def test_names_split_at_the_first_dot_into_sample_and_field() -> None:
    keys = {name.partition(".")[0] for name, _ in clip_members(SAMPLE)}
    assert keys == {"walk__a"}
    keys = {name.partition(".")[0] for name, _ in frame_members(SAMPLE)}
    assert keys == {"walk__a_000", "walk__a_001", "walk__a_002"}


@settings(max_examples=100)
@given(st.lists(samples(), max_size=3))
def test_samples_come_back_as_they_went_in(several: list[Sample]) -> None:
    content = b"".join(tar_bytes(clip_members(sample)) for sample in several)
    assert len(content) % 512 == 0
    assert list(read_samples(io.BytesIO(content + END_OF_TAR))) == several
    if several:  # a sample that waits for its shard has no end mark
        assert list(read_samples(io.BytesIO(content))) == several


@settings(max_examples=50)
@given(samples())
def test_the_tar_is_the_one_that_tarfile_writes(sample: Sample) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in clip_members(sample):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    ours = tar_bytes(clip_members(sample)) + END_OF_TAR
    assert out.getvalue()[: len(ours)] == ours
    assert not out.getvalue()[len(ours) :].strip(b"\x00")


def test_equal_samples_have_equal_bytes_in_any_process(tmp_path: Path) -> None:
    program = (
        "import sys, hashlib; from mocrop_prep.samples import *\n"
        f"sample = Sample({INFO!r}, {SAMPLE.jpegs!r})\n"
        "print(hashlib.sha256(tar_bytes(clip_members(sample))).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == hashlib.sha256(tar_bytes(clip_members(SAMPLE))).hexdigest()


def test_a_cut_tar_is_never_taken_for_a_whole_sample() -> None:
    content = tar_bytes(clip_members(SAMPLE))
    for length in range(0, len(content), 100):
        try:
            found = list(read_samples(io.BytesIO(content[:length])))
        except (tarfile.TarError, ValueError):
            continue
        assert found == []


def test_a_tar_of_empty_bytes_and_one_whose_header_decayed_are_refused() -> None:
    with pytest.raises(tarfile.TarError, match="empty"):
        list(read_samples(io.BytesIO()))
    content = bytearray(tar_bytes(clip_members(SAMPLE)) + END_OF_TAR)
    content[1024] ^= 1  # tarfile alone would take the second header for the end
    with pytest.raises(tarfile.TarError, match="header is damaged"):
        list(read_samples(io.BytesIO(content)))


def test_long_names_are_read_and_endless_ones_refused() -> None:
    sample = dataclasses.replace(SAMPLE, info=dataclasses.replace(INFO, clip_id="x" * 160))
    assert list(read_samples(io.BytesIO(tar_bytes(clip_members(sample))))) == [sample]
    endless = tar_bytes([("x" * 9000, b"")])
    with pytest.raises(tarfile.TarError, match="too large"):
        list(read_samples(io.BytesIO(endless)))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"label": "3"}, "label '3'"),
        ({"label": True}, "label True"),
        ({"clip_id": "../up"}, "no clip id"),
        ({"clip_id": ["a"]}, "clip_id"),
        ({"crop": [1, 2, 3]}, "no box"),
        ({"frame_index": [6, "18", 30]}, "frame_index"),
        ({"frame_index": [6, 18]}, "3 pictures, but tells of 2 frames"),
        ({"pts": [0.24, 0.72, float("nan")]}, "no number"),
        ({"label_name": "\ud800"}, "surrogates not allowed"),
    ],
)
def test_a_description_that_says_what_cannot_be_is_refused(change: dict[str, object], fault: str) -> None:
    body = json.dumps(dataclasses.asdict(INFO) | change).encode()
    members = [(name, content) for name, content in clip_members(SAMPLE) if name.endswith(".jpg")]
    with pytest.raises(ValueError, match=fault):
        list(read_samples(io.BytesIO(tar_bytes([*members, ("walk__a.json", body)]))))


def test_members_that_are_no_files_are_refused() -> None:
    folder = tarfile.TarInfo("walk__a.json")
    folder.type = tarfile.DIRTYPE
    with pytest.raises(tarfile.TarError, match="not a file"):
        list(read_samples(io.BytesIO(folder.tobuf() + END_OF_TAR)))


def test_a_description_without_a_field_is_refused() -> None:
    body = dataclasses.asdict(INFO)
    assert parse_info(body) == INFO
    for name in body:
        with pytest.raises(ValueError, match=name):
            parse_info({key: value for key, value in body.items() if key != name})

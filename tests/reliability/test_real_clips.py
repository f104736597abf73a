"""Clips as people have them: a few in every run of the tests, all the odd ones in the slow run."""

from __future__ import annotations

import csv
import random
import shutil
from collections import Counter
from pathlib import Path

import av
import cv2
import pytest
from mocrop_manifests import read_crops, read_dataset
from mocrop_prep.errors import CODES, FALLBACKS, ClipError
from mocrop_prep.video import inspect_source
from mocrop_prep.video.damage import count_damage

from tests.commands import DEFAULT, ok, outputs, prep
from tests.films import Picture, decode, packets


@pytest.fixture(scope="module")
def six(real_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One clip of each class of UCF101, of two groups in turn."""
    root = tmp_path_factory.mktemp("six") / "clips"
    for number, folder in enumerate(sorted((real_clips / "ucf101").iterdir())[:6]):
        group = "g01" if number % 2 else "g08"
        (root / folder.name).mkdir(parents=True)
        for path in sorted(folder.glob(f"*_{group}_*.avi"))[:1]:
            shutil.copy(path, root / folder.name)
    return root


def test_ucf101_clips_come_through_whole(six: Path, tmp_path: Path) -> None:
    ok("run", six, tmp_path / "work", "--holdout-groups", "1-7", "--keep", "--preset", "superfast")
    rows = read_crops(tmp_path / f"work/crops/{DEFAULT}.csv")
    assert [row.status for row in rows] == ["ok"] * 6
    assert Counter(row.split for row in rows) == {"train": 3, "test": 3}
    for row in rows:
        assert (row.width, row.height) == (320, 240)
        assert row.fps == pytest.approx(25, abs=0.01) or row.fps == pytest.approx(29.97, abs=0.01)
        assert row.group in ("g01", "g08")
        source = packets(six / row.path)
        assert row.frames is not None
        assert abs(row.frames - len(source)) <= 1
    index = read_dataset(tmp_path / f"work/shards/{DEFAULT}", verify=True)
    assert (index.rows("train"), index.rows("test")) == (3, 3)
    assert prep("verify", tmp_path / "work").status == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [(), ("--on-corrupt", "keep"), ("--short-side", "120", "--frames", "uniform:4")]
)
def test_every_odd_file_is_a_row_and_none_is_a_fault_of_ours(
    real_clips: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    outcome = prep(
        "run", real_clips / "odd", tmp_path / "work", *options, "--jobs", 2, "--preset", "ultrafast"
    )
    assert outcome.status == 1
    rows = {row.path: row for row in read_crops(tmp_path / f"work/crops/{DEFAULT}.csv")}
    names = {path.name for path in (real_clips / "odd").iterdir() if path.is_file()}
    assert set(rows) == names
    with (tmp_path / "work/reports/failures.csv").open(newline="") as stream:
        failures = {row["path"]: row for row in csv.DictReader(stream)}
    assert {path for path, row in rows.items() if row.status == "failed"} == set(failures)
    assert {row["code"] for row in failures.values()} <= set(CODES) - {"internal", "worker-died", "disk"}
    assert all(row["detail"] for row in failures.values())
    for name in ("derived_empty.mp4", "derived_garbage.avi"):
        assert failures[name]["code"] in ("empty-file", "not-video")
    for name in names - set(failures):
        assert rows[name].reason in ("", *FALLBACKS)
    assert prep("verify", tmp_path / "work").status == 0


@pytest.mark.slow
def test_staged_and_fused_agree_on_odd_files(real_clips: Path, tmp_path: Path) -> None:
    small = [path for path in (real_clips / "odd").iterdir() if path.stat().st_size < 2_000_000]
    source = tmp_path / "clips" / "odd"
    source.mkdir(parents=True)
    for path in small:
        shutil.copy(path, source)
    how = ("--jobs", 2, "--quiet")
    assert prep("run", tmp_path / "clips", tmp_path / "fused", *how).status == 1
    for command in (("transcode", tmp_path / "clips"), ("extract",), ("crop",), ("shard",)):
        assert prep(*command, tmp_path / "stages", *how).status == 1
    assert outputs(tmp_path / "stages") == outputs(tmp_path / "fused")


BROKEN = {"decord_corrupted.mp4", "derived_empty.mp4", "derived_garbage.avi", "derived_truncated_ucf101.avi"}


@pytest.mark.slow
def test_no_sound_clip_is_taken_for_damaged(real_clips: Path) -> None:
    folders = [real_clips / name for name in ("ucf101", "weizmann", "odd")]
    clips = [path for folder in folders for path in sorted(folder.rglob("*.*")) if path.name not in BROKEN]
    assert len(clips) > 250
    for path in clips:
        try:
            found = inspect_source(path).damaged + count_damage(path)
        except ClipError as error:
            found = 0 if error.code == "no-video-stream" else 1
        assert found == 0, path


@pytest.mark.slow
def test_most_flipped_bits_that_can_be_seen_in_real_clips_are_found(real_clips: Path, tmp_path: Path) -> None:
    rng, found, seen = random.Random(0), 0, 0
    for path in sorted((real_clips / "ucf101").glob("*/*_g0[1-4]_*.avi"))[::2]:
        sound, places = decode(path), packet_bytes(path)
        for _ in range(3):
            content = bytearray(path.read_bytes())
            content[rng.choice(places)] ^= 1 << rng.randrange(8)
            flipped = tmp_path / path.name
            flipped.write_bytes(content)
            if visibly_differ(sound, decode(flipped)):
                seen += 1
                found += count_damage(flipped) > 0
    assert seen > 12
    assert found > 0.8 * seen


def packet_bytes(path: Path) -> list[int]:
    """Return some places in a clip that lie inside its packets."""
    with av.open(str(path)) as container:
        found = [packet for packet in container.demux(video=0) if packet.size]
        places = [(packet.pos or 0, packet.size) for packet in found]
        return [start + part * size // 16 for start, size in places for part in range(1, 16) if start]


def visibly_differ(before: list[Picture], after: list[Picture]) -> bool:
    """Say whether a frame is gone, or differs by half a grey level on average."""
    pairs = zip(before, after, strict=False)
    return len(before) != len(after) or any(cv2.absdiff(a, b).mean() > 0.5 for a, b in pairs)

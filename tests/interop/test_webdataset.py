"""The webdataset library reads the tars, clip by clip and frame by frame."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import webdataset
from mocrop_manifests import read_crops, read_dataset

from tests.commands import DEFAULT, ok

# The library leaves its files to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()


def read(folder: Path, split: str) -> list[dict[str, Any]]:
    index = read_dataset(folder)
    urls = [str(folder / shard.file) for shard in index.shards if shard.split == split]
    return list(webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"))


@pytest.mark.parametrize("shard_size", ["1000", "2"])
def test_webdataset_reads_clips_as_the_manifest_has_them(workdir: Path, shard_size: str) -> None:
    ok("shard", workdir, "--name", "set", "--size", 48, "--shard-size", shard_size)
    rows = {row.clip_id: row for row in read_crops(workdir / f"crops/{DEFAULT}.csv")}
    index = read_dataset(workdir / "shards/set")
    for split in ("train", "test"):
        samples = read(workdir / "shards/set", split)
        assert len(samples) == index.rows(split)
        for sample in samples:
            row = rows.pop(sample["__key__"])
            assert (sample["cls"], index.classes[sample["cls"]]) == (row.label, row.label_name)
            assert sample["json"]["crop"] == [row.x, row.y, row.w, row.h]
            frames = [value for name, value in sample.items() if name.endswith("jpg")]
            assert len(frames) == row.key_frames
            assert {frame.shape for frame in frames} == {(48, 48, 3)}
    assert rows == {}


def test_webdataset_reads_single_frames(workdir: Path) -> None:
    options = ("--sample", "frame", "--frames", "uniform:3", "--aspect", "keep", "--size", 40)
    ok("shard", workdir, "--name", "set", *options)
    samples = [s for split in ("train", "test") for s in read(workdir / "shards/set", split)]
    assert len(samples) == 18
    rows = {row.clip_id: row for row in read_crops(workdir / f"crops/{DEFAULT}.csv")}
    for sample in samples:
        note = sample["json"]
        row = rows[note["clip_id"]]
        assert sample["__key__"] == f"{row.clip_id}_{note['frame']:03d}"
        assert sample["cls"] == row.label
        assert sample["jpg"].shape == (40, round(40 * (row.w or 0) / (row.h or 0)), 3)


def test_webdataset_streams_batches(workdir: Path) -> None:
    ok("shard", workdir, "--name", "set", "--sample", "frame", "--size", 32)
    urls = [str(path) for path in sorted((workdir / "shards/set").glob("*.tar"))]
    pairs = webdataset.WebDataset(urls, shardshuffle=False).decode("torchrgb").to_tuple("jpg", "cls", "json")
    images, labels, notes = next(iter(pairs.batched(5)))
    assert tuple(images.shape) == (5, 3, 32, 32)
    assert len(labels) == 5
    assert json.dumps(notes[0], sort_keys=True)

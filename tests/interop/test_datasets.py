"""Hugging Face's `datasets` reads the shards, without a network."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from mocrop_manifests import read_crops, read_dataset

from tests.commands import DEFAULT, ok


@pytest.fixture(scope="module")
def datasets() -> ModuleType:
    os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    module = pytest.importorskip("datasets")
    module.disable_progress_bars()
    return module  # type: ignore[no-any-return]


def load(datasets: ModuleType, cache: Path, *arguments: str, **options: Any) -> Any:
    return datasets.load_dataset(*arguments, cache_dir=str(cache / "cache"), **options)


def files(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for shard in read_dataset(folder).shards:
        found.setdefault(shard.split, []).append(str(folder / shard.file))
    return found


def test_parquet_clips_become_lists_of_pictures(datasets: ModuleType, workdir: Path, tmp_path: Path) -> None:
    ok("shard", workdir, "--name", "set", "--format", "parquet", "--size", 48, "--shard-size", 3)
    found = load(datasets, tmp_path, "parquet", data_files=files(workdir / "shards/set"))
    rows = {row.clip_id: row for row in read_crops(workdir / f"crops/{DEFAULT}.csv")}
    assert {split: len(found[split]) for split in found} == {"train": 4, "test": 2}
    label = found["train"].features["label"]
    assert label.names == ["run", "walk"]
    for split in found:
        for sample in found[split]:
            row = rows.pop(sample["clip_id"])
            assert (sample["label"], sample["label_name"]) == (row.label, label.int2str(row.label))
            assert sample["split"] == split
            assert sample["crop"] == [row.x, row.y, row.w, row.h]
            assert (sample["width"], sample["height"]) == (row.width, row.height)
            assert len(sample["frames"]) == len(sample["frame_index"]) == row.key_frames
            assert {picture.size for picture in sample["frames"]} == {(48, 48)}
            assert sample["pts"][0] == 0
    assert rows == {}


def test_parquet_frames_become_pictures(datasets: ModuleType, workdir: Path, tmp_path: Path) -> None:
    options = ("--format", "parquet", "--sample", "frame", "--frames", "key:1", "--size", 40)
    ok("shard", workdir, "--name", "set", *options)
    found = load(datasets, tmp_path, "parquet", data_files=files(workdir / "shards/set"), split="train")
    assert len(found) == 4
    assert type(found.features["image"]).__name__ == "Image"
    assert found[0]["image"].size == (40, 40)
    assert found[0]["frame_index"] % 12 == 0


@pytest.mark.parametrize("storage", ["parquet", "webdataset"])
@pytest.mark.parametrize("sample", ["clip", "frame"])
def test_the_card_alone_is_enough_to_load_a_set(
    datasets: ModuleType, workdir: Path, tmp_path: Path, storage: str, sample: str
) -> None:
    options = ("--format", storage, "--sample", sample, "--frames", "key:1", "--size", 32)
    ok("shard", workdir, "--name", "set", *options)
    found = load(datasets, tmp_path, str(workdir / "shards/set"))
    assert {split: len(found[split]) for split in found} == {"train": 4, "test": 2}


def test_tars_of_clips_load(datasets: ModuleType, workdir: Path, tmp_path: Path) -> None:
    ok("shard", workdir, "--name", "set", "--frames", "uniform:3", "--size", 48)
    found = load(datasets, tmp_path, "webdataset", data_files=files(workdir / "shards/set"))
    rows = {row.clip_id: row for row in read_crops(workdir / f"crops/{DEFAULT}.csv")}
    assert {split: len(found[split]) for split in found} == {"train": 4, "test": 2}
    for split in found:
        for sample in found[split]:
            row = rows.pop(sample["__key__"])
            assert int(sample["cls"]) == row.label
            assert sample["json"]["label_name"] == row.label_name
            assert {sample[f"{number:03d}.jpg"].size for number in range(3)} == {(48, 48)}
    assert rows == {}


def test_tars_of_frames_load(datasets: ModuleType, workdir: Path, tmp_path: Path) -> None:
    ok("shard", workdir, "--name", "set", "--sample", "frame", "--frames", "all", "--size", 48)
    found = load(datasets, tmp_path, "webdataset", data_files=files(workdir / "shards/set"))
    index = read_dataset(workdir / "shards/set")
    assert {split: len(found[split]) for split in found} == {s: index.rows(s) for s in ("train", "test")}
    rows = {row.clip_id: row for row in read_crops(workdir / f"crops/{DEFAULT}.csv")}
    for sample in found["train"]:
        assert sample["jpg"].size == (48, 48)
        assert int(sample["cls"]) == rows[sample["json"]["clip_id"]].label


def test_streaming_reads_the_first_clip_without_the_rest(
    datasets: ModuleType, workdir: Path, tmp_path: Path
) -> None:
    ok("shard", workdir, "--name", "set", "--format", "parquet", "--size", 32)
    stream = load(datasets, tmp_path, str(workdir / "shards/set"), split="train", streaming=True)
    sample = next(iter(stream))
    assert sample["frames"][0].size == (32, 32)

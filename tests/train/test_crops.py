"""Where crops lie, read from shards of every form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from mocrop_manifests import read_dataset
from mocrop_train.data.crops import Crop, crops_of
from mocrop_train.errors import TrainError

BOXES: dict[str, Any] = {
    "a__1": [10, 20, 30, 40],
    "a__2": [0, 0, 320, 240],
    "b__3": [5, 6, 7, 8],
    "b__4": [300, 0, 21, 10],  # beyond the edge
    "b__5": [0, 0, 0, 10],
    "b__6": None,
    "b__7": [1, 2, 3],
}


@pytest.fixture
def cropped(toys: Any, form: dict[str, str]) -> Path:
    """Clips of 320 x 240, one shard per three of them, and one of another split."""
    clips = [toys.clip(name, 0, split="test") for name in BOXES] + [toys.clip("c__9", 1)]
    for clip in clips:
        clip.about = {"crop": BOXES.get(clip.clip_id), "width": 320, "height": 240}
    return Path(toys.write(clips=clips, clips_per_shard=3, **form))


def test_crops_are_those_in_the_shards_of_the_split(cropped: Path) -> None:
    index = read_dataset(cropped)
    found = crops_of(cropped, index, "test", ["a__1", "b__3", "c__9", "none"])
    assert found == {"a__1": Crop(10, 20, 30, 40, 320, 240), "b__3": Crop(5, 6, 7, 8, 320, 240)}


def test_what_is_no_crop_inside_the_frame_is_left_out(cropped: Path) -> None:
    found = crops_of(cropped, read_dataset(cropped), "test", list(BOXES))
    assert sorted(found) == ["a__1", "a__2", "b__3"]


def test_shards_without_the_column_have_none(toys: Any) -> None:
    folder = toys.write(clips=[toys.clip("a", 0)], storage="parquet")
    shard = next(folder.glob("*.parquet"))
    assert list(crops_of(folder, read_dataset(folder), "train", ["a"])) == ["a"]
    table = pq.read_table(shard).drop_columns(["width"])
    index = read_dataset(folder)
    pq.write_table(table, shard)
    assert crops_of(folder, index, "train", ["a"]) == {}


def test_a_damaged_shard_is_named(cropped: Path) -> None:
    index = read_dataset(cropped)
    shard = cropped / next(entry.file for entry in index.shards if entry.split == "test")
    shard.write_bytes(b"x" * shard.stat().st_size)
    with pytest.raises(TrainError, match=shard.name):
        crops_of(cropped, index, "test", ["a__1"])

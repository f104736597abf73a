"""Where the crops of stored clips lie in their source frames; training needs none of it, people do."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from mocrop_manifests import DatasetIndex
from mocrop_manifests.records import parse_json
from mocrop_manifests.tars import file_members

from mocrop_train.data.shards import DAMAGE, unreadable

_COLUMNS = ("clip_id", "crop", "width", "height")


class Crop(NamedTuple):
    """A crop, in px of its upright source frame, which is `width` x `height`."""

    x: int
    y: int
    w: int
    h: int
    width: int
    height: int


def crops_of(folder: Path, index: DatasetIndex, split: str, clips: Collection[str]) -> dict[str, Crop]:
    """Return the crops of some clips of a split by clip_id; without those whose shard does not tell of one.

    Raises TrainError that names a shard which cannot be read.
    """
    found: dict[str, Crop] = {}
    for entry in index.shards:
        path = folder / entry.file
        if entry.split != split or len(found) == len(clips):
            continue
        descriptions = _of_tar if index.storage == "webdataset" else _of_parquet
        try:
            for about in descriptions(path):
                crop = _crop(about)
                if crop and about["clip_id"] in clips:
                    found[about["clip_id"]] = crop
        except DAMAGE as error:
            raise unreadable(path, error) from error
    return found


def _of_tar(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as stream:
        for member in file_members(stream):
            if member.name.endswith(".json"):
                stream.seek(member.offset_data)
                yield parse_json(stream.read(member.size))


def _of_parquet(path: Path) -> Iterator[dict[str, Any]]:
    with pq.ParquetFile(path, memory_map=True) as file:
        if not {*_COLUMNS} <= {*file.schema_arrow.names}:
            return
        for batch in file.iter_batches(columns=_COLUMNS, use_threads=False):
            yield from batch.to_pylist()


def _crop(about: dict[str, Any]) -> Crop | None:
    """Return the crop that a description tells of; None unless it lies inside its frame."""
    box = about.get("crop")
    if not isinstance(box, list) or len(box) != 4:
        return None
    x, y, w, h, width, height = numbers = (*box, about.get("width"), about.get("height"))
    whole = all(type(number) is int for number in numbers)
    if whole and 0 <= x < x + w <= width and 0 <= y < y + h <= height:
        return Crop(x, y, w, h, width, height)
    return None

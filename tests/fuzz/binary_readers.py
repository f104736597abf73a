"""The targets of binary forms: shards as both sides read them, pictures, and files of motion vectors."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from mocrop_manifests import DatasetIndex, ShardEntry
from mocrop_prep.columns import parquet_schema
from mocrop_prep.errors import ClipError
from mocrop_prep.samples import END_OF_TAR, Sample, clip_members, read_samples, tar_bytes
from mocrop_prep.shards import FORMS
from mocrop_prep.vectors import SCHEMA, Vectors, read_vectors
from mocrop_train.data.loading import ClipFrames
from mocrop_train.errors import TrainError

from tests.fuzz import repair, seeds
from tests.fuzz.contract import attempt, require
from tests.fuzz.edits import edited

_UNWRITABLE = (pa.ArrowException, TypeError, ValueError, OverflowError, AttributeError, KeyError)


def prep_tar(folder: Path, data: bytes) -> bool:
    """Read a tar with the pipeline, as it is and with its headers' checksums put right."""
    tars = (data, repair.tar_headers(data))
    return True in [_prep(folder / "shard.tar", "webdataset", tar) for tar in tars]


def prep_parquet(folder: Path, data: bytes) -> bool:
    """Read a Parquet shard with the pipeline."""
    return _prep(folder / "shard.parquet", "parquet", data)


def train_tar(folder: Path, data: bytes) -> bool:
    """Read a tar with the trainer, as it is and with its headers' checksums put right."""
    tars = (data, repair.tar_headers(data))
    return True in [_train(folder, "shard.tar", "webdataset", tar) for tar in tars]


def train_parquet(folder: Path, data: bytes) -> bool:
    """Read a Parquet shard with the trainer."""
    return _train(folder, "shard.parquet", "parquet", data)


def prep_edited(folder: Path, data: bytes) -> bool:
    """Read shards of edited rows with the pipeline."""
    tar, parquets = _edited_shards(data)
    read = [_prep(folder / "shard.parquet", "parquet", content) for content in parquets]
    return True in [_prep(folder / "shard.tar", "webdataset", tar), *read]


def train_edited(folder: Path, data: bytes) -> bool:
    """Read shards of edited rows with the trainer."""
    tar, parquets = _edited_shards(data)
    read = [_train(folder, "shard.parquet", "parquet", content) for content in parquets]
    return True in [_train(folder, "shard.tar", "webdataset", tar), *read]


def jpeg(folder: Path, data: bytes) -> bool:
    """Decode a picture of a whole shard with the trainer."""
    first, other = seeds.samples()
    broken = Sample(first.info, (data, *first.jpegs[1:]))
    members = b"".join(tar_bytes(clip_members(sample)) for sample in (broken, other))
    return _train(folder, "shard.tar", "webdataset", members + END_OF_TAR)


def shard_rows() -> list[dict[str, Any]]:
    """Return the rows of a shard of clips, to be edited."""
    return [seeds.described(sample) for sample in seeds.samples()]


def _edited_shards(program: bytes) -> tuple[bytes, list[bytes]]:
    rows = edited(shard_rows(), program)
    members: list[tuple[str, bytes]] = []
    for number, row in enumerate(rows):
        about = dict(row) if isinstance(row, dict) else row
        pictures = about.pop("frames", None) if isinstance(about, dict) else None
        for place, picture in enumerate(pictures if isinstance(pictures, list) else []):
            content = picture.get("bytes") if isinstance(picture, dict) else picture
            members.append((f"c{number}.{place:03d}.jpg", content if isinstance(content, bytes) else b""))
        members.append((f"c{number}.json", json.dumps(about, default=repr).encode()))
    return tar_bytes(members) + END_OF_TAR, _parquets(rows, parquet_schema(seeds.CLASSES, per_frame=False))


def _prep(path: Path, form: str, content: bytes) -> bool:
    path.write_bytes(content)
    accepted = False
    for per_frame in (False, True):
        found = attempt(partial(_samples_of, form, path, per_frame), ClipError)
        for sample in found or ():
            again = read_samples(io.BytesIO(tar_bytes(clip_members(sample)) + END_OF_TAR))
            require(list(again) == [sample], "a sample that was read can be written and read again")
        accepted |= bool(found)
    return accepted


def _samples_of(form: str, path: Path, per_frame: bool) -> list[Sample]:
    return list(FORMS[form].read(path, per_frame=per_frame))


def _train(folder: Path, file: str, storage: str, content: bytes) -> bool:
    (folder / file).write_bytes(content)
    accepted = False
    digest = hashlib.sha256(content).hexdigest()
    for sample, rows in (("clip", seeds.CLIPS), ("frame", seeds.FRAMES)):
        entry = ShardEntry(file, "train", rows, seeds.FRAMES, len(content), digest)
        classes = list(seeds.CLASSES)
        index = DatasetIndex("set", storage, sample, ["frames"], classes, [entry], {}, {}, {})
        accepted |= bool(attempt(partial(_frames_of, folder, index), TrainError))
    return accepted


def _frames_of(folder: Path, index: DatasetIndex) -> bool:
    source = ClipFrames(folder, index, "train")
    for place, clip in enumerate(source.clips):
        frames = source.read(place, range(clip.frames))
        require(frames.dtype == torch.uint8 and frames.shape[:2] == (clip.frames, 3), "frames are uint8 RGB")
    return bool(source.clips)


def vectors(folder: Path, data: bytes) -> bool:
    """Read a vectors file to its end."""
    path = folder / "motion.parquet"
    path.write_bytes(data)
    found = attempt(lambda: _all_vectors(path), ClipError)
    for batch in found or ():
        for field in SCHEMA:
            column = getattr(batch, field.name)
            require(
                column.dtype == np.dtype(field.type.to_pandas_dtype()), "columns have the documented types"
            )
            require(len(column) == len(batch), "columns are of equal length")
    return bool(found)


def vectors_edited(folder: Path, data: bytes) -> bool:
    """Read vectors files with edited rows and notes."""
    tree = edited(vectors_tree(), data)
    note = json.dumps(tree.get("note"), default=repr).encode()
    files = _parquets(tree.get("rows"), SCHEMA, {b"mocrop": note})
    return True in [vectors(folder, content) for content in files]


def vectors_tree() -> dict[str, Any]:
    """Return what a vectors file says, to be edited."""
    note = json.loads(json.dumps(dataclasses.asdict(seeds.clip_info())))
    return {"note": note, "rows": seeds.vector_rows()}


def _all_vectors(path: Path) -> list[Vectors]:
    return list(read_vectors(path)[1])


def _parquets(rows: Any, schema: pa.Schema, note: dict[bytes, bytes] | None = None) -> list[bytes]:
    """Return rows as Parquet, with the schema and with whatever schema fits them, if Arrow can write them."""
    files = []
    for wanted in (schema, None):
        try:
            table = pa.Table.from_pylist(rows, wanted)
            out = io.BytesIO()
            pq.write_table(table.replace_schema_metadata(note) if note else table, out)
        except _UNWRITABLE:  # from_pylist has no list of what it raises
            continue
        files.append(out.getvalue())
    return files

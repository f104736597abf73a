"""Random access to the clips of one shard, a WebDataset tar or a Parquet file.

A shard is indexed once, when it is opened: for a tar the headers and the small JSON members, for Parquet
the small columns. JPEGs are read when asked for, and only those. Every file is opened per read, so a reader
holds no handle, can be pickled to worker processes and survives a fork.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mocrop_manifests import DatasetIndex, ShardEntry
from mocrop_manifests.clips import CLIP_ID
from mocrop_manifests.records import parse_json
from mocrop_manifests.tars import file_members

from mocrop_train.errors import TrainError

CACHED_ROW_GROUPS = 16
# the clips of a tar that are read together: as many as a row group of Parquet has, so the order is one
_CLIPS_READ_TOGETHER = 100
_PAGES_ASKED_FOR = 1 << 20
_MOST_READ_AHEAD = 1 << 28
# what readers raise for bytes that are no shard
DAMAGE = (tarfile.TarError, pa.ArrowException, OSError, LookupError, TypeError, ValueError)
_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_FRAME_MEMBER = re.compile(r"(?:\d+\.)?jpg")


@dataclass(frozen=True, slots=True)
class ClipEntry:
    """One clip of a shard: `frames` is how many are stored, at least one."""

    clip_id: str
    label: int
    group: str
    frames: int


class Shard(Protocol):
    """The clips of one shard file, and their JPEGs.

    `chunks` are the positions in `clips` that are cheap to read together, in file order.
    """

    clips: list[ClipEntry]
    chunks: list[range]

    def read(self, clip: int, positions: Sequence[int]) -> list[bytes]:
        """Return the JPEGs at `positions` among the stored frames of a clip."""
        ...


def open_shard(folder: Path, entry: ShardEntry, index: DatasetIndex) -> Shard:
    """Index one shard and hold it against dataset.json.

    Raises TrainError that names the shard if it cannot be read, or its rows, frames, labels or class names
    are not what the index says.
    """
    path = folder / entry.file
    try:
        shard = (
            _TarShard(path, entry, index)
            if index.storage == "webdataset"
            else _ParquetShard(path, entry, index)
        )
    except TrainError:
        raise
    except DAMAGE as error:
        raise unreadable(path, error) from error
    return shard


def unreadable(path: Path, error: BaseException) -> TrainError:
    """Return the error of a shard that readers choke on."""
    reason = f"lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
    kind = "webdataset" if path.suffix == ".tar" else "parquet"
    return TrainError(f"{path}: not a readable {kind} shard: {reason}; make the shards again")


class _TarShard:
    """A WebDataset tar: frames are read by their offset in the file."""

    def __init__(self, path: Path, entry: ShardEntry, index: DatasetIndex) -> None:
        self._path = path
        self._sha256 = entry.sha256
        frames: dict[str, list[tuple[int, int]]] = {}
        about: dict[str, dict[str, Any]] = {}
        with path.open("rb") as stream:
            for member in file_members(stream):
                # readers of WebDataset split names at the first dot
                key, _, extension = member.name.partition(".")
                if _FRAME_MEMBER.fullmatch(extension):
                    frames.setdefault(key, []).append((member.offset_data, member.size))
                elif extension == "json":
                    stream.seek(member.offset_data)
                    about[key] = parse_json(stream.read(member.size))
        samples = [_sample_of(meta, len(frames.get(key, ()))) for key, meta in about.items()]
        self.clips, self._first = _group(samples, path, entry, index)
        clips = range(len(self.clips))
        self.chunks = [clips[at : at + _CLIPS_READ_TOGETHER] for at in clips[::_CLIPS_READ_TOGETHER]]
        spans = [span for key in about for span in frames.get(key, ())]
        self._spans = np.array(spans, dtype=np.int64).reshape(-1, 2)

    def read(self, clip: int, positions: Sequence[int]) -> list[bytes]:
        first = self._first[clip]
        _read_ahead(self._path, self._sha256, *self._extent(clip // _CLIPS_READ_TOGETHER))
        with self._path.open("rb", buffering=0) as stream:
            return [os.pread(stream.fileno(), *self._span(first + position)) for position in positions]

    def _extent(self, chunk: int) -> tuple[int, int]:
        """Return where in the file the frames of a chunk begin and end."""
        clips = self.chunks[chunk]
        last = self._first[clips[-1]] + self.clips[clips[-1]].frames - 1
        return int(self._spans[self._first[clips[0]], 0]), int(self._spans[last].sum())

    def _span(self, frame: int) -> tuple[int, int]:
        offset, size = self._spans[frame].tolist()
        return size, offset


@functools.lru_cache(maxsize=CACHED_ROW_GROUPS)
def _read_ahead(path: Path, sha256: str, start: int, end: int) -> None:
    """Let the system read a part of a file in one go, before its clips are asked for in random order.

    Nothing waits for it and nothing is kept in this process; once for each part of a window, as the cache
    forgets the part by the next epoch. Advice, so it fails silently; not every system can be given it.
    """
    del sha256  # part of the key, as in _row_group
    if not hasattr(os, "posix_fadvise"):
        return
    with contextlib.suppress(OSError), path.open("rb", buffering=0) as stream:
        # Linux cuts each request to what its device takes at once
        for at in range(start, min(end, start + _MOST_READ_AHEAD), _PAGES_ASKED_FOR):
            os.posix_fadvise(stream.fileno(), at, _PAGES_ASKED_FOR, os.POSIX_FADV_WILLNEED)


class _ParquetShard:
    """A Parquet file: frames are read by row group, the last ones used stay in memory."""

    def __init__(self, path: Path, entry: ShardEntry, index: DatasetIndex) -> None:
        self._path = path
        self._sha256 = entry.sha256
        self._by_clip = index.sample == "clip"
        with pq.ParquetFile(path, memory_map=True) as file:
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            column, kind = ("frames", pa.list_(_PICTURE)) if self._by_clip else ("image", _PICTURE)
            if file.schema_arrow.field(column).type != kind:
                raise ValueError(f"column {column} does not hold pictures")
            wanted = {"clip_id", "label", "label_name", "frame_index", "group"}
            known = [name for name in file.schema_arrow.names if name in wanted]
            if sum(sizes) != entry.rows:  # before they are unpacked: a few bytes may stand for any number
                raise _other_rows(path, sum(sizes), entry)
            table = file.read(columns=known, use_threads=False)
        rows = table.num_rows
        samples = [
            _sample_of(meta, len(meta["frame_index"] or ()) if self._by_clip else 1)
            for meta in table.to_pylist()
        ]
        self.clips, self._first = _group(samples, path, entry, index)
        self._row_starts = np.cumsum([0, *sizes])
        first_rows = range(rows) if self._by_clip else self._first
        edges = np.searchsorted(first_rows, self._row_starts).tolist()
        self.chunks = [range(a, b) for a, b in itertools.pairwise(edges) if a < b]

    def read(self, clip: int, positions: Sequence[int]) -> list[bytes]:
        try:
            return self._read(clip, positions)
        except DAMAGE as error:
            raise unreadable(self._path, error) from error

    def _read(self, clip: int, positions: Sequence[int]) -> list[bytes]:
        if self._by_clip:
            row, clips = self._row(clip, "frames")
            pictures, told = clips[row].values, self.clips[clip].frames
            if pictures is None or len(pictures) != told:
                raise ValueError(
                    f"clip {self.clips[clip].clip_id} does not hold the {told} frames it tells of"
                )
            jpegs = pictures.field("bytes")
            # a null is no picture either
            return [jpegs[position].as_py() or b"" for position in positions]
        found = [self._row(self._first[clip] + position, "image") for position in positions]
        return [images.field("bytes")[row].as_py() or b"" for row, images in found]

    def _row(self, row: int, column: str) -> tuple[int, Any]:
        group = int(np.searchsorted(self._row_starts, row, side="right")) - 1
        return row - int(self._row_starts[group]), _row_group(self._path, self._sha256, group, column)


@functools.lru_cache(maxsize=CACHED_ROW_GROUPS)
def _row_group(path: Path, sha256: str, group: int, column: str) -> Any:
    # sha256 is part of the key: shards made again under the same name are other shards
    del sha256
    with pq.ParquetFile(path, memory_map=True) as file:
        # Arrow's threads do not survive the fork of a worker process
        table = file.read_row_group(group, columns=[column], use_threads=False)
    return table[column].combine_chunks()


@dataclass(frozen=True, slots=True)
class _Sample:
    """One row of a shard, as stored: a clip or one of its frames."""

    clip_id: str
    label: int
    label_name: str
    group: str | None
    frames: int


def _sample_of(meta: Any, frames: int) -> _Sample:
    """Return what is known of a row; KeyError, TypeError or ValueError for what is no description of one."""
    sample = _Sample(meta["clip_id"], meta["label"], meta["label_name"], meta.get("group"), frames)
    texts = (sample.clip_id, sample.label_name, sample.group or "")
    if type(sample.label) is not int or not all(type(text) is str for text in texts):
        raise ValueError("a description whose label is no number or whose names are no texts")
    if not CLIP_ID.fullmatch(sample.clip_id):
        raise ValueError(f"{sample.clip_id!r} is no clip id")
    return sample


def _other_rows(path: Path, rows: int, entry: ShardEntry) -> TrainError:
    return TrainError(f"{path}: {rows} rows where dataset.json says {entry.rows}; make the shards again")


def _group(
    samples: list[_Sample], path: Path, entry: ShardEntry, index: DatasetIndex
) -> tuple[list[ClipEntry], list[int]]:
    """Join neighbouring frame samples to clips; return them with the number of frames before each."""
    if len(samples) != entry.rows:
        raise _other_rows(path, len(samples), entry)
    clips: list[ClipEntry] = []
    first: list[int] = []
    total = 0
    for sample in samples:
        if not 0 <= sample.label < len(index.classes) or index.classes[sample.label] != sample.label_name:
            raise TrainError(
                f"{path}: clip {sample.clip_id} has label {sample.label} ({sample.label_name!r}), which is "
                f"not that class of dataset.json; make the shards again"
            )
        if sample.frames < 1:
            raise TrainError(f"{path}: clip {sample.clip_id} has no frames; make the shards again")
        if index.sample == "frame" and clips and clips[-1].clip_id == sample.clip_id:
            before = clips.pop()
            joined = before.frames + sample.frames
        else:
            first.append(total)
            joined = sample.frames
        clips.append(ClipEntry(sample.clip_id, sample.label, sample.group or "", joined))
        total += sample.frames
    if total != entry.frames:
        raise TrainError(
            f"{path}: {total} frames where dataset.json says {entry.frames}; make the shards again"
        )
    return clips, first

"""Motion vectors as columns: libavcodec's fields under its names, in memory and in Parquet."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mocrop_manifests.records import parse_json
from numpy.typing import NDArray

from mocrop_prep.appearance import Appearance
from mocrop_prep.errors import ClipError

MOTION_FORMAT = 3
"""Counts the changes to what a vectors file holds: an older one is made again."""
BATCH = 1 << 18
"""Vectors handed on at a time: bounds memory whatever the clip's length."""

# AVMotionVector of libavutil/motion_vector.h as it lies in memory (40 bytes, aligned). Padding is never read.
AV_MOTION_VECTOR = np.dtype(
    {
        "names": ["source", "w", "h", "dst_x", "dst_y", "motion_x", "motion_y", "scale"],
        "formats": ["<i4", "u1", "u1", "<i2", "<i2", "<i4", "<i4", "<u2"],
        "offsets": [0, 4, 5, 10, 12, 24, 28, 32],
        "itemsize": 40,
    }
)

SCHEMA = pa.schema(
    [
        ("frame", pa.int32()),
        ("source", pa.int32()),
        ("w", pa.uint8()),
        ("h", pa.uint8()),
        ("dst_x", pa.int16()),
        ("dst_y", pa.int16()),
        ("motion_x", pa.int32()),
        ("motion_y", pa.int32()),
        ("scale", pa.uint16()),
    ]
)
_EXPORTED = SCHEMA.names[1:]
_KINDS = [field.type.to_pandas_dtype() for field in SCHEMA]
_PARQUET: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    # what is the same for many rows in a row packs as it is; places go up in steps; the rest are few values
    "use_dictionary": ["w", "h", "motion_x", "motion_y"],
    "column_encoding": {"dst_x": "DELTA_BINARY_PACKED", "dst_y": "DELTA_BINARY_PACKED"},
    "write_statistics": ["frame"],
}
_METADATA = b"mocrop"
_WIDEST = 1 << 15  # places of blocks are 16-bit numbers


@dataclass(frozen=True, slots=True)
class Vectors:
    """Motion vectors of one or more frames; nine arrays of equal length.

    `frame` is the order of display from 0; `source` is -1 for the past, 1 for the future; `w`, `h` are the
    block's size and `dst_x`, `dst_y` its centre, in pixels; `motion_x / scale`, `motion_y / scale` are the
    displacement in pixels.
    """

    frame: NDArray[np.int32]
    source: NDArray[np.int32]
    w: NDArray[np.uint8]
    h: NDArray[np.uint8]
    dst_x: NDArray[np.int16]
    dst_y: NDArray[np.int16]
    motion_x: NDArray[np.int32]
    motion_y: NDArray[np.int32]
    scale: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, mask: NDArray[np.bool_]) -> Vectors:
        """Return the vectors for which `mask` is set."""
        return Vectors(*(getattr(self, name)[mask] for name in SCHEMA.names))


class VectorBatch:
    """Gathers the vectors of frames as columns, and hands them to `sink` about BATCH at a time."""

    def __init__(self, sink: Callable[[Vectors], None]) -> None:
        self._sink = sink
        self._columns = _room(0)
        self._size = 0

    def add(self, number: int, exported: memoryview) -> None:
        """Take in what libavcodec exports with a frame: AV_MOTION_VECTOR structures, which are copied."""
        raw = np.frombuffer(exported, AV_MOTION_VECTOR)
        start, stop = self._size, self._size + len(raw)
        if stop > len(self._columns[0]):
            self.flush()
            start, stop = 0, len(raw)
            self._columns = _room(max(BATCH, stop))
        numbers, *columns = self._columns
        numbers[start:stop] = number
        for column, name in zip(columns, _EXPORTED, strict=True):
            column[start:stop] = raw[name]
        self._size = stop

    def flush(self) -> None:
        """Hand on what is left."""
        if self._size:
            self._sink(Vectors(*(column[: self._size] for column in self._columns)))
        self._columns, self._size = _room(0), 0


def _room(size: int) -> list[NDArray[Any]]:
    return [np.empty(size, kind) for kind in _KINDS]


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """What the crop needs to know of a clip: pixels, mean frames/s, frames, and which of them are key frames.

    `appearance` is known once some of them were looked at.
    """

    width: int
    height: int
    fps: float
    frames: int
    key_frames: tuple[int, ...]
    appearance: Appearance | None = None


class VectorWriter:
    """Write vectors to one Parquet file as they come; use as a context manager."""

    def __init__(self, path: Path, info: ClipInfo) -> None:
        self._info = info
        self._schema = SCHEMA
        self._writer = pq.ParquetWriter(path, SCHEMA, **_PARQUET)
        self.rows = 0

    def __enter__(self) -> VectorWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.add_key_value_metadata({_METADATA: json.dumps(asdict(self._info), sort_keys=True)})
        self._writer.close()

    def add(self, vectors: Vectors) -> None:
        """Append vectors as one row group."""
        arrays = [getattr(vectors, name) for name in SCHEMA.names]
        self._writer.write_table(pa.table(arrays, schema=self._schema))
        self.rows += len(vectors)

    def describe(self, appearance: Appearance) -> None:
        """Enter what the clip looks like, which is known when its last key frame was looked at."""
        self._info = replace(self._info, appearance=appearance)


def read_vectors(path: Path) -> tuple[ClipInfo, Iterator[Vectors]]:
    """Return a clip's description and an iterator over its vectors; a damaged file raises ClipError."""
    try:
        table = pq.ParquetFile(path)
        info = _clip_info(parse_json((table.metadata.metadata or {}).get(_METADATA, b"")))
        if not table.schema_arrow.equals(SCHEMA):
            raise ValueError("its columns are not those of vectors")
    except FileNotFoundError:
        raise ClipError("bad-intermediate", f"{path} is missing; run `mocrop-prep extract` first") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from None
    return info, _row_groups(table, info, path)


def _clip_info(note: Any) -> ClipInfo:
    if not isinstance(note, dict):
        raise ValueError("its note does not describe a clip")
    note = {"appearance": None, **note}  # files of older releases lack it
    if note.keys() != ClipInfo.__dataclass_fields__.keys():
        raise ValueError("its note does not describe a clip")
    width, height, fps, frames = (note[name] for name in ("width", "height", "fps", "frames"))
    if not (_whole((width, height), 1, _WIDEST) and _whole((frames,), 0)):
        raise ValueError("its note has a size or a number of frames that cannot be")
    if type(fps) is not float or not math.isfinite(fps):
        raise ValueError("its note has a frame rate that is no number")
    keys = note["key_frames"]
    if not isinstance(keys, list) or not _whole(keys, 0):
        raise ValueError("its note has key frames that are no frame numbers")
    return ClipInfo(width, height, fps, frames, tuple(keys), _appearance(note["appearance"]))


def _appearance(looks: Any) -> Appearance | None:
    if looks is None:
        return None
    names = Appearance.__dataclass_fields__.keys()
    if not isinstance(looks, dict) or looks.keys() != names:
        raise ValueError("its note does not say what the clip looks like")
    if not all(isinstance(values, list) and _whole(values, 0) for values in looks.values()):
        raise ValueError("its note has looks that are no rows of numbers")
    grid, texture, steady, content = (tuple(looks[name]) for name in names)
    if len(grid) != 2 or len(content) != 4 or not grid[0] * grid[1] == len(texture) == len(steady):
        raise ValueError("its note has looks that do not fill their grid")
    return Appearance(grid, texture, steady, content)


def _whole(values: Iterable[Any], low: int, high: int = np.iinfo(np.int64).max) -> bool:
    return all(type(value) is int and low <= value <= high for value in values)


def _row_groups(table: pq.ParquetFile, info: ClipInfo, path: Path) -> Iterator[Vectors]:
    most = BATCH + info.width * info.height  # a batch ends with the frame that fills it
    with table:
        for group in range(table.num_row_groups):
            try:
                if table.metadata.row_group(group).num_rows > most:
                    raise ValueError(f"row group {group} has more vectors than frames can have")
                columns = table.read_row_group(group, columns=SCHEMA.names)
                if any(column.null_count for column in columns.columns):
                    raise ValueError(f"row group {group} lacks values")
            except (pa.ArrowException, OSError, ValueError) as error:
                raise _damaged(path, error) from None
            yield Vectors(*(columns.column(name).to_numpy() for name in SCHEMA.names))


def _damaged(path: Path, error: Exception) -> ClipError:
    # Arrow's messages have several lines
    found = " ".join(str(error).split())
    return ClipError("bad-intermediate", f"{path} is damaged ({found}); delete it and run extract")

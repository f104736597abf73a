"""Motion vectors as columns: libavcodec's fields under its names, in memory and in Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mocrop_prep.appearance import Appearance
from mocrop_prep.errors import ClipError

MOTION_FORMAT = 2
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
_METADATA = b"mocrop"


@dataclass(frozen=True, slots=True)
class Vectors:
    """Motion vectors of one or more frames; nine arrays of equal length.

    `frame` is the decoded order from 0; `source` is -1 for the past; `w`, `h` are the block's size and
    `dst_x`, `dst_y` its centre, in pixels; `motion_x / scale`, `motion_y / scale` are the displacement in
    pixels.
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

    @classmethod
    def from_frames(cls, frames: Sequence[tuple[int, NDArray[Any]]]) -> Vectors:
        """Join (frame number, AV_MOTION_VECTOR array) pairs."""
        raw = np.concatenate([array for _, array in frames])
        lengths = [len(array) for _, array in frames]
        numbers = np.repeat(np.array([number for number, _ in frames], np.int32), lengths)
        return cls(numbers, *(np.ascontiguousarray(raw[name]) for name in SCHEMA.names[1:]))


@dataclass(frozen=True, slots=True)
class ClipInfo:
    """What the crop needs to know of a transcoded clip: pixels, mean frames/s, and decoded frame numbers.

    `appearance` is known once its key frames were looked at.
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
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd", compression_level=3)
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
        info = _clip_info(json.loads((table.metadata.metadata or {})[_METADATA]))
    except FileNotFoundError:
        raise ClipError("bad-intermediate", f"{path} is missing; run `mocrop-prep extract` first") from None
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise ClipError(
            "bad-intermediate", f"{path} is damaged ({error}); delete it and run extract"
        ) from None
    return info, _row_groups(table, path)


def _clip_info(note: dict[str, Any]) -> ClipInfo:
    looks = note.pop("appearance", None)
    if looks is not None:
        looks = Appearance(**{name: tuple(values) for name, values in looks.items()})
    return ClipInfo(**note | {"key_frames": tuple(note["key_frames"])}, appearance=looks)


def _row_groups(table: pq.ParquetFile, path: Path) -> Iterator[Vectors]:
    with table:
        for group in range(table.num_row_groups):
            try:
                columns = table.read_row_group(group, columns=SCHEMA.names)
            except (pa.ArrowException, OSError) as error:
                raise ClipError(
                    "bad-intermediate", f"{path} is damaged ({error}); run extract again"
                ) from None
            yield Vectors(*(columns.column(name).to_numpy() for name in SCHEMA.names))

"""Samples -> shards: the layout of a set, and its two forms behind one protocol."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from mocrop_manifests import ShardEntry
from mocrop_manifests.files import publish, sha256

from mocrop_prep.columns import leaf_columns, parquet_schema
from mocrop_prep.config import ShardSettings, parse_shard_size
from mocrop_prep.errors import ClipError
from mocrop_prep.samples import (
    END_OF_TAR,
    Sample,
    SampleInfo,
    checked_sample,
    clip_members,
    frame_members,
    read_samples,
    tar_bytes,
)
from mocrop_prep.workdir import sample_name

SPLIT_ORDER = ("train", "val", "test")
_ROW_GROUP = 100


@dataclass(frozen=True, slots=True)
class SampleFile:
    """A finished sample that waits for its shard, with what the layout needs to know of it.

    `key` tells it from samples of other settings; `digest` is the SHA-256 of the file, empty if not known.
    """

    clip_id: str
    split: str
    key: str
    frames: int
    size: int
    digest: bytes = b""

    @property
    def name(self) -> str:
        """Return the name of the file."""
        return sample_name(self.clip_id, self.key)

    def is_whole(self, folder: Path) -> bool:
        """Say whether the file in this folder is as it was written."""
        try:
            return not self.digest or bytes.fromhex(sha256(folder / self.name)) == self.digest
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """One shard to be written: its file name, its split and its samples in order."""

    file: str
    split: str
    samples: tuple[SampleFile, ...]


class ShardForm(Protocol):
    """A form of shards on disk: writes samples as they come, reads them back as clips."""

    suffix: str

    def write(self, path: Path, samples: Iterable[Sample], *, per_frame: bool, classes: Sequence[str]) -> int:
        """Write one shard and return its rows."""
        ...

    def read(self, path: Path, *, per_frame: bool) -> Iterator[Sample]:
        """Yield the clips of one shard; raises ClipError if it is damaged."""
        ...


class WebDatasetShard:
    """A tar whose members share a name up to the first dot: one sample."""

    suffix = ".tar"

    def write(self, path: Path, samples: Iterable[Sample], *, per_frame: bool, classes: Sequence[str]) -> int:
        """Write one shard and return its rows; a label is stored as its number."""
        del classes
        rows = 0
        with path.open("wb") as stream:
            for sample in samples:
                stream.write(tar_bytes(frame_members(sample) if per_frame else clip_members(sample)))
                rows += len(sample.jpegs) if per_frame else 1
            stream.write(END_OF_TAR)
        return rows

    def read(self, path: Path, *, per_frame: bool) -> Iterator[Sample]:
        """Yield the clips of one shard; raises ClipError if it is damaged."""
        try:
            with path.open("rb") as stream:
                samples = read_samples(stream)
                yield from _join_frames(samples) if per_frame else samples
        except (tarfile.TarError, ValueError, OSError) as error:
            raise _damaged(path, error) from None


class ParquetShard:
    """A Parquet file that Hugging Face datasets shows as pictures."""

    suffix = ".parquet"

    def write(self, path: Path, samples: Iterable[Sample], *, per_frame: bool, classes: Sequence[str]) -> int:
        """Write one shard in row groups of at most 100 rows and return its rows."""
        schema = parquet_schema(classes, per_frame=per_frame)
        # JPEG does not compress any further; the columns beside it do
        codecs = {name: "none" if name in ("image", "frames") else "zstd" for name in schema.names}
        columns = {name: codecs[name.split(".")[0]] for name in leaf_columns(schema)}
        rows = 0
        with pq.ParquetWriter(path, schema, compression=columns, write_statistics=False) as writer:
            for group in _grouped(_rows(samples, per_frame=per_frame), _ROW_GROUP):
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
                rows += len(group)
        return rows

    def read(self, path: Path, *, per_frame: bool) -> Iterator[Sample]:
        """Yield the clips of one shard; raises ClipError if it is damaged."""
        try:
            with pq.ParquetFile(path) as table:
                groups = _row_groups(table, parquet_schema((), per_frame=per_frame))
                samples = (_sample_of_row(row, per_frame=per_frame) for group in groups for row in group)
                yield from _join_frames(samples) if per_frame else samples
        except (pa.ArrowException, ValueError, OSError) as error:
            raise _damaged(path, error) from None


FORMS: dict[str, ShardForm] = {"webdataset": WebDatasetShard(), "parquet": ParquetShard()}


def plan_shards(samples: Iterable[SampleFile], settings: ShardSettings) -> list[ShardPlan]:
    """Lay samples out in shards: train in a seeded order, the rest by clip_id, no clip in two shards.

    The place of a clip in the order depends on its own id and the seed alone.
    """
    by_split: dict[str, list[SampleFile]] = {}
    for sample in samples:
        by_split.setdefault(sample.split, []).append(sample)
    plans = []
    for split in sorted(by_split, key=SPLIT_ORDER.index):
        order: Callable[[SampleFile], Any] = _train_order(settings.seed) if split == "train" else _by_id
        parts = _cut(sorted(by_split[split], key=order), settings)
        plans += [
            ShardPlan(shard_name(split, number, settings.format), split, tuple(part))
            for number, part in enumerate(parts)
        ]
    return plans


def shard_name(split: str, number: int, storage: str) -> str:
    """Return the file name of a split's shard; `number` counts from 0."""
    return f"{split}-{number:06d}{FORMS[storage].suffix}"


def write_shard(
    plan: ShardPlan, waiting: Path, folder: Path, settings: ShardSettings, classes: Sequence[str]
) -> dict[str, Any]:
    """Write one shard atomically from the samples in `waiting`; return its ShardEntry as a dict.

    Where samples are not what was written, nothing is, and `lost` names their clips. A sample that was
    damaged before its checksum was taken raises ClipError.
    """
    lost = [sample.clip_id for sample in plan.samples if not sample.is_whole(waiting)]
    if lost:
        return {"lost": lost}
    target = folder / plan.file
    with publish(target) as temporary:
        rows = FORMS[settings.format].write(
            temporary,
            (load_sample(waiting / sample.name) for sample in plan.samples),
            per_frame=settings.sample == "frame",
            classes=classes,
        )
        entry = ShardEntry(
            file=plan.file,
            split=plan.split,
            rows=rows,
            frames=sum(sample.frames for sample in plan.samples),
            bytes=temporary.stat().st_size,
            sha256=sha256(temporary),
        )
    return {name: getattr(entry, name) for name in ShardEntry.__slots__}


def load_sample(path: Path) -> Sample:
    """Read a sample that waits for its shard; raises ClipError if it is missing or damaged."""
    try:
        with path.open("rb") as stream:
            return next(iter(read_samples(stream)))
    except StopIteration:
        raise ClipError("bad-intermediate", f"{path} is damaged: no sample; run the command again") from None
    except (OSError, tarfile.TarError, ValueError) as error:
        raise _damaged(path, error, "; run the command again") from None


def _damaged(path: Path, error: Exception, remedy: str = "") -> ClipError:
    # Arrow's messages have several lines
    return ClipError("bad-intermediate", f"{path} is damaged: {' '.join(str(error).split())}{remedy}")


def _rows(samples: Iterable[Sample], *, per_frame: bool) -> Iterator[dict[str, Any]]:
    for sample in samples:
        info = sample.info
        row = {
            "clip_id": info.clip_id,
            "label": info.label,
            "label_name": info.label_name,
            "split": info.split,
            "crop": info.crop,
            "width": info.width,
            "height": info.height,
            "group": info.group,
            "method": info.method,
        }
        if per_frame:
            for number, jpeg in enumerate(sample.jpegs):
                picture = {"bytes": jpeg, "path": f"{info.clip_id}_{number:03d}.jpg"}
                index, time = info.frame_index[number], info.pts[number]
                yield row | {"image": picture, "frame_index": index, "pts": time}
        else:
            pictures = [
                {"bytes": jpeg, "path": f"{info.clip_id}.{number:03d}.jpg"}
                for number, jpeg in enumerate(sample.jpegs)
            ]
            yield row | {"frames": pictures, "frame_index": info.frame_index, "pts": info.pts}


def _row_groups(table: pq.ParquetFile, schema: pa.Schema) -> Iterator[list[dict[str, Any]]]:
    if not table.schema_arrow.equals(schema):
        raise ValueError("its columns are not those of a shard")
    for group in range(table.num_row_groups):
        rows = table.metadata.row_group(group).num_rows
        if rows > _ROW_GROUP:
            raise ValueError(f"a row group of {rows} rows, where a shard has {_ROW_GROUP} at most")
        yield table.read_row_group(group).to_pylist()


def _sample_of_row(row: dict[str, Any], *, per_frame: bool) -> Sample:
    pictures = [row["image"]] if per_frame else row["frames"] or []
    return checked_sample(row, [picture and picture["bytes"] for picture in pictures])


def _join_frames(samples: Iterable[Sample]) -> Iterator[Sample]:
    """Join neighbouring samples of one frame each into clips."""
    clip: list[Sample] = []
    for sample in samples:
        if clip and sample.info.clip_id != clip[0].info.clip_id:
            yield _joined(clip)
            clip = []
        clip.append(sample)
    if clip:
        yield _joined(clip)


def _joined(frames: Sequence[Sample]) -> Sample:
    values = {name: getattr(frames[0].info, name) for name in SampleInfo.__slots__}
    values["frame_index"] = tuple(number for frame in frames for number in frame.info.frame_index)
    values["pts"] = tuple(time for frame in frames for time in frame.info.pts)
    return Sample(SampleInfo(**values), tuple(jpeg for frame in frames for jpeg in frame.jpegs))


def _grouped(rows: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    for row in rows:
        group.append(row)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _by_id(sample: SampleFile) -> str:
    return sample.clip_id


def _train_order(seed: int) -> Callable[[SampleFile], bytes]:
    def key(sample: SampleFile) -> bytes:
        return hashlib.sha256(f"{seed}:order:{sample.clip_id}".encode()).digest()

    return key


def _cut(samples: Sequence[SampleFile], settings: ShardSettings) -> list[list[SampleFile]]:
    unit, limit = parse_shard_size(settings.shard_size)
    parts: list[list[SampleFile]] = []
    filled = 0
    for sample in samples:
        size = sample.size if unit == "bytes" else sample.frames if settings.sample == "frame" else 1
        if not parts or filled + size > limit:
            parts.append([])
            filled = 0
        parts[-1].append(sample)
        filled += size
    return parts

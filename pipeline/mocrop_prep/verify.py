"""Recount and checksum everything in a WORKDIR against its journals, manifests and indexes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mocrop_manifests import CropRow, DatasetIndex, ManifestError, ShardEntry, read_crops, read_dataset
from mocrop_manifests.dataset import shard_problem

from mocrop_prep.errors import ClipError, UsageError
from mocrop_prep.files import TEMPORARY, sha256
from mocrop_prep.samples import Sample
from mocrop_prep.shards import FORMS
from mocrop_prep.shardset import noted_names, read_note
from mocrop_prep.workdir import Workdir

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


def verify(workdir: Workdir) -> Iterator[tuple[str, str]]:
    """Yield (what was checked, problem or empty text), one for each thing checked."""
    try:
        clips = workdir.read_clips()
        yield f"{workdir.clips_csv}: {len(clips)} clips", ""
    except UsageError as error:
        yield str(workdir.clips_csv), str(error)
    yield from _files(workdir, "transcode", workdir.transcoded("x"))
    yield from _files(workdir, "extract", workdir.motion("x"))
    for name in workdir.manifest_names():
        yield _manifest(workdir.crops(name))
    for name in sorted({*workdir.shard_names(), *noted_names(workdir)}):
        yield from _shard_set(workdir, name)


def _files(workdir: Workdir, stage: str, example: Path) -> Iterator[tuple[str, str]]:
    """Hold the files of a stage against the checksums in its journal; files without a record are foreign."""
    folder, suffix = example.parent, example.suffix
    records = {k: v for k, v in workdir.journal(stage).read().items() if not v.failed}
    if not folder.exists() and not records:
        return
    found = {path.name for path in folder.glob("*") if not path.name.startswith(TEMPORARY)}
    good = 0
    for clip_id, record in sorted(records.items()):
        path = folder / f"{clip_id}{suffix}"
        if path.name not in found:
            yield str(path), "missing; run the stage again"
        elif path.stat().st_size != record.data["bytes"] or sha256(path) != record.data["sha256"]:
            yield str(path), "its content is not what was written; delete it and run the stage again"
        else:
            good += 1
    for name in sorted(found - {f"{clip_id}{suffix}" for clip_id in records}):
        yield str(folder / name), "not made by this pipeline, or its record is lost"
    yield f"{folder}: {good} files match their SHA-256", ""


def _manifest(path: Path) -> tuple[str, str]:
    try:
        return f"{path}: {len(read_crops(path))} rows", ""
    except ManifestError as error:
        return str(path), str(error)


def _shard_set(workdir: Workdir, name: str) -> Iterator[tuple[str, str]]:
    folder = workdir.shards(name)
    try:
        index = read_dataset(folder)
        rows = {row.clip_id: row for row in read_crops(workdir.crops(index.crops["name"]))}
    except ManifestError as error:
        yield str(folder), str(error)
        return
    note = read_note(workdir, name)
    if note is None or sha256(folder / "dataset.json") != note["dataset"]:
        yield str(folder / "dataset.json"), "not what was written; run shard again"
    if not (folder / "README.md").exists():
        yield str(folder / "README.md"), "missing; run shard again"
    named = {shard.file for shard in index.shards} | {"dataset.json", "README.md"}
    for path in sorted(folder.iterdir()):
        if path.name not in named and not path.name.startswith(TEMPORARY):
            yield str(path), "not part of the set in dataset.json"
    if sha256(workdir.crops(index.crops["name"])) != index.crops["sha256"]:
        yield str(folder), f"made from another version of crops/{index.crops['name']}.csv; run shard again"
    seen: set[str] = set()
    for shard in index.shards:
        problem = shard_problem(folder, shard, verify=True) or _recount(folder, shard, index, rows, seen)
        yield f"{folder / shard.file}: {shard.rows} {index.sample}s, SHA-256 matches", problem
    missing = sorted(set(note["keys"] if note else ()) - seen)
    if missing:
        yield str(folder), f"{len(missing)} clips are in no shard, such as {missing[0]}; run shard again"


def _recount(
    folder: Path, shard: ShardEntry, index: DatasetIndex, rows: dict[str, CropRow], seen: set[str]
) -> str:
    """Read a whole shard and hold every clip against the manifest; return the first problem."""
    per_frame = index.sample == "frame"
    count = frames = 0
    try:
        for sample in FORMS[index.storage].read(folder / shard.file, per_frame=per_frame):
            problem = _sample_problem(sample, rows.get(sample.info.clip_id), shard, seen)
            if problem:
                return f"{folder / shard.file}: clip {sample.info.clip_id}: {problem}"
            frames += len(sample.jpegs)
            count += len(sample.jpegs) if per_frame else 1
    except ClipError as error:
        return error.detail
    if (count, frames) != (shard.rows, shard.frames):
        return f"{folder / shard.file}: {count} samples and {frames} frames where dataset.json says {shard}"
    return ""


def _sample_problem(sample: Sample, row: CropRow | None, shard: ShardEntry, seen: set[str]) -> str:
    info = sample.info
    if row is None:
        return "not in the crop manifest"
    if info.clip_id in seen:
        return "there twice"
    seen.add(info.clip_id)
    if (info.label, info.split, info.crop) != (row.label, row.split, (row.x, row.y, row.w, row.h)):
        return "label, split or crop differ from the manifest"
    if info.split != shard.split:
        return f"belongs to split {info.split}"
    if len(sample.jpegs) != len(info.frame_index):
        return f"{len(sample.jpegs)} frames where its description has {len(info.frame_index)}"
    if not all(jpeg.startswith(_JPEG_START) and jpeg.endswith(_JPEG_END) for jpeg in sample.jpegs):
        return "a frame is not a whole JPEG"
    return ""

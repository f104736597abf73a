"""The commands behind the command line: plan what is to be done, do it, publish it.

Each stage compares the fingerprint of what goes into a clip with the journal, does what is missing, and then
publishes its manifest or shards. Running a finished stage again does nothing.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mocrop_manifests import Clip, CropRow, ManifestError, read_crops, read_dataset, write_clips, write_crops

from mocrop_prep.clips import source_path
from mocrop_prep.config import CropSettings, RunSettings, ShardSettings, TranscodeSettings
from mocrop_prep.errors import PASSING, UsageError
from mocrop_prep.files import publish_text
from mocrop_prep.journal import Journal, Record, fingerprint
from mocrop_prep.runner import Task, Work, run_tasks
from mocrop_prep.shards import SampleFile
from mocrop_prep.shardset import SetRequest, ShardSet, describe_set, resolved
from mocrop_prep.stages import commit
from mocrop_prep.stages.crop import failed_row
from mocrop_prep.vectors import MOTION_FORMAT
from mocrop_prep.video import library_versions
from mocrop_prep.workdir import Workdir

IsWhole = Callable[[Task, Record], bool]


@dataclass(frozen=True, slots=True)
class Session:
    """What every stage needs: the WORKDIR, the clips to work on, and how to run."""

    workdir: Workdir
    clips: Sequence[Clip]
    run: RunSettings
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class StageReport:
    """What a stage did: `records` of all its clips, how many of them were done before, and what came out."""

    stage: str
    records: Mapping[str, Record]
    reused: int
    seconds: float
    lines: tuple[str, ...] = ()
    rows: tuple[CropRow, ...] = ()

    @property
    def failed(self) -> list[Record]:
        """Return the records of the clips that failed."""
        return [record for record in self.records.values() if record.failed]


def save_clips(workdir: Workdir, clips: Sequence[Clip]) -> None:
    """Write the clip list, if it changed."""
    _publish_if_changed(workdir.clips_csv, write_clips(clips))


def transcode(session: Session, settings: TranscodeSettings) -> StageReport:
    """Stage 1: SOURCE to ``transcoded/``."""
    workdir = session.workdir
    _save_settings(workdir, "transcode", dataclasses.asdict(settings))
    tasks = []
    for clip in _longest_first(session):
        source, target = source_path(workdir.source, clip), workdir.transcoded(clip.clip_id)
        key = _transcode_key(source, settings)
        tasks.append(Task(clip.clip_id, key, (source, target, settings)))

    def is_whole(task: Task, record: Record) -> bool:
        return _has_size(workdir.transcoded(task.clip_id), record.data)

    return _run_stage(session, "transcode", commit.transcode_to, tasks, is_whole)


def extract(session: Session) -> StageReport:
    """Stage 2: ``transcoded/`` to ``motion/``; clips that failed before are passed over."""
    workdir = session.workdir
    before = _required(session, "transcode")
    tasks = []
    for clip in _longest_first(session):
        record = before.get(clip.clip_id)
        if record is not None and not record.failed:
            digest, target = record.data["sha256"], workdir.motion(clip.clip_id)
            arguments = (workdir.transcoded(clip.clip_id), digest, target)
            tasks.append(Task(clip.clip_id, _extract_key(digest), arguments))

    def is_whole(task: Task, record: Record) -> bool:
        return _has_size(workdir.motion(task.clip_id), record.data)

    carried = _failures("transcode", before, session.clips)
    report = _run_stage(session, "extract", commit.extract_to, tasks, is_whole, carried)
    counted = [record.data for record in report.records.values() if record.data.get("vectors")]
    vectors = sum(data["vectors"] for data in counted)
    size = sum(data["bytes"] for data in counted) / vectors if vectors else 0.0
    line = f"{workdir.root / 'motion'}: {vectors:,} vectors, {size:.2f} bytes each"
    return dataclasses.replace(report, lines=(line,))


def crop(session: Session, settings: CropSettings, name: str) -> StageReport:
    """Stage 3: ``motion/`` to ``crops/<name>.csv``; a clip that failed before becomes a failed row."""
    workdir = session.workdir
    extracted = _required(session, "extract")
    transcoded = workdir.journal("transcode").read()
    stage = f"crop-{name}"
    _save_settings(workdir, stage, dataclasses.asdict(settings))
    tasks = []
    for clip in session.clips:
        record = extracted.get(clip.clip_id)
        if record is not None and not record.failed:
            key = fingerprint(record.data["sha256"], settings.digest(), _fields(clip), np.__version__)
            tasks.append(
                Task(clip.clip_id, key, (workdir.motion(clip.clip_id), record.data["sha256"], clip, settings))
            )
    carried = _failures("extract", extracted, session.clips) | _failures(
        "transcode", transcoded, session.clips
    )
    report = _run_stage(session, stage, commit.crop_to, tasks, lambda _task, _record: True, carried)
    chain = (transcoded, extracted, report.records)
    rows = [
        _manifest_row(clip, settings, [part.get(clip.clip_id) for part in chain]) for clip in session.clips
    ]
    line = _publish_crops(workdir, name, rows)
    return dataclasses.replace(report, rows=tuple(rows), lines=(line,))


def shard(session: Session, settings: ShardSettings, *, crops: str, name: str) -> StageReport:
    """Stage 4: ``transcoded/`` and ``crops/<crops>.csv`` to ``shards/<name>/``."""
    workdir = session.workdir
    transcoded = _required(session, "transcode")
    wanted = {clip.clip_id for clip in session.clips}
    rows = [row for row in _read_crops(workdir, crops) if row.clip_id in wanted]
    _save_settings(workdir, f"shard-{name}", resolved(settings))
    made = ShardSet(workdir, name)
    tasks = []
    for row in rows:
        record = transcoded.get(row.clip_id)
        if row.status != "failed" and record is not None and not record.failed:
            digest = record.data["sha256"]
            key = fingerprint(digest, settings.digest(), _fields(row), _picture_versions())
            video, target = workdir.transcoded(row.clip_id), made.sample_file(row.clip_id, key)
            tasks.append(Task(row.clip_id, key, (video, digest, row, target, settings)))
    carried = {
        row.clip_id: Record(row.clip_id, "", "failed", row.reason, f"failed in crops/{crops}.csv", "crop")
        for row in rows
        if row.status == "failed"
    }

    def is_whole(task: Task, record: Record) -> bool:
        return made.holds(task.clip_id, task.key, record.data["sample"])

    def work_on(some: Sequence[Task], whole: IsWhole) -> StageReport:
        return _run_stage(session, f"shard-{name}", commit.shard_to, some, whole, carried)

    request = SetRequest(name, crops, settings, _set_config(workdir, crops, name))
    report = work_on(tasks, is_whole)
    return _finish_set(session, made, request, tasks, report, rows, work_on)


def run(
    session: Session,
    transcode: TranscodeSettings,
    crop: CropSettings,
    shard: ShardSettings,
    *,
    name: str,
    keep: bool,
) -> StageReport:
    """All stages, fused: each clip is decoded once; the outputs are those of the four stages."""
    workdir = session.workdir
    _save_settings(workdir, "transcode", dataclasses.asdict(transcode))
    _save_settings(workdir, f"crop-{name}", dataclasses.asdict(crop))
    _save_settings(workdir, f"shard-{name}", resolved(shard))
    kept = workdir.journal("transcode").read()
    made = ShardSet(workdir, name)
    tasks, video_keys = [], {}
    for clip in _longest_first(session):
        source, video = source_path(workdir.source, clip), workdir.transcoded(clip.clip_id)
        video_key = video_keys[clip.clip_id] = _transcode_key(source, transcode)
        key = fingerprint(
            video_key,
            crop.digest(),
            shard.digest(),
            _fields(clip),
            MOTION_FORMAT,
            np.__version__,
            _picture_versions(),
        )
        before = kept.get(clip.clip_id)
        usable = before is not None and before.key == video_key and not before.failed
        job = commit.FusedJob(
            clip=clip,
            source=source,
            video=video,
            motion=workdir.motion(clip.clip_id),
            sample=made.sample_file(clip.clip_id, key),
            transcode=transcode,
            crop=crop,
            shard=shard,
            keep=keep,
            video_sha256=before.data["sha256"] if before is not None and usable else "",
        )
        tasks.append(Task(clip.clip_id, key, (job,)))

    def is_whole(task: Task, record: Record) -> bool:
        video, motion = kept.get(task.clip_id), record.data.get("extract")
        return made.holds(task.clip_id, task.key, record.data["sample"]) and (
            not keep
            or (
                (motion is not None and _has_size(workdir.motion(task.clip_id), motion))
                and (video is not None and _has_size(workdir.transcoded(task.clip_id), video.data))
            )
        )

    def work_on(some: Sequence[Task], whole: IsWhole) -> StageReport:
        return _run_stage(session, f"run-{name}", commit.fuse_to, some, whole)

    report = work_on(tasks, is_whole)
    rows = [_manifest_row(clip, crop, [report.records[clip.clip_id]]) for clip in session.clips]
    crops_line = _publish_crops(workdir, name, rows)
    if keep:
        _note_kept(workdir, report, video_keys)
    request = SetRequest(name, name, shard, _set_config(workdir, name, name))
    report = _finish_set(session, made, request, tasks, report, rows, work_on)
    return dataclasses.replace(report, rows=tuple(rows), lines=(crops_line, *report.lines))


def _finish_set(
    session: Session,
    made: ShardSet,
    request: SetRequest,
    tasks: Sequence[Task],
    report: StageReport,
    rows: Sequence[CropRow],
    work_on: Callable[[Sequence[Task], IsWhole], StageReport],
) -> StageReport:
    """Publish the shard set, unless it is there as wanted; what its old shards lost is worked on again."""
    keys = {task.clip_id: task.key for task in tasks if not report.records[task.clip_id].failed}
    if not keys:
        return dataclasses.replace(report, lines=(f"{made.folder}: nothing to write, no clip could be used",))
    if made.is_current(keys, request):
        made.tidy()
        return dataclasses.replace(report, lines=(describe_set(read_dataset(made.folder), made.folder),))
    lost = set(made.recover(keys))
    if lost:
        again = work_on([task for task in tasks if task.clip_id in lost], lambda _task, _record: False)
        report = dataclasses.replace(report, records={**report.records, **again.records})
        keys = {clip_id: key for clip_id, key in keys.items() if not report.records[clip_id].failed}
    splits = {row.clip_id: row.split for row in rows}
    samples = []
    for clip_id, key in keys.items():
        sample = report.records[clip_id].data["sample"]
        path = made.sample_file(clip_id, key)
        samples.append(SampleFile(clip_id, splits[clip_id], path, sample["frames"], sample["bytes"]))
    index = made.publish(request, keys, samples, rows, session.run)
    return dataclasses.replace(report, lines=(describe_set(index, made.folder),))


def _run_stage(
    session: Session,
    stage: str,
    work: Work,
    tasks: Sequence[Task],
    is_whole: IsWhole,
    carried: Mapping[str, Record] | None = None,
) -> StageReport:
    """Do the tasks that the journal does not have, or whose files are gone; return the records of all.

    `carried` are failures of earlier stages, which are failures of this one too.
    """
    started = time.perf_counter()
    journal = session.workdir.journal(stage)
    before = journal.read()
    reused = {
        task.clip_id: record
        for task in tasks
        if (record := before.get(task.clip_id)) is not None
        and record.key == task.key
        and record.code not in PASSING
        and (record.failed or is_whole(task, record))
    }
    done = run_tasks(
        work,
        [task for task in tasks if task.clip_id not in reused],
        settings=session.run,
        journal=journal,
        inflight=session.workdir.inflight,
        label=stage,
        quiet=session.quiet,
    )
    records = {**reused, **(carried or {}), **done}
    return StageReport(stage, records, len(records) - len(done), time.perf_counter() - started)


def _failures(stage: str, records: Mapping[str, Record], clips: Sequence[Clip]) -> dict[str, Record]:
    """Return the records of clips that failed in a stage, marked with its name."""
    found = (records.get(clip.clip_id) for clip in clips)
    return {
        record.clip_id: dataclasses.replace(record, stage=record.stage or stage)
        for record in found
        if record is not None and record.failed
    }


def _longest_first(session: Session) -> list[Clip]:
    """Return the clips by falling size of their source, so that no long clip is left for the end."""

    def size(clip: Clip) -> int:
        status = _stat(source_path(session.workdir.source, clip))
        return status[0] if status else 0

    return sorted(session.clips, key=lambda clip: (-size(clip), clip.clip_id))


def _required(session: Session, stage: str) -> dict[str, Record]:
    """Return the records of an earlier stage; raises UsageError if it has none of the clips."""
    records = session.workdir.journal(stage).read()
    if not any(clip.clip_id in records for clip in session.clips):
        source = "SOURCE " if stage == "transcode" else ""
        raise UsageError(
            f"{session.workdir.root} has nothing from {stage}: run `mocrop-prep {stage} {source}"
            f"{session.workdir.root}` first, or `mocrop-prep run --keep`"
        )
    return records


def _manifest_row(clip: Clip, settings: CropSettings, chain: Sequence[Record | None]) -> CropRow:
    """Return the row of a clip from its records, earliest stage first; any failure makes it a failed row."""
    for record in chain:
        if record is not None and record.failed:
            return failed_row(clip, record.code, settings)
    last = chain[-1]
    if last is None:
        return failed_row(clip, "bad-intermediate", settings)
    return CropRow(**last.data["row"])


def _publish_crops(workdir: Workdir, name: str, rows: Sequence[CropRow]) -> str:
    path = workdir.crops(name)
    _publish_if_changed(path, write_crops(rows))
    counts = {status: sum(row.status == status for row in rows) for status in ("ok", "fallback", "failed")}
    return f"{path}: " + ", ".join(f"{count} {status}" for status, count in counts.items())


def _read_crops(workdir: Workdir, name: str) -> list[CropRow]:
    try:
        return read_crops(workdir.crops(name))
    except ManifestError as error:
        names = ", ".join(workdir.manifest_names()) or "none"
        raise UsageError(f"{error} (manifests there: {names})") from None


def _note_kept(workdir: Workdir, report: StageReport, video_keys: Mapping[str, str]) -> None:
    """Enter what a fused run kept, and what failed in it, into the journals of the stages it stands for."""
    videos = {}
    for clip_id, record in report.records.items():
        if record.failed and record.stage == "transcode":
            videos[clip_id] = dataclasses.replace(record, key=video_keys[clip_id], stage="")
        elif "transcode" in record.data:
            videos[clip_id] = Record(clip_id, video_keys[clip_id], "ok", data=record.data["transcode"])
    known = _append_new(workdir.journal("transcode"), videos)
    motion = {}
    for clip_id, record in report.records.items():
        video = known.get(clip_id)
        if video is None or video.failed:
            continue
        key = _extract_key(video.data["sha256"])
        if record.failed and record.stage == "extract":
            motion[clip_id] = dataclasses.replace(record, key=key, stage="")
        elif "extract" in record.data:
            motion[clip_id] = Record(clip_id, key, "ok", data=record.data["extract"])
    _append_new(workdir.journal("extract"), motion)


def _append_new(journal: Journal, records: Mapping[str, Record]) -> dict[str, Record]:
    """Append the records that say something new; return all that the journal then holds."""
    known = journal.read()
    with journal:
        for clip_id, record in records.items():
            before = known.get(clip_id)
            if before is None or (before.key, before.status, before.data) != (
                record.key,
                record.status,
                record.data,
            ):
                journal.append(record)
                known[clip_id] = record
    return known


def _set_config(workdir: Workdir, crops: str, name: str) -> dict[str, Any]:
    """Return the settings that a set goes back to, by stage, as they were last resolved."""
    files = {"transcode": "transcode", "crop": f"crop-{crops}", "shard": f"shard-{name}"}
    found = {stage: workdir.settings_file(file) for stage, file in files.items()}
    return {stage: json.loads(path.read_bytes()) for stage, path in found.items() if path.exists()}


def _save_settings(workdir: Workdir, stage: str, values: Mapping[str, Any]) -> None:
    _publish_if_changed(workdir.settings_file(stage), json.dumps(values, indent=2, sort_keys=True) + "\n")


def _publish_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_bytes() != text.encode():
        publish_text(path, text)


def _transcode_key(source: Path, settings: TranscodeSettings) -> str:
    return fingerprint(_stat(source), settings.digest(), library_versions())


def _extract_key(video_sha256: str) -> str:
    return fingerprint(video_sha256, MOTION_FORMAT, library_versions(), cv2.__version__)


def _picture_versions() -> dict[str, str]:
    return {**library_versions(), "opencv": cv2.__version__}


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _has_size(path: Path, data: Mapping[str, Any]) -> bool:
    status = _stat(path)
    return status is not None and status[0] == data["bytes"]


def _fields(row: Clip | CropRow) -> list[Any]:
    return [getattr(row, field.name) for field in dataclasses.fields(row)]

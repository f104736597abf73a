"""The four stages, one after the other: each takes what the one before left in WORKDIR."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mocrop_manifests import Clip, CropRow, ManifestError, read_crops

from mocrop_prep.config import CropSettings, ShardSettings, TranscodeSettings
from mocrop_prep.errors import UsageError
from mocrop_prep.journal import Record, fingerprint
from mocrop_prep.runner import Task
from mocrop_prep.shardset import SetRequest, ShardSet
from mocrop_prep.stages import commit
from mocrop_prep.workdir import Workdir
from mocrop_prep.workflow.keys import crop_inputs, extract_inputs, shard_inputs, transcode_inputs
from mocrop_prep.workflow.rows import describe_rows, manifest_row
from mocrop_prep.workflow.session import Session, StageReport
from mocrop_prep.workflow.sets import finish_set, set_config
from mocrop_prep.workflow.stage import Stage
from mocrop_prep.workflow.tables import MANIFEST, publish_table


class TranscodeStage(Stage):
    """Stage 1: SOURCE to ``transcoded/``."""

    name = "transcode"
    reads_sources = True
    work = staticmethod(commit.transcode_to)

    def __init__(self, session: Session, settings: TranscodeSettings) -> None:
        super().__init__(session)
        self._settings = settings

    def settings(self) -> dict[str, Any]:
        """Return how sources are encoded."""
        return {self.name: {"transcode": asdict(self._settings)}}

    def tasks(self) -> list[Task]:
        """Return a task for each clip, the largest videos first."""
        sources, clips = self.session.sources, self.session.clips
        prints = sources.fingerprints(clips, self.before)
        return [
            Task(
                clip.clip_id,
                transcode_inputs(prints[clip.clip_id], self._settings),
                (sources.path(clip), self.workdir.transcoded(clip.clip_id), self._settings),
            )
            for clip in self.by_size(sources.sizes(clips))
        ]

    def is_whole(self, task: Task, record: Record) -> bool:
        """Say whether the transcoded clip is there with its size."""
        return has_size(self.workdir.transcoded(task.clip_id), record.data)

    def finish(self, report: StageReport) -> StageReport:
        """Return the report: every clip is published by its worker."""
        return report


class ExtractStage(Stage):
    """Stage 2: ``transcoded/`` to ``motion/``; clips that failed before are passed over."""

    name = "extract"
    work = staticmethod(commit.extract_to)

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._transcoded = required(session, "transcode")

    def settings(self) -> dict[str, Any]:
        """Return nothing: there is nothing to choose."""
        return {}

    def tasks(self) -> list[Task]:
        """Return a task for each clip that was transcoded, the largest first."""
        good = {key: record.data for key, record in self._transcoded.items() if not record.failed}
        return [
            Task(
                clip.clip_id,
                extract_inputs(good[clip.clip_id]["sha256"]),
                (
                    self.workdir.transcoded(clip.clip_id),
                    good[clip.clip_id]["sha256"],
                    self.workdir.motion(clip.clip_id),
                ),
            )
            for clip in self.by_size({clip_id: data["bytes"] for clip_id, data in good.items()})
            if clip.clip_id in good
        ]

    def is_whole(self, task: Task, record: Record) -> bool:
        """Say whether the vectors file is there with its size."""
        return has_size(self.workdir.motion(task.clip_id), record.data)

    def carried(self) -> Mapping[str, Record]:
        """Return the failures of transcode."""
        return failures("transcode", self._transcoded, self.session.clips)

    def finish(self, report: StageReport) -> StageReport:
        """Say how many vectors there are and what one takes."""
        counted = [record.data for record in report.records.values() if record.data.get("vectors")]
        vectors = sum(data["vectors"] for data in counted)
        size = sum(data["bytes"] for data in counted) / vectors if vectors else 0.0
        line = f"{self.workdir.root / 'motion'}: {vectors:,} vectors, {size:.2f} bytes each"
        return dataclasses.replace(report, lines=(line,))


class CropStage(Stage):
    """Stage 3: ``motion/`` to ``crops/<name>.csv``; a clip that failed before becomes a failed row."""

    work = staticmethod(commit.crop_to)

    def __init__(self, session: Session, settings: CropSettings, name: str) -> None:
        super().__init__(session)
        self.name = f"crop-{name}"
        self._settings, self._manifest = settings, name
        self._extracted = required(session, "extract")
        self._transcoded = self.workdir.journal("transcode").read()

    def settings(self) -> dict[str, Any]:
        """Return how crops are chosen."""
        return {self.name: {"crop": asdict(self._settings)}}

    def tasks(self) -> list[Task]:
        """Return a task for each clip that has vectors."""
        found = []
        for clip in self.session.clips:
            record = self._extracted.get(clip.clip_id)
            if record is not None and not record.failed:
                digest = record.data["sha256"]
                arguments = (self.workdir.motion(clip.clip_id), digest, clip, self._settings)
                found.append(Task(clip.clip_id, crop_inputs(digest, clip, self._settings), arguments))
        return found

    def carried(self) -> Mapping[str, Record]:
        """Return the failures of transcode and extract."""
        clips = self.session.clips
        return failures("extract", self._extracted, clips) | failures("transcode", self._transcoded, clips)

    def table(self) -> Path:
        """Return the path of the manifest."""
        return self.workdir.crops(self._manifest)

    def finish(self, report: StageReport) -> StageReport:
        """Publish the manifest."""
        chain = (self._transcoded, self._extracted, report.records)
        rows = [
            manifest_row(clip, self._settings, [part.get(clip.clip_id) for part in chain])
            for clip in self.session.clips
        ]
        publish_table(self.workdir, self.table(), MANIFEST, rows)
        line = describe_rows(self.table(), rows)
        return dataclasses.replace(report, rows=tuple(rows), lines=(line,))


class ShardStage(Stage):
    """Stage 4: ``transcoded/`` and ``crops/<crops>.csv`` to ``shards/<name>/``."""

    work = staticmethod(commit.shard_to)

    def __init__(self, session: Session, settings: ShardSettings, *, crops: str, name: str) -> None:
        super().__init__(session)
        self.name = f"shard-{name}"
        self._crops = crops
        self._settings = settings
        self._made = ShardSet(self.workdir, name)
        self._transcoded = required(session, "transcode")
        wanted = {clip.clip_id for clip in session.clips}
        self._rows = [row for row in _read_manifest(self.workdir, crops) if row.clip_id in wanted]

    def settings(self) -> dict[str, Any]:
        """Return what a sample holds, and the name of the manifest."""
        return {self.name: {"shard": asdict(self._settings), "crops": self._crops}}

    def tasks(self) -> list[Task]:
        """Return a task for each row with a crop."""
        found = []
        for row in self._rows:
            record = self._transcoded.get(row.clip_id)
            if row.status != "failed" and record is not None and not record.failed:
                digest = record.data["sha256"]
                inputs = shard_inputs(digest, row, self._settings)
                key = fingerprint(inputs)
                sample = self._made.sample_file(row.clip_id, key)
                arguments = (self.workdir.transcoded(row.clip_id), digest, row, sample, self._settings)
                found.append(Task(row.clip_id, inputs, arguments, key))
        return found

    def is_whole(self, task: Task, record: Record) -> bool:
        """Say whether the sample is in the set or waits for it."""
        return self._made.holds(task.clip_id, task.key, record.data["sample"])

    def carried(self) -> Mapping[str, Record]:
        """Return the failed rows of the manifest."""
        detail = f"failed in crops/{self._crops}.csv"
        return {
            row.clip_id: Record(row.clip_id, "", "failed", row.reason, detail, "crop")
            for row in self._rows
            if row.status == "failed"
        }

    def finish(self, report: StageReport) -> StageReport:
        """Publish the shard set."""
        name = self._made.name
        config = set_config(self.workdir, self._crops, name)
        request = SetRequest(name, self._crops, self._settings, config)
        return finish_set(self, self._made, request, report, lambda _records: self._rows)


def required(session: Session, stage: str) -> dict[str, Record]:
    """Return the records of an earlier stage; raises UsageError if it has none of the clips."""
    records = session.workdir.journal(stage).read()
    # a part that got no clips has nothing to miss
    if session.clips and not any(clip.clip_id in records for clip in session.clips):
        source = "SOURCE " if stage == "transcode" else ""
        raise UsageError(
            f"{session.workdir.root} has nothing from {stage}: run `mocrop-prep {stage} {source}"
            f"{session.workdir.root}` first, or `mocrop-prep run --keep`"
        )
    return records


def failures(stage: str, records: Mapping[str, Record], clips: Sequence[Clip]) -> dict[str, Record]:
    """Return the records of clips that failed in a stage, marked with its name."""
    found = (records.get(clip.clip_id) for clip in clips)
    return {
        record.clip_id: dataclasses.replace(record, stage=record.stage or stage)
        for record in found
        if record is not None and record.failed
    }


def has_size(path: Path, data: Mapping[str, Any]) -> bool:
    """Say whether a file is there with the size that its record tells."""
    try:
        size: int = data["bytes"]
        return path.stat().st_size == size
    except OSError:
        return False


def _read_manifest(workdir: Workdir, name: str) -> list[CropRow]:
    try:
        return read_crops(workdir.crops(name))
    except ManifestError as error:
        names = ", ".join(workdir.manifest_names()) or "none"
        raise UsageError(f"{error} (manifests there: {names})") from None

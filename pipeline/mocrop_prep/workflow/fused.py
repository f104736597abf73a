"""All four stages as one: each clip is decoded once, and the outputs are those of the four."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from mocrop_manifests import CropRow

from mocrop_prep.config import CropSettings, ShardSettings, TranscodeSettings
from mocrop_prep.journal import Journal, Record, fingerprint
from mocrop_prep.runner import Task
from mocrop_prep.shardset import SetRequest, ShardSet
from mocrop_prep.stages import commit
from mocrop_prep.workflow.keys import Inputs, extract_inputs, is_direct, run_inputs, transcode_inputs
from mocrop_prep.workflow.rows import describe_rows, manifest_row
from mocrop_prep.workflow.session import Session, StageReport
from mocrop_prep.workflow.sets import finish_set, set_config
from mocrop_prep.workflow.stage import Stage
from mocrop_prep.workflow.staged import has_size
from mocrop_prep.workflow.tables import MANIFEST, publish_table


class RunStage(Stage):
    """SOURCE to a crop manifest and a shard set of the same name; `keep` wants the intermediates too."""

    work = staticmethod(commit.fuse_to)
    reads_sources = True

    def __init__(
        self,
        session: Session,
        transcode: TranscodeSettings,
        crop: CropSettings,
        shard: ShardSettings,
        *,
        name: str,
        keep: bool,
    ) -> None:
        super().__init__(session)
        self.name = f"run-{name}"
        self._transcode, self._crop, self._shard = transcode, crop, shard
        self._keep = keep
        self._kept = self.workdir.journal("transcode").read()
        self._made = ShardSet(self.workdir, name)

    def settings(self) -> dict[str, Any]:
        """Return the settings of all four stages."""
        transcode, crop, shard = (asdict(part) for part in (self._transcode, self._crop, self._shard))
        name = self._made.name
        # those of the stages it stands for as well: a set is described alike whichever way it came about
        return {
            "transcode": {"transcode": transcode},
            f"crop-{name}": {"crop": crop},
            f"shard-{name}": {"shard": shard, "crops": name},
            self.name: {"transcode": transcode, "crop": crop, "shard": shard},
        }

    def tasks(self) -> list[Task]:
        """Return a task for each clip, the largest videos first."""
        sources, clips = self.session.sources, self.session.clips
        prints = sources.fingerprints(clips, self.before)
        found = []
        for clip in self.by_size(sources.sizes(clips)):
            inputs = run_inputs(prints[clip.clip_id], self._transcode, self._crop, self._shard, clip)
            kept = self._kept.get(clip.clip_id)
            key, video_key = fingerprint(inputs), fingerprint(self._video_inputs[clip.clip_id])
            usable = kept is not None and not kept.failed and kept.key == video_key
            job = commit.FusedJob(
                clip=clip,
                source=sources.path(clip),
                video=self.workdir.transcoded(clip.clip_id),
                motion=self.workdir.motion(clip.clip_id),
                sample=self._made.sample_file(clip.clip_id, key),
                transcode=self._transcode,
                crop=self._crop,
                shard=self._shard,
                keep=self._keep,
                kept=kept.data if kept is not None and usable else {},
            )
            found.append(Task(clip.clip_id, inputs, (job,), key))
        return found

    def is_whole(self, task: Task, record: Record) -> bool:
        """Say whether the sample is there, and what is to be kept."""
        clip_id = task.clip_id
        if not self._made.holds(clip_id, task.key, record.data["sample"]):
            return False
        if not self._keep:
            return True
        kept = self._kept.get(clip_id)
        # until a run ends, what it keeps is on record in its own journal alone
        video = record.data.get("transcode") or (kept.data if kept is not None else None)
        motion = record.data.get("extract")
        return (
            motion is not None
            and video is not None
            and has_size(self.workdir.motion(clip_id), motion)
            and (is_direct(video) or has_size(self.workdir.transcoded(clip_id), video))
        )

    def table(self) -> Path:
        """Return the path of the manifest."""
        return self.workdir.crops(self._made.name)

    def finish(self, report: StageReport) -> StageReport:
        """Publish the manifest and the shard set, and enter what was kept."""
        name = self._made.name
        if self._keep:
            self._note_kept(report.records)
        request = SetRequest(name, name, self._shard, set_config(self.workdir, name, name))
        report = finish_set(self, self._made, request, report, self._publish_rows)
        rows = self._rows(report.records)
        line = describe_rows(self.table(), rows)
        return dataclasses.replace(report, rows=tuple(rows), lines=(line, *report.lines))

    def _publish_rows(self, records: Mapping[str, Record]) -> list[CropRow]:
        rows = self._rows(records)
        publish_table(self.workdir, self.table(), MANIFEST, rows)
        return rows

    def _rows(self, records: Mapping[str, Record]) -> list[CropRow]:
        return [manifest_row(clip, self._crop, [records[clip.clip_id]]) for clip in self.session.clips]

    @cached_property
    def _video_inputs(self) -> Mapping[str, Inputs]:
        prints = self.session.sources.fingerprints(self.session.clips, self._kept)
        return {clip_id: transcode_inputs(source, self._transcode) for clip_id, source in prints.items()}

    def _note_kept(self, records: Mapping[str, Record]) -> None:
        """Enter what a run kept, and what failed in it, into the journals of the stages it stands for."""
        inputs = self._video_inputs
        videos = {}
        for clip_id, record in records.items():
            if "transcode" in record.data:
                videos[clip_id] = _ok(clip_id, inputs[clip_id], record.data["transcode"])
            elif record.failed and record.stage == "transcode":
                videos[clip_id] = _as_stage(record, inputs[clip_id])
        known = _append_new(self.workdir.journal("transcode"), self._kept, videos)
        motion = {}
        for clip_id, record in records.items():
            video = known.get(clip_id)
            if video is None or video.failed:
                continue
            if record.failed and record.stage == "extract":
                motion[clip_id] = _as_stage(record, extract_inputs(video.data))
            elif "extract" in record.data:
                motion[clip_id] = _ok(clip_id, extract_inputs(video.data), record.data["extract"])
        extracted = self.workdir.journal("extract")
        _append_new(extracted, extracted.read(), motion)


def _ok(clip_id: str, inputs: Inputs, data: dict[str, Any]) -> Record:
    return Record(clip_id, fingerprint(inputs), "ok", data=data, inputs=inputs)


def _as_stage(record: Record, inputs: Inputs) -> Record:
    return dataclasses.replace(record, key=fingerprint(inputs), inputs=inputs, stage="")


def _append_new(
    journal: Journal, known: Mapping[str, Record], records: Mapping[str, Record]
) -> dict[str, Record]:
    """Append what is new to a journal that holds `known`; return the records that it then holds."""
    held = dict(known)
    with journal:
        for clip_id, record in records.items():
            before = held.get(clip_id)
            if before is None or (before.key, before.status, before.data) != (
                record.key,
                record.status,
                record.data,
            ):
                journal.append(record)
                held[clip_id] = record
    return held

"""All four stages as one: each clip is decoded once, and the outputs are those of the four."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mocrop_manifests import Clip, RowCount

from mocrop_prep.config import CropSettings, ShardSettings, TranscodeSettings
from mocrop_prep.journal import Journal, Record, Records, fingerprint
from mocrop_prep.shardset import SetRequest, ShardSet
from mocrop_prep.stages import commit
from mocrop_prep.workflow.earlier import by_size, has_size
from mocrop_prep.workflow.keys import (
    Inputs,
    RunKeys,
    extract_inputs,
    is_direct,
    run_constant,
    run_inputs,
    transcode_inputs,
)
from mocrop_prep.workflow.rows import describe_rows, manifest_row, publish_rows
from mocrop_prep.workflow.session import Session, StageReport
from mocrop_prep.workflow.sets import finish_set, set_config
from mocrop_prep.workflow.stage import Stage


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
        self._constant = run_constant(transcode, crop, shard)
        self._keys = RunKeys(self._constant)
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

    def eligible(self) -> Sequence[Clip]:
        """Return all clips, the largest videos first."""
        clips, sources = self.session.clips, self.session.sources
        sources.look(clips, self.records, self._kept)
        return by_size(clips, sources.size)

    def inputs(self, clip: Clip) -> Inputs:
        """Return what decides the row and the sample."""
        source = self.session.sources.fingerprint(clip, self.records)
        return run_inputs(source, clip, self._constant)

    def likely_key(self, clip: Clip) -> str:
        """Return the key without a look at the record."""
        return self._keys.key(self.session.sources.likely_fingerprint(clip, self.records), clip)

    def arguments(self, clip: Clip, key: str) -> tuple[Any, ...]:
        """Return the arguments of `commit.fuse_to`."""
        clip_id = clip.clip_id
        usable = clip_id in self._kept and not self._kept.has_failed(clip_id)
        usable = usable and self._kept.key(clip_id) == fingerprint(self._video_inputs(clip))
        job = commit.FusedJob(
            clip=clip,
            key=key,
            kept=self._kept[clip_id].data if usable else {},
            workdir=self.workdir,
            name=self._made.name,
            transcode=self._transcode,
            crop=self._crop,
            shard=self._shard,
            keep=self._keep,
        )
        return (job,)

    def is_whole(self, clip_id: str) -> bool:
        """Say whether the sample is there, and what is to be kept."""
        if not self._made.holds(self.records, clip_id):
            return False
        if not self._keep:
            return True
        record, kept = self.records[clip_id], self._kept.get(clip_id)
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
        report, count = finish_set(self, self._made, request, report, self._publish_rows)
        return report.with_rows(count, describe_rows(self.table(), count))

    def _publish_rows(self, records: Mapping[str, Record]) -> RowCount:
        clips = self.session.clips
        rows = (manifest_row(clip, self._crop, [records[clip.clip_id]]) for clip in clips)
        return publish_rows(self, self.table(), rows, (self.records,), self._crop)

    def _video_inputs(self, clip: Clip) -> Inputs:
        source = self.session.sources.fingerprint(clip, self._kept)
        return transcode_inputs(source, self._transcode)

    def _note_kept(self, records: Mapping[str, Record]) -> None:
        """Enter what a run kept, and what failed in it, into the journals of the stages it stands for."""
        transcoded, extracted = self.workdir.journal("transcode"), self.workdir.journal("extract")
        videos, motions = transcoded.read(), extracted.read()
        with transcoded, extracted:
            for clip in self.session.clips:
                record = records[clip.clip_id]
                if "transcode" in record.data or (record.failed and record.stage == "transcode"):
                    inputs = self._video_inputs(clip)
                    _append_new(transcoded, videos, _as_stage(record, inputs, "transcode"))
                video = videos.get(clip.clip_id)
                if video is None or video.failed:
                    continue
                if "extract" in record.data or (record.failed and record.stage == "extract"):
                    inputs = extract_inputs(video.data)
                    _append_new(extracted, motions, _as_stage(record, inputs, "extract"))


def _as_stage(record: Record, inputs: Inputs, stage: str) -> Record:
    """Return what the journal of a stage would hold of a clip that was fused."""
    key = fingerprint(inputs)
    if stage in record.data:
        return Record(record.clip_id, key, "ok", data=record.data[stage], inputs=inputs)
    return dataclasses.replace(record, key=key, inputs=inputs, stage="")


def _append_new(journal: Journal, known: Records, record: Record) -> None:
    """Append a record to the journal that holds `known`, if it says something new."""
    before = known.get(record.clip_id)
    if before is None or (before.key, before.status, before.data) != (
        record.key,
        record.status,
        record.data,
    ):
        journal.append(record)

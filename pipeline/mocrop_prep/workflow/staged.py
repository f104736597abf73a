"""The four stages, one after the other: each takes what the one before left in WORKDIR."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mocrop_manifests import Clip, CropRow, ManifestError, RowCount, read_crops

from mocrop_prep.config import CropSettings, ShardSettings, TranscodeSettings
from mocrop_prep.errors import UsageError
from mocrop_prep.journal import Record, fingerprint
from mocrop_prep.shardset import SetRequest, ShardSet
from mocrop_prep.stages import commit
from mocrop_prep.workdir import Workdir
from mocrop_prep.workflow.earlier import by_size, failures, good_clips, has_size, required, video_of
from mocrop_prep.workflow.keys import (
    Inputs,
    crop_inputs,
    extract_inputs,
    is_direct,
    shard_inputs,
    transcode_inputs,
)
from mocrop_prep.workflow.rows import describe_routes, describe_rows, manifest_row, publish_rows
from mocrop_prep.workflow.session import Session, StageReport
from mocrop_prep.workflow.sets import finish_set, set_config
from mocrop_prep.workflow.stage import Stage


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

    def eligible(self) -> Sequence[Clip]:
        """Return all clips, the largest videos first."""
        clips, sources = self.session.clips, self.session.sources
        sources.look(clips, self.records)
        return by_size(clips, sources.size)

    def inputs(self, clip: Clip) -> Inputs:
        """Return what decides the transcoded clip."""
        return transcode_inputs(self.session.sources.fingerprint(clip, self.records), self._settings)

    def likely_key(self, clip: Clip) -> str:
        """Return the key without a look at the record."""
        source = self.session.sources.likely_fingerprint(clip, self.records)
        return fingerprint(transcode_inputs(source, self._settings))

    def arguments(self, clip: Clip, key: str) -> tuple[Any, ...]:
        """Return the arguments of `commit.transcode_to`."""
        del key
        return self.session.sources.path(clip), self.workdir.transcoded(clip.clip_id), self._settings

    def is_whole(self, clip_id: str) -> bool:
        """Say whether the transcoded clip is there with its size; a source read in place is in the key."""
        data = self.records[clip_id].data
        return is_direct(data) or has_size(self.workdir.transcoded(clip_id), data)

    def finish(self, report: StageReport) -> StageReport:
        """Say how clips are to be read: every clip is published by its worker."""
        routes = Counter(
            action for record in report.records.values() if (action := record.data.get("action"))
        )
        line = f"{self.workdir.root}: {describe_routes(routes)}"
        return dataclasses.replace(report, routes=routes, lines=(line,))


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

    def eligible(self) -> Sequence[Clip]:
        """Return the clips that were transcoded, the largest first."""
        return by_size(
            good_clips(self.session, self._transcoded),
            lambda clip: int(self._transcoded[clip.clip_id].data["bytes"]),
        )

    def inputs(self, clip: Clip) -> Inputs:
        """Return what decides the vectors."""
        return extract_inputs(self._transcoded[clip.clip_id].data)

    def arguments(self, clip: Clip, key: str) -> tuple[Any, ...]:
        """Return the arguments of `commit.extract_to`."""
        del key
        data = self._transcoded[clip.clip_id].data
        video, motion = video_of(self.session, clip, data), self.workdir.motion(clip.clip_id)
        return video, data["sha256"], motion, is_direct(data)

    def is_whole(self, clip_id: str) -> bool:
        """Say whether the vectors file is there with its size."""
        return has_size(self.workdir.motion(clip_id), self.records[clip_id].data)

    def carried(self) -> Mapping[str, Record]:
        """Return the failures of transcode."""
        return failures("transcode", self._transcoded, self.session.clips)

    def finish(self, report: StageReport) -> StageReport:
        """Say how many vectors there are and what one takes."""
        vectors = written = 0
        for record in report.records.values():
            if record.data.get("vectors"):
                vectors += record.data["vectors"]
                written += record.data["bytes"]
        size = written / vectors if vectors else 0.0
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

    def eligible(self) -> Sequence[Clip]:
        """Return the clips that have vectors."""
        return good_clips(self.session, self._extracted)

    def inputs(self, clip: Clip) -> Inputs:
        """Return what decides the row of the manifest."""
        return crop_inputs(self._extracted[clip.clip_id].data["sha256"], clip, self._settings)

    def arguments(self, clip: Clip, key: str) -> tuple[Any, ...]:
        """Return the arguments of `commit.crop_to`."""
        del key
        digest = self._extracted[clip.clip_id].data["sha256"]
        return self.workdir.motion(clip.clip_id), digest, clip, self._settings

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
        rows = (
            manifest_row(clip, self._settings, [part.get(clip.clip_id) for part in chain])
            for clip in self.session.clips
        )
        known = (self._transcoded, self._extracted, self.records)
        count = publish_rows(self, self.table(), rows, known, self._settings)
        return report.with_rows(count, describe_rows(self.table(), count))


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
        rows = _read_manifest(self.workdir, crops)
        self._rows = {row.clip_id: row for row in rows if row.clip_id in wanted}

    def settings(self) -> dict[str, Any]:
        """Return what a sample holds, and the name of the manifest."""
        return {self.name: {"shard": asdict(self._settings), "crops": self._crops}}

    def eligible(self) -> Sequence[Clip]:
        """Return the clips with a crop, in the order of the manifest."""
        by_id = {clip.clip_id: clip for clip in good_clips(self.session, self._transcoded)}
        cropped = (row.clip_id for row in self._rows.values() if row.status != "failed")
        return [by_id[clip_id] for clip_id in cropped if clip_id in by_id]

    def inputs(self, clip: Clip) -> Inputs:
        """Return what decides the sample."""
        data = self._transcoded[clip.clip_id].data
        return shard_inputs(data, self._rows[clip.clip_id], self._settings)

    def arguments(self, clip: Clip, key: str) -> tuple[Any, ...]:
        """Return the arguments of `commit.shard_to`."""
        data = self._transcoded[clip.clip_id].data
        video = video_of(self.session, clip, data)
        sample = self.workdir.sample(self._made.name, clip.clip_id, key)
        row = self._rows[clip.clip_id]
        return video, data["sha256"], row, sample, self._settings, is_direct(data)

    def is_whole(self, clip_id: str) -> bool:
        """Say whether the sample is in the set or waits for it."""
        return self._made.holds(self.records, clip_id)

    def carried(self) -> Mapping[str, Record]:
        """Return the failed rows of the manifest."""
        detail = f"failed in crops/{self._crops}.csv"
        return {
            row.clip_id: Record(row.clip_id, "", "failed", row.reason, detail, "crop")
            for row in self._rows.values()
            if row.status == "failed"
        }

    def finish(self, report: StageReport) -> StageReport:
        """Publish the shard set."""
        name = self._made.name
        config = set_config(self.workdir, self._crops, name)
        request = SetRequest(name, self._crops, self._settings, config)
        return finish_set(self, self._made, request, report, lambda _: RowCount(self._rows.values()))[0]

    def split_of(self, clip: Clip) -> str:
        """Return the split that the manifest gives a clip."""
        return self._rows[clip.clip_id].split


def _read_manifest(workdir: Workdir, name: str) -> list[CropRow]:
    try:
        return read_crops(workdir.crops(name))
    except ManifestError as error:
        names = ", ".join(workdir.manifest_names()) or "none"
        raise UsageError(f"{error} (manifests there: {names})") from None

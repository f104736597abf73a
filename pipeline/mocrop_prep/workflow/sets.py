"""Publish a stage's shard set, unless it is there as wanted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from mocrop_manifests import RowCount, read_dataset

from mocrop_prep.errors import UsageError
from mocrop_prep.shards import SampleFile
from mocrop_prep.shardset import SamplesLost, SetRequest, ShardSet, describe_set
from mocrop_prep.workdir import Workdir
from mocrop_prep.workflow.session import Outcomes, StageReport
from mocrop_prep.workflow.stage import Stage

RowsOf = Callable[[Outcomes], RowCount]
_TRIES = 3


def finish_set(
    stage: Stage, made: ShardSet, request: SetRequest, report: StageReport, rows_of: RowsOf
) -> tuple[StageReport, RowCount]:
    """Publish the shard set of a stage; clips whose samples were lost are worked on again.

    `rows_of` publishes the rows of the manifest that the set belongs to, as the records have it, and counts
    them.
    """
    count = rows_of(report.records)
    keys = report.records.good_keys()
    if not keys:
        line = f"{made.folder}: nothing to write, no clip could be used"
        return dataclasses.replace(report, lines=(line,)), count
    if made.is_current(keys, request):
        index = read_dataset(made.folder)
        made.tidy(index)
        return dataclasses.replace(report, lines=(describe_set(index, made.folder),)), count
    lost: Collection[str] = made.recover(keys)
    for _ in range(_TRIES):
        if lost:
            report = _again(stage, report, lost)
            count, keys = rows_of(report.records), report.records.good_keys()
        try:
            index = made.publish(request, keys, _samples(stage, report, keys), count, stage.session.run)
        except SamplesLost as loss:
            for clip_id in loss.clip_ids:
                made.sample_file(clip_id, keys[clip_id]).unlink(missing_ok=True)
            lost = loss.clip_ids
            continue
        return dataclasses.replace(report, lines=(describe_set(index, made.folder),)), count
    raise UsageError(f"{made.folder}: samples rot as they are written ({len(lost)} clips): check the disk")


def _again(stage: Stage, report: StageReport, clip_ids: Collection[str]) -> StageReport:
    tally = stage.do([clip for clip in stage.session.clips if clip.clip_id in clip_ids])
    return dataclasses.replace(report, worker_seconds=report.worker_seconds + tally.seconds)


def _samples(stage: Stage, report: StageReport, keys: Mapping[str, str]) -> Iterator[SampleFile]:
    for clip in stage.session.clips:
        key = keys.get(clip.clip_id)
        if key is not None:
            sample = report.records[clip.clip_id].data["sample"]
            digest = bytes.fromhex(sample["sha256"])
            split = stage.split_of(clip)
            yield SampleFile(clip.clip_id, split, key, sample["frames"], sample["bytes"], digest)


def set_config(workdir: Workdir, crops: str, name: str) -> dict[str, Any]:
    """Return the settings that a set goes back to, by stage, as they were last resolved."""
    found: dict[str, Any] = {}
    for file, kind in (("transcode", "transcode"), (f"crop-{crops}", "crop"), (f"shard-{name}", "shard")):
        settings = workdir.read_settings(file)
        if kind in settings:
            found[kind] = settings[kind]
    return found

"""Publish a stage's shard set, unless it is there as wanted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mocrop_manifests import CropRow, read_dataset

from mocrop_prep.journal import Record
from mocrop_prep.shards import SampleFile
from mocrop_prep.shardset import SetRequest, ShardSet, describe_set
from mocrop_prep.workdir import Workdir
from mocrop_prep.workflow.session import StageReport
from mocrop_prep.workflow.stage import Stage

RowsOf = Callable[[Mapping[str, Record]], Sequence[CropRow]]


def finish_set(
    stage: Stage, made: ShardSet, request: SetRequest, report: StageReport, rows_of: RowsOf
) -> StageReport:
    """Publish the shard set of a stage; clips whose samples its old shards lost are worked on again.

    `rows_of` returns the rows of the manifest that the set belongs to, as the records have it.
    """
    rows = rows_of(report.records)
    keys = _good_keys(report)
    if not keys:
        return dataclasses.replace(report, lines=(f"{made.folder}: nothing to write, no clip could be used",))
    if made.is_current(keys, request):
        index = read_dataset(made.folder)
        made.tidy(index)
        return dataclasses.replace(report, lines=(describe_set(index, made.folder),))
    lost = set(made.recover(keys))
    if lost:
        again = stage.do([task for task in report.tasks if task.clip_id in lost])
        report = dataclasses.replace(report, records={**report.records, **again})
        rows, keys = rows_of(report.records), _good_keys(report)
    splits = {row.clip_id: row.split for row in rows}
    samples = []
    for clip_id, key in keys.items():
        sample = report.records[clip_id].data["sample"]
        path = made.sample_file(clip_id, key)
        samples.append(SampleFile(clip_id, splits[clip_id], path, sample["frames"], sample["bytes"]))
    index = made.publish(request, keys, samples, rows, stage.session.run)
    return dataclasses.replace(report, lines=(describe_set(index, made.folder),))


def _good_keys(report: StageReport) -> dict[str, str]:
    return {task.clip_id: task.key for task in report.tasks if not report.records[task.clip_id].failed}


def set_config(workdir: Workdir, crops: str, name: str) -> dict[str, Any]:
    """Return the settings that a set goes back to, by stage, as they were last resolved."""
    found: dict[str, Any] = {}
    for file, kind in (("transcode", "transcode"), (f"crop-{crops}", "crop"), (f"shard-{name}", "shard")):
        settings = workdir.read_settings(file)
        if kind in settings:
            found[kind] = settings[kind]
    return found

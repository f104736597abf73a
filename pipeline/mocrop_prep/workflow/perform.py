"""Carry a stage out: from its plan to what it publishes, and what of WORKDIR has become stale."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from mocrop_manifests import Clip

from mocrop_prep.errors import FirstFailure
from mocrop_prep.runner import first_failure
from mocrop_prep.workdir import Workdir
from mocrop_prep.workflow.session import Outcomes, StageReport
from mocrop_prep.workflow.stage import Plan, Stage, make_plan
from mocrop_prep.workflow.tables import CLIP_LIST, MANIFEST, publish_if_changed, publish_table, refuse_edited


def save_clips(workdir: Workdir, clips: Sequence[Clip]) -> None:
    """Write the clip list, if it changed; raises UsageError if somebody else has changed it."""
    refuse_edited(workdir, workdir.clips_csv, CLIP_LIST, was_ours=True)
    publish_table(workdir, workdir.clips_csv, CLIP_LIST, clips)


def perform(stage: Stage) -> StageReport:
    """Do what a stage has to do and publish what comes of it.

    Raises UsageError before anything is done, FirstFailure if the settings ask for that, and Stopped.
    """
    started = time.perf_counter()
    table = stage.table()
    if table is not None:
        refuse_edited(stage.workdir, table, MANIFEST, was_ours=bool(stage.records))
    plan = make_plan(stage)
    for file, values in stage.settings().items():
        text = json.dumps(values, indent=2, sort_keys=True) + "\n"
        publish_if_changed(stage.workdir.settings_file(file), text)
    if stage.reads_sources:
        _renew(stage, plan)
    if stage.session.run.fail_fast:
        _stop_at_known_failures(stage, plan)
    to_do = plan.to_do
    tally = stage.do(to_do)
    records = Outcomes(plan.clips, stage.records, plan.carried)
    took, reused = time.perf_counter() - started, len(records) - len(to_do)
    return stage.finish(StageReport(stage.name, records, reused, took, tally.seconds))


def records_of(stage: Stage) -> StageReport:
    """Return what is on record of a stage whose work was ended before it was done."""
    records = Outcomes(stage.session.clips, stage.records, stage.carried())
    return StageReport(stage.name, records, len(records), 0.0)


def _renew(stage: Stage, plan: Plan) -> None:
    """Note the times of videos that were found the same by their content."""
    session = stage.session
    good = [clip for clip in plan.clips if clip.clip_id not in plan.why]
    news = session.sources.renewed(good, plan.records)
    if news:
        with stage.journal as journal:
            for record in news:
                journal.append(record)


def _stop_at_known_failures(stage: Stage, plan: Plan) -> None:
    for record in plan.known_failures:
        raise FirstFailure(first_failure(record, stage.name, len(plan.to_do)))

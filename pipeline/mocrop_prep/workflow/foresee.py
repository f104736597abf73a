"""What commands would do: plans of this stage and of those that follow, made without touching anything."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from mocrop_prep.config import CropSettings, ShardSettings, TranscodeSettings
from mocrop_prep.errors import UsageError
from mocrop_prep.workflow.fused import RunStage
from mocrop_prep.workflow.session import Session
from mocrop_prep.workflow.stage import Plan, Stage, make_plan
from mocrop_prep.workflow.staged import CropStage, ExtractStage, ShardStage, TranscodeStage


@dataclass(frozen=True, slots=True)
class Foresight:
    """What a stage would do: its plan, and the settings that differ from those it last ran with."""

    stage: str
    plan: Plan
    changes: tuple[str, ...]

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Return why clips would be done, and how many for each reason, the most frequent first."""
        return Counter(self.plan.why.values()).most_common()


def foresee(stage: Stage) -> Foresight:
    """Plan a stage with the settings that it was given."""
    return Foresight(stage.name, make_plan(stage), tuple(_changes(stage)))


def foresee_recorded(session: Session, first: Foresight | None = None) -> Iterator[Foresight]:
    """Plan the stages that have run in WORKDIR, with the settings they last ran with, in their order.

    What an earlier stage has to do, the later ones have to do after it. With `first`, only those that follow
    that stage are planned.
    """
    pending = {first.stage: first.plan.why} if first else {}
    for name in session.workdir.stages():
        if name in pending:
            continue
        earlier = [part for part in _built_on(session, name) if part in pending]
        if first and not earlier:
            continue
        before = {clip_id: part for part in earlier for clip_id in pending[part]}
        try:
            stage = _recorded(session, name)
            if stage is None:
                continue
            plan = make_plan(stage, before)
        except UsageError:  # what it would read is gone or damaged: the command itself says so
            continue
        pending[name] = plan.why
        yield Foresight(name, plan, ())


def _recorded(session: Session, stage: str) -> Stage | None:
    """Return a stage as it last ran, or None if it is not known how that was."""
    workdir = session.workdir
    kind, _, name = stage.partition("-")
    if kind == "extract":
        return ExtractStage(session)
    transcode = workdir.settings_of(stage, TranscodeSettings)
    crop = workdir.settings_of(stage, CropSettings)
    shard = workdir.settings_of(stage, ShardSettings)
    if kind == "transcode" and transcode:
        return TranscodeStage(session, transcode)
    if kind == "crop" and crop:
        return CropStage(session, crop, name)
    if kind == "shard" and shard:
        return ShardStage(session, shard, crops=_crops_of(session, stage), name=name)
    if kind == "run" and transcode and crop and shard:
        return RunStage(session, transcode, crop, shard, name=name, keep=False)
    return None


def _built_on(session: Session, stage: str) -> tuple[str, ...]:
    """Return the stages whose results a stage reads."""
    kind = stage.partition("-")[0]
    if kind == "extract":
        return ("transcode",)
    if kind == "crop":
        return ("transcode", "extract")
    if kind == "shard":
        crops = _crops_of(session, stage)
        return ("transcode", f"crop-{crops}", f"run-{crops}")
    return ()


def _crops_of(session: Session, stage: str) -> str:
    """Return the name of the manifest that a shard set was made from."""
    return str(session.workdir.read_settings(stage).get("crops", ""))


def _changes(stage: Stage) -> Iterator[str]:
    """Say which settings differ from those on record, as `crf 20.0 -> 30.0`."""
    now = stage.settings().get(stage.name, {})
    before = stage.workdir.read_settings(stage.name)
    for kind, values in now.items():
        old = before.get(kind)
        if isinstance(values, dict) and isinstance(old, dict):
            for name in sorted(values):
                if name in old and json.dumps(old[name]) != json.dumps(values[name]):
                    yield f"{name.replace('_', '-')} {_shown(old[name])} -> {_shown(values[name])}"


def _shown(value: object) -> str:
    return "unset" if value is None else str(value)

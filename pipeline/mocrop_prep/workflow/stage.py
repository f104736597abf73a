"""What the stages have in common: a plan says what is to be done and why, before anything is done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mocrop_manifests import Clip

from mocrop_prep.errors import PASSING
from mocrop_prep.journal import Record
from mocrop_prep.runner import Task, Work, run_tasks
from mocrop_prep.workflow.session import Session, StageReport

NOTHING_BEFORE: Mapping[str, str] = {}


class Stage(ABC):
    """One stage of the pipeline with its settings: what it would do, what it does, how it ends.

    `name` is that of its journal; `work` is called for each clip, in a worker. `reads_sources` says that it
    starts from the videos of SOURCE.
    """

    name: str
    work: Work
    reads_sources = False

    def __init__(self, session: Session) -> None:
        self.session = session
        self.workdir = session.workdir

    @cached_property
    def before(self) -> Mapping[str, Record]:
        """What the stage's journal held before anything was done: read once, it may be long."""
        return self.workdir.journal(self.name).read()

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the settings that go on record, by kind, for each file of settings to write."""

    @abstractmethod
    def tasks(self) -> list[Task]:
        """Return the work of all clips that this stage can do, those first that take longest."""

    def is_whole(self, task: Task, record: Record) -> bool:
        """Say whether what a record promises is still on disk; here it promises nothing but itself."""
        del task, record
        return True

    def carried(self) -> Mapping[str, Record]:
        """Return the failures of earlier stages, which are failures of this one too."""
        return {}

    def table(self) -> Path | None:
        """Return the manifest that this stage writes, if it writes one."""
        return None

    @abstractmethod
    def finish(self, report: StageReport) -> StageReport:
        """Publish what the stage makes of all its clips."""

    def do(self, tasks: Sequence[Task]) -> dict[str, Record]:
        """Do these tasks, and enter them in the journal; return their records."""
        return run_tasks(
            self.work,
            tasks,
            settings=self.session.run,
            journal=self.workdir.journal(self.name),
            inflight=self.workdir.inflight,
            label=self.name,
            quiet=self.session.quiet,
        )

    def by_size(self, sizes: Mapping[str, int]) -> list[Clip]:
        """Return the clips by falling size, so that no long clip is left for the end."""
        return sorted(self.session.clips, key=lambda clip: (-sizes.get(clip.clip_id, 0), clip.clip_id))


@dataclass(frozen=True, slots=True)
class Plan:
    """What a stage has to do: `why` says it for each clip in words; `reused` records are good as they are."""

    tasks: Sequence[Task]
    reused: Mapping[str, Record]
    carried: Mapping[str, Record]
    why: Mapping[str, str]

    @property
    def to_do(self) -> list[Task]:
        """Return the tasks of the clips that have to be done."""
        return [task for task in self.tasks if task.clip_id in self.why]


def make_plan(stage: Stage, before: Mapping[str, str] = NOTHING_BEFORE) -> Plan:
    """Compare a stage's tasks with its journal; changes nothing.

    `before` names, for clips that an earlier stage has yet to do, that stage: what they lead to is not known,
    only that this stage follows.
    """
    tasks = stage.tasks()
    why = {clip_id: f"after {earlier}" for clip_id, earlier in before.items()}
    reused = {}
    for task in tasks:
        record = stage.before.get(task.clip_id)
        reason = why.get(task.clip_id) or _reason(stage, task, record)
        if reason:
            why[task.clip_id] = reason
        elif record is not None:
            reused[task.clip_id] = record
    carried = {clip_id: record for clip_id, record in stage.carried().items() if clip_id not in why}
    return Plan(tasks, reused, carried, why)


def _reason(stage: Stage, task: Task, record: Record | None) -> str:
    """Say why a clip has to be done; empty if its record is good."""
    if record is None:
        return "new"
    if record.key != task.key and not record.inputs:
        return "done by an older release"
    if record.key != task.key:
        names = sorted(name for name, part in task.inputs.items() if record.inputs.get(name) != part)
        return f"{' and '.join(names)} changed"
    if record.failed:
        again = record.code in PASSING or stage.session.run.retry_failed
        return f"failed before with {record.code}" if again else ""
    return "" if stage.is_whole(task, record) else "what was made is gone or changed"

"""What the stages have in common: a plan says what is to be done and why, before anything is done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mocrop_manifests import Clip

from mocrop_prep.errors import PASSING
from mocrop_prep.journal import Journal, Record, Records, fingerprint
from mocrop_prep.runner import Tally, Task, Work, run_tasks
from mocrop_prep.workflow.keys import Inputs
from mocrop_prep.workflow.lazy import Lazy
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
    def records(self) -> Records:
        """What the stage's journal holds: read once, for it may be long; what is done then is added."""
        return self.journal.read()

    @cached_property
    def journal(self) -> Journal:
        """The stage's journal."""
        return self.workdir.journal(self.name)

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return the settings that go on record, by kind, for each file of settings to write."""

    @abstractmethod
    def eligible(self) -> Sequence[Clip]:
        """Return the clips that this stage can do, those first that take longest."""

    @abstractmethod
    def inputs(self, clip: Clip) -> Inputs:
        """Return fingerprints of all that decides what this stage makes of a clip, by name."""

    def likely_key(self, clip: Clip) -> str:
        """Return what the fingerprint of the inputs mostly is, where that is quicker to tell."""
        return fingerprint(self.inputs(clip))

    @abstractmethod
    def arguments(self, clip: Clip, key: str) -> tuple[Any, ...]:
        """Return what `work` is called with for a clip; `key` is the fingerprint of its inputs."""

    def task(self, clip: Clip) -> Task:
        """Return the work on a clip."""
        inputs = self.inputs(clip)
        key = fingerprint(inputs)
        return Task(clip.clip_id, inputs, self.arguments(clip, key), key)

    def is_whole(self, clip_id: str) -> bool:
        """Say whether what a record promises is still on disk; here it promises nothing but itself."""
        del clip_id
        return True

    def carried(self) -> Mapping[str, Record]:
        """Return the failures of earlier stages, which are failures of this one too."""
        return {}

    def split_of(self, clip: Clip) -> str:
        """Return the split that a clip's sample goes to."""
        return clip.split

    def table(self) -> Path | None:
        """Return the manifest that this stage writes, if it writes one."""
        return None

    @abstractmethod
    def finish(self, report: StageReport) -> StageReport:
        """Publish what the stage makes of all its clips."""

    def do(self, clips: Iterable[Clip]) -> Tally:
        """Do these clips, and enter them in the journal."""
        by_id = {clip.clip_id: clip for clip in clips}
        return run_tasks(
            self.work,
            Lazy(by_id, lambda clip_id: self.task(by_id[clip_id])),
            settings=self.session.run,
            journal=self.journal,
            inflight=self.workdir.inflight,
            label=self.name,
            quiet=self.session.quiet,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a stage has to do: `why` says it for each clip in words.

    The records of the other `clips` are good as they are.
    """

    clips: Sequence[Clip]
    why: Mapping[str, str]
    carried: Mapping[str, Record]
    records: Records

    @property
    def to_do(self) -> list[Clip]:
        """Return the clips that have to be done."""
        return [clip for clip in self.clips if clip.clip_id in self.why]

    @property
    def reused(self) -> int:
        """Return how many clips are good as they are."""
        return sum(clip.clip_id not in self.why for clip in self.clips)

    @property
    def known_failures(self) -> list[Record]:
        """Return the records of failures that stay as they are."""
        ids = (clip.clip_id for clip in self.clips if clip.clip_id not in self.why)
        return [*self.carried.values(), *(self.records[key] for key in ids if self.records.has_failed(key))]


def make_plan(stage: Stage, before: Mapping[str, str] = NOTHING_BEFORE) -> Plan:
    """Compare a stage's clips with its journal; changes nothing.

    `before` names, for clips that an earlier stage has yet to do, that stage: what they lead to is not known,
    only that this stage follows.
    """
    clips = stage.eligible()
    why = {clip_id: f"after {earlier}" for clip_id, earlier in before.items()}
    for clip in clips:
        reason = why.get(clip.clip_id) or _reason(stage, clip)
        if reason:
            why[clip.clip_id] = reason
    carried = {clip_id: record for clip_id, record in stage.carried().items() if clip_id not in why}
    return Plan(clips, why, carried, stage.records)


def _reason(stage: Stage, clip: Clip) -> str:
    """Say why a clip has to be done; empty if its record is good."""
    clip_id, records = clip.clip_id, stage.records
    key = records.key(clip_id)
    if key is None:
        return "new"
    if key != stage.likely_key(clip) and key != fingerprint(inputs := stage.inputs(clip)):
        return _changed(records[clip_id], inputs)
    if records.has_failed(clip_id):
        code = records[clip_id].code
        return f"failed before with {code}" if code in PASSING or stage.session.run.retry_failed else ""
    return "" if stage.is_whole(clip_id) else "what was made is gone or changed"


def _changed(record: Record, inputs: Inputs) -> str:
    if not record.inputs:
        return "done by an older release"
    names = sorted(name for name, part in inputs.items() if record.inputs.get(name) != part)
    return f"{' and '.join(names)} changed"

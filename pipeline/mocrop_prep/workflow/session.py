"""What every stage needs, and what it reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mocrop_manifests import Clip, CropRow

from mocrop_prep.config import RunSettings
from mocrop_prep.journal import Record
from mocrop_prep.remote import State
from mocrop_prep.runner import Task
from mocrop_prep.workdir import Workdir
from mocrop_prep.workflow.sources import SourceWatch


@dataclass(frozen=True, slots=True)
class Session:
    """The WORKDIR, the clips to work on, and how to run; `checksum` tells changed videos by their content.

    `listed` holds, by `clip.path`, what is known already of videos in a store.
    """

    workdir: Workdir
    clips: Sequence[Clip]
    run: RunSettings
    quiet: bool = False
    checksum: bool = False
    listed: Mapping[str, State] = field(default_factory=dict)
    sources: SourceWatch = field(init=False)

    def __post_init__(self) -> None:
        watch = SourceWatch(self.workdir.source, checksum=self.checksum, quiet=self.quiet, listed=self.listed)
        object.__setattr__(self, "sources", watch)  # frozen for everybody else


@dataclass(frozen=True, slots=True)
class StageReport:
    """What a stage did: `records` of all its clips, how many of them were done before, and what came out.

    `tasks` are those of the clips that it could work on, done now or before.
    """

    stage: str
    records: Mapping[str, Record]
    reused: int
    seconds: float
    lines: tuple[str, ...] = ()
    rows: tuple[CropRow, ...] = ()
    tasks: Sequence[Task] = ()

    @property
    def failed(self) -> list[Record]:
        """Return the records of the clips that failed."""
        return [record for record in self.records.values() if record.failed]

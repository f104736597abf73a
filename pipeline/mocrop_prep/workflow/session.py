"""What every stage needs, and what it reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mocrop_manifests import Clip, RowCount

from mocrop_prep.config import RunSettings
from mocrop_prep.journal import Record, Records
from mocrop_prep.remote import State
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


class Outcomes(Mapping[str, Record]):
    """How the clips of a stage ended: by its own records, or by failures `carried` over."""

    def __init__(self, clips: Sequence[Clip], own: Records, carried: Mapping[str, Record]) -> None:
        self._clips, self._own, self._carried = clips, own, carried

    def __getitem__(self, clip_id: str) -> Record:
        return self._carried[clip_id] if clip_id in self._carried else self._own[clip_id]

    def __iter__(self) -> Iterator[str]:
        yield from self._ids()
        yield from self._carried

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def failed(self) -> list[Record]:
        """Return the records of the clips that failed."""
        ids = self._ids() if self._own.any_failed() else ()  # mostly there is nothing to look for
        own = (self._own[clip_id] for clip_id in ids if self._own.has_failed(clip_id))
        return [*own, *self._carried.values()]

    def good_keys(self) -> dict[str, str]:
        """Return the keys of the clips that did not fail."""
        ids = (clip_id for clip_id in self._ids() if not self._own.has_failed(clip_id))
        return {clip_id: self._own.key(clip_id) or "" for clip_id in ids}

    def _ids(self) -> Iterator[str]:
        for clip in self._clips:
            if clip.clip_id in self._own and clip.clip_id not in self._carried:
                yield clip.clip_id


@dataclass(frozen=True, slots=True)
class StageReport:
    """What a stage did: the records of all its clips, how many of them were done before, and what came out.

    `worker_seconds` are those spent on clips that were done now. `status`, `fallbacks` and `routes` count the
    rows of the manifest, if the stage writes one.
    """

    stage: str
    records: Outcomes
    reused: int
    seconds: float
    worker_seconds: float = 0.0
    lines: tuple[str, ...] = ()
    status: Counter[str] = field(default_factory=Counter)
    fallbacks: Counter[str] = field(default_factory=Counter)
    routes: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> list[Record]:
        """Return the records of the clips that failed."""
        return self.records.failed()

    def with_rows(self, count: RowCount, line: str) -> StageReport:
        """Return the report with what its manifest comes to, which `line` says."""
        lines = (line, *self.lines)
        return replace(self, status=count.status, fallbacks=count.fallbacks, routes=count.routes, lines=lines)

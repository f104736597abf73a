"""The clips that wait for workers: handed out in batches that take long enough to be worth a message."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mocrop_prep.worker import Outcome, Task

LARGEST_BATCH = 256
BATCH_SECONDS = 0.25
"""Of work in a batch: what a kill costs at most, where clips are tiny."""
_SHARES = 4  # of the clips left, for each worker: the last batches end at about the same time
_MEMORY = 0.8  # of the pace so far, at each outcome


@dataclass(slots=True)
class Tally:
    """What was done: clips, those of them that failed, and the seconds that workers spent on them."""

    clips: int = 0
    failed: int = 0
    seconds: float = 0.0


class Queue:
    """Tasks in the order in which they are to be done, made when their turn comes.

    Long clips go out one at a time. Where clips take less than a message to a worker, many go in one: as many
    as the last ones say will take `seconds`.
    """

    def __init__(
        self, tasks: Mapping[str, Task], *, largest: int = LARGEST_BATCH, seconds: float = BATCH_SECONDS
    ) -> None:
        self._tasks = tasks
        self._largest, self._seconds = largest, seconds
        self._done: set[str] = set()
        self._pace = seconds  # of a clip
        self._size = 1
        self.tally = Tally()

    @property
    def left(self) -> int:
        """Return how many clips are not done."""
        return len(self._tasks) - len(self._done)

    def task(self, clip_id: str) -> Task:
        """Return the task of a clip."""
        return self._tasks[clip_id]

    def some(self, clip_ids: Iterable[str]) -> list[Task]:
        """Return the tasks of clips."""
        return [self._tasks[clip_id] for clip_id in clip_ids]

    def waits_for(self, clip_id: str) -> bool:
        """Say whether a clip is one of these, and not done."""
        return clip_id in self._tasks and clip_id not in self._done

    def next_ones(self, count: int) -> list[str]:
        """Return the first clips that are not done."""
        return list(itertools.islice(self._waiting(), count))

    def batches(self, workers: int) -> Iterator[list[Task]]:
        """Yield all that is not done, in batches that grow and shrink with the pace of the outcomes noted."""
        waiting = self._waiting()
        out = 0
        while batch := self.some(itertools.islice(waiting, self._next_size(workers, out))):
            out += len(batch)
            yield batch

    def note(self, outcomes: Sequence[Outcome]) -> None:
        """Count outcomes as done."""
        for outcome in outcomes:
            self._done.add(outcome.clip_id)
            self.tally.failed += outcome.failed
            self.tally.seconds += outcome.seconds
            self._pace = max(outcome.seconds, _MEMORY * self._pace + (1 - _MEMORY) * outcome.seconds)
        self.tally.clips += len(outcomes)

    def _next_size(self, workers: int, out: int) -> int:
        fitting = int(self._seconds / max(self._pace, 1e-6))
        share = (len(self._tasks) - out) // (_SHARES * workers)
        # at most twice the last one: the first clips may not be like the others
        self._size = max(1, min(fitting, share, 2 * self._size, self._largest))
        return self._size

    def _waiting(self) -> Iterator[str]:
        return (clip_id for clip_id in self._tasks if clip_id not in self._done)

"""When a run is saved: now and then, at the end of an epoch, and when it is asked to stop."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mocrop_train.errors import InterruptionError
from mocrop_train.report.events import Events
from mocrop_train.run import checkpoint, runfolder, state
from mocrop_train.run.state import State
from mocrop_train.run.stopping import Stop


class Keeper:
    """Writes last.pt, best.pt and the logs of a run; `minutes` is how long steps go unsaved, 0 an epoch."""

    def __init__(
        self, run: State, out: Path, identity: dict[str, Any], stop: Stop, minutes: float, events: Events
    ) -> None:
        self.stop = stop
        self._events = events
        self._run = run
        self._out = out
        self._identity = identity
        self._seconds = 60 * minutes
        self._saved = time.monotonic()

    def check(self) -> None:
        """Raise TrainError for weights that could not be saved."""
        state.refuse_broken(self._run, self._out / "last.pt")

    def save(self) -> None:
        """Write last.pt; at the end of an epoch log.csv too, and best.pt if the epoch is the best so far.

        Of several processes only rank 0 writes.
        """
        if not self._run.ranks.main:
            return
        state.save(self._run, self._out / "last.pt", self._identity)
        self.catch_up()
        self._saved = time.monotonic()

    def catch_up(self) -> None:
        """Write what follows from last.pt, in case a run died between the one and the other."""
        if self._run.batch or not self._run.history or not self._run.ranks.main:
            return
        if self._run.best == self._run.epoch:
            checkpoint.keep_as(self._out / "last.pt", self._out / "best.pt")
        runfolder.write_log(self._out / "log.csv", self._run.history)
        self._events.write(self._run.history)

    def after_step(self) -> None:
        """Save if it is time; if somebody has asked to stop, save and raise InterruptionError.

        All processes do so after the same step: what one is asked, all are.
        """
        due = self._run.ranks.main and 0 < self._seconds <= time.monotonic() - self._saved
        asked, due = map(bool, self._run.ranks.sums(self.stop.asked, due))
        if asked or due:
            self._run.pool_sums()
            self.save()
        if asked:
            self._run.ranks.barrier()  # the end of one may be the end of all, so rank 0 must have saved
            raise InterruptionError

"""Which clip killed its worker, on any engine: a worker claims a clip before it touches it.

Engines run a call again whose worker died, elsewhere, and know nothing of clips. A claim is a file in a
folder that all share; it is removed when the clip is done, so that one that is found says that a worker died
over this clip. Claims are numbered and made exclusively: the file server decides, not what a machine has
cached of the folder.
"""

from __future__ import annotations

import faulthandler
import os
import platform
import secrets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mocrop_prep.errors import UsageError
from mocrop_prep.journal import Record
from mocrop_prep.worker import LONGEST_TRACEBACK, Outcome, Task, Work, carry_out

_TRIES = 2
_CLAIM = "claim"


@dataclass(frozen=True, slots=True)
class Lease:
    """A file that stands for a run as long as it goes on: who does not see it must not work for it."""

    folder: Path
    token: str

    @classmethod
    def take(cls, folder: Path) -> Lease:
        """Make the file; it goes when the folder is cleared."""
        lease = cls(folder.absolute(), secrets.token_hex(8))
        lease.path.touch()
        return lease

    @property
    def path(self) -> Path:
        """Return the file."""
        return self.folder / f"lease-{self.token}"

    def check(self) -> None:
        """Raise UsageError in a worker that does not share the folder, or whose run has ended."""
        if not os.path.exists(self.path):  # whatever keeps this worker from seeing it
            raise UsageError(
                f"the worker on {platform.node()} does not see {self.folder}: WORKDIR and SOURCE must lie "
                "on a file system that all machines share, under the same path"
            )


def attempt_claimed(work: Work, tasks: Sequence[Task], lease: Lease) -> list[Outcome]:
    """Run tasks in a worker of a cluster and turn whatever happens into records.

    A clip over which two workers have died is not touched again: its record says worker-died. Raises
    UsageError in a worker that is not one of this run.
    """
    lease.check()
    return [Outcome.of(_attempt(work, task, lease)) for task in tasks]


def _attempt(work: Work, task: Task, lease: Lease) -> Record:
    places = [lease.folder / f"{_CLAIM}{number}-{task.clip_id}" for number in range(1, _TRIES + 1)]
    for place in places:
        claim = _claim(place)
        if claim is not None:
            with claim, _last_words_in(claim):
                record = carry_out(work, task)
            for done in places:
                done.unlink(missing_ok=True)
            return record
    return _died(task, places)


def claimed(folder: Path) -> set[str]:
    """Return the ids of the clips that workers are at, or were at when they died."""
    names = [path.name.partition("-") for path in folder.glob(f"{_CLAIM}[0-9]-*")]
    return {clip_id for _, _, clip_id in names}


def _claim(place: Path) -> IO[str] | None:
    """Make a claim that says where it was made; None if another worker has made it."""
    try:
        claim = place.open("x")
    except FileExistsError:
        return None
    except OSError as error:
        raise UsageError(
            f"the worker on {platform.node()} cannot write to {place.parent}: {error.strerror}; workers need "
            "the rights of who runs the command"
        ) from None
    claim.write(f"{platform.node()}\n")
    claim.flush()
    return claim


def _died(task: Task, claims: list[Path]) -> Record:
    notes = [_read(path).partition("\n") for path in claims]
    hosts = " and ".join(dict.fromkeys(host or "a machine" for host, _, _ in notes))
    detail = (
        f"its worker died {_TRIES} times, on {hosts}: killed, out of memory, or a fault in native code "
        "(--retry-failed tries it again)"
    )
    # it begins with the thread at fault: engines have many others
    return task.failed("worker-died", detail, notes[-1][2][:LONGEST_TRACEBACK])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # the run ended meanwhile
        return ""


@contextmanager
def _last_words_in(claim: IO[str]) -> Iterator[None]:
    """Let a fault in native code write where it happened into the claim, and then do as the engine does."""
    was_on = faulthandler.is_enabled()
    faulthandler.enable(claim)
    try:
        yield
    finally:
        faulthandler.disable()
        if was_on and sys.__stderr__ is not None:
            with suppress(OSError, ValueError):  # closed by the engine
                os.fstat(sys.__stderr__.fileno())
                faulthandler.enable(sys.__stderr__)

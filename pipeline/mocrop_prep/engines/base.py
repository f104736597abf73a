"""What every engine can do, and the errors that all of them raise."""

from __future__ import annotations

import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Protocol

from mocrop_prep.errors import UsageError
from mocrop_prep.worker import NOT_FOR_WORKERS

CONNECT_SECONDS = 10.0
"""How long a scheduler may take to answer."""
BATCH_SECONDS = 2.0
"""Of work in a call: one costs an engine some milliseconds, and Spark a tenth of a second."""
WORKERS_SECONDS = 30.0
"""How long the first worker may take to come."""
_HOST_AND_PORT = re.compile(r"(?:[a-z]+://)?(\[[0-9A-Fa-f:.]+\]|[^\s:/,\[\]]+):([0-9]{1,5})")


class WorkersLost(Exception):  # noqa: N818  as BrokenProcessPool it says what happened
    """The engine gave up on a call whose workers died; it does not say which clip was at fault."""


class Engine(Protocol):
    """A cluster that is connected: `submit` runs a call in a process that runs nothing else at that time.

    The future raises WorkersLost if the call's workers died more often than the engine tries, UsageError if
    the cluster is gone, and whatever the call itself raises.
    """

    def slots(self) -> int:
        """Return how many calls run at the same time; raises UsageError if there is no worker."""
        ...

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        """Run a call somewhere."""
        ...

    def cancel(self) -> None:
        """Give up all calls that have not ended; those that run are ended where the engine can do that."""
        ...

    def close(self) -> None:
        """Leave the cluster; one that was started for this process ends with all its workers."""
        ...


def missing(extra: str, package: str) -> UsageError:
    """Return the error of a package that is not installed."""
    return UsageError(
        f"--backend {extra} needs the package {package}: install it with `pip install 'mocrop[{extra}]'`"
    )


def unreachable(backend: str, scheduler: str, why: object) -> UsageError:
    """Return the error of a scheduler that does not answer."""
    reason = " ".join(str(why).split())[:200]
    if not scheduler:
        return UsageError(f"no {backend} cluster can be started on this machine ({reason})")
    return UsageError(
        f"--scheduler {scheduler}: no {backend} scheduler answers there ({reason}); see that it runs, and "
        "that this machine can reach it"
    )


def no_workers(backend: str, scheduler: str) -> UsageError:
    """Return the error of a cluster that nobody works for."""
    return UsageError(
        f"the {backend} cluster {_where(scheduler)} has no workers after {WORKERS_SECONDS:g} s: start some, "
        "then run the same command again"
    )


def gone(backend: str, scheduler: str) -> UsageError:
    """Return the error of a cluster that went away during the work."""
    return UsageError(
        f"the connection to the {backend} cluster {_where(scheduler)} is lost; what is done is kept: the "
        "same command goes on from there"
    )


def _where(scheduler: str) -> str:
    return f"at {scheduler}" if scheduler else "of this machine"


def check_reachable(backend: str, scheduler: str) -> None:
    """Raise UsageError unless something listens at an address of the form [scheme://]host:port.

    The engines themselves wait for minutes, or end the process. Addresses of other forms are theirs alone.
    """
    match = _HOST_AND_PORT.fullmatch(scheduler)
    if match is None:
        return
    try:
        socket.create_connection((match[1].strip("[]"), int(match[2])), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise unreachable(backend, scheduler, error) from None


@contextmanager
def signals_kept() -> Iterator[None]:
    """Keep signals to the process group from all that is started meanwhile, and our handlers as they are.

    Threads and processes inherit what their maker blocks: the command alone decides what a Ctrl-C means. And
    Ray takes SIGTERM for itself.
    """
    ours = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in (*NOT_FOR_WORKERS, signal.SIGTERM)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, NOT_FOR_WORKERS)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if ours and handler is not None:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

"""Being asked to stop: a signal ends a run where it can go on from, a second one at once."""

from __future__ import annotations

import atexit
import contextlib
import functools
import multiprocessing
import multiprocessing.util  # its own registration comes first
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from mocrop_train.errors import InterruptionError


class Stop:
    """While the context is open, SIGINT and SIGTERM are a wish, which `asked` tells of.

    After the first one the system's own handling is back, so the second ends the process, whatever it does.
    A signal that was ignored before, as in the background of a shell, stays so; outside the main thread
    nothing is changed.
    """

    def __init__(self) -> None:
        self.asked = False
        self._at_once = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Raise InterruptionError in the middle of what is done here, where nothing is lost by it."""
        self._at_once = True  # first: whoever asks from here on is heard
        try:
            if self.asked:
                raise InterruptionError
            yield
        finally:
            self._at_once = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        for known in self._before:
            signal.signal(known, signal.SIG_DFL)
        self.asked = True
        if self._at_once:
            raise InterruptionError


def left_to_the_parent(worker: int) -> None:
    """Let a process that reads go on when a signal reaches all: the one that trains will end it.

    Ctrl-C is sent to a whole group, and so is the SIGTERM of torchrun, of `timeout` and of schedulers. A
    process that reads notices within seconds when the one that trains is gone; see end_readers.
    """
    del worker
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@functools.cache  # once a process
def end_readers() -> None:
    """See to it that processes which read are gone when this one ends.

    multiprocessing sends SIGTERM to those that are left then, which they ignore, and waits for them.
    """
    atexit.register(_kill_readers)  # runs before what multiprocessing has registered when it was imported


def _kill_readers() -> None:
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler takes their end for a failure
    for process in multiprocessing.active_children():
        if process.daemon:
            process.kill()

"""Stop on a signal, once: what follows the first is ignored while the work is brought to an end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LONGEST_STOP_SECONDS = 10.0


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn the signals that ask a program to stop into KeyboardInterrupt.

    Those that are ignored already stay ignored: nohup, or a shell, asked for that. In the end all are as they
    were, unless the program was stopped: then it is about to leave.
    """
    before = {number: signal.getsignal(number) for number in _STOPPING}
    ours = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()
        # helpers that are started now inherit this: a second Ctrl-C would kill them in the middle
        for each in _STOPPING:
            signal.signal(each, signal.SIG_IGN)
        # and what the threads of a pool say while it is taken down would only hide our own word
        threading.excepthook = lambda _: None
        # whatever hangs, it does not hold up the end: nothing is lost by a kill
        last_resort = threading.Timer(_LONGEST_STOP_SECONDS, os._exit, (INTERRUPTED,))
        last_resort.daemon = True
        last_resort.start()
        raise KeyboardInterrupt

    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        if not stopped.is_set():
            for number in ours:
                signal.signal(number, before[number] or signal.SIG_DFL)

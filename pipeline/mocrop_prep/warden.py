"""Watch over the workers: a clip that takes too long, or too much memory, is ended with its worker.

The watch is kept in the parent, since nothing can be expected of a worker that hangs in native code.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from mocrop_prep.config import RunSettings

_LOOK_SECONDS = 0.1
_LAST_WORDS_SECONDS = 0.5  # for the traceback that a worker writes when it is aborted


@dataclass(frozen=True, slots=True)
class Sentence:
    """Why a clip was ended: its code, and what was found."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Marker:
    """A file in which a worker says that it is at a clip."""

    path: Path
    pid: int
    clip_id: str

    @property
    def trace(self) -> Path:
        """Return the file in which the worker writes a traceback if it dies of a signal."""
        return trace_file(self.path.parent, self.pid)


def marker_file(inflight: Path, pid: int, clip_id: str) -> Path:
    """Return where a worker marks the clip that it is at."""
    return inflight / f"{pid}-{clip_id}"


def trace_file(inflight: Path, pid: int) -> Path:
    """Return where a worker writes its last traceback."""
    return inflight / f"{pid}.trace"


def markers(inflight: Path) -> list[Marker]:
    """Return what the workers are at, or were at when they died."""
    found = []
    for path in inflight.iterdir():
        pid, dash, clip_id = path.name.partition("-")
        if dash and pid.isdigit():
            found.append(Marker(path, int(pid), clip_id))
    return found


class Warden:
    """Ends workers that go over --timeout or --max-memory; use as a context manager."""

    def __init__(self, inflight: Path, settings: RunSettings) -> None:
        self._inflight = inflight
        self._timeout, self._memory = settings.timeout, settings.memory_limit
        self._seen: dict[str, float] = {}
        self._sentences: dict[str, Sentence] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Warden:
        if self._timeout is not None or self._memory is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def sentence(self, clip_id: str) -> Sentence | None:
        """Return why a clip was ended, or None if it was not."""
        return self._sentences.get(clip_id)

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            with suppress(OSError):  # the folder changes under the eye
                self._look()

    def _look(self) -> None:
        now = time.monotonic()
        at_work = markers(self._inflight)
        self._seen = {marker.path.name: self._seen.get(marker.path.name, now) for marker in at_work}
        for marker in at_work:
            took = now - self._seen[marker.path.name]
            if self._timeout is not None and took > self._timeout:
                detail = f"ended after --timeout, {self._timeout:g} s (--retry-failed tries it again)"
                self._end(marker, Sentence("timed-out", detail), signal.SIGABRT)
            elif self._memory is not None and (held := _resident(marker.pid)) > self._memory:
                detail = (
                    f"its worker held {held / 1e6:,.0f} MB, more than --max-memory allows: "
                    f"{self._memory / 1e6:,.0f} MB (--retry-failed tries it again)"
                )
                self._end(marker, Sentence("out-of-memory", detail), signal.SIGKILL)

    def _end(self, marker: Marker, sentence: Sentence, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(marker.pid, 0)  # the marker of a worker that is dead already accuses nobody
            if not marker.path.exists():  # it has just finished
                return
            self._sentences[marker.clip_id] = sentence
            os.kill(marker.pid, number)
            if number is not signal.SIGKILL:
                time.sleep(_LAST_WORDS_SECONDS)
                os.kill(marker.pid, signal.SIGKILL)


def _resident(pid: int) -> int:
    """Return the bytes of memory that a process holds, shared libraries included; 0 if it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")

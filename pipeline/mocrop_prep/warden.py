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
_MARK = 256  # bytes of a mark: a clip id, and how many clips the worker has begun
_LAST_WORDS_SECONDS = 0.5  # for the traceback that a worker writes when it is aborted


@dataclass(frozen=True, slots=True)
class Sentence:
    """Why a clip was ended: its code, and what was found."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Marker:
    """What a worker says that it is at: `text` is in its file as long as it is."""

    path: Path
    pid: int
    clip_id: str
    text: bytes

    @property
    def trace(self) -> Path:
        """Return the file in which the worker writes a traceback if it dies of a signal."""
        return trace_file(self.path.parent, self.pid)

    def holds(self) -> bool:
        """Say whether the worker is still at this clip."""
        try:
            return self.path.read_bytes() == self.text
        except OSError:
            return False


class Mark:
    """A worker's own file in which it says which clip it is at: written once a clip, and never moved."""

    def __init__(self, inflight: Path, pid: int) -> None:
        self._file = os.open(marker_file(inflight, pid), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self._count = 0

    @property
    def is_gone(self) -> bool:
        """Say whether the file was removed, as it is before each round of work."""
        return os.fstat(self._file).st_nlink == 0

    def at(self, clip_id: str) -> None:
        """Say that the worker begins with a clip."""
        self._count += 1
        os.pwrite(self._file, f"{clip_id} {self._count}".ljust(_MARK).encode(), 0)

    def between(self) -> None:
        """Say that the worker is at no clip."""
        os.pwrite(self._file, b" " * _MARK, 0)

    def close(self) -> None:
        """Let go of the file, which stays."""
        os.close(self._file)


def marker_file(inflight: Path, pid: int) -> Path:
    """Return where a worker marks the clip that it is at."""
    return inflight / f"{pid}.at"


def trace_file(inflight: Path, pid: int) -> Path:
    """Return where a worker writes its last traceback."""
    return inflight / f"{pid}.trace"


def markers(inflight: Path) -> list[Marker]:
    """Return what the workers are at, or were at when they died."""
    found = []
    for path in inflight.glob("*.at"):
        try:
            text = path.read_bytes()
        except OSError:  # removed meanwhile
            continue
        if path.stem.isdigit() and (clip_id := text.partition(b" ")[0].decode("ascii", "replace")):
            found.append(Marker(path, int(path.stem), clip_id, text))
    return found


class Warden:
    """Ends workers that go over --timeout or --max-memory; use as a context manager."""

    def __init__(self, inflight: Path, settings: RunSettings) -> None:
        self._inflight = inflight
        self._timeout, self._memory = settings.timeout, settings.memory_limit
        self._seen: dict[tuple[int, bytes], float] = {}
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
        seen = [(marker.pid, marker.text) for marker in at_work]
        self._seen = {key: self._seen.get(key, now) for key in seen}
        for marker, key in zip(at_work, seen, strict=True):
            took = now - self._seen[key]
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
            if not marker.holds():  # it has just finished
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

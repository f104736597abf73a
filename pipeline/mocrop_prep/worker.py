"""What happens inside a worker: one clip's work, and whatever comes of it becomes a record."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import cv2
import pyarrow as pa

from mocrop_prep.allocator import keep_freed_memory
from mocrop_prep.clips.paths import escape
from mocrop_prep.errors import NOT_WRITTEN, ClipError
from mocrop_prep.journal import Record, fingerprint
from mocrop_prep.warden import Mark, trace_file

Work = Callable[..., dict[str, Any]]
LONGEST_TRACEBACK = 4000
"""Characters of a traceback that are kept: its end."""
NOT_FOR_WORKERS = (signal.SIGINT, signal.SIGHUP)
"""Signals that reach the whole process group: the parent alone decides what they mean."""

_traces: list[IO[str]] = []  # in each worker, the open file for its last traceback
_marks: dict[Path, Mark] = {}  # and the one in which it says what it is at
_WATCH_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Task:
    """One clip's work: `arguments` go to the work function, `inputs` are fingerprints of all that goes in.

    `key` is the fingerprint of all inputs together, made of them unless it is given.
    """

    clip_id: str
    inputs: Mapping[str, str]
    arguments: tuple[Any, ...]
    key: str = ""

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", fingerprint(self.inputs))  # frozen for everybody else

    def failed(self, code: str, detail: str, trace: str = "") -> Record:
        """Return the record of a failure that the worker could not write itself."""
        return Record(self.clip_id, self.key, "failed", code, detail, traceback=trace, inputs=self.inputs)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended: its record as a line of the journal, and what the parent must know of it."""

    clip_id: str
    failed: bool
    seconds: float
    line: bytes

    @classmethod
    def of(cls, record: Record) -> Outcome:
        """Return the outcome that a record tells of."""
        return cls(record.clip_id, record.failed, record.seconds, record.line())


def attempt_all(work: Work, tasks: Sequence[Task], inflight: Path) -> list[Outcome]:
    """Run tasks in a worker, one after the other, and turn whatever happens into records."""
    mark = None
    # threads of one process would share a mark; and there is no worker that could die alone
    if multiprocessing.parent_process() is not None:
        _leave_traces_in(trace_file(inflight, os.getpid()))
        mark = _mark(inflight)
    outcomes = []
    for task in tasks:
        if mark is not None:
            mark.at(task.clip_id)
        outcomes.append(Outcome.of(carry_out(work, task)))
    if mark is not None:
        mark.between()
    return outcomes


def carry_out(work: Work, task: Task) -> Record:
    """Run one task here and turn whatever happens into a record."""
    _one_thread_a_library()
    keep_freed_memory()
    started = time.perf_counter()
    try:
        with clip_faults():
            record = Record(task.clip_id, task.key, "ok", data=work(*task.arguments), inputs=task.inputs)
    except ClipError as error:
        record = _failure(task, error.code, error.detail)
        record = replace(record, stage=error.stage, data=error.data)
    except Exception as error:  # noqa: BLE001  a fault of ours in one clip must not cost the others
        record = _failure(task, "internal", f"{type(error).__name__}: {error}")
    return replace(record, seconds=round(time.perf_counter() - started, 4))


@contextmanager
def clip_faults() -> Iterator[None]:
    """Turn what the system and OpenCV raise in the work on a clip into a ClipError."""
    try:
        yield
    except MemoryError as error:
        raise ClipError("out-of-memory", "the worker ran out of memory") from error
    except cv2.error as error:
        code = "out-of-memory" if error.code == cv2.Error.STS_NO_MEM else "internal"
        raise ClipError(code, f"OpenCV: {error.err}") from error
    except OSError as error:
        code = "disk" if error.errno in NOT_WRITTEN else "internal"
        detail = f"{error.filename or 'a file'}: {error.strerror or error}"
        raise ClipError(code, detail) from error


def _failure(task: Task, code: str, detail: str) -> Record:
    """Return the record of the exception that is being handled."""
    return task.failed(code, _as_utf8(detail), _as_utf8(traceback.format_exc()[-LONGEST_TRACEBACK:]))


def _as_utf8(text: str) -> str:
    """Return text with what is not UTF-8, such as bytes of a file name, in escapes: records are UTF-8."""
    return "\n".join(escape(line) for line in text.splitlines())


def become_worker(parent: int) -> None:
    """Make a new process a worker: no say in who stops the work, no core dumps, an end with its parent.

    `parent` is the process that it works for.
    """
    for number in NOT_FOR_WORKERS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # blocked while this process was started
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    threading.Thread(target=_end_with_the_parent, args=(parent,), daemon=True).start()


def _one_thread_a_library() -> None:
    """Keep libraries to one thread each: the parallelism is over clips."""
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)


def _mark(inflight: Path) -> Mark:
    known = _marks.get(inflight)
    if known is None or known.is_gone:
        for old in _marks.values():
            old.close()
        _marks.clear()
        _marks[inflight] = Mark(inflight, os.getpid())
    return _marks[inflight]


def _leave_traces_in(path: Path) -> None:
    """Let a fault in native code write where it happened; the file stays open as long as the worker lives."""
    if path.exists():
        return
    stream = path.open("w")
    faulthandler.enable(stream)
    for old in _traces:
        old.close()
    _traces[:] = [stream]


def _end_with_the_parent(parent: int) -> None:
    """End a worker whose parent was killed: nobody waits for it, and it holds the parent's pipes open."""
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)

"""Run one function over many clips: joblib dispatch, one record per clip, none lost to another's crash."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import joblib
import pyarrow as pa
from joblib.externals.loky import ProcessPoolExecutor, get_reusable_executor
from joblib.externals.loky.process_executor import BrokenProcessPool

from mocrop_prep.clips.paths import escape
from mocrop_prep.config import RunSettings
from mocrop_prep.errors import DISK_ERRORS, ClipError
from mocrop_prep.journal import Journal, Record
from mocrop_prep.progress import Progress

_watched = threading.Lock()  # taken once in each worker, by the thread that watches its parent
Work = Callable[..., dict[str, Any]]
_NOT_WRITTEN = DISK_ERRORS | {errno.EACCES, errno.EPERM}
_TRIES = 2
_WATCH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Task:
    """One clip's work: `arguments` go to the work function, `key` is the fingerprint of all that goes in."""

    clip_id: str
    key: str
    arguments: tuple[Any, ...]


def worker_count(settings: RunSettings) -> int:
    """Return the number of workers: as asked, or the cores this process may use."""
    return settings.jobs or joblib.cpu_count()


def run_tasks(
    work: Work,
    tasks: Sequence[Task],
    *,
    settings: RunSettings,
    journal: Journal,
    inflight: Path,
    label: str,
    quiet: bool,
) -> dict[str, Record]:
    """Call `work(*task.arguments)` for each task; record and return how each ended.

    `work` returns what goes into the record, or raises; nothing that it raises stops the others. A clip
    that kills its worker is tried alone once more, and then recorded as worker-died.
    """
    records: dict[str, Record] = {}
    waiting = {task.clip_id: task for task in tasks}
    inflight.mkdir(parents=True, exist_ok=True)
    with journal, Progress(label, len(tasks), quiet=quiet) as progress:

        def commit(record: Record) -> None:
            journal.append(record)
            records[record.clip_id] = record
            waiting.pop(record.clip_id)
            progress.advance(failed=record.failed)

        while waiting:
            _clear(inflight)
            try:
                for record in _parallel(work, list(waiting.values()), settings, inflight):
                    commit(record)
            except BrokenProcessPool:
                for clip_id in _suspects(inflight, list(waiting), worker_count(settings)):
                    commit(_alone(work, waiting[clip_id], inflight))
    _clear(inflight)
    return records


def _parallel(work: Work, tasks: Sequence[Task], settings: RunSettings, inflight: Path) -> Iterator[Record]:
    jobs = min(worker_count(settings), len(tasks))
    loky = settings.backend == "loky"
    threads = {"inner_max_num_threads": 1} if loky else {}
    # joblib runs a single job in this process, which a deadly clip would take along: so two workers stand
    # ready, and one clip at a time is handed out
    dispatch = {"pre_dispatch": 1, "batch_size": 1} if loky and jobs == 1 else {}
    try:
        with joblib.parallel_config(
            backend=settings.backend, n_jobs=max(2, jobs) if loky else jobs, **threads
        ):
            calls = (joblib.delayed(_attempt)(work, task, inflight) for task in tasks)
            yield from joblib.Parallel(return_as="generator_unordered", **dispatch)(calls)
    except BaseException:
        # workers finish or die here: none may go on writing after the command has said that it stopped
        if loky:
            get_reusable_executor().shutdown(wait=True, kill_workers=True)
        raise


def _alone(work: Work, task: Task, inflight: Path) -> Record:
    """Try a suspect in a process of its own, so that it can hurt nobody else."""
    for _ in range(_TRIES - 1):
        with ProcessPoolExecutor(max_workers=1) as pool:
            try:
                record: Record = pool.submit(_attempt, work, task, inflight).result()
                return record
            except BrokenProcessPool:
                continue
    detail = f"its worker died {_TRIES} times (killed, out of memory, or a fault in native code)"
    return Record(task.clip_id, task.key, "failed", "worker-died", detail)


def _attempt(work: Work, task: Task, inflight: Path) -> Record:
    """Run one task in a worker and turn whatever happens into a record."""
    marker = inflight / f"{os.getpid()}-{task.clip_id}"
    marker.touch()
    _settle()
    started = time.perf_counter()
    failure: dict[str, str] = {}
    data: dict[str, Any] = {}
    try:
        data = work(*task.arguments)
    except ClipError as error:
        failure = {"code": error.code, "detail": error.detail, "stage": error.stage}
    except MemoryError:
        failure = {"code": "out-of-memory", "detail": "the worker ran out of memory"}
    except OSError as error:
        code = "disk" if error.errno in _NOT_WRITTEN else "internal"
        failure = {"code": code, "detail": f"{error.filename or 'a file'}: {error.strerror or error}"}
        failure["traceback"] = traceback.format_exc()
    except Exception as error:  # noqa: BLE001  a fault of ours in one clip must not cost the others
        failure = {"code": "internal", "detail": f"{type(error).__name__}: {error}"}
        failure["traceback"] = traceback.format_exc()
    finally:
        marker.unlink(missing_ok=True)
    seconds = round(time.perf_counter() - started, 4)
    status = "failed" if failure else "ok"
    texts = {name: _as_utf8(text) for name, text in failure.items()}
    return Record(task.clip_id, task.key, status, seconds=seconds, data=data, **texts)


def _as_utf8(text: str) -> str:
    """Return text with what is not UTF-8, such as bytes of a file name, in escapes: records are UTF-8."""
    return "\n".join(escape(line) for line in text.splitlines())


def _settle() -> None:
    """Make this process a worker: one thread a library, no say in Ctrl-C, an end with its parent."""
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)
    if multiprocessing.parent_process() is None:
        return
    if _watched.acquire(blocking=False):
        threading.Thread(target=_end_with_the_parent, args=(os.getppid(),), daemon=True).start()
    # Ctrl-C reaches the whole process group: the parent alone decides what it means
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end_with_the_parent(parent: int) -> None:
    """End a worker whose parent was killed: nobody waits for it, and it holds the parent's pipes open."""
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)


def _suspects(inflight: Path, waiting: Sequence[str], workers: int) -> list[str]:
    """Return the clips that were being worked on when a worker died."""
    marked = {path.name.partition("-")[2] for path in inflight.iterdir()}
    # a worker that dies between two clips marks none: then any of the next could have been its last
    return [clip_id for clip_id in waiting if clip_id in marked] or list(waiting[:workers])


def _clear(inflight: Path) -> None:
    for path in inflight.iterdir():
        path.unlink(missing_ok=True)

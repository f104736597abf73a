"""Run one function over many clips: joblib dispatch, one record per clip, none lost to another's crash."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager
from functools import partial
from multiprocessing import resource_tracker as standard_tracker
from pathlib import Path
from typing import Any

import joblib
from joblib.externals.loky import ProcessPoolExecutor, get_reusable_executor
from joblib.externals.loky.backend import resource_tracker
from joblib.externals.loky.process_executor import BrokenProcessPool
from mocrop_manifests.files import make_folder

from mocrop_prep import engines
from mocrop_prep.config import JobSettings, RunSettings
from mocrop_prep.errors import FirstFailure, Stopped
from mocrop_prep.journal import Journal, Record
from mocrop_prep.progress import Progress
from mocrop_prep.queue import BATCH_SECONDS, LARGEST_BATCH, Queue, Tally
from mocrop_prep.warden import Warden, markers
from mocrop_prep.worker import (
    LONGEST_TRACEBACK,
    NOT_FOR_WORKERS,
    Outcome,
    Task,
    Work,
    attempt_all,
    become_worker,
)

__all__ = ["Tally", "Task", "Work", "first_failure", "run_tasks", "start_work", "worker_count", "workers"]

_TRIES = 2


def worker_count(settings: JobSettings) -> int:
    """Return the number of workers: as asked, or the cores this process may use, or what a cluster has."""
    return engines.slots(settings) if settings.on_cluster else settings.jobs or joblib.cpu_count()


def run_tasks(
    work: Work,
    tasks: Mapping[str, Task],
    *,
    settings: RunSettings,
    journal: Journal,
    inflight: Path,
    label: str,
    quiet: bool,
) -> Tally:
    """Call `work(*task.arguments)` for each task, by clip id; record in the journal how each ended.

    `work` returns what goes into the record, or raises; nothing that it raises stops the others. A clip
    that kills its worker is tried apart once more, and then recorded as worker-died; one that goes over a
    limit of the settings is ended and recorded. Raises FirstFailure if the settings ask for that, and Stopped
    when a signal ends the work; what was done until then is recorded.
    """
    queue = Queue(
        tasks,
        largest=1 if settings.fail_fast else LARGEST_BATCH,
        seconds=engines.BATCH_SECONDS if settings.on_cluster else BATCH_SECONDS,
    )
    before = journal.written
    make_folder(inflight)
    with journal, Progress(label, len(tasks), quiet=quiet) as progress, Warden(inflight, settings) as warden:
        try:
            while queue.left:
                with closing(_round(work, queue, settings, inflight, warden)) as ended:
                    for outcomes in ended:
                        journal.append_lines([outcome.line for outcome in outcomes])
                        queue.note(outcomes)
                        progress.advance(len(outcomes), failed=sum(each.failed for each in outcomes))
                        _fail_fast(outcomes, settings, label, queue.left)
        except KeyboardInterrupt:
            raise Stopped(
                f"stopped in {label}: {journal.written - before} of {len(tasks)} clips are done and kept; "
                "the same command goes on from there"
            ) from None
        finally:
            _clear(inflight)
    return queue.tally


def _fail_fast(outcomes: Sequence[Outcome], settings: RunSettings, label: str, left: int) -> None:
    for outcome in outcomes:
        if outcome.failed and settings.fail_fast:
            raise FirstFailure(first_failure(Record.of_line(outcome.line), label, left))


def first_failure(record: Record, label: str, left: int) -> str:
    """Say which clip ended a run that ends with the first failure."""
    return (
        f"stopped at the first failure (--fail-fast): {record.clip_id}: {record.code}: {record.detail}; "
        f"{left} clips of {label} are left"
    )


def _round(
    work: Work, queue: Queue, settings: RunSettings, inflight: Path, warden: Warden
) -> Generator[Sequence[Outcome], None, None]:
    """Yield the outcomes of clips until all are done or a worker dies, and then of those that it had."""
    _clear(inflight)
    try:
        yield from _parallel(work, queue, settings, inflight)
    except (BrokenProcessPool, engines.WorkersLost):
        at_work = {marker.clip_id for marker in markers(inflight)} | engines.claimed(inflight)
        marked = sorted(clip_id for clip_id in at_work if queue.waits_for(clip_id))
        ended = [clip_id for clip_id in marked if warden.sentence(clip_id)]
        if ended:
            # no other is to blame: those that went down with it go on
            yield [_sentenced(queue.task(clip_id), inflight, warden) for clip_id in ended]
        elif marked:
            yield from _apart(work, queue.some(marked), settings, inflight, warden, tries=_TRIES - 1)
        else:
            # a worker that dies between two clips marks none: any of the next could have been its last
            following = queue.some(queue.next_ones(worker_count(settings)))
            yield from _apart(work, following, settings, inflight, warden, tries=_TRIES)


@contextmanager
def workers(settings: JobSettings, jobs: int) -> Iterator[None]:
    """Let joblib work with so many workers of the settings' backend in this context.

    An exception ends those that are processes: none may go on writing after the command has said that it
    stopped.
    """
    if settings.on_cluster:
        with engines.crew(settings, jobs):
            yield
        return
    loky = settings.backend == "loky"
    options: dict[str, Any] = {}
    if loky:
        _start_tracker()
        options = {
            "inner_max_num_threads": 1,
            "initializer": become_worker,
            "initargs": (os.getpid(),),
            # joblib would make a folder in shared memory at once, and a killed run would leave it there
            "temp_folder": tempfile.gettempdir(),
        }
    try:
        with joblib.parallel_config(backend=settings.backend, n_jobs=jobs, **options):
            yield
    except BaseException:
        if loky:
            get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)
        raise


def start_work(calls: Iterable[Any], *, return_as: str = "generator", **options: Any) -> Iterator[Any]:
    """Give joblib's calls out to workers, and yield their results.

    The workers do not hear who stops the work, from their first moment. A stop while they are started is put
    off until they are: between two workers it would leave one that nobody knows of.
    """
    with warnings.catch_warnings():
        # that tasks are given up is said to people by whoever stops the work
        warnings.filterwarnings("ignore", "[0-9]+ tasks ", UserWarning)
        with _undisturbed() as heard:
            results = joblib.Parallel(return_as=return_as, **options)(calls)
        with closing(results):
            for number in heard[:1]:
                signal.raise_signal(number)
            yield from results


@contextmanager
def _undisturbed() -> Iterator[list[int]]:
    """Start processes with the signals blocked that stop the work; yield the numbers of those that come.

    Blocked for this thread they are blocked for its processes too; but another thread may hear them for this
    one, so that they are only noted as well.
    """
    heard: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield heard
        return
    numbers = (*NOT_FOR_WORKERS, signal.SIGTERM)
    before = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}
    for number in before:
        signal.signal(number, lambda number, _frame: heard.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield heard
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)


def _parallel(work: Work, queue: Queue, settings: RunSettings, inflight: Path) -> Iterator[Sequence[Outcome]]:
    jobs = min(worker_count(settings), queue.left)
    call = partial(joblib.delayed(attempt_all), work, inflight=inflight)
    dispatch: dict[str, Any] = {"batch_size": 1}
    if settings.on_cluster:
        lease = engines.Lease.take(inflight)
        call = partial(joblib.delayed(engines.attempt_claimed), work, lease=lease)
        dispatch = engines.dispatch(settings, jobs)
    if settings.backend == "loky":
        # joblib runs a single job in this process, which a deadly clip would take along: so two workers stand
        # ready, and one batch at a time is handed out
        dispatch |= {"pre_dispatch": 1} if jobs == 1 else {}
        jobs = max(2, jobs)
    with workers(settings, jobs):
        yield from start_work(map(call, queue.batches(jobs)), return_as="generator_unordered", **dispatch)


def _apart(
    work: Work, tasks: Sequence[Task], settings: RunSettings, inflight: Path, warden: Warden, *, tries: int
) -> Iterator[Sequence[Outcome]]:
    """Try suspects again, each in a process of its own, so that none can hurt another."""
    _clear(inflight)
    pools: list[ProcessPoolExecutor] = []
    stopped = threading.Event()

    def alone(task: Task) -> Sequence[Outcome]:
        signal.pthread_sigmask(signal.SIG_BLOCK, NOT_FOR_WORKERS)
        for _ in range(tries):
            with ProcessPoolExecutor(1, initializer=become_worker, initargs=(os.getpid(),)) as pool:
                pools.append(pool)
                if stopped.is_set():
                    raise KeyboardInterrupt
                try:
                    outcomes: list[Outcome] = pool.submit(attempt_all, work, [task], inflight).result()
                    return outcomes
                except BrokenProcessPool:
                    if warden.sentence(task.clip_id):
                        break
        return [_sentenced(task, inflight, warden)]

    here = joblib.cpu_count() if settings.on_cluster else worker_count(settings)
    with ThreadPoolExecutor(max_workers=here) as threads:
        futures = [threads.submit(alone, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:  # whatever ends this, no worker may outlive it
            stopped.set()
            for future in futures:
                future.cancel()
            for pool in pools:
                pool.shutdown(wait=True, kill_workers=True)
            raise


def _sentenced(task: Task, inflight: Path, warden: Warden) -> Outcome:
    """Return the outcome of a clip whose worker is dead, with what the worker could still say."""
    trace = "".join(_read(marker.trace) for marker in markers(inflight) if marker.clip_id == task.clip_id)
    sentence = warden.sentence(task.clip_id)
    if sentence is not None:
        return Outcome.of(task.failed(sentence.code, sentence.detail, trace))
    detail = (
        f"its worker died {_TRIES} times: killed, out of memory, or a fault in native code "
        "(--retry-failed tries it again)"
    )
    return Outcome.of(task.failed("worker-died", detail, trace))


def _start_tracker() -> None:
    """Start what cleans up after loky so that it outlives a closed terminal, as it does Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    warned = os.environ.get("PYTHONWARNINGS")
    # what a stopped run has left to clean up is no news to anybody
    os.environ["PYTHONWARNINGS"] = "ignore::UserWarning"
    try:
        resource_tracker.ensure_running()
        # the standard library's: starting it unblocks Ctrl-C, which is not to happen between two workers
        standard_tracker.ensure_running()
    finally:
        signal.signal(signal.SIGHUP, before)
        os.environ.pop("PYTHONWARNINGS")
        if warned is not None:
            os.environ["PYTHONWARNINGS"] = warned


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[-LONGEST_TRACEBACK:]
    except OSError:
        return ""


def _clear(inflight: Path) -> None:
    for path in inflight.iterdir():
        path.unlink(missing_ok=True)

"""joblib's door to the engines: one connection a process, and a backend that sends calls through it."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any

import joblib
from joblib.parallel import ParallelBackendBase

from mocrop_prep.config import JobSettings
from mocrop_prep.engines.base import Engine, WorkersLost, signals_kept
from mocrop_prep.engines.fit import Call, Refused, own_versions
from mocrop_prep.errors import UsageError

_SEND_AGAIN = 3
_open: dict[tuple[str, str, int], Engine] = {}  # at most one: Ray and Spark have one a process


class EngineBackend(ParallelBackendBase):  # type: ignore[misc]  # joblib has no types
    """Sends joblib's calls to an engine, and hands on what comes back as it comes.

    Joblib's own backend for Dask waits forever for a call whose workers died (joblib 1.6), Ray's ends with
    the first, and Ray's and Spark's hold all results back to the end.
    """

    supports_retrieve_callback = True

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine
        self._given_up = False

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Return the number of jobs, as joblib is to see it: a single one it would run in this process."""
        return max(2, n_jobs)

    def submit(self, func: Any, callback: Callable[[Future[Any]], None]) -> Future[Any]:
        """Send joblib's calls; those that an engine gives up are sent again.

        Engines count deaths by call, and blame calls that only waited behind another. Claims know better: a
        clip is touched twice at most.
        """
        call = Call(func.items, own_versions()).sealed()

        def send(again: int) -> Future[Any]:
            future = self._engine.submit(call)
            future.add_done_callback(partial(settle, again))
            return future

        def settle(again: int, done: Future[Any]) -> None:
            if again and not self._given_up and isinstance(done.exception(), WorkersLost):
                send(again - 1)
            else:
                callback(done)

        return send(_SEND_AGAIN)

    def retrieve_result_callback(self, out: Future[Any]) -> list[Any]:
        """Return the results, or raise what the engine or a worker has to say instead."""
        try:
            results: list[Any] | Refused = out.result()
        except ModuleNotFoundError as error:
            raise _not_installed(error) from None
        if isinstance(results, Refused):
            raise UsageError(results.reason)
        return results

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Give up what has not ended."""
        del ensure_ready  # it always is
        self._given_up = True
        self._engine.cancel()


def slots(settings: JobSettings) -> int:
    """Return how many clips the settings' cluster works on at a time, no more than --jobs; connects to it."""
    there = _engine(settings).slots()
    return min(settings.jobs or there, there)


def dispatch(settings: JobSettings, jobs: int) -> dict[str, Any]:
    """Return joblib's options that keep `jobs` calls in work, and no more than --jobs."""
    # a call in reserve hides the way there and back; where only --jobs may run, it would run too
    return {"pre_dispatch": jobs if settings.jobs else 2 * jobs, "batch_size": 1}


@contextmanager
def crew(settings: JobSettings, jobs: int) -> Iterator[None]:
    """Let joblib work with so many workers of the settings' cluster in this context.

    The connection is kept for the next time; an exception closes it, and ends a cluster of our own.
    """
    try:
        with joblib.parallel_config(backend=EngineBackend(_engine(settings)), n_jobs=jobs):
            yield
    except BaseException:
        close_engine()
        raise


def close_engine() -> None:
    """Leave the cluster that this process is connected to, if there is one."""
    while _open:
        _open.popitem()[1].close()


def _engine(settings: JobSettings) -> Engine:
    """Return the connection, made at the first call; raises UsageError if there is no cluster."""
    # the workers of a cluster that is there already are not ours to count
    size = 0 if settings.scheduler else settings.jobs or joblib.cpu_count()
    key = (settings.backend, settings.scheduler, size)
    if key not in _open:
        close_engine()
        module = import_module(f"mocrop_prep.engines.with_{settings.backend}")
        with signals_kept():
            _open[key] = module.connect(settings.scheduler, size)
        atexit.register(close_engine)  # now, so that it comes before what the engine does at the end
    return _open[key]


def _not_installed(error: ModuleNotFoundError) -> UsageError:
    return UsageError(
        f"a worker of the cluster cannot import {error.name}: install the same release of mocrop, and the "
        "same libraries, on every machine"
    )

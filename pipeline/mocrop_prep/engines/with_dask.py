"""Dask: a scheduler that runs already, or one of our own with a process for each job."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from mocrop_prep.engines.base import (
    CONNECT_SECONDS,
    WORKERS_SECONDS,
    Engine,
    WorkersLost,
    check_reachable,
    gone,
    missing,
    no_workers,
    unreachable,
)
from mocrop_prep.errors import UsageError

try:
    import distributed
except ImportError as error:
    raise missing("dask", "distributed") from error

_CLOSE_SECONDS = 4.0  # less than a stopped command may take to end


def connect(scheduler: str, jobs: int) -> Engine:
    """Connect to the scheduler at an address, or start one with `jobs` workers; raises UsageError."""
    # what a lost worker means is said in the records; Dask would fill the screen with it
    for name in ("distributed", "distributed.client", "distributed.scheduler"):  # each has a level of its own
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if scheduler:
        check_reachable("dask", scheduler)
        return DaskEngine(scheduler)
    cluster = distributed.LocalCluster(
        n_workers=jobs,
        threads_per_worker=1,
        memory_limit=0,
        dashboard_address="127.0.0.1:0",  # nobody else is to look in, or to be in the way
        silence_logs=logging.CRITICAL,
    )
    return DaskEngine("", cluster)


class DaskEngine:
    """A Dask client; `own` is the cluster that ends with it, if any."""

    def __init__(self, scheduler: str, own: Any = None) -> None:
        self._scheduler, self._own = scheduler, own
        self._sent: set[Any] = set()  # a future that nobody holds is given up by Dask
        try:
            self._client = distributed.Client(own or scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise unreachable("dask", scheduler, error) from None

    def slots(self) -> int:
        """Return the number of workers; raises UsageError if there is none, or one with several threads."""
        try:
            self._client.wait_for_workers(1, timeout=WORKERS_SECONDS)
            threads = self._client.nthreads()
        except TimeoutError:
            raise no_workers("dask", self._scheduler) from None
        except (OSError, ValueError):
            raise gone("dask", self._scheduler) from None
        shared = [address for address, number in threads.items() if number > 1]
        if shared:
            raise UsageError(
                f"the Dask worker {shared[0]} has {threads[shared[0]]} threads: a clip that kills it would "
                "take others along; start workers with `dask worker --nworkers N --nthreads 1`"
            )
        return len(threads)

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        """Run a call on some worker."""
        answer: Future[Any] = Future()
        try:
            sent = self._client.submit(call, pure=False)
        except (OSError, ValueError, RuntimeError):  # the client has closed
            answer.set_exception(gone("dask", self._scheduler))
            return answer
        self._sent.add(sent)
        sent.add_done_callback(partial(self._settle, answer))
        return answer

    def cancel(self) -> None:
        """Give up all calls; one that runs already ends in its worker, unless the cluster is our own."""
        sent, self._sent = list(self._sent), set()
        if sent and self._client.status == "running":
            self._client.cancel(sent, force=True)

    def close(self) -> None:
        """Leave; our own workers are ended where they stand."""
        if self._own is not None:
            for nanny in self._own.workers.values():
                nanny.auto_restart = False
                with suppress(ProcessLookupError, TypeError):  # it has ended, and may have no number any more
                    os.kill(nanny.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            self._client.close(timeout=_CLOSE_SECONDS)
            if self._own is not None:
                self._own.close(timeout=_CLOSE_SECONDS)

    def _settle(self, answer: Future[Any], sent: Any) -> None:
        """Hand on how a call ended, in a thread of Dask's."""
        if sent not in self._sent:
            return
        self._sent.discard(sent)
        if sent.status == "cancelled" or sent.status == "lost":
            answer.set_exception(gone("dask", self._scheduler))
            return
        try:
            answer.set_result(sent.result())
        except distributed.KilledWorker as error:
            answer.set_exception(WorkersLost(str(error)))
        except Exception as error:  # noqa: BLE001  whatever the call raised goes to who asked for it
            answer.set_exception(error)

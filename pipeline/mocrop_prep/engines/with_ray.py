"""Ray: a cluster that runs already, or one of our own with a process for each job."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from mocrop_prep.engines.base import (
    Engine,
    WorkersLost,
    check_reachable,
    gone,
    missing,
    no_workers,
    unreachable,
)

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing of ours goes to anybody unasked
# what a lost worker means is said in the records; Ray would print it among what the command prints
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")

try:
    import ray
    from ray import exceptions as faults
except ImportError as error:
    raise missing("ray", "ray") from error

_TRIES_AGAIN = 3  # the second death of a worker over one clip is known from its claims
_LOST = (faults.WorkerCrashedError, faults.NodeDiedError, faults.OutOfMemoryError, faults.ObjectLostError)
_GONE = (faults.RaySystemError, faults.LocalRayletDiedError)


def connect(scheduler: str, jobs: int) -> Engine:
    """Connect to the cluster at an address, or start one with `jobs` workers; raises UsageError."""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if scheduler:
        check_reachable("ray", scheduler)
    else:
        options |= {"num_cpus": jobs, "include_dashboard": False}
    try:
        ray.init(address=scheduler or "local", **options)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise unreachable("ray", scheduler, error) from None
    return RayEngine(scheduler)


class RayEngine:
    """Ray as this process sees it."""

    def __init__(self, scheduler: str) -> None:
        self._scheduler = scheduler
        # tasks, not actors: each goes to whatever worker is free, on all machines, and is run again elsewhere
        options = {"num_cpus": 1, "max_retries": _TRIES_AGAIN, "scheduling_strategy": "SPREAD"}
        # a lambda travels as code: a worker without this package can still say that it has none
        self._remote = ray.remote(**options)(lambda call: call())
        self._sent: set[Any] = set()

    def slots(self) -> int:
        """Return the number of CPUs that Ray gives out; raises UsageError if there is none."""
        try:
            number = int(ray.cluster_resources().get("CPU", 0))
        except _GONE:
            raise gone("ray", self._scheduler) from None
        if not number:
            raise no_workers("ray", self._scheduler)
        return number

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        """Run a call in some worker."""
        answer: Future[Any] = Future()
        sent = self._remote.remote(call)
        self._sent.add(sent)

        def settle(done: Future[Any]) -> None:
            self._sent.discard(sent)
            try:
                answer.set_result(done.result())
            except _LOST as error:
                answer.set_exception(WorkersLost(str(error)))
            except _GONE:
                answer.set_exception(gone("ray", self._scheduler))
            except faults.RayTaskError as error:
                answer.set_exception(error.cause if isinstance(error.cause, Exception) else error)
            except Exception as error:  # noqa: BLE001  whatever the call raised goes to who asked for it
                answer.set_exception(error)

        sent.future().add_done_callback(settle)
        return answer

    def cancel(self) -> None:
        """Give up all calls, and end the workers that run them."""
        sent, self._sent = list(self._sent), set()
        for each in sent:
            ray.cancel(each, force=True)

    def close(self) -> None:
        """Leave; our own workers end."""
        ray.shutdown()

"""Spark: a cluster that runs already, or this machine's cores with a Python process for each job."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import IO, Any

from mocrop_prep.engines.base import (
    WORKERS_SECONDS,
    Engine,
    WorkersLost,
    check_reachable,
    gone,
    missing,
    no_workers,
    unreachable,
)

try:
    from joblibspark.backend import SparkDistributedBackend
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession
except ImportError as error:
    raise missing("spark", "joblibspark") from error

_GONE = (Py4JError, PySparkException, OSError)  # as when Java has heard the signal that stops us, too
_TRIES = 4  # as Spark's own on clusters: the second death over one clip is known from its claims
_SETTLE_SECONDS = 0.5
_OF_PYTHON = "org.apache.spark.api.python.PythonException"
_NO_MODULE = "ModuleNotFoundError: No module named "


def connect(scheduler: str, jobs: int) -> Engine:
    """Connect to the master at an address, or take this machine's cores; raises UsageError."""
    if scheduler:
        check_reachable("spark", scheduler)
    # workers need this very Python: on other machines it lies under the same path, unless the user says where
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings = {
        "spark.master": scheduler or f"local[{jobs},{_TRIES}]",
        "spark.app.name": "mocrop-prep",
        "spark.log.level": "OFF",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.executorEnv.OMP_NUM_THREADS": "1",
    }
    # its advice on releases, names of hosts and kinds of clusters is not for who runs a command
    warnings.filterwarnings("ignore", module=r"(pyspark|joblibspark)\.")
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    builder = SparkSession.builder
    for name, value in settings.items():
        builder = builder.config(name, value)
    with _errors_in_a_file() as said:
        try:
            return SparkEngine(builder.getOrCreate(), scheduler)
        except (OSError, RuntimeError, Py4JError, PySparkException) as error:
            said.seek(0)
            last_words = said.read().strip().splitlines()[-1:]
            raise unreachable("spark", scheduler, last_words[0] if last_words else error) from None


@contextmanager
def _errors_in_a_file() -> Iterator[IO[str]]:
    """Let the file of this process's errors be another while Java starts, which writes there all its life."""
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile("w+", errors="replace") as stream:
        os.dup2(stream.fileno(), 2)
        try:
            yield stream
        finally:
            os.dup2(before, 2)
            os.close(before)


class SparkEngine:
    """A Spark session, and joblib-spark that makes a job of each call."""

    def __init__(self, session: Any, scheduler: str) -> None:
        self._session, self._scheduler = session, scheduler
        self._sender: Any = None

    def slots(self) -> int:
        """Return how many tasks Spark runs at a time; raises UsageError if that is none."""
        number, until = 0, time.monotonic() + WORKERS_SECONDS
        while time.monotonic() < until:
            before, number = number, self._slots_now()
            if number and number == before:
                return number
            time.sleep(_SETTLE_SECONDS)  # they come one after the other
        if number:
            return number
        raise no_workers("spark", self._scheduler)

    def _slots_now(self) -> int:
        try:
            number: int = SparkDistributedBackend().effective_n_jobs(-1)
        except _GONE:
            raise gone("spark", self._scheduler) from None
        return number

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        """Run a call as a job of one task."""
        answer: Future[Any] = Future()
        if self._sender is None:
            self._sender = SparkDistributedBackend()
            self._sender.configure(n_jobs=2 * max(1, self._slots_now()))  # whoever asks has waited for them
            self._sender.start_call()

        def settle(out: Any) -> None:
            error = getattr(out, "exc", out)  # as joblib wraps what is raised
            if isinstance(error, Exception):
                answer.set_exception(self._meaning(error))
            else:
                answer.set_result(out)

        self._sender.apply_async(call, settle)
        return answer

    def cancel(self) -> None:
        """Give up all calls; Spark ends the processes that run them."""
        sender, self._sender = self._sender, None
        if sender is not None:
            with suppress(*_GONE):
                sender.terminate()

    def close(self) -> None:
        """Leave; processes of our own end."""
        self.cancel()
        with suppress(*_GONE):
            self._session.stop()

    def _meaning(self, error: Exception) -> Exception:
        """Say what the failure of a job means: it comes as the text of a Java exception."""
        text = str(error)
        if _NO_MODULE in text:
            name = text.partition(_NO_MODULE)[2].split("\n")[0].strip("'\" ")
            return ModuleNotFoundError(text, name=name)
        if isinstance(error, Py4JError | PySparkException) and _OF_PYTHON not in text:
            return WorkersLost(text[:500]) if "Job aborted" in text else gone("spark", self._scheduler)
        return error

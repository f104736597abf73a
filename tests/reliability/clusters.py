"""Real clusters on this machine: schedulers and workers that run before a command comes, as on any other."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
_START_SECONDS = 60.0
_FREE: Mapping[str, str] = {}


def free_port() -> int:
    """Return the number of a port that nobody listens at, below those that are given out by themselves."""
    for number in range(8600 + os.getpid() % 400, 9990):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", number)):
                return number
    raise AssertionError("no port is free")


@contextmanager
def program(words: Sequence[object], log: Path, environment: Mapping[str, str] = _FREE) -> Iterator[None]:
    """Run a program beside a test, with its words in a file, and its number in another."""
    path = os.pathsep.join([*sys.path, str(ROOT)])
    with log.open("w") as stream:
        process = subprocess.Popen(
            [str(word) for word in words],
            stdout=stream,
            stderr=stream,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
        )
        log.with_suffix(".pid").write_text(f"{process.pid}")
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(log: Path, words: str, times: int = 1) -> None:
    """Wait until a program has said something."""
    until = time.monotonic() + _START_SECONDS
    while log.read_text(errors="replace").count(words) < times:
        assert time.monotonic() < until, log.read_text(errors="replace")[-2000:]
        time.sleep(0.1)


@contextmanager
def dask_cluster(
    folder: Path, workers: int = 2, threads: int = 1, environment: Mapping[str, str] = _FREE
) -> Iterator[str]:
    """Run a Dask scheduler that has never heard of this package, and workers in the given environment."""
    address = f"tcp://127.0.0.1:{free_port()}"
    dask = (sys.executable, "-m", "dask")
    with ExitStack() as running:
        alone = (*dask, "scheduler", "--host", address, "--no-dashboard")
        running.enter_context(program(alone, folder / "scheduler.log", {"PYTHONPATH": ""}))
        wait_for(folder / "scheduler.log", "Scheduler at:")
        if workers:
            words: list[object] = [
                *dask,
                "worker",
                address,
                "--nworkers",
                workers,
                "--nthreads",
                threads,
                "--no-dashboard",
            ]
            words += ["--local-directory", folder]
            running.enter_context(program(words, folder / "workers.log", environment))
            wait_for(folder / "workers.log", "Starting established connection", workers)
        yield address


@contextmanager
def ray_cluster(folder: Path, workers: int = 2) -> Iterator[str]:
    """Run a Ray node with so many CPUs."""
    port = free_port()
    ray = Path(sys.executable).with_name("ray")
    words = [ray, "start", "--head", "--port", port, "--num-cpus", workers, "--block"]
    words += [
        "--include-dashboard=false",
        "--min-worker-port",
        20000,
        "--max-worker-port",
        20999,
    ]
    with program(words, folder / "ray.log", {"RAY_USAGE_STATS_ENABLED": "0"}):
        wait_for(folder / "ray.log", "Ray runtime started")
        said = (folder / "ray.log").read_text()
        yield re.findall(r"ray start --address='([^']+)'", said)[0]  # Ray takes no 127.0.0.1


@contextmanager
def spark_cluster(folder: Path, workers: int = 2) -> Iterator[str]:
    """Run a Spark master, and workers of one core each."""
    import pyspark

    home = Path(pyspark.__file__).parent
    run = (home / "bin" / "spark-class",)
    deploy = "org.apache.spark.deploy"
    port = free_port()
    address = f"spark://127.0.0.1:{port}"
    here = ["--host", "127.0.0.1", "--webui-port", 0]
    with ExitStack() as running:
        words = [*run, f"{deploy}.master.Master", *here, "--port", port]
        running.enter_context(program(words, folder / "master.log"))
        wait_for(folder / "master.log", "New state: ALIVE")
        for number in range(workers):
            words = [*run, f"{deploy}.worker.Worker", *here, "--cores", 1, "--memory", "1G"]
            words += ["-d", folder / f"worker{number}", address]
            running.enter_context(program(words, folder / f"worker{number}.log"))
            wait_for(folder / f"worker{number}.log", "Successfully registered with master")
        yield address

"""What work takes of this process: time by the clock and on its cores, and memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Spent(NamedTuple):
    """Seconds: by the clock, and of this process on its cores."""

    wall: float
    cpu: float


def spent(work: Callable[[], object]) -> Spent:
    """Return how long a call takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def peak_memory_mb() -> float:
    """Return the most memory that this process has held: not its ru_maxrss, in which its parent counts."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024

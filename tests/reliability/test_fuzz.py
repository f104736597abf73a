"""The readers of our own formats against bytes that nobody wrote: they read, or refuse in one line.

The quick tests try the seeds, what once broke a reader, and some mutations. The slow ones let atheris look
for more, guided by coverage; `python -m tests.fuzz TARGET` does so for as long as one likes.
"""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from tests.fuzz.past import PAST
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
MUTATIONS = 60
SECONDS = 20
PATIENCE = 60  # seconds, for all inputs of one quick test


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    def rung(signum: int, frame: FrameType | None) -> None:
        raise AssertionError(f"not done after {PATIENCE} seconds")

    before = signal.signal(signal.SIGALRM, rung)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def mutated(seed: bytes, rng: random.Random) -> bytes:
    """Change, insert, remove or repeat a few bytes."""
    data = bytearray(seed)
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(data) + 1), rng.choice((1, 1, 2, 4, 8, 64))
        match rng.randrange(5):
            case 0:
                data[at : at + length] = rng.randbytes(length)
            case 1:
                data[at:at] = rng.randbytes(length)
            case 2:
                del data[at : at + length]
            case 3:
                data[at : at + 1] = bytes([rng.choice((0, 1, 127, 128, 255))])
            case 4:
                data[at:at] = data[at : at + length]
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read_and_mutations_of_them_break_no_promise(tmp_path: Path, name: str) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    assert all(len(seed) <= target.longest for seed in seeds)  # longer ones are cut
    rng = random.Random(name)
    read = [target.read(tmp_path, seed) for seed in seeds]
    assert read[0] if name.endswith("-edited") else all(read)  # the first program edits nothing
    for _ in range(MUTATIONS):
        target.read(tmp_path, mutated(rng.choice(seeds), rng))


@pytest.mark.parametrize("name", PAST)
def test_what_once_broke_a_reader_breaks_it_no_more(tmp_path: Path, name: str) -> None:
    for data in PAST[name]:
        TARGETS[name].read(tmp_path, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_fuzzing_guided_by_coverage_breaks_no_promise(tmp_path: Path, name: str) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip(
            "atheris has wheels for CPython 3.11 to 3.14 on Linux, x86-64; `make test-slow` installs it"
        )
    signal.alarm(SECONDS + 120)
    command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(SECONDS), "--work", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    crashes = {path.name: path.read_bytes()[:200] for path in (tmp_path / name / "crashes").iterdir()}
    assert done.returncode == 0, f"{crashes}\n{done.stderr[-3000:]}"
    assert "stat::number_of_executed_units" in done.stderr

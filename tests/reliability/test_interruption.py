"""A run that is stopped says what is done, leaves nobody behind, and goes on to the same end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import DEFAULT, ok, outputs, prep
from tests.films import WEB, XVID, encode, moving_square
from tests.reliability.kills import (
    STOPPED,
    STOPS,
    disturb,
    farewell,
    leftovers,
    rehearse,
    started,
    stop,
    wait_for_silence,
    workers,
)

JOURNAL = f"journal/run-{DEFAULT}.jsonl"
LATER = [kind for kind in STOPS if kind != "ctrl-c"]
OPTIONS = ("--quiet", "--preset", "medium", "--shard-size", "1")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve clips that take a moment each."""
    root = tmp_path_factory.mktemp("many") / "clips"
    for number in range(12):
        label = ("walk", "run", "jump")[number % 3]
        film = moving_square(48, size=(240, 180), seed=number)
        encode(root / label / f"v_{label}_g{number:02d}_c01.avi", film, XVID if number % 2 else WEB)
    return root


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that takes the slowest preset a minute or so."""
    root = tmp_path_factory.mktemp("long") / "clips"
    encode(root / "walk/long.mp4", moving_square(60, size=(320, 240)) * 15, WEB)
    return root


@pytest.fixture(scope="module")
def undisturbed(many: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    workdir = tmp_path_factory.mktemp("undisturbed") / "work"
    ok("run", many, workdir, *OPTIONS)
    found = outputs(workdir)
    assert len(found) == 1 + 12 + 2
    return found


def wait_until(true: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Return as soon as something is true of a running command."""
    deadline = time.monotonic() + 60
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.parametrize(
    ("kind", "jobs"), [("ctrl-c", 1), ("sigterm", 2), pytest.param("hangup", 2, marks=pytest.mark.slow)]
)
def test_a_stopped_run_says_how_far_it_came_and_leaves_no_process(
    many: Path, undisturbed: dict[str, str], tmp_path: Path, kind: str, jobs: int
) -> None:
    workdir = tmp_path / "work"
    with started("run", many, workdir, *OPTIONS, "--jobs", jobs) as process:
        wait_until(lambda: lines(workdir / JOURNAL) >= 3, process)
        assert stop(process, kind)
        numbers = re.search(rf"run-{DEFAULT}: (\d+) of 12 clips", farewell(process))
        assert wait_for_silence(process.pid, 3) == []
    before = (workdir / JOURNAL).read_bytes()
    assert 3 <= before.count(b"\n") < 12
    assert numbers is not None
    assert int(numbers[1]) == before.count(b"\n")
    ok("run", many, workdir, *OPTIONS)
    after = (workdir / JOURNAL).read_bytes()
    assert after.startswith(before)
    assert after.count(b"\n") == 12
    assert outputs(workdir) == undisturbed
    assert leftovers(workdir) == []


@pytest.mark.parametrize(
    "keep", [pytest.param((), marks=pytest.mark.slow), ("--keep",)], ids=["lean", "keep"]
)
def test_what_was_done_before_a_kill_is_not_done_again(
    many: Path, undisturbed: dict[str, str], tmp_path: Path, keep: tuple[str, ...]
) -> None:
    workdir = tmp_path / "work"
    with started("run", many, workdir, *OPTIONS, *keep, "--jobs", 1) as process:
        wait_until(lambda: lines(workdir / JOURNAL) >= 4, process)
        process.kill()
        process.wait()
        done = (workdir / JOURNAL).read_bytes()
        assert lines(workdir / JOURNAL) < 12
        assert not (workdir / f"shards/{DEFAULT}/dataset.json").exists()
        ok("run", many, workdir, *OPTIONS, *keep)
    assert (workdir / JOURNAL).read_bytes().startswith(done[: done.rfind(b"\n") + 1])
    assert lines(workdir / JOURNAL) == 12
    assert outputs(workdir) == undisturbed


def test_nobody_waits_for_a_long_clip(long: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    with started("transcode", long, workdir, "--quiet", "--preset", "veryslow", "--jobs", 1) as process:
        wait_until(lambda: list(workdir.glob("transcoded/.tmp-*")), process)
        stopped = time.monotonic()
        assert stop(process, "ctrl-c")
        assert time.monotonic() - stopped < 3
        assert "0 of 1 clips" in farewell(process)
        assert wait_for_silence(process.pid, 3) == []
    assert prep("status", workdir).status == 0


@pytest.mark.parametrize("kind", ["ctrl-c", *(pytest.param(kind, marks=pytest.mark.slow) for kind in LATER)])
def test_a_run_that_is_stopped_as_it_writes_shards_leaves_no_set_that_looks_whole(
    many: Path, undisturbed: dict[str, str], tmp_path: Path, kind: str
) -> None:
    workdir = tmp_path / "work"
    with started("run", many, workdir, *OPTIONS, "--jobs", 2) as process:
        wait_until(lambda: list(workdir.glob(f"shards/{DEFAULT}/*")), process)
        assert stop(process, kind)
        assert wait_for_silence(process.pid, 3) == []
    assert not (workdir / f"shards/{DEFAULT}/dataset.json").exists()
    assert lines(workdir / JOURNAL) == 12
    ok("run", many, workdir, *OPTIONS)
    assert lines(workdir / JOURNAL) == 12
    assert outputs(workdir) == undisturbed
    assert leftovers(workdir) == []


@pytest.mark.slow
def test_a_run_that_is_stopped_before_its_first_clip_can_be_started_again(
    many: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    workdir = tmp_path / "work"
    with started("run", many, workdir, *OPTIONS, "--jobs", 2) as process:
        wait_until((workdir / "journal/workdir.json").exists, process)
        assert stop(process, "ctrl-c")
        assert wait_for_silence(process.pid, 3) == []
    ok("run", many, workdir, *OPTIONS)
    assert outputs(workdir) == undisturbed


@pytest.mark.parametrize(
    "pause", [0.03, *(pytest.param(wait, marks=pytest.mark.slow) for wait in (0, 0.1, 0.2))]
)
def test_a_second_ctrl_c_brings_no_traceback(many: Path, tmp_path: Path, pause: float) -> None:
    workdir = tmp_path / "work"
    with started("run", many, workdir, *OPTIONS, "--jobs", 2) as process:
        wait_until(lambda: lines(workdir / JOURNAL) >= 1, process)
        for _ in range(3):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(pause)
        assert process.wait(5) == STOPPED
        assert "stopped" in farewell(process)
        assert wait_for_silence(process.pid, 3) == []
    assert prep("status", workdir).status == 0


@pytest.mark.slow
def test_a_command_that_was_started_to_outlive_its_terminal_does(many: Path, tmp_path: Path) -> None:
    shell = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]
    workdir = tmp_path / "work"
    with started("run", many, workdir, *OPTIONS, "--limit", 6, "--jobs", 1, through=shell) as process:
        wait_until(lambda: lines(workdir / JOURNAL) >= 2, process)
        os.killpg(process.pid, signal.SIGHUP)
        assert process.wait(60) == 0
    assert lines(workdir / JOURNAL) == 6


@pytest.mark.parametrize(
    "moment", ["starting", pytest.param("working", marks=pytest.mark.slow), "writing shards"]
)
def test_workers_end_soon_after_the_command_was_killed(many: Path, tmp_path: Path, moment: str) -> None:
    workdir = tmp_path / "work"
    with started("run", many, workdir, *OPTIONS, "--jobs", 2) as process:
        wait_until(
            lambda: {
                "starting": workers(process.pid),
                "working": lines(workdir / JOURNAL) >= 2,
                "writing shards": list(workdir.glob(f"shards/{DEFAULT}/*.tar")),
            }[moment],
            process,
        )
        # a process that was just forked has its name only in a moment
        wait_until(lambda: workers(process.pid), process)
        process.kill()
        process.wait()
        assert wait_for_silence(process.pid, 3) == []


@pytest.mark.slow
def test_a_run_may_be_stopped_at_any_moment(many: Path, tmp_path: Path) -> None:
    play = rehearse(lambda workdir: ("run", many, workdir, "--keep", *OPTIONS), tmp_path / "whole")
    disturb(play, tmp_path, 20, seed=3, kinds=tuple(STOPS))

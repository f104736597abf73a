"""A run that is stopped, however rudely, goes on to the same end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.commands import DEFAULT, ok, outputs, prep, start
from tests.films import WEB, XVID, encode, moving_square

JOURNAL = f"journal/run-{DEFAULT}.jsonl"
OPTIONS = ("--quiet", "--preset", "medium", "--shard-size", "3")


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
def undisturbed(many: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    workdir = tmp_path_factory.mktemp("undisturbed") / "work"
    ok("run", many, workdir, *OPTIONS)
    found = outputs(workdir)
    assert len(found) == 1 + 4 + 2
    return found


def wait_for_lines(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Return as soon as a journal has so many lines."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    pytest.fail(f"{path} has no {count} lines after a minute")


def living(session: int) -> list[str]:
    """Return the processes of a session that are alive."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().rpartition(")")
        except OSError:  # it ended just now
            continue
        fields = rest.split()
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(name)
    return found


def wait_for_silence(session: int, seconds: float) -> list[str]:
    deadline = time.monotonic() + seconds
    while (left := living(session)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


@contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start mocrop-prep, and leave none of its processes behind whatever the test finds."""
    process = start(*arguments)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def leftovers(workdir: Path) -> list[Path]:
    return [
        *workdir.rglob(".tmp-*"),
        *workdir.glob("journal/samples-*/*"),
        *workdir.glob("journal/inflight/*"),
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_run_is_finished_by_the_next(
    many: Path, undisturbed: dict[str, str], tmp_path: Path, jobs: int
) -> None:
    workdir = tmp_path / "work"
    with started("run", many, workdir, *OPTIONS, "--jobs", jobs) as process:
        wait_for_lines(workdir / JOURNAL, 4, process)
        process.kill()
        process.wait()
        done = (workdir / JOURNAL).read_bytes().count(b"\n")
        assert 4 <= done < 12
        assert not (workdir / f"shards/{DEFAULT}/dataset.json").exists()
        ok("run", many, workdir, *OPTIONS)
        assert outputs(workdir) == undisturbed
        assert (workdir / JOURNAL).read_bytes().count(b"\n") == 12
    assert leftovers(workdir) == []
    assert outputs(workdir) == undisturbed
    assert prep("verify", workdir).status == 0


def test_workers_end_soon_after_the_command_was_killed(many: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    with started("run", many, workdir, *OPTIONS, "--jobs", 2) as process:
        wait_for_lines(workdir / JOURNAL, 2, process)
        assert len(living(process.pid)) > 2
        process.kill()
        process.wait()
        assert wait_for_silence(process.pid, 8) == []


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_stopped_run_says_so_in_one_line_and_leaves_no_process(
    many: Path, undisturbed: dict[str, str], tmp_path: Path, number: signal.Signals, jobs: int
) -> None:
    workdir = tmp_path / "work"
    with started("run", many, workdir, *OPTIONS, "--jobs", jobs) as process:
        wait_for_lines(workdir / JOURNAL, 3, process)
        if number is signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        out, err = process.communicate(timeout=10)
        assert process.returncode == 130, err
        assert out == ""
        lines = [line for line in err.splitlines() if line]
        assert len(lines) == 1, err
        assert "stopped" in lines[0]
        assert wait_for_silence(process.pid, 3) == []
    before = (workdir / JOURNAL).read_bytes()
    assert 3 <= before.count(b"\n") < 12
    ok("run", many, workdir, *OPTIONS)
    assert (workdir / JOURNAL).read_bytes().startswith(before)
    assert outputs(workdir) == undisturbed
    assert leftovers(workdir) == []


def test_a_stage_that_is_stopped_goes_on_too(many: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    options = ("--quiet", "--preset", "medium")
    with started("transcode", many, workdir, *options, "--jobs", 2) as process:
        wait_for_lines(workdir / "journal/transcode.jsonl", 3, process)
        process.terminate()
        assert process.wait(10) == 130
    ok("transcode", many, workdir, *options)
    ok("transcode", many, tmp_path / "whole", *options)
    names = sorted(path.name for path in (workdir / "transcoded").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "whole/transcoded").iterdir())
    for name in names:
        one, other = workdir / "transcoded" / name, tmp_path / "whole/transcoded" / name
        assert one.read_bytes() == other.read_bytes()


def kill_at_random(many: Path, workdir: Path, times: int, seed: int, *options: str) -> None:
    """Start a run again and again; kill it, or its whole session, at a random moment of its life."""
    rng = random.Random(seed)
    with ExitStack() as ends:
        for _ in range(times):
            arguments = ("run", many, workdir, *OPTIONS, *options, "--jobs", rng.choice([1, 2]))
            process = ends.enter_context(started(*arguments))
            time.sleep(rng.uniform(0.3, 3.0))
            if rng.random() < 0.5:
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def check_the_end(many: Path, workdir: Path, undisturbed: dict[str, str], *options: str) -> None:
    ok("run", many, workdir, *OPTIONS, *options)
    assert outputs(workdir) == undisturbed
    assert leftovers(workdir) == []
    assert prep("verify", workdir).status == 0


def test_five_random_kills_change_nothing(many: Path, undisturbed: dict[str, str], tmp_path: Path) -> None:
    kill_at_random(many, tmp_path / "work", 5, seed=1)
    check_the_end(many, tmp_path / "work", undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("keep", [(), ("--keep",)], ids=["lean", "keep"])
def test_thirty_random_kills_change_nothing(
    many: Path, undisturbed: dict[str, str], tmp_path: Path, keep: tuple[str, ...]
) -> None:
    for part in range(6):
        kill_at_random(many, tmp_path / "work", 5, 10 + part, *keep)
        check_the_end(many, tmp_path / "work", undisturbed, *keep)
        (tmp_path / "work" / JOURNAL).unlink()

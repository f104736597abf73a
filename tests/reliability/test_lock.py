"""One command at a time changes a WORKDIR; a dead one is in nobody's way, and looking is always allowed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.commands import DEFAULT, ok, prep, tree
from tests.films import WEB, encode, moving_square
from tests.reliability.kills import started, wait_for_silence, workers

OPTIONS = ("--quiet", "--preset", "veryslow")


@pytest.fixture(scope="module")
def slow_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips that take the slowest preset many seconds."""
    root = tmp_path_factory.mktemp("slow") / "clips"
    for number in range(2):
        encode(root / f"walk/{number}.mp4", moving_square(60, size=(320, 240), seed=number) * 10, WEB)
    return root


@pytest.fixture
def holder(source: Path, workdir: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that has begun to change a finished WORKDIR, and is frozen there."""
    with started("shard", workdir, "--name", "other", "--quiet", "--jobs", 1) as process:
        frozen = wait_for_lock(workdir, process)
        os.kill(frozen, signal.SIGSTOP)
        yield process


def wait_for_lock(workdir: Path, process: subprocess.Popen[str]) -> int:
    """Return the number of the process that holds a WORKDIR, as soon as it is the one expected."""
    lock = workdir / "journal/lock"
    deadline = time.monotonic() + 30
    while not (lock.exists() and lock.read_text().split()[:1] == [str(process.pid)]):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return process.pid


def wait_for_workers(process: subprocess.Popen[str], workdir: Path) -> list[int]:
    """Return the workers of a command as soon as one of them writes."""
    deadline = time.monotonic() + 30
    while not list(workdir.glob("transcoded/.tmp-*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return workers(process.pid)


def contents(workdir: Path) -> dict[str, str]:
    return {name: digest for name, digest in tree(workdir).items() if name != "journal/lock"}


def refusal(workdir: Path, *command: object) -> str:
    """Return the one line with which a command is refused."""
    begun = time.monotonic()
    outcome = prep(*command)
    assert outcome.status == 2, outcome
    assert outcome.out == ""
    assert time.monotonic() - begun < 2
    assert len(outcome.errors) == 1, outcome
    return outcome.errors[0]


def test_a_second_command_is_refused_at_once_and_told_by_whom(
    source: Path, workdir: Path, holder: subprocess.Popen[str]
) -> None:
    before = contents(workdir)
    for command in (
        ("run", source, workdir),
        ("transcode", source, workdir),
        ("extract", workdir),
        ("crop", workdir),
        ("shard", workdir),
    ):
        said = refusal(workdir, *command)
        assert "in use" in said
        assert str(holder.pid) in said.split()
    assert contents(workdir) == before
    os.kill(holder.pid, signal.SIGCONT)
    assert holder.wait(60) == 0


def test_looking_is_allowed_while_a_command_works(workdir: Path, holder: subprocess.Popen[str]) -> None:
    for command in ("status", "preview", "verify"):
        outcome = prep(command, workdir)
        assert outcome.status == 0, outcome
        assert "in use" not in outcome.err
    os.kill(holder.pid, signal.SIGCONT)
    assert holder.wait(60) == 0


def test_a_workdir_is_the_same_by_another_path(
    source: Path, workdir: Path, holder: subprocess.Popen[str]
) -> None:
    link = workdir.parent / "link"
    link.symlink_to(workdir)
    assert str(holder.pid) in refusal(link, "run", source, link)
    assert str(holder.pid) in refusal(link, "crop", link / ".." / "link" / ".")


def test_the_lock_of_a_killed_command_is_free(workdir: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    ok("crop", workdir, "--name", "again")
    assert str(holder.pid) not in (workdir / "journal/lock").read_text()


def test_workers_have_no_part_in_the_lock(slow_source: Path, tmp_path: Path) -> None:
    """Those of a killed command live on for a moment: the next one has to start all the same."""
    workdir = tmp_path / "work"
    with started("transcode", slow_source, workdir, *OPTIONS, "--jobs", 2) as process:
        alive = wait_for_workers(process, workdir)
        assert alive
        for worker in alive:
            open_files = [os.readlink(link) for link in Path(f"/proc/{worker}/fd").iterdir()]
            assert not any(name.endswith("/journal/lock") for name in open_files)
            os.kill(worker, signal.SIGSTOP)
        process.kill()
        process.wait()
        ok("transcode", slow_source, workdir, "--limit", 1, "--preset", "ultrafast")
        assert prep("verify", workdir).status == 0
        for worker in alive:
            os.kill(worker, signal.SIGCONT)
        assert wait_for_silence(process.pid, 3) == []
    assert list(workdir.rglob(".tmp-*")) == []
    assert prep("verify", workdir).status == 0


def test_of_commands_that_start_at_once_one_works_and_the_others_say_so(
    slow_source: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "work"
    command = ("run", slow_source, workdir, "--quiet", "--preset", "ultrafast", "--jobs", 1)
    with ExitStack() as ends:
        processes = [ends.enter_context(started(*command)) for _ in range(4)]
        outcomes = [(process.wait(60), process.communicate()[1]) for process in processes]
    assert {status for status, _ in outcomes} <= {0, 2}
    assert (0, "") in outcomes
    for status, err in outcomes:
        assert status == 0 or ("in use" in err and len(err.splitlines()) == 1), err
    assert prep("verify", workdir).status == 0
    assert list(workdir.rglob(".tmp-*")) == []


def test_what_a_killed_command_left_is_swept_by_the_next(workdir: Path) -> None:
    places = (
        "",
        "transcoded",
        "motion",
        "crops",
        f"shards/{DEFAULT}",
        "journal",
        "journal/samples-x",
        "reports",
    )
    temporaries = [workdir / place / ".tmp-123-123-half.mp4" for place in places]
    for temporary in temporaries:
        temporary.parent.mkdir(exist_ok=True)
        temporary.write_bytes(b"half")
    ok("crop", workdir)
    assert [path for path in temporaries if path.exists()] == []

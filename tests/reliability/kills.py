"""Kill commands at any moment, start them again, and hold what they leave against an undisturbed run."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.commands import prep, start, tree

KILLS = ("parent", "group")
"""Whom SIGKILL meets: the command alone, or its workers with it."""
STOPS = {"ctrl-c": signal.SIGINT, "sigterm": signal.SIGTERM, "hangup": signal.SIGHUP}
"""Signals that a command answers; those of a terminal meet its workers too."""
STOPPED = 130
STARTING = 0.25
"""Seconds in which a command only loads its modules: no kill is wasted on them."""
_OF_THE_MOMENT = {"seconds", "crc", "traceback"}  # what two runs of one clip may say differently


@dataclass(frozen=True)
class Play:
    """A command that is to be killed: its arguments for a WORKDIR, and what it makes if nobody disturbs it.

    before: a WORKDIR that it begins with, or None. seconds: how long it lives.
    """

    arguments: Callable[[Path], tuple[object, ...]]
    before: Path | None
    status: int
    seconds: float
    made: dict[str, Any]


@dataclass(frozen=True)
class Blow:
    """What a command was met with, after how many seconds of life, and whether it met somebody alive."""

    kind: str
    after: float
    hit: bool


def state(workdir: Path) -> dict[str, Any]:
    """Return all that a WORKDIR holds: digests of files, records of journals, empty folders.

    The lock, the times in reports, and the order in which clips were finished are left out.
    """
    found: dict[str, Any] = {
        f"{path.relative_to(workdir).as_posix()}/": "a folder"
        for path in workdir.rglob("*")
        if path.is_dir() and not any(path.iterdir())
    }
    for name, digest in tree(workdir).items():
        if name.endswith(".jsonl"):
            found[name] = _records(workdir / name)
        elif name != "journal/lock" and name not in ("reports/summary.json", "reports/tracebacks.txt"):
            found[name] = digest
    return found


def leftovers(workdir: Path) -> list[Path]:
    """Return what an unfinished run leaves: temporaries, waiting samples, in-flight markers."""
    return [
        *workdir.rglob(".tmp-*"),
        *workdir.glob("journal/samples-*"),
        *workdir.glob("journal/inflight/*"),
    ]


def rehearse(
    arguments: Callable[[Path], tuple[object, ...]],
    workdir: Path,
    before: Path | None = None,
    status: int = 0,
) -> Play:
    """Run a command undisturbed in `workdir`, and return what it is to be held against."""
    _set_up(workdir, before)
    started = time.monotonic()
    process = start(*arguments(workdir), "--jobs", 2)
    _, err = process.communicate(timeout=120)
    assert process.returncode == status, err
    seconds = time.monotonic() - started
    return Play(arguments, before, status, seconds, state(workdir))


def disturb(play: Play, folder: Path, blows: int, seed: int, kinds: Sequence[str] = KILLS) -> list[Blow]:
    """Run a command to its end again and again until so many blows have hit; check what each end leaves.

    The moments spread over the command's life. A command is ended twice before it may finish; the one that
    finishes may lose a worker, and has to end well all the same.
    """
    rng = random.Random(seed)
    dealt: list[Blow] = []
    while sum(blow.hit for blow in dealt) < blows:
        assert len(dealt) < 4 * blows, f"most blows missed: {dealt}"
        workdir = folder / f"{len(dealt)}"
        _set_up(workdir, play.before)
        with ExitStack() as ends:
            sessions = []
            for kind in (rng.choice(kinds), rng.choice(kinds), "worker"):
                process = ends.enter_context(started(*play.arguments(workdir), "--jobs", rng.choice([1, 2])))
                sessions.append(process.pid)
                # steps of the golden ratio leave no part of the life out, however many there are
                share = (seed / 7 + len(dealt) * 0.6180339887) % 1
                moment = STARTING + share * max(play.seconds - STARTING, 0.1)
                dealt.append(_deal(process, kind, moment, rng))
                print(f"seed {seed}, {workdir.name}: {dealt[-1]}, of {play.seconds:.2f} s")
                if kind == "worker" or not dealt[-1].hit:
                    break
            assert status_of(process) == play.status, process.communicate(timeout=10)
            assert not (left := [one for session in sessions for one in wait_for_silence(session, 3)]), left
            assert_same(workdir, play.made, f"seed {seed}, {dealt[-len(sessions) :]}")
        shutil.rmtree(workdir)
    return dealt


def assert_same(workdir: Path, made: dict[str, Any], what: str) -> None:
    """Fail unless a WORKDIR holds what an undisturbed one does, no more and no less, and verify agrees."""
    left = leftovers(workdir)
    assert not left, f"{what}: {left}"
    found = state(workdir)
    differing = sorted(name for name in {*found, *made} if found.get(name) != made.get(name))
    assert not differing, "\n".join([what, *(_difference(name, found, made) for name in differing)])
    checked = prep("verify", workdir)
    assert checked.status == 0, f"{what}: {checked}"


def _difference(name: str, found: dict[str, Any], made: dict[str, Any]) -> str:
    one, other = found.get(name), made.get(name)
    if isinstance(one, list) and isinstance(other, list):
        more = [record for record in one if one.count(record) > other.count(record)]
        fewer = [record for record in other if other.count(record) > one.count(record)]
        return f"{name}: more {more}, fewer {fewer}"
    return f"{name}: {one} where {other} was made"


def _set_up(workdir: Path, before: Path | None) -> None:
    if before is not None:
        shutil.copytree(before, workdir)


def _deal(process: subprocess.Popen[str], kind: str, after: float, rng: random.Random) -> Blow:
    """Meet a command, its process group or one of its workers when it is `after` seconds old."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(after)
        return Blow(kind, after, hit=False)
    if kind == "worker":
        found = workers(process.pid)
        with suppress(ProcessLookupError):
            if found:
                os.kill(rng.choice(found), signal.SIGKILL)
                return Blow(kind, after, hit=True)
        return Blow(kind, after, hit=False)
    if kind in STOPS:
        return Blow(kind, after, hit=stop(process, kind))
    if kind == "parent":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    return Blow(kind, after, hit=process.wait() == -signal.SIGKILL)


def status_of(process: subprocess.Popen[str]) -> int:
    """Wait for the end of a command and return its exit status; one that hangs says where, and fails."""
    with suppress(subprocess.TimeoutExpired):
        return process.wait(120)
    process.send_signal(signal.SIGABRT)
    process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    raise AssertionError(f"it hangs: {process.communicate(timeout=10)[1]}")


def stop(process: subprocess.Popen[str], kind: str) -> bool:
    """Send a signal that a command answers; check how it says goodbye, or return that it was done already."""
    if kind == "sigterm":
        process.send_signal(STOPS[kind])
    else:
        os.killpg(process.pid, STOPS[kind])
    status = process.wait(5)
    if status == -STOPS[kind]:  # it had not begun, or was about to leave: the system's own answer counts
        return True
    if status != STOPPED:
        return False
    said = farewell(process)
    assert "stopped" in said, said
    assert "the same command goes on from there" in said, said
    return True


def farewell(process: subprocess.Popen[str]) -> str:
    """Return the one line that a stopped command ends with."""
    out, err = process.communicate(timeout=10)
    lines = [line for line in err.splitlines() if line and not line.startswith("note: ")]
    assert out == "", out
    assert len(lines) == 1, err
    return lines[0]


def workers(parent: int) -> list[int]:
    """Return the living children of a process that do its work."""
    found = []
    for process, fields in _processes():
        with suppress(OSError):
            line = Path(f"/proc/{process}/cmdline").read_bytes()
            if int(fields[1]) == parent and b"resource_tracker" not in line:
                found.append(process)
    return sorted(found)


def living(session: int) -> list[int]:
    """Return the processes of a session that are alive."""
    return [process for process, fields in _processes() if int(fields[3]) == session]


def wait_for_silence(session: int, seconds: float) -> list[int]:
    """Return the processes of a session that are still alive after a time; at once if there is none."""
    deadline = time.monotonic() + seconds
    while (left := living(session)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


@contextmanager
def started(*arguments: object, through: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
    """Start mocrop-prep, and leave none of its processes behind whatever the test finds."""
    process = start(*arguments, through=through, PYTHONFAULTHANDLER="1")
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _processes() -> Iterator[tuple[int, list[str]]]:
    """Yield every process that is no zombie, with its fields in /proc/PID/stat from the state on."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it ended just now
            continue
        if fields[0] != "Z":
            yield int(status.parent.name), fields


def _records(journal: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    plain = [{k: v for k, v in record.items() if k not in _OF_THE_MOMENT} for record in records]
    return sorted(plain, key=lambda record: record["clip_id"])

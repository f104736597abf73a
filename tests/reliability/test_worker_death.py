"""One clip's crash costs that clip alone: it becomes a record with a code, and the others are done."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mocrop_prep.config import RunSettings
from mocrop_prep.errors import FirstFailure
from mocrop_prep.journal import Journal, Record
from mocrop_prep.runner import Task, run_tasks

from tests.reliability.deeds import deed

CODES = {
    "killed": "worker-died",
    "segfault": "worker-died",
    "exit": "worker-died",
    "out of memory": "out-of-memory",
    "bug": "internal",
    "disk full": "disk",
    "clip error": "corrupt",
}


def work_on(
    folder: Path, kinds: Sequence[str], *, jobs: int = 2, backend: str = "loky", **limits: Any
) -> dict[str, Record]:
    """Do a deed for each kind, numbered, with a journal and diaries in `folder`."""
    tasks = [
        Task(f"{number:02d}", {"source": f"{number}"}, (kind, folder / f"{number:02d}.diary"))
        for number, kind in enumerate(kinds)
    ]
    journal = Journal(folder / "stage.jsonl")
    run_tasks(
        deed,
        {task.clip_id: task for task in tasks},
        settings=RunSettings(jobs=jobs, backend=backend, **limits),
        journal=journal,
        inflight=folder / "inflight",
        label="deeds",
        quiet=True,
    )
    return dict(journal.read())


def tries(folder: Path, number: int) -> int:
    return len((folder / f"{number:02d}.diary").read_text().splitlines())


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], dict[str, Record]]:
    """Seven ways to fail among good deeds."""
    folder = tmp_path_factory.mktemp("deeds")
    kinds = [kind for bad in CODES for kind in (bad, "good")] + ["good"] * 4
    return folder, kinds, work_on(folder, kinds)


def test_every_clip_ends_with_one_record_in_the_journal(
    aftermath: tuple[Path, list[str], dict[str, Record]],
) -> None:
    folder, kinds, records = aftermath
    lines = (folder / "stage.jsonl").read_text().splitlines()
    assert len(lines) == len(kinds) == len(records)
    assert Journal(folder / "stage.jsonl").read() == records


def test_the_good_clips_are_done_whatever_the_others_do(
    aftermath: tuple[Path, list[str], dict[str, Record]],
) -> None:
    _, kinds, records = aftermath
    for number, kind in enumerate(kinds):
        record = records[f"{number:02d}"]
        if kind == "good":
            assert (record.status, record.code, record.data) == ("ok", "", {"kind": "good"})
        else:
            assert (record.status, record.code) == ("failed", CODES[kind])
            assert record.detail


def test_a_clip_that_kills_its_worker_is_set_aside_after_two_tries(
    aftermath: tuple[Path, list[str], dict[str, Record]],
) -> None:
    folder, kinds, records = aftermath
    for number, kind in enumerate(kinds):
        if CODES.get(kind) == "worker-died":
            assert tries(folder, number) == 2
            assert "2 times" in records[f"{number:02d}"].detail


def test_every_failure_tells_where_it_happened(aftermath: tuple[Path, list[str], dict[str, Record]]) -> None:
    _, kinds, records = aftermath
    bug = records[f"{kinds.index('bug'):02d}"]
    assert "ZeroDivisionError: a bug of ours" in bug.detail
    for kind in ("bug", "out of memory", "disk full", "clip error"):
        trace = records[f"{kinds.index(kind):02d}"].traceback
        assert trace.startswith("Traceback"), kind
        assert "deeds.py" in trace
    fault = records[f"{kinds.index('segfault'):02d}"].traceback
    assert "Segmentation fault" in fault
    assert "deeds.py" in fault


def test_a_record_says_where_and_what(aftermath: tuple[Path, list[str], dict[str, Record]]) -> None:
    _, kinds, records = aftermath
    error, disk = (records[f"{kinds.index(kind):02d}"] for kind in ("clip error", "disk full"))
    assert (error.stage, error.detail) == ("extract", "what was found")
    assert disk.detail == "/somewhere/clip.mp4: No space left on device"


def test_nothing_is_left_in_flight(aftermath: tuple[Path, list[str], dict[str, Record]]) -> None:
    assert list((aftermath[0] / "inflight").iterdir()) == []


def test_workers_that_all_die_leave_nothing_undone(tmp_path: Path) -> None:
    kinds = ["killed", "exit", "segfault", "killed", "good"]
    records = work_on(tmp_path, kinds)
    assert Counter(record.code for record in records.values()) == {"worker-died": 4, "": 1}


@pytest.mark.parametrize("backend", ["threading", "sequential"])
def test_what_python_can_catch_is_caught_on_every_backend(tmp_path: Path, backend: str) -> None:
    kinds = ["good", "bug", "out of memory", "disk full", "clip error", "good"]
    records = work_on(tmp_path, kinds, backend=backend)
    assert [records[f"{n:02d}"].code for n in range(6)] == ["", *(CODES[kind] for kind in kinds[1:5]), ""]


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("kinds", [["killed"], ["good", "killed", "good"]], ids=["alone", "with others"])
def test_a_deadly_clip_never_takes_the_command_with_it(tmp_path: Path, kinds: list[str], jobs: int) -> None:
    script = (
        "from pathlib import Path\n"
        "from tests.reliability.test_worker_death import work_on\n"
        f"records = work_on(Path({str(tmp_path)!r}), {kinds!r}, jobs={jobs})\n"
        "print(*(record.code or record.status for record in records.values()))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done
    assert sorted(done.stdout.split()) == sorted("worker-died" if k == "killed" else "ok" for k in kinds)
    assert done.stderr == ""


def test_a_clip_that_hangs_is_ended_and_tells_where_it_hung(tmp_path: Path) -> None:
    kinds = ["good", "hang", "good", "stopped", "good", "good"]
    started = time.monotonic()
    records = work_on(tmp_path, kinds, timeout=1.0)
    assert time.monotonic() - started < 60
    codes = [records[f"{number:02d}"].code for number in range(len(kinds))]
    assert codes == ["", "timed-out", "", "timed-out", "", ""]
    hung = records["01"]
    assert "--timeout, 1 s" in hung.detail
    assert "deeds.py" in hung.traceback
    # one of the two may have gone down with the other, and be tried once more
    assert sorted((tries(tmp_path, 1), tries(tmp_path, 3))) in ([1, 1], [1, 2])


def test_a_clip_that_takes_too_much_memory_is_ended_before_it_takes_all(tmp_path: Path) -> None:
    kinds = ["good", "swell", "good", "good"]
    records = work_on(tmp_path, kinds, max_memory="600MB")
    assert [records[f"{number:02d}"].code for number in range(4)] == ["", "out-of-memory", "", ""]
    assert "more than --max-memory allows: 600 MB" in records["01"].detail
    assert tries(tmp_path, 1) == 1


def test_limits_that_nobody_goes_over_change_nothing(tmp_path: Path) -> None:
    records = work_on(tmp_path, ["good"] * 6, timeout=60, max_memory="8GB")
    assert [record.status for record in records.values()] == ["ok"] * 6


def test_clips_that_went_down_with_another_are_not_blamed(tmp_path: Path) -> None:
    kinds = ["killed", "good", "killed", "good", "good", "killed"]
    records = work_on(tmp_path, kinds, jobs=3)
    assert {kinds[int(clip_id)] for clip_id, record in records.items() if record.failed} == {"killed"}


@pytest.mark.parametrize("backend", ["loky", "sequential"])
def test_fail_fast_ends_with_the_first_failure(tmp_path: Path, backend: str) -> None:
    kinds = ["good", "clip error", *["good"] * 40]
    with pytest.raises(FirstFailure, match="01: corrupt: what was found"):
        work_on(tmp_path, kinds, jobs=1, backend=backend, fail_fast=True)
    records = Journal(tmp_path / "stage.jsonl").read()
    assert [clip_id for clip_id, record in records.items() if record.failed] == ["01"]
    assert len(records) < len(kinds)
    assert list((tmp_path / "inflight").iterdir()) == []

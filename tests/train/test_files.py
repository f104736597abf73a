"""What the trainer writes: whole under its name or not there at all, and there after a power cut."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mocrop_train.checkpoint import keep_as
from mocrop_train.files import publish, write_text

from tests.spy import Call, disk_calls

DIES = """
import os, signal, sys
from pathlib import Path
from mocrop_train.files import publish

def half(path):
    path.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)

publish(Path(sys.argv[1]), half)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def die_writing(path: Path) -> int:
    """Let a process be killed while it writes a file; return its number."""
    with subprocess.Popen([sys.executable, "-c", DIES, path]) as process:
        assert process.wait() == -signal.SIGKILL
    return process.pid


def test_content_is_on_the_disk_before_its_name_and_folders_before_both(tmp_path: Path) -> None:
    target = tmp_path / "run" / "log.csv"
    with disk_calls() as calls:
        write_text(target, "a,b\n")
    temporary, digest = target.with_name(f".log.csv.{os.getpid()}"), hashlib.sha256(b"a,b\n").hexdigest()
    assert calls == [
        Call("mkdir", target.parent),
        Call("fsync", tmp_path),
        Call("fsync", temporary, digest),
        Call("replace", temporary, digest, target),
        Call("fsync", target.parent),
    ]
    assert names(target.parent) == ["log.csv"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "log.csv", "old")

    def fail(path: Path) -> None:
        path.write_text("new and bro")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(tmp_path / "log.csv", fail)
    assert (tmp_path / "log.csv").read_text() == "old"
    assert names(tmp_path) == ["log.csv"]


def test_what_a_killed_process_left_goes_with_the_next_publication(tmp_path: Path) -> None:
    write_text(tmp_path / "last.pt", "old")
    dead = die_writing(tmp_path / "last.pt")
    assert names(tmp_path) == [f".last.pt.{dead}", "last.pt"]
    assert (tmp_path / "last.pt").read_text() == "old"
    others = [f".last.pt.{os.getppid()}", ".best.pt.1", ".last.pt.bak", "last.pt.1"]
    for name in others:
        (tmp_path / name).write_text("not ours to remove")
    write_text(tmp_path / "last.pt", "new")
    assert names(tmp_path) == sorted([*others, "last.pt"])


def test_a_dead_process_of_the_same_number_does_not_matter(tmp_path: Path) -> None:
    """In a container the next process often has the number of the one before."""
    write_text(tmp_path / "last.pt", "state")
    os.link(tmp_path / "last.pt", tmp_path / f".best.pt.{os.getpid()}")
    keep_as(tmp_path / "last.pt", tmp_path / "best.pt")
    assert names(tmp_path) == ["best.pt", "last.pt"]
    assert (tmp_path / "best.pt").read_text() == (tmp_path / "last.pt").read_text() == "state"

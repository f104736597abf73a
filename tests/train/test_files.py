"""What the trainer writes: whole under its name or not there at all, and there after a power cut."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from mocrop_manifests.files import TEMPORARY, sweep
from mocrop_train.run import checkpoint

from tests.spy import disk_calls


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(tmp_path: Path) -> None:
    target = tmp_path / "run" / "last.pt"
    with disk_calls() as calls:
        checkpoint.save(target, {"epoch": 3})
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    assert [call.name for call in calls] == ["mkdir", "fsync", "fsync", "replace", "fsync"]
    assert [call.digest for call in calls[2:4]] == [digest, digest]
    assert names(target.parent) == ["last.pt"]


def test_the_best_checkpoint_stays_when_the_last_one_is_replaced(tmp_path: Path) -> None:
    last, best = tmp_path / "last.pt", tmp_path / "best.pt"
    checkpoint.save(last, {"epoch": 1})
    checkpoint.keep_as(last, best)
    checkpoint.keep_as(last, best)
    content = best.read_bytes()
    checkpoint.save(last, {"epoch": 2})
    assert best.read_bytes() == content != last.read_bytes()
    assert names(tmp_path) == ["best.pt", "last.pt"]


def test_a_failure_leaves_the_old_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "last.pt", {"epoch": 1})
    content = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(AttributeError):
        checkpoint.save(tmp_path / "last.pt", {"epoch": 2, "what": lambda: None})  # cannot be pickled
    assert (tmp_path / "last.pt").read_bytes() == content
    assert names(tmp_path) == ["last.pt"]


def test_temporaries_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    """In a container the next process often has the number of the one before: its own is stale too."""
    dead, own, living = (
        f"{TEMPORARY}{number}-1-last.pt" for number in (2**22 + 1, os.getpid(), os.getppid())
    )
    for name in (dead, own, living, "last.pt"):
        (tmp_path / name).write_bytes(b"half")
    assert sweep(tmp_path, spare_living=True) == 2
    assert names(tmp_path) == sorted([living, "last.pt"])
    assert sweep(tmp_path) == 1
    assert names(tmp_path) == ["last.pt"]

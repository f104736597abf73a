"""What a command has done is on the disk, in an order that no power cut can turn into a lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import DEFAULT, ok, tree
from tests.conftest import HOLDOUT
from tests.spy import Call, disk_calls


@pytest.fixture(scope="module")
def calls(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Call]]:
    """Make every kind of file in one process, and a set thrice; return WORKDIR and what the disk heard."""
    workdir = tmp_path_factory.mktemp("durable") / "new" / "work"
    with disk_calls() as calls:
        ok("run", source, workdir, *HOLDOUT, "--keep", "--backend", "sequential")
        ok("crop", workdir, "--name", "tight", "--area", "0.4", "--backend", "sequential")
        for form in ("webdataset", "parquet"):
            replaced = ("--crops", "tight", "--name", DEFAULT, "--format", form)
            ok("shard", workdir, *replaced, "--backend", "sequential")
    return workdir, calls


def test_every_file_is_synced_with_all_its_content_before_it_gets_its_name(
    calls: tuple[Path, list[Call]],
) -> None:
    workdir, heard = calls
    synced: dict[Path, str] = {}
    published = set()
    for call in heard:
        if call.name == "fsync":
            synced[call.path] = call.digest
        elif call.name == "replace":
            assert synced.get(call.path) == call.digest, call
            assert call.target is not None
            published.add(call.target.relative_to(workdir).as_posix())
    kinds = {name.rpartition(".")[2] for name in published}
    assert kinds == {"mp4", "parquet", "tar", "csv", "json", "md"}
    written = {name for name in tree(workdir) if not name.endswith((".jsonl", "/lock"))}
    assert written <= published


def test_the_folder_is_synced_before_anything_else_gets_a_name(calls: tuple[Path, list[Call]]) -> None:
    _, heard = calls
    for number, call in enumerate(heard):
        if call.name == "replace":
            assert call.target is not None
            then = next(later for later in heard[number + 1 :] if later.name in ("fsync", "replace"))
            assert (then.name, then.path) == ("fsync", call.target.parent)


def test_folders_are_synced_into_the_ones_above_before_they_are_used(calls: tuple[Path, list[Call]]) -> None:
    workdir, heard = calls
    made = [
        (number, call)
        for number, call in enumerate(heard)
        if call.name == "mkdir" and workdir.parent in (call.path, *call.path.parents)
    ]
    assert {call.path for _, call in made} >= {workdir.parent, workdir, workdir / "transcoded"}
    for number, call in made:
        then = next(later for later in heard[number + 1 :] if later.name in ("fsync", "replace"))
        assert (then.name, then.path) == ("fsync", call.path.parent), call


def test_an_index_is_gone_for_good_before_the_first_of_its_shards_changes(
    calls: tuple[Path, list[Call]],
) -> None:
    workdir, heard = calls
    folder = workdir / f"shards/{DEFAULT}"
    removed = [
        number
        for number, call in enumerate(heard)
        if (call.name, call.path) == ("unlink", folder / "dataset.json")
    ]
    assert len(removed) == 2
    for number in removed:
        then = next(
            later for later in heard[number + 1 :] if later.path.parent == folder or later.path == folder
        )
        assert (then.name, then.path) == ("fsync", folder)


def test_journals_are_on_the_disk_with_their_last_line(calls: tuple[Path, list[Call]]) -> None:
    workdir, heard = calls
    synced = {call.path: call.digest for call in heard if call.name == "fsync"}
    journals = {name: digest for name, digest in tree(workdir).items() if name.endswith(".jsonl")}
    assert len(journals) == 5
    for name, digest in journals.items():
        assert synced[workdir / name] == digest

"""Where rights are missing a command says so in a line, tears nothing, and goes on once they are given."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.commands import DEFAULT, start
from tests.reliability.disks import disk
from tests.reliability.kills import state
from tests.reliability.steps import Fate, Stepper, stepper

# root may do anything: without these two capabilities the bits count for root as for anybody else
BOUND = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")


def bound() -> tuple[str, ...]:
    """Return what runs a command so that permission bits count; skips where there is no such thing."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv here, and root may read and write everything")
    return BOUND


@pytest.fixture(scope="module")
def forks() -> Iterator[Stepper]:
    with stepper(bound()) as forks:
        yield forks


@pytest.fixture
def own(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "clips"))


def story(source: Path, workdir: Path) -> dict[str, tuple[object, ...]]:
    """Return commands in their order, by the folder that each writes to."""
    return {
        "transcoded": ("transcode", source, workdir),
        "motion": ("extract", workdir),
        "crops": ("crop", workdir),
        "shards": ("shard", workdir),
        f"shards/{DEFAULT}": ("shard", workdir, "--size", 32),
        "journal": ("crop", workdir, "--name", "tight", "--area", "0.4"),
        "reports": ("shard", workdir, "--crops", "tight", "--name", "tight"),
    }


def tree_of(workdir: Path) -> dict[str, object]:
    """Return all that a WORKDIR holds; what failed for a while may stay in journals and checksums."""
    return {
        name: content
        for name, content in state(workdir).items()
        if not name.endswith(".jsonl") and name != "journal/sums.json"
    }


@pytest.fixture
def kept(stages: Path, tmp_path: Path) -> Path:
    """A WORKDIR in which all commands of the story have been run."""
    return Path(shutil.copytree(stages / f"{len(story(stages, stages))}", tmp_path / "work"))


@contextmanager
def closed(path: Path, mode: int = 0o555) -> Iterator[None]:
    """Take rights to a file or folder away for a while."""
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


def failures(workdir: Path) -> dict[str, str]:
    """Return the codes in failures.csv by clip."""
    with (workdir / "reports/failures.csv").open(newline="") as stream:
        return {row["clip_id"]: row["code"] for row in csv.DictReader(stream)}


def said(fate: Fate) -> str:
    """Return the one line of a command that could not do all that it was to do."""
    assert fate.status in (1, 2), fate
    lines = fate.err.splitlines()
    assert len(lines) == 1, fate
    assert "Traceback" not in fate.err
    assert "internal" not in fate.err, fate
    return lines[0]


@pytest.fixture(scope="module")
def stages(tiny: Path, forks: Stepper, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of a WORKDIR before each command of the story, by its number, and after the last."""
    root = tmp_path_factory.mktemp("stages")
    forks.ok(("transcode", tiny, root / "0", "--limit", 1))
    for number, command in enumerate(story(tiny, root / "work").values()):
        forks.ok(command)
        shutil.copytree(root / "work", root / f"{number + 1}")
    return root


@pytest.mark.parametrize("place", story(Path(), Path()))
def test_a_folder_that_is_closed_stops_what_writes_there_until_it_is_open(
    tiny: Path, forks: Stepper, stages: Path, tmp_path: Path, place: str
) -> None:
    workdir = tmp_path / "work"
    commands = story(tiny, workdir)
    number = list(commands).index(place)
    shutil.copytree(stages / f"{number}", workdir)
    (workdir / place).mkdir(parents=True, exist_ok=True)
    with closed(workdir / place):
        line = said(forks.run(commands[place]))
        assert place in line or set(failures(workdir).values()) == {"disk"}
        assert list(workdir.rglob(".tmp-*")) == []
    forks.ok(commands[place], ("verify", workdir))
    assert tree_of(workdir) == tree_of(stages / f"{number + 1}")


@pytest.mark.parametrize("name", ["lock", "transcode.jsonl", f"shard-{DEFAULT}.jsonl"])
def test_a_file_of_the_journal_that_is_closed_is_named(forks: Stepper, kept: Path, name: str) -> None:
    before = state(kept)
    command = ("shard", kept, "--crops", DEFAULT, "--size", 32)
    with closed(kept / "journal" / name, 0o000):
        line = said(forks.run((*command, "--sample", "frame")))
        assert name in line
        assert "in use" not in line
    forks.ok(command)
    assert state(kept) == before


def test_a_workdir_that_is_closed_is_refused_and_may_still_be_looked_at(
    tiny: Path, forks: Stepper, kept: Path
) -> None:
    before = state(kept)
    folders = [kept, *(path for path in kept.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    for command in (
        ("run", tiny, kept, "--size", 32),
        ("transcode", tiny, kept, "--crf", 30),
        ("extract", kept),
        ("crop", kept, "--name", "other"),
        ("shard", kept, "--crops", DEFAULT, "--name", "other"),
    ):
        assert str(kept) in said(forks.run(command))
    forks.ok(("status", kept), ("verify", kept))
    for folder in folders:
        folder.chmod(0o755)
    assert state(kept) == before
    with closed(kept, 0o000):
        for command in (("status", kept), ("verify", kept), ("crop", kept)):
            assert str(kept) in said(forks.run(command))


def test_a_workdir_that_cannot_be_made_is_named(tiny: Path, forks: Stepper, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    for workdir in (tmp_path / "closed/work", tmp_path / "closed/deep/work"):
        fate = forks.run(("run", tiny, workdir))
        assert fate.status == 2
        assert str(workdir) in said(fate)


def test_a_clip_that_may_not_be_read_costs_itself_alone(own: Path, forks: Stepper, tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    with closed(own / "walk/v_walk_g01_c01.avi", 0o000):
        fate = forks.run(("run", own, workdir, "--keep"))
        assert fate.status == 1
        assert "1 of 3 clips failed" in said(fate)
        assert failures(workdir) == {"walk__v_walk_g01_c01": "unreadable"}
    forks.ok(("run", own, workdir, "--keep"))
    forks.ok(("run", own, tmp_path / "whole", "--keep"))
    assert tree_of(workdir) == tree_of(tmp_path / "whole")


@pytest.mark.parametrize("mode", [0o000, 0o444], ids=["closed", "listed"])
@pytest.mark.parametrize("place", [".", "walk"])
def test_no_class_is_lost_because_its_folder_may_not_be_read(
    own: Path, forks: Stepper, tmp_path: Path, place: str, mode: int
) -> None:
    workdir = tmp_path / "work"
    with closed(own / place, mode):
        fate = forks.run(("transcode", own, workdir))
        line = said(fate)
        if fate.status == 2:
            assert str(own / place) in line
        else:
            assert failures(workdir) == {
                "walk__v_walk_g01_c01": "unreadable",
                "walk__v_walk_g02_c01": "unreadable",
            }
    forks.ok(("transcode", own, workdir))
    assert len(list((workdir / "transcoded").iterdir())) == 3


@pytest.mark.parametrize("name", ["clips.csv", "journal/workdir.json", f"crops/{DEFAULT}.csv"])
def test_a_table_that_may_not_be_read_is_named(forks: Stepper, kept: Path, name: str) -> None:
    command = ("shard", kept, "--crops", DEFAULT, "--size", 64)
    with closed(kept / name, 0o000):
        fate = forks.run(command)
        assert fate.status == 2
        assert str(kept / name) in said(fate)
        for looking in ("status", "verify"):
            assert "internal" not in forks.run((looking, kept)).err
    forks.ok(command, ("verify", kept))


@pytest.mark.parametrize(
    "name", ["transcoded/walk__v_walk_g01_c01.mp4", "motion/walk__v_walk_g01_c01.parquet"]
)
def test_an_intermediate_that_may_not_be_read_costs_its_clip_alone(
    forks: Stepper, kept: Path, name: str
) -> None:
    consumer = ("shard", kept, "--crops", DEFAULT) if name.endswith(".mp4") else ("crop", kept)
    command = (*consumer, "--name", "new")
    with closed(kept / name, 0o000):
        fate = forks.run(command)
        assert fate.status == 1, fate
        assert "1 of 3 clips failed" in said(fate)
        assert failures(kept) in (
            {"walk__v_walk_g01_c01": "unreadable"},
            {"walk__v_walk_g01_c01": "bad-intermediate"},
        )
    forks.ok(command, ("verify", kept))


def test_workers_meet_the_same_rights(tiny: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    with start("run", tiny, workdir, "--quiet", "--jobs", 2, through=bound()) as process:
        assert process.wait(60) == 0
        process.communicate()
    with (
        closed(workdir / "shards"),
        start("run", tiny, workdir, "--quiet", "--jobs", 2, "--name", "x", through=bound()) as process,
    ):
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2, err
    assert len(err.splitlines()) == 1
    assert f"{workdir}/shards" in err


def test_a_disk_mounted_for_reading_only_is_named(tiny: Path, tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "size=16m") as mounted, stepper(mounted.through) as forks:
        workdir = mounted.path / "work"
        shutil.copytree(tiny, mounted.seen / "clips")
        forks.ok(("run", mounted.path / "clips", workdir, "--keep"))
        before = state(mounted.seen / "work")
        mounted.mount("ro")
        for command in (
            ("run", mounted.path / "clips", workdir, "--size", 32),
            ("extract", workdir),
            ("crop", workdir, "--name", "tight"),
            ("run", tiny, mounted.path / "new"),
        ):
            fate = forks.run(command)
            assert fate.status == 2
            assert str(mounted.path) in said(fate)
        forks.ok(("status", workdir), ("verify", workdir))
        # a source may well be read-only
        forks.ok(("run", mounted.path / "clips", tmp_path / "elsewhere"))
        assert state(mounted.seen / "work") == before
        mounted.mount("rw")
        forks.ok(("crop", workdir, "--name", "tight"))

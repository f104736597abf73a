"""A merge joins what belongs together and is whole, names what is not, and may be killed at any moment."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mocrop_manifests import read_dataset
from mocrop_manifests.files import sha256
from mocrop_prep.merge import place
from mocrop_prep.parts import Part
from mocrop_prep.workdir import open_workdir

from tests.commands import DEFAULT, Outcome, journal, ok, prep, tree
from tests.films import WEB, encode, moving_square
from tests.reliability.kills import leftovers, state
from tests.reliability.steps import Stepper, stepper

FIRST, SECOND = (Part(2, number).folder for number in range(2))
SMALL = ("--size", 32, "--holdout-groups", "1")
SET = f"shards/{DEFAULT}"


def run_parts(source: Path, workdir: Path, *options: object, of: int = 2) -> Path:
    for number in range(of):
        ok("run", source, workdir, *SMALL, *options, "--num-parts", of, "--part", number)
    return workdir


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four small clips of two classes."""
    root = tmp_path_factory.mktemp("source") / "clips"
    for number in range(4):
        label = ("walk", "run")[number % 2]
        film = moving_square(8, size=(64, 48), seed=number)
        encode(root / label / f"v_{label}_g0{number // 2 + 1}_c01.mp4", film, WEB)
    return root


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two finished parts."""
    return run_parts(source, tmp_path_factory.mktemp("made") / "work", "--keep")


@pytest.fixture
def work(made: Path, tmp_path: Path) -> Path:
    """A copy of two finished parts that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "work"))


def refused(work: Path, *options: object) -> list[str]:
    """Merge, which has to fail and leave everything as it was; return what it said."""
    before = untouched(work)
    outcome = prep("merge", work, *options, "--quiet")
    assert outcome.status == 2
    assert untouched(work) == before
    assert all(line.startswith("mocrop-prep: ") for line in outcome.errors)
    return [line.removeprefix("mocrop-prep: ") for line in outcome.errors]


def untouched(work: Path) -> dict[str, str]:
    """Return the digests of all files but locks, and what a kill left to be swept."""
    found = tree(work)
    return {name: found[name] for name in found if not name.endswith("/lock") and "/.tmp-" not in name}


def joined(work: Path, *options: object) -> Outcome:
    outcome = prep("merge", work, *options, "--quiet")
    assert (outcome.status, outcome.err) == (0, ""), outcome
    return outcome


def whole(work: Path) -> dict[str, object]:
    """Return all that a merged WORKDIR holds itself, but the counts that a later run notes."""
    found = {name: what for name, what in state(work).items() if not name.startswith("part-")}
    return {name: what for name, what in found.items() if not name.endswith(".rows.json")}


def test_every_part_that_is_missing_is_named(work: Path) -> None:
    for part in (FIRST, SECOND):
        (work / part).rename(work / part.replace("of-00002", "of-00004"))
    assert refused(work) == [
        "part-00002-of-00004: missing: run it with --num-parts 4 --part 2",
        "part-00003-of-00004: missing: run it with --num-parts 4 --part 3",
        "part-00000-of-00004: not begun, or its journal/part.json is damaged: run it again",
        "part-00001-of-00004: not begun, or its journal/part.json is damaged: run it again",
    ]


def test_parts_of_two_numbers_are_not_joined(work: Path) -> None:
    (work / "part-00000-of-00003").mkdir()
    assert refused(work) == [f"{work} holds parts of 2 and 3: move those away that are not wanted"]


def test_a_part_that_is_not_finished_is_named(source: Path, work: Path) -> None:
    records = (work / SECOND / f"journal/run-{DEFAULT}.jsonl").read_text().splitlines(keepends=True)
    (work / SECOND / f"journal/run-{DEFAULT}.jsonl").write_text(records[0])
    said = refused(work)
    assert said[0] == f"{SECOND}: run-{DEFAULT} is not finished, 1 of 2 clips are left: run it again"
    ok("run", source, work, *SMALL, "--keep", "--num-parts", 2, "--part", 1)
    joined(work)


@pytest.mark.parametrize("gone", [f"{SET}/dataset.json", f"{SET}/train-000000.tar", f"crops/{DEFAULT}.csv"])
def test_a_part_that_lost_an_output_is_named(work: Path, gone: str) -> None:
    (work / FIRST / gone).unlink()
    said = refused(work)
    assert all(line.startswith(f"{FIRST}: ") and "run it again" in line for line in said)


def test_a_part_with_other_settings_is_named_with_both_values(source: Path, work: Path) -> None:
    ok("run", source, work, *SMALL, "--keep", "--quality", 80, "--num-parts", 2, "--part", 1)
    assert refused(work) == [
        f"{SECOND}: shard-{DEFAULT}: shard quality 80, in {FIRST} 95: run one of them again"
    ]


def test_a_part_that_was_to_be_done_anew_and_is_not_is_named(work: Path) -> None:
    """As a kill leaves it that comes after the settings are written."""
    for stage in ("shard", "run"):
        path = work / SECOND / f"journal/{stage}-{DEFAULT}.settings.json"
        path.write_text(path.read_text().replace('"quality": 95', '"quality": 80'))
    said = refused(work)
    assert said == [
        f"{SECOND}: run-{DEFAULT} was not finished with its last shard settings: run it again",
        f"{SECOND}: {SET} is not of the last crops/{DEFAULT}.csv and settings: run it again",
    ]


def test_a_part_made_with_other_libraries_is_named(work: Path) -> None:
    index = work / SECOND / SET / "dataset.json"
    body = json.loads(index.read_text())
    body["versions"]["numpy"] = "1.26.0"
    index.write_text(json.dumps(body))
    path = work / SECOND / f"journal/set-{DEFAULT}.json"
    note = json.loads(path.read_text())
    path.write_text(json.dumps(note | {"dataset": sha256(index)}))
    said = refused(work)
    assert len(said) == 1
    assert said[0].startswith(f"{SECOND}: {SET}: numpy 1.26.0, in {FIRST} ")


def test_parts_of_another_list_or_source_are_named(source: Path, work: Path, tmp_path: Path) -> None:
    grown, moved = tmp_path / "grown", tmp_path / "moved"
    shutil.copytree(source, grown / "clips")
    shutil.copy(source / "run/v_run_g01_c01.mp4", source / "run/v_run_g07_c01.mp4")
    try:
        ok("run", source, work, *SMALL, "--keep", "--num-parts", 2, "--part", 1)
    finally:
        (source / "run/v_run_g07_c01.mp4").unlink()
    assert "part of another clip list (5 clips) than part-00000-of-00002 (4)" in refused(work)[0]
    shutil.rmtree(work / SECOND)
    shutil.copytree(grown / "clips", moved)
    ok("run", moved, work, *SMALL, "--keep", "--num-parts", 2, "--part", 1)
    assert refused(work) == [
        f"{SECOND}: made from {moved}, {FIRST} from {source}: give all parts the same SOURCE"
    ]


@pytest.mark.parametrize("table", ["clips.csv", f"crops/{DEFAULT}.csv"])
def test_an_edited_table_of_a_part_is_refused(work: Path, table: str) -> None:
    path = work / SECOND / table
    path.write_text(path.read_text().replace("train", "val"))
    assert "was changed since it was written" in refused(work)[0]


def test_columns_that_were_added_to_the_table_of_a_part_are_not_lost(work: Path) -> None:
    path = work / SECOND / f"crops/{DEFAULT}.csv"
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{line},{'note' if n == 0 else 'mine'}\n" for n, line in enumerate(lines)))
    assert refused(work) == [
        f"{SECOND}: crops/{DEFAULT}.csv: columns of your own; merge first, then add them"
    ]


def test_a_part_at_work_is_left_alone(work: Path) -> None:
    with open_workdir(work / SECOND).lock():
        assert refused(work)[0].startswith(f"{SECOND}: {work / SECOND} is in use by process {os.getpid()}")


def test_files_that_no_merge_made_are_not_overwritten(work: Path) -> None:
    (work / "crops").mkdir()
    (work / "crops/mine.csv").write_text("mine")
    assert refused(work) == [f"{work / 'crops'} was not made by a merge: move it away, then merge"]


def test_only_the_names_that_were_asked_for_are_joined(source: Path, work: Path) -> None:
    for number in range(2):
        part = ("--num-parts", 2, "--part", number)
        ok("crop", work, "--method", "center", *part)
        ok("shard", work, "--crops", "center", "--name", "middle", "--size", 32, *part)
    ok("crop", work, "--method", "random", "--num-parts", 2, "--part", 0)
    assert "no crops/random.csv yet" in refused(work)[0]
    only_in_one = refused(work, "--name", "random")
    assert f"{SECOND}: crop-random is not finished, 2 of 2 clips are left: run it again" in only_in_one
    assert refused(work, "--name", "none")[0].startswith("--name none: no part has it (there are: center, ")
    joined(work, "--name", "middle")
    home = open_workdir(work)
    assert (home.manifest_names(), home.shard_names()) == (["center"], ["middle"])
    joined(work, "--name", DEFAULT)
    assert (home.manifest_names(), home.shard_names()) == (["center", DEFAULT], [DEFAULT, "middle"])
    assert prep("merge", work, "--name", DEFAULT).out == f"{work}: merged already, there is nothing to do\n"
    assert prep("verify", work).status == 0


def test_parts_that_were_done_again_are_merged_again(source: Path, work: Path) -> None:
    joined(work)
    for number in range(2):
        ok("run", source, work, *SMALL, "--keep", "--quality", 80, "--num-parts", 2, "--part", number)
    joined(work)
    assert read_dataset(work / SET, verify=True).config["shard"]["quality"] == 80
    assert prep("verify", work).status == 0


def test_work_done_after_a_merge_is_not_undone_by_another(source: Path, work: Path) -> None:
    joined(work)
    ok("run", source, work, *SMALL, "--quality", 70)
    assert prep("merge", work).out == f"{work}: merged already, there is nothing to do\n"
    ok("run", source, work, *SMALL, "--keep", "--quality", 80, "--num-parts", 2, "--part", 1)
    ok("run", source, work, *SMALL, "--keep", "--quality", 80, "--num-parts", 2, "--part", 0)
    said = refused(work)
    assert len(said) == 1
    assert "was changed since it was merged, and so were the parts: do the rest in" in said[0]


def test_the_whole_and_its_parts_do_not_disturb_each_other(source: Path, work: Path) -> None:
    joined(work)
    temporary = work / FIRST / ".tmp-1-1-clips.csv"
    temporary.write_text("of a run of that part")
    before = {name: what for name, what in state(work).items() if name.startswith("part-")}
    ok("run", source, work, *SMALL)
    assert prep("verify", work).status == 0
    assert prep("status", work).status == 0
    assert {name: what for name, what in state(work).items() if name.startswith("part-")} == before
    shutil.rmtree(work / FIRST)
    shutil.rmtree(work / SECOND)
    assert prep("merge", work).status == 0
    assert prep("verify", work).status == 0


def test_files_are_linked_and_the_parts_stay(work: Path) -> None:
    before = state(work)
    joined(work)
    for path in (*work.glob("part-*/shards/*/*.tar"), *work.glob("part-*/*/*.mp4")):
        assert path.stat().st_nlink == 2
    assert {name: what for name, what in state(work).items() if name in before} == before


def test_move_leaves_no_part_behind(source: Path, work: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(work, tmp_path / "other" / "work"))
    joined(work, "--move")
    joined(other)
    assert not list(work.glob("part-*"))
    made, expected = whole(work), whole(other)
    assert made == expected
    joined(other, "--move")
    assert whole(other) == expected
    assert not list(other.glob("part-*"))
    assert refused(work, "--name", "other") == [
        f"{work} holds no parts: they are made with `mocrop-prep run ... --num-parts N --part I`"
    ]
    for options in ((), ("--name", DEFAULT), ("--move",)):
        assert prep("merge", work, *options).out == f"{work}: merged already, there is nothing to do\n"
    ok("run", source, work, *SMALL, "--keep")
    (work / "journal/inflight").rmdir()
    assert whole(work) == expected


def test_what_cannot_be_linked_is_copied(work: Path, tmp_path: Path) -> None:
    """A part that lies on another disk, behind a symlink."""
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == work.stat().st_dev:
        pytest.skip("there is no second file system to lay a part on")
    linked = Path(shutil.copytree(work, tmp_path / "linked" / "work"))
    joined(linked)
    away = Path(shutil.move(work / SECOND, elsewhere / f"mocrop-{os.getpid()}"))
    try:
        (work / SECOND).symlink_to(away)
        joined(work)
        assert whole(work) == whole(linked)
        assert next(away.glob("shards/*/*.tar")).stat().st_nlink == 1
    finally:
        shutil.rmtree(away)


def test_a_file_that_is_moved_need_not_be_moved_again(tmp_path: Path) -> None:
    """As a kill leaves it where there are no links: the part has it no more, WORKDIR has it."""
    source, target = tmp_path / "part/a.tar", tmp_path / "a.tar"
    target.write_bytes(b"a shard")
    place.place(source, target, size=7, digest=sha256(target), move=True)
    assert target.read_bytes() == b"a shard"


@pytest.fixture(scope="module")
def forks() -> Iterator[Stepper]:
    with stepper() as forks:
        yield forks


def die_at_steps(made: Path, forks: Stepper, folder: Path, *, every: int, move: bool) -> None:
    """Kill a merge before every so many steps, start it again, and hold it against an undisturbed one."""
    options = ("--move",) if move else ()
    work = Path(shutil.copytree(made, folder / "whole"))
    count = forks.ok(("merge", work, *options)).steps
    expected = whole(work)
    assert count > 60
    for step in range(1, count + 1, every):
        work = Path(shutil.copytree(made, folder / f"{step}"))
        assert forks.run(("merge", work, *options), die_at=step).died_in == 0
        forks.ok(("merge", work, *options))
        assert whole(work) == expected, f"killed before step {step} of {count}"
        assert not leftovers(work)
        assert bool(list(work.glob("part-*"))) != move
        shutil.rmtree(work)


@pytest.mark.parametrize("move", [False, True], ids=["linked", "moved"])
def test_a_merge_may_be_killed_at_any_step(made: Path, forks: Stepper, tmp_path: Path, move: bool) -> None:
    die_at_steps(made, forks, tmp_path, every=37, move=move)


@pytest.mark.slow
@pytest.mark.parametrize("move", [False, True], ids=["linked", "moved"])
def test_a_merge_may_be_killed_at_every_step(made: Path, forks: Stepper, tmp_path: Path, move: bool) -> None:
    die_at_steps(made, forks, tmp_path, every=1, move=move)


def test_a_merge_that_was_killed_is_no_workdir_yet(
    source: Path, made: Path, forks: Stepper, tmp_path: Path
) -> None:
    work = Path(shutil.copytree(made, tmp_path / "work"))
    forks.run(("merge", work), die_at=60)
    assert (work / "journal/merge.json").exists()
    for command in (("run", source, work), ("status", work), ("verify", work)):
        outcome = prep(*command)
        assert outcome.status == 2
        assert f"`mocrop-prep merge {work}` does that" in outcome.err
    (work / f"crops/{DEFAULT}.csv").write_text("mine")
    assert "was changed since it was merged" in refused(work)[0]


def test_a_part_that_was_killed_goes_on_and_is_merged(
    source: Path, made: Path, forks: Stepper, tmp_path: Path
) -> None:
    work, expected = tmp_path / "work", Path(shutil.copytree(made, tmp_path / "expected"))
    joined(expected)
    for number in range(2):
        command = ("run", source, work, *SMALL, "--keep", "--num-parts", 2, "--part", number)
        assert forks.run(command, die_at=30 + 20 * number).died_in == 0
        assert prep("merge", work, "--quiet").status == 2
        forks.ok(command)
    joined(work)
    names = whole(work).keys() & {name for name in whole(expected) if not name.startswith("journal/")}
    assert {name: whole(work)[name] for name in names} == {name: whole(expected)[name] for name in names}
    assert len(journal(work, f"run-{DEFAULT}")) == 4

"""`verify` notices whatever changed: one byte, a missing file, a file that is not ours."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
from mocrop_prep.verify import verify
from mocrop_prep.workdir import open_workdir

from tests.commands import DEFAULT, ok, prep, tree
from tests.conftest import FORMS, HOLDOUT

VIDEO = "transcoded/walk__v_walk_g02_c01.mp4"
VECTORS = "motion/run__v_run_g01_c01.parquet"
MANIFEST = f"crops/{DEFAULT}.csv"
TAR = f"shards/{DEFAULT}/test-000000.tar"
INDEX = f"shards/{DEFAULT}/dataset.json"
CARD = f"shards/{DEFAULT}/README.md"
PARTS = ("clips.csv", VIDEO, VECTORS, MANIFEST, TAR, INDEX, CARD)
"""One file of every kind."""


def problems(workdir: Path) -> list[str]:
    """Return what verify complains of, as it says it."""
    outcome = prep("verify", workdir, "--quiet")
    lines = outcome.out.splitlines()
    assert outcome.status == (1 if lines else 0)
    assert all(line.startswith("BAD  ") for line in lines)
    assert outcome.err == (f"{len(lines)} problems found\n" if lines else "")
    return lines


def notes(workdir: Path) -> list[str]:
    """Return what verify says of things that are as they should be."""
    return [what for what, problem in verify(open_workdir(workdir)) if not problem]


def flip(path: Path, place: int) -> None:
    """Flip a bit of one byte."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_finished_workdir_has_no_problem_and_every_part_is_named(workdir: Path) -> None:
    outcome = prep("verify", workdir)
    assert outcome.status == 0
    assert all(line.startswith("verify: ") for line in outcome.err.splitlines())  # how far it is
    lines = outcome.out.splitlines()
    assert all(line.startswith("ok   ") for line in lines)
    for part in ("clips.csv: 6 clips", "transcoded: 6 files", "motion: 6 files", f"{DEFAULT}.csv: 6 rows"):
        assert any(part in line for line in lines), part
    for shard in ("train-000000.tar: 4 clips", "test-000000.tar: 2 clips"):
        assert any(shard in line for line in lines), shard


@pytest.mark.parametrize("form", FORMS)
def test_sets_of_every_form_have_no_problem(workdir: Path, form: str) -> None:
    ok("shard", workdir, *FORMS[form], "--shard-size", 3, "--name", "set")
    assert problems(workdir) == []


@pytest.mark.parametrize("lost", PARTS)
def test_a_missing_file_is_named(workdir: Path, lost: str) -> None:
    (workdir / lost).unlink()
    assert any(str(workdir / lost) in problem for problem in problems(workdir))


@pytest.mark.parametrize("folder", ["transcoded", "motion", "crops", "shards"])
def test_a_missing_folder_is_noticed(workdir: Path, folder: str) -> None:
    shutil.rmtree(workdir / folder)
    assert any(f"{workdir / folder}" in problem for problem in problems(workdir))


@pytest.mark.parametrize(
    "foreign",
    [
        "transcoded/walk__other.mp4",
        "transcoded/notes.txt",
        "motion/walk__other.parquet",
        "crops/notes.txt",
        "shards/notes.txt",
        f"shards/{DEFAULT}/train-000001.tar",
        f"shards/{DEFAULT}/notes.txt",
    ],
)
def test_a_file_of_somebody_else_is_named(workdir: Path, foreign: str) -> None:
    (workdir / foreign).write_bytes(b"not ours")
    assert any(str(workdir / foreign) in problem for problem in problems(workdir))


def test_a_shard_cut_at_a_member_is_noticed_though_it_reads_well(workdir: Path) -> None:
    path = workdir / f"shards/{DEFAULT}/train-000000.tar"
    content = path.read_bytes()
    member = content.index(b".json\0")
    start = member - member % 512
    path.write_bytes(content[:start] + bytes(1024))
    assert any(str(path) in problem for problem in problems(workdir))


def test_a_set_that_lacks_a_shard_of_its_manifest_is_noticed(workdir: Path) -> None:
    index = workdir / f"shards/{DEFAULT}/dataset.json"
    body = json.loads(index.read_text())
    body["shards"] = [shard for shard in body["shards"] if shard["split"] != "test"]
    index.write_text(json.dumps(body, indent=2, sort_keys=True) + "\n")
    (workdir / f"shards/{DEFAULT}/test-000000.tar").unlink()
    assert problems(workdir)


def test_a_set_of_an_older_manifest_is_noticed(source: Path, workdir: Path) -> None:
    ok("crop", workdir, "--area", "0.5")
    (found,) = problems(workdir)
    assert f"shards/{DEFAULT}: made from another version of crops/{DEFAULT}.csv: run `mocrop-prep" in found
    ok("shard", workdir)
    assert problems(workdir) == []


def test_every_set_is_checked_in_its_own_right(source: Path, workdir: Path) -> None:
    ok("run", source, workdir, *HOLDOUT, "--method", "center")
    path = workdir / "shards/center/train-000000.tar"
    path.write_bytes(path.read_bytes()[:-512])
    found = problems(workdir)
    assert len(found) == 1
    assert str(path.parent) in found[0]
    assert "bytes where dataset.json says" in found[0]


def follow(problem: str, source: Path) -> None:
    """Do what a line of verify says, as it is typed, with the options of before."""
    _, path, advice = re.split(r"  |: ", problem, maxsplit=2)
    if "delete it" in advice:
        Path(path).unlink()
    command = re.search(r"run `mocrop-prep ([^`]*)`", advice)
    assert command is not None, problem
    words = [str(source) if word == "SOURCE" else word for word in shlex.split(command[1])]
    ok(*words, *(HOLDOUT if words[0] in ("run", "transcode") else ()), *(("--keep",) * (words[0] == "run")))


@pytest.mark.parametrize("damage", ["gone", "shorter", "changed"])
@pytest.mark.parametrize("part", PARTS)
def test_doing_what_it_says_mends_the_damage(source: Path, workdir: Path, part: str, damage: str) -> None:
    before = tree(workdir)
    path = workdir / part
    if damage == "gone":
        path.unlink()
    elif damage == "shorter":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        flip(path, path.stat().st_size // 2)
    (problem,) = problems(workdir)
    assert problem.startswith(f"BAD  {path}")
    follow(problem.replace(f"run `mocrop-prep shard {workdir} --crops {DEFAULT}`", "it"), source)
    assert problems(workdir) == []
    after = tree(workdir)
    assert {name: after[name] for name in before if not name.startswith(("journal/", "reports/"))} == {
        name: digest for name, digest in before.items() if not name.startswith(("journal/", "reports/"))
    }


def obstruct(path: Path, state: str) -> None:
    """Put something else where a file was."""
    path.unlink()
    if state == "a folder":
        path.mkdir()
    elif state == "a link to itself":
        path.symlink_to(path.name)
    elif state == "a link to nothing":
        path.symlink_to("nothing")
    else:
        os.mkfifo(path)


@pytest.mark.parametrize("state", ["a folder", "a link to itself", "a link to nothing", "a pipe"])
def test_whatever_lies_where_a_file_should_be_is_named(workdir: Path, state: str) -> None:
    for part in PARTS:
        copy = workdir.with_name("copy")
        shutil.copytree(workdir, copy)
        obstruct(copy / part, state)
        assert any(f"{copy / part}: " in problem for problem in problems(copy)), part
        shutil.rmtree(copy)


@pytest.mark.parametrize("folder", ["transcoded", "motion", "crops", "shards", f"shards/{DEFAULT}"])
@pytest.mark.parametrize("state", ["a file", "a link to itself"])
def test_whatever_lies_where_a_folder_should_be_is_named(workdir: Path, folder: str, state: str) -> None:
    path = workdir / folder
    shutil.rmtree(path)
    if state == "a file":
        path.write_bytes(b"not a folder")
    else:
        path.symlink_to(path.name)
    assert any(str(path) in problem for problem in problems(workdir))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_what_may_not_be_read_is_named(workdir: Path) -> None:
    for part in (*PARTS, "transcoded", "motion", "crops", "shards"):
        (workdir / part).chmod(0)
        found = problems(workdir)
        (workdir / part).chmod(0o755)
        assert any(str(workdir / part) in line and "mend that" in line for line in found), part


def test_files_that_go_while_it_looks_are_named_and_nothing_breaks(workdir: Path) -> None:
    findings = verify(open_workdir(workdir))
    next(findings)
    for folder in ("crops", "shards", "journal"):
        shutil.rmtree(workdir / folder)
    assert any("shards" in problem or "shards" in what for what, problem in findings if problem)


def test_it_changes_nothing(workdir: Path) -> None:
    flip(workdir / TAR, 600)
    before = tree(workdir)
    assert problems(workdir)
    assert tree(workdir) == before


def test_an_edited_manifest_is_named_until_a_set_is_made_from_it(workdir: Path) -> None:
    path = workdir / MANIFEST
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    rows[0]["w"] = str(int(rows[0]["w"]) - 2)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (problem,) = problems(workdir)
    assert "changed since it was written" in problem
    assert f"run `mocrop-prep shard {workdir} --crops {DEFAULT}` to take your changes up" in problem
    ok("shard", workdir, "--crops", DEFAULT)
    assert problems(workdir) == []
    assert any(
        f"{MANIFEST}: 6 rows, as shards/{DEFAULT} was made from them" in note for note in notes(workdir)
    )
    flip(path, path.stat().st_size // 2)
    assert problems(workdir)


def test_a_manifest_of_another_tool_is_validated_and_said_to_be_one(workdir: Path) -> None:
    path = workdir / "crops/theirs.csv"
    shutil.copyfile(workdir / MANIFEST, path)
    # the set is made from one of the same content, so theirs needs its own
    text = path.read_text().replace(f",{DEFAULT}", ",theirs")
    path.write_text(text)
    assert problems(workdir) == []
    assert any("theirs.csv: 6 rows, not written by this pipeline" in note for note in notes(workdir))
    path.write_text(text.replace(",ok,", ",fine,", 1))
    (problem,) = problems(workdir)
    assert "column status" in problem
    assert "mend or delete it" in problem


def add_column(path: Path, name: str, cell: str) -> None:
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([f"{header},{name}", *(f"{row},{cell}" for row in rows)]) + "\n")


@pytest.mark.parametrize("part", ["clips.csv", MANIFEST])
def test_columns_that_were_added_are_fine_and_from_the_next_run_on_they_are_watched(
    source: Path, workdir: Path, part: str
) -> None:
    path = workdir / part
    add_column(path, "mine", "a")
    assert not any(problem.startswith(f"BAD  {path}") for problem in problems(workdir))
    assert any(f"{part}: 6" in note and "columns that were added: mine" in note for note in notes(workdir))
    ok("run", source, workdir, *HOLDOUT, "--keep")
    assert problems(workdir) == []
    assert any(f"{part}: 6" in note and "SHA-256 matches" in note for note in notes(workdir))
    path.write_text(path.read_text().replace(",a\n", ",b\n", 1))
    assert any(part in problem and "columns of your own changed" in problem for problem in problems(workdir))


def test_clips_that_are_no_longer_listed_are_said_to_be_so_and_still_checked(
    own_source: Path, source: Path, workdir: Path, tmp_path: Path
) -> None:
    ok("transcode", own_source, tmp_path / "own", *HOLDOUT)
    (own_source / "walk/v_walk_g02_c01.mp4").unlink()
    ok("transcode", own_source, tmp_path / "own", *HOLDOUT)
    past = tmp_path / "own" / VIDEO
    assert problems(tmp_path / "own") == []
    (note,) = [note for note in notes(tmp_path / "own") if str(past) in note]
    assert note.endswith("of a clip that is no longer on the list; --prune removes it")
    flip(past, 1000)
    (problem,) = problems(tmp_path / "own")
    assert f"{past}: of a clip that is no longer on the list: its content is not what was written" in problem


def test_a_workdir_of_a_release_without_sums_is_said_to_be_one_once(workdir: Path) -> None:
    (workdir / "journal/sums.json").unlink()
    note = workdir / f"journal/set-{DEFAULT}.json"
    note.write_text(json.dumps({k: v for k, v in json.loads(note.read_text()).items() if k != "card"}))
    assert problems(workdir) == []
    assert sum("no checksum on record for clips.csv" in each for each in notes(workdir)) == 1
    flip(workdir / MANIFEST, 900)
    assert problems(workdir), "the set still knows its manifest"


@pytest.mark.parametrize(
    "name",
    [
        "sums.json",
        f"set-{DEFAULT}.json",
        "transcode.settings.json",
        f"shard-{DEFAULT}.settings.json",
        "transcode.jsonl",
        "extract.jsonl",
        f"run-{DEFAULT}.jsonl",
    ],
)
@pytest.mark.parametrize("state", ["rotten", "a folder"])
def test_damage_to_its_own_notes_is_named(workdir: Path, name: str, state: str) -> None:
    path = workdir / "journal" / name
    if state == "rotten":
        path.write_bytes(b"\0" + path.read_bytes()[1:])
    else:
        obstruct(path, state)
    assert any(f"{path}: " in problem for problem in problems(workdir))


def test_a_lost_note_of_a_set_is_named_with_the_way_to_a_new_one(source: Path, workdir: Path) -> None:
    (workdir / f"journal/set-{DEFAULT}.json").unlink()
    (problem,) = problems(workdir)
    assert "its note" in problem
    follow(problem, source)
    assert problems(workdir) == []


def test_a_file_whose_record_is_lost_is_told_from_a_foreign_one(source: Path, workdir: Path) -> None:
    journal = workdir / "journal/extract.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if b"walk_g02" not in line))
    (problem,) = problems(workdir)
    assert (
        "motion/walk__v_walk_g02_c01.parquet: the record of it is lost: run `mocrop-prep extract" in problem
    )
    follow(problem, source)
    assert problems(workdir) == []


def test_progress_goes_to_stderr_unless_quiet(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    list(verify(open_workdir(workdir)))
    assert capsys.readouterr().err == ""
    list(verify(open_workdir(workdir), quiet=False))
    assert "verify: 19/19 files" in capsys.readouterr().err


def test_the_last_line_counts_what_was_checked(workdir: Path) -> None:
    assert re.fullmatch(rf"{workdir}: 19 files, \d+\.\d MB, no problem", notes(workdir)[-1])

"""Parts of a run, joined, are what one run makes: the same tables, and the same samples in other shards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from mocrop_manifests import read_clips, read_crops, read_dataset

from tests.commands import DEFAULT, PROGRAM, ok, outputs, prep, tree
from tests.conftest import FORMS, HOLDOUT

TABLES = ("clips.csv", f"crops/{DEFAULT}.csv")
SMALL = ("--size", 32)


def run_parts(source: Path, workdir: Path, of: int, *options: object) -> Path:
    for number in range(of):
        ok("run", source, workdir, *HOLDOUT, *SMALL, *options, "--num-parts", of, "--part", number)
    return workdir


def merged(workdir: Path, *options: object, status: int = 0) -> Path:
    outcome = prep("merge", workdir, *options, "--quiet")
    assert outcome.status == status, outcome
    return workdir


def samples(workdir: Path, name: str = DEFAULT) -> list[tuple[str, object]]:
    """Return what every sample of a set holds, byte for byte, sorted."""
    found: list[tuple[str, object]] = []
    for path in sorted((workdir / "shards" / name).glob("*-*.*")):
        split = path.name.partition("-")[0]
        if path.suffix == ".tar":
            with tarfile.open(path) as archive:
                for member in archive:
                    stream = archive.extractfile(member)
                    assert stream is not None
                    found.append((f"{split} {member.name}", (member.tobuf(), stream.read())))
        else:
            found += [(f"{split} {row['clip_id']} {row['frame_index']}", row) for row in rows_of(path)]
    return sorted(found, key=lambda sample: sample[0])


def rows_of(path: Path) -> list[dict[str, object]]:
    return list(pq.read_table(path).to_pylist())


def content(workdir: Path) -> dict[str, str]:
    """Return the digests of all that a WORKDIR holds but its parts, its lock, and what counts or times."""
    passing = ("part-", "journal/lock", "reports/summary.json")
    kept = {name: digest for name, digest in tree(workdir).items() if not name.startswith(passing)}
    return {name: digest for name, digest in kept.items() if not name.endswith(".rows.json")}


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WORKDIR of one run without parts."""
    workdir = tmp_path_factory.mktemp("whole") / "work"
    ok("run", source, workdir, *HOLDOUT, *SMALL)
    return workdir


@pytest.fixture(scope="module")
def two(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two finished parts."""
    return run_parts(source, tmp_path_factory.mktemp("two") / "work", 2)


@pytest.fixture
def parts(two: Path, tmp_path: Path) -> Path:
    """A copy of two finished parts that a test may change."""
    return Path(shutil.copytree(two, tmp_path / "work"))


@pytest.mark.parametrize(("of", "form"), [(2, "clips in tars"), *((5, form) for form in FORMS)])
def test_merged_parts_are_what_one_run_makes(source: Path, tmp_path: Path, of: int, form: str) -> None:
    ok("run", source, tmp_path / "whole", *HOLDOUT, *SMALL, *FORMS[form])
    work = merged(run_parts(source, tmp_path / "work", of, *FORMS[form]))
    for table in TABLES:
        assert (work / table).read_bytes() == (tmp_path / "whole" / table).read_bytes()
    assert samples(work) == samples(tmp_path / "whole")
    index, expected = (read_dataset(w / "shards" / DEFAULT, verify=True) for w in (work, tmp_path / "whole"))
    assert (index.classes, index.config, index.versions, index.crops) == (
        expected.classes,
        expected.config,
        expected.versions,
        expected.crops,
    )
    assert prep("verify", work).status == 0


def test_one_part_is_the_whole_run_byte_for_byte(source: Path, whole: Path, tmp_path: Path) -> None:
    assert outputs(merged(run_parts(source, tmp_path / "work", 1))) == outputs(whole)


def test_after_a_merge_the_same_run_finds_everything_done(source: Path, parts: Path) -> None:
    before = content(merged(parts))
    foreseen = prep("run", source, parts, *HOLDOUT, *SMALL, "--dry-run")
    assert f"run-{DEFAULT}: 0 to do, 6 done before" in foreseen.out
    ok("run", source, parts, *HOLDOUT, *SMALL)
    assert content(parts) == before
    assert "6 of 6 done, 0 failed" in prep("status", parts).out


def test_a_merge_done_twice_does_nothing(parts: Path) -> None:
    before = content(merged(parts))
    stamps = {path: path.stat().st_mtime_ns for path in parts.rglob("*") if path.name != "lock"}
    outcome = prep("merge", parts)
    assert (outcome.status, outcome.out) == (0, f"{parts}: merged already, there is nothing to do\n")
    assert content(parts) == before
    assert {path: path.stat().st_mtime_ns for path in stamps if path.is_file()} == {
        path: stamp for path, stamp in stamps.items() if path.is_file()
    }


@pytest.mark.parametrize("form", ["clips in tars", "clips in parquet"])
def test_a_part_without_a_class_knows_it_all_the_same(source: Path, tmp_path: Path, form: str) -> None:
    ok("run", source, tmp_path, *HOLDOUT, *SMALL, *FORMS[form], "--num-parts", 6, "--part", 5)
    root = tmp_path / "part-00005-of-00006"
    assert {clip.label_name for clip in read_clips(root / "clips.csv")} == {"walk"}
    assert read_dataset(root / "shards" / DEFAULT).classes == ["run", "walk"]
    for path in root.glob("shards/*/*.parquet"):
        features = json.loads(pq.read_schema(path).metadata[b"huggingface"])["info"]["features"]
        assert features["label"]["names"] == ["run", "walk"]


def test_new_classes_of_the_whole_reach_the_shards_of_a_part_that_stays_the_same(
    own_source: Path, tmp_path: Path
) -> None:
    part = ("--num-parts", 7, "--part", 0)
    ok("run", own_source, tmp_path / "work", *SMALL, *part)
    folder = tmp_path / "work/part-00000-of-00007"
    before = (folder / f"crops/{DEFAULT}.csv").read_bytes()
    shutil.copytree(own_source / "walk", own_source / "zumba")
    ok("run", own_source, tmp_path / "work", *SMALL, *part)
    assert read_dataset(folder / "shards" / DEFAULT).classes == ["run", "walk", "zumba"]
    assert len(before.splitlines()) == 2


def test_more_parts_than_clips_leave_some_with_nothing_to_do(
    source: Path, whole: Path, tmp_path: Path
) -> None:
    work = run_parts(source, tmp_path / "work", 8)
    outcome = prep("run", source, work, *HOLDOUT, *SMALL, "--num-parts", 8, "--part", 7, "--jobs", 1)
    assert outcome.status == 0
    assert "note: part 7 of 8: 0 of 6 clips; there is nothing to do in it" in outcome.err
    assert prep("verify", work / "part-00007-of-00008").status == 0
    assert samples(merged(work)) == samples(whole)


def test_the_four_stages_do_parts_as_well(source: Path, whole: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    for number in range(4):
        part = ("--num-parts", 4, "--part", number)
        ok("transcode", source, work, *HOLDOUT, *part)
        ok("extract", work, *part)
        ok("crop", work, *part)
        ok("shard", work, *SMALL, *part)
    merged(work)
    for table in TABLES:
        assert (work / table).read_bytes() == (whole / table).read_bytes()
    assert samples(work) == samples(whole)
    before = content(work)
    ok("transcode", source, work, *HOLDOUT)
    ok("extract", work)
    ok("crop", work)
    ok("shard", work, *SMALL)
    assert content(work) == before


def test_what_parts_kept_is_there_to_go_on_from(source: Path, kept: Path, tmp_path: Path) -> None:
    work = merged(run_parts(source, tmp_path / "work", 2, "--keep"))
    other = Path(shutil.copytree(kept, tmp_path / "other"))
    for workdir in (work, other):
        ok("crop", workdir, "--method", "center", "--area", 0.5)
        ok("shard", workdir, "--crops", "center", *SMALL)
    for folder in ("transcoded", "motion"):
        assert tree(work / folder) == tree(other / folder)
        assert len(tree(work / folder)) == 6
    assert (work / "crops/center.csv").read_bytes() == (other / "crops/center.csv").read_bytes()
    assert tree(work / "shards/center") == tree(other / "shards/center")
    assert prep("verify", work).status == 0
    assert prep("preview", work, "--quiet").status == 0


def test_parts_may_be_joined_before_they_are_cropped(source: Path, kept: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    for number in range(2):
        ok("transcode", source, work, *HOLDOUT, "--num-parts", 2, "--part", number)
        ok("extract", work, "--num-parts", 2, "--part", number)
    merged(work)
    ok("crop", work)
    ok("shard", work)
    assert outputs(work) == outputs(kept)


def test_a_part_that_lacks_a_stage_is_not_taken_for_finished(
    source: Path, whole: Path, tmp_path: Path
) -> None:
    work, second = tmp_path / "work", "part-00001-of-00002"
    for number in range(2):
        part = ("--num-parts", 2, "--part", number)
        ok("transcode", source, work, *HOLDOUT, *part)
        ok("extract", work, *part)
    journal = work / second / "journal" / "extract.jsonl"
    complete = journal.read_bytes()
    journal.write_bytes(complete[complete.index(b"\n") + 1 :])
    outcome = prep("merge", work, "--quiet")
    assert outcome.status == 2
    line = f"mocrop-prep: {second}: extract is not finished, 1 of 3 clips are left: run it again"
    assert outcome.errors == [line]
    journal.write_bytes(complete)
    for number in range(2):
        ok("crop", work, "--num-parts", 2, "--part", number)
    ok("shard", work, *SMALL, "--num-parts", 2, "--part", 0)
    outcome = prep("merge", work)
    assert outcome.status == 2
    line = f"mocrop-prep: {second}: shard-{DEFAULT} is not finished, 3 of 3 clips are left: run it again"
    assert line in outcome.errors
    assert not (work / "shards").exists()
    ok("shard", work, *SMALL, "--num-parts", 2, "--part", 1)
    assert samples(merged(work)) == samples(whole)


def test_a_part_that_was_fused_and_one_in_stages_are_joined(
    source: Path, whole: Path, tmp_path: Path
) -> None:
    work, part = tmp_path / "work", ("--num-parts", 2, "--part", 1)
    ok("run", source, work, *HOLDOUT, *SMALL, "--num-parts", 2, "--part", 0)
    ok("transcode", source, work, *HOLDOUT, *part)
    ok("extract", work, *part)
    ok("crop", work, *part)
    ok("shard", work, *SMALL, *part)
    assert samples(merged(work)) == samples(whole)


def test_clips_that_fail_are_failed_rows_and_a_part_of_nothing_else_is_no_obstacle(
    own_source: Path, tmp_path: Path
) -> None:
    for name in ("walk/v_walk_g01_c02.mp4", "walk/v_walk_g04_c01.mp4", "run/v_run_g04_c01.avi"):
        (own_source / name).write_bytes(b"" if "run" in name else b"no video")
    whole, work, statuses = tmp_path / "whole", tmp_path / "work", []
    assert prep("run", own_source, whole, *SMALL, "--quiet", "--jobs", 1).status == 1
    for number in range(9):
        part = ("--num-parts", 9, "--part", number)
        statuses.append(prep("run", own_source, work, *SMALL, *part, "--quiet", "--jobs", 1).status)
    assert sorted(statuses) == [0] * 6 + [2] * 3
    merged(work, status=1)
    for name in (*TABLES, "reports/failures.csv"):
        assert (work / name).read_bytes() == (whole / name).read_bytes()
    assert samples(work) == samples(whole)
    assert sum(row.status == "failed" for row in read_crops(work / TABLES[1])) == 3
    assert prep("merge", work, "--quiet").status == 1
    assert prep("verify", work).status == 0
    again = prep("run", own_source, work, *SMALL, "--jobs", 1)
    assert again.status == 1
    assert again.out.splitlines()[1].split()[1:5] == ["9", "0", "9", "3"]  # clips, new, done before, failed


def test_limits_and_splits_are_those_of_the_whole(source: Path, tmp_path: Path) -> None:
    ok("run", source, tmp_path / "whole", *HOLDOUT, *SMALL, "--limit", 4)
    work = merged(run_parts(source, tmp_path / "work", 3, "--limit", 4))
    assert (work / "clips.csv").read_bytes() == (tmp_path / "whole/clips.csv").read_bytes()
    assert samples(work) == samples(tmp_path / "whole")


def test_a_dry_run_of_a_part_tells_its_share_and_makes_nothing(source: Path, tmp_path: Path) -> None:
    part = ("--num-parts", 4, "--part", 1)
    outcome = prep("run", source, tmp_path / "work", *part, "--dry-run", "--quiet")
    assert (outcome.status, outcome.out.splitlines()[0]) == (
        0,
        f"run-{DEFAULT}: 2 to do, 0 done before",
    )
    assert not (tmp_path / "work").exists()


def test_parts_and_the_whole_keep_out_of_each_others_folders(source: Path, whole: Path, parts: Path) -> None:
    part = ("--num-parts", 2, "--part", 0)
    inner = parts / "part-00000-of-00002"
    for arguments, said in (
        (
            ("run", source, parts),
            "holds 2 of 2 parts and is no WORKDIR until they are merged: `mocrop-prep me",
        ),
        (("status", parts), "is no WORKDIR until they are merged"),
        (("run", source, inner), f"{inner} is part 0 of 2: give {parts} with --num-parts 2 --part 0"),
        (("run", source, inner, *part), f"{inner} is the folder of one part"),
        (("run", source, whole, *part), f"{whole} was made without parts: take another WORKDIR"),
        (("run", source, parts, "--num-parts", 3, "--part", 0), f"{parts} holds parts of 2"),
        (
            ("extract", parts.parent / "new", *part),
            "has no part 0 of 2 yet: run `mocrop-prep transcode SOURCE",
        ),
        (("crop", parts, "--part", 0), "--part goes with --num-parts"),
    ):
        outcome = prep(*arguments, "--quiet")
        assert outcome.status == 2
        assert said in outcome.err
        assert len(outcome.errors) == 1


def test_the_tasks_of_a_slurm_array_run_at_the_same_time_and_a_last_job_joins_them(
    source: Path, whole: Path, tmp_path: Path
) -> None:
    program = tmp_path / "bin" / "mocrop-prep"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n{PROGRAM}\n")
    program.chmod(0o755)
    script = tmp_path / "array.sh"
    script.write_text(
        f"exec mocrop-prep run {source} work {' '.join(map(str, (*HOLDOUT, *SMALL)))} --jobs 1 "
        '--num-parts 3 --part "$SLURM_ARRAY_TASK_ID"'
    )
    paths = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    paths["PYTHONPATH"] = os.pathsep.join(sys.path)
    tasks = [
        subprocess.Popen(["sh", script], cwd=tmp_path, env={**paths, "SLURM_ARRAY_TASK_ID": task})
        for task in "012"
    ]
    assert [task.wait(120) for task in tasks] == [0, 0, 0]
    joined = subprocess.run(
        ["sh", "-c", "mocrop-prep merge work && mocrop-prep verify work --quiet"],
        cwd=tmp_path,
        env=paths,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert joined.returncode == 0, joined.stderr
    assert joined.stdout.splitlines()[0] == "work: 3 parts merged, 6 clips, 0 of them failed"
    assert samples(tmp_path / "work") == samples(whole)

"""`run` and the four stages, whatever the jobs and the backend, write the same bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.commands import Outcome, outputs, prep, tree
from tests.conftest import HOLDOUT

FORMS = [
    ("--format", "webdataset", "--sample", "clip", "--frames", "8"),
    ("--format", "parquet", "--sample", "clip", "--frames", "all"),
    ("--format", "webdataset", "--sample", "frame", "--frames", "key:2"),
    ("--format", "parquet", "--sample", "frame", "--frames", "uniform:5"),
    ("--format", "webdataset", "--sample", "clip", "--frames", "uniform:5", "--aspect", "keep"),
    ("--format", "parquet", "--sample", "clip", "--frames", "key:2", "--shard-size", "2"),
]
ONE = ("--jobs", "1")


def done(*arguments: object) -> Outcome:
    outcome = prep(*arguments, "--quiet")
    assert outcome.status == 0, outcome
    return outcome


def staged(source: Path, workdir: Path, method: str, form: tuple[str, ...], *how: str) -> Path:
    done("transcode", source, workdir, *HOLDOUT, *how)
    done("extract", workdir, *how)
    done("crop", workdir, "--method", method, *how)
    done("shard", workdir, *form, *how)
    return workdir


@pytest.fixture(scope="module")
def halfway(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WORKDIR after the first two stages."""
    workdir = tmp_path_factory.mktemp("halfway") / "work"
    done("transcode", source, workdir, *HOLDOUT, *ONE)
    done("extract", workdir, *ONE)
    return workdir


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
@pytest.mark.parametrize("method", ["mocrop-v1", "mocrop-v2"])
def test_run_writes_what_the_stages_write(
    source: Path, halfway: Path, tmp_path: Path, method: str, form: tuple[str, ...]
) -> None:
    stages = Path(shutil.copytree(halfway, tmp_path / "stages"))
    done("crop", stages, "--method", method, *ONE)
    done("shard", stages, *form, *ONE)
    fused = tmp_path / "fused"
    done("run", source, fused, *HOLDOUT, "--method", method, *form, *ONE)
    assert outputs(fused) == outputs(stages)
    assert len(outputs(fused)) >= 5
    assert not (fused / "transcoded").exists()
    assert not (fused / "motion").exists()


@pytest.mark.parametrize("method", ["full", "center", "center-square", "random"])
def test_controls_come_out_the_same_fused_and_staged(
    source: Path, halfway: Path, tmp_path: Path, method: str
) -> None:
    stages = Path(shutil.copytree(halfway, tmp_path / "stages"))
    done("crop", stages, "--method", method, "--area", "0.5", *ONE)
    done("shard", stages, "--size", 32, *ONE)
    done("run", source, tmp_path / "fused", *HOLDOUT, "--method", method, "--area", 0.5, "--size", 32, *ONE)
    assert outputs(tmp_path / "fused") == outputs(stages)


def test_keep_keeps_what_the_stages_leave(kept: Path, halfway: Path) -> None:
    for folder in ("transcoded", "motion"):
        assert tree(kept / folder) == tree(halfway / folder)
        assert len(tree(kept / folder)) == 6


def test_the_stages_go_on_from_what_keep_kept(source: Path, kept: Path, workdir: Path) -> None:
    before = tree(workdir / "transcoded") | tree(workdir / "motion")
    stamps = {path: path.stat().st_mtime_ns for path in workdir.glob("*/*.[mp][pa]*")}
    staged(source, workdir, "mocrop-v1", (), *ONE)
    assert outputs(workdir) == outputs(kept)
    assert tree(workdir / "transcoded") | tree(workdir / "motion") == before
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_run_goes_on_from_what_the_stages_left(
    source: Path, halfway: Path, kept: Path, tmp_path: Path
) -> None:
    workdir = Path(shutil.copytree(halfway, tmp_path / "work"))
    done("run", source, workdir, *HOLDOUT, *ONE)
    assert outputs(workdir) == outputs(kept)
    assert tree(workdir / "transcoded") == tree(halfway / "transcoded")


@pytest.mark.parametrize(
    "how",
    [
        ("--jobs", "2", "--backend", "loky"),
        ("--jobs", "2", "--backend", "threading"),
        ("--jobs", "7", "--backend", "threading"),
        ("--jobs", "2", "--backend", "sequential"),
    ],
    ids=" ".join,
)
def test_neither_jobs_nor_backend_change_a_byte(
    source: Path, kept: Path, tmp_path: Path, how: tuple[str, ...]
) -> None:
    done("run", source, tmp_path / "run", *HOLDOUT, *how)
    assert outputs(tmp_path / "run") == outputs(kept)
    staged(source, tmp_path / "stages", "mocrop-v1", (), *how)
    assert outputs(tmp_path / "stages") == outputs(kept)
    for folder in ("transcoded", "motion"):
        assert tree(tmp_path / "stages" / folder) == tree(kept / folder)


def test_where_source_and_workdir_lie_changes_no_byte(source: Path, kept: Path, tmp_path: Path) -> None:
    elsewhere = Path(shutil.copytree(source, tmp_path / "ein Ordner" / "clips"))
    done("run", elsewhere, tmp_path / "w" / "x", *HOLDOUT, *ONE)
    assert outputs(tmp_path / "w" / "x") == outputs(kept)


def test_a_clip_comes_out_the_same_with_others_and_alone(source: Path, kept: Path, tmp_path: Path) -> None:
    done("run", source, tmp_path / "few", *HOLDOUT, "--limit", 2, *ONE)
    rows = (tmp_path / "few/crops/mocrop-v1.csv").read_text().splitlines()
    everything = (kept / "crops/mocrop-v1.csv").read_text().splitlines()
    assert len(rows) == 3
    assert set(rows) <= set(everything)

"""`run` and the four stages, whatever the jobs and the backend, write the same bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.commands import DEFAULT, Outcome, outputs, prep, tree
from tests.conftest import HOLDOUT
from tests.films import WEB, XVID, Picture, encode, moving_square

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


def staged(source: Path, workdir: Path, *how: str) -> None:
    done("transcode", source, workdir, *HOLDOUT, *how)
    for stage in ("extract", "crop", "shard"):
        done(stage, workdir, *how)


@pytest.fixture(scope="module")
def halfway(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WORKDIR after the first two stages."""
    workdir = tmp_path_factory.mktemp("halfway") / "work"
    done("transcode", source, workdir, *HOLDOUT, *ONE)
    done("extract", workdir, *ONE)
    return workdir


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
@pytest.mark.parametrize("method", [DEFAULT, "mocrop-v1", "mocrop-v2"])
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


@pytest.mark.parametrize("frames", ["8", "uniform:5"])
@pytest.mark.parametrize("method", [DEFAULT, "mocrop-v1"])
def test_keep_keeps_what_the_stages_leave(
    source: Path, halfway: Path, tmp_path: Path, method: str, frames: str
) -> None:
    """Frames between the key frames are decoded with another filter, which must not show in the vectors."""
    stages, fused = Path(shutil.copytree(halfway, tmp_path / "stages")), tmp_path / "fused"
    done("crop", stages, "--method", method, *ONE)
    done("shard", stages, "--frames", frames, *ONE)
    done("run", source, fused, *HOLDOUT, "--keep", "--method", method, "--frames", frames, *ONE)
    assert outputs(fused) == outputs(stages)
    for folder in ("transcoded", "motion"):
        assert tree(fused / folder) == tree(halfway / folder)
        assert len(tree(fused / folder)) == 6


def half_plain(seed: int) -> list[Picture]:
    """Frame a square that moves in front of texture, one that moves in front of none, in a black border."""
    films = []
    for picture, other in zip(moving_square(seed=seed), moving_square(seed=seed, flip=True), strict=True):
        plain = np.full_like(other, 128)
        plain[:, 40:] = other[:, 40:] // 16 + 120
        films.append(np.pad(np.hstack([picture, plain]), ((24, 24), (16, 16), (0, 0))))
    return films


@pytest.mark.parametrize("keep", [(), ("--keep",)], ids=["lean", "keep"])
@pytest.mark.parametrize("options", [(), ("--area", "0.3"), ("--shape", "3:4-4:3")], ids=" ".join)
def test_what_the_pictures_say_of_a_crop_is_the_same_fused_and_staged(
    tmp_path: Path, options: tuple[str, ...], keep: tuple[str, ...]
) -> None:
    source, stages, fused = (tmp_path / name for name in ("clips", "stages", "fused"))
    encode(source / "walk/v_walk_g01_c01.avi", half_plain(1), XVID)
    encode(source / "run/v_run_g02_c01.mp4", half_plain(2), WEB)
    done("transcode", source, stages, *HOLDOUT, *ONE)
    done("extract", stages, *ONE)
    done("crop", stages, *options, *ONE)
    done("shard", stages, "--size", 32, *ONE)
    done("run", source, fused, *HOLDOUT, *keep, *options, "--size", 32, *ONE)
    assert outputs(fused) == outputs(stages)
    if keep:
        assert tree(fused / "motion") == tree(stages / "motion")


@pytest.mark.parametrize("method", [DEFAULT, "mocrop-v1"])
def test_the_stages_go_on_from_what_keep_kept(
    source: Path, kept: Path, workdir: Path, tmp_path: Path, method: str
) -> None:
    before = tree(workdir / "transcoded") | tree(workdir / "motion")
    stamps = {path: path.stat().st_mtime_ns for path in workdir.glob("*/*.[mp][pa]*")}
    done("transcode", source, workdir, *HOLDOUT, *ONE)
    done("extract", workdir, *ONE)
    done("crop", workdir, "--method", method, *ONE)
    done("shard", workdir, "--crops", method, *ONE)
    done("run", source, tmp_path / "fresh", *HOLDOUT, "--method", method, *ONE)
    assert outputs(workdir) == outputs(kept) | outputs(tmp_path / "fresh")
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
    staged(source, tmp_path / "stages", *how)
    assert outputs(tmp_path / "stages") == outputs(kept)
    for folder in ("transcoded", "motion"):
        assert tree(tmp_path / "stages" / folder) == tree(kept / folder)


def test_where_source_and_workdir_lie_changes_no_byte(source: Path, kept: Path, tmp_path: Path) -> None:
    elsewhere = Path(shutil.copytree(source, tmp_path / "ein Ordner" / "clips"))
    done("run", elsewhere, tmp_path / "w" / "x", *HOLDOUT, *ONE)
    assert outputs(tmp_path / "w" / "x") == outputs(kept)


def test_a_clip_comes_out_the_same_with_others_and_alone(source: Path, kept: Path, tmp_path: Path) -> None:
    done("run", source, tmp_path / "few", *HOLDOUT, "--limit", 2, *ONE)
    rows = (tmp_path / f"few/crops/{DEFAULT}.csv").read_text().splitlines()
    everything = (kept / f"crops/{DEFAULT}.csv").read_text().splitlines()
    assert len(rows) == 3
    assert set(rows) <= set(everything)

"""Clips and finished WORKDIRs that many tests look at; none may change them."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import pytest

from tests.commands import ok, outputs
from tests.films import DVD, VP9, WEB, XVID, Film, encode, moving_square

# films are drawn with OpenCV: the same on any processor, and whichever test came before, since the pipeline
# switches IPP off as well
cv2.ipp.setUseIPP(False)

SHARED = Path(__file__).parents[2] / "shared" / "data"
HOLDOUT = ("--holdout-groups", "1")
FORMS = {
    "clips in tars": (),
    "frames in tars": ("--sample", "frame"),
    "clips in parquet": ("--format", "parquet"),
    "frames in parquet": ("--format", "parquet", "--sample", "frame"),
}


def fresh(source: Path, tmp_path: Path, *options: object) -> dict[str, str]:
    """Return what one run over a source writes."""
    ok("run", source, tmp_path / "fresh", *HOLDOUT, *options)
    return outputs(tmp_path / "fresh")


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of three clips: the square moves over the left in `walk`, over the right in `run`."""
    root = tmp_path_factory.mktemp("source") / "clips"
    encode(root / "walk/v_walk_g01_c01.avi", moving_square(seed=1), XVID)
    encode(root / "walk/v_walk_g02_c01.mp4", moving_square(30, seed=2), WEB)
    encode(root / "walk/v_walk_g03_c01.mov", moving_square(14, seed=3), Film(sound="aac"))
    encode(root / "run/v_run_g01_c01.mpg", moving_square(seed=4, flip=True), DVD)
    encode(root / "run/v_run_g02_c01.webm", moving_square(seed=5, flip=True), VP9)
    encode(root / "run/v_run_g03_c01.mkv", moving_square(37, seed=6, flip=True), WEB)
    return root


@pytest.fixture(scope="session")
def kept(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WORKDIR of `run --keep`."""
    workdir = tmp_path_factory.mktemp("kept") / "work"
    ok("run", source, workdir, *HOLDOUT, "--keep")
    return workdir


@pytest.fixture
def workdir(kept: Path, tmp_path: Path) -> Path:
    """A copy of a finished WORKDIR that a test may change."""
    return Path(shutil.copytree(kept, tmp_path / "work"))


@pytest.fixture
def own_source(source: Path, tmp_path: Path) -> Path:
    """A copy of the source that a test may change."""
    return Path(shutil.copytree(source, tmp_path / "clips"))


@pytest.fixture(scope="session")
def real_clips() -> Path:
    """The folder of real clips, beside the checkout."""
    if not (SHARED / "ucf101").is_dir():
        pytest.skip("the real clips are not beside the checkout")
    return SHARED

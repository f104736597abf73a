"""Clips and finished WORKDIRs that many tests look at; none may change them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import pytest
from joblib.externals.loky import get_reusable_executor

from tests.commands import ok, outputs
from tests.films import DVD, VP9, WEB, XVID, Film, encode, moving_square

if TYPE_CHECKING:
    from tests.stores import Bucket, Server

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


@pytest.fixture(scope="session")
def s3() -> Iterator[Server]:
    """An S3 server on loopback, for this process and those that it starts."""
    pytest.importorskip("moto", reason="moto is not installed: no S3 server to test with")
    pytest.importorskip("s3fs", reason="s3fs is not installed: no S3 to test with")
    from tests.stores import Server

    server = Server()
    settings = {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        # workers that wait for work know nothing of it
        get_reusable_executor(reuse=True).shutdown(wait=True)
        yield server
    server.stop()


@pytest.fixture
def bucket(s3: Server) -> Bucket:
    """A bucket that nobody else uses."""
    from tests.stores import Bucket

    return Bucket(s3)


@pytest.fixture(scope="session")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two Xvid films of a moving square, in one class; read it only."""
    root = tmp_path_factory.mktemp("walks")
    for seed in (1, 2):
        encode(root / f"walk/{seed}.avi", moving_square(seed=seed), XVID)
    return root

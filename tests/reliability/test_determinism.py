"""The same source gives the same bytes, whatever memory held before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import start, tree
from tests.films import WEB, XVID, encode, moving_square

SAME = ("transcoded/", "motion/", "crops/", "shards/", "clips.csv")


def everything(workdir: Path) -> dict[str, str]:
    return {name: digest for name, digest in tree(workdir).items() if name.startswith(SAME)}


@pytest.fixture(scope="module")
def long_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films longer than x264's lookahead and large enough for its buffers to come from a used heap."""
    root = tmp_path_factory.mktemp("source") / "clips"
    encode(root / "walk/a.avi", moving_square(50, size=(176, 144), seed=1), XVID)
    encode(root / "walk/b.mp4", moving_square(50, size=(240, 180), seed=2), WEB)
    encode(root / "run/c.mkv", moving_square(31, seed=3, flip=True), WEB)
    return root


def run(source: Path, workdir: Path, **environment: str) -> dict[str, str]:
    how = ("--keep", "--quiet", "--jobs", "1")
    process = start("run", source, workdir, *how, **environment)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out == ""
    return everything(workdir)


@pytest.fixture(scope="module")
def untouched(long_source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    found = run(long_source, tmp_path_factory.mktemp("untouched") / "work")
    assert len(found) == 1 + 3 + 3 + 1 + 3
    return found


@pytest.mark.parametrize("perturb", ["1", "85"])
def test_no_output_depends_on_memory_that_was_never_written(
    long_source: Path, untouched: dict[str, str], tmp_path: Path, perturb: str
) -> None:
    """glibc fills fresh and freed memory with a byte of our choice."""
    assert run(long_source, tmp_path / "work", MALLOC_PERTURB_=perturb) == untouched


@pytest.mark.parametrize("primitives", ["sse42", "disabled"])
def test_no_output_depends_on_the_instructions_of_the_processor(
    long_source: Path, untouched: dict[str, str], tmp_path: Path, primitives: str
) -> None:
    """OpenCV takes Intel's primitives where it finds them; they round differently for every processor."""
    assert run(long_source, tmp_path / "work", OPENCV_IPP=primitives) == untouched

"""A disk that takes no more costs the clips that did not fit, and they are done once there is room."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

import pytest

from tests.commands import COMMAND, DEFAULT, ok, outputs, prep
from tests.films import Film, encode, moving_square, texture

FINE = ("--crf", "1", "--size", "64", "--quiet", "--jobs", "1")


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small clips and a large one."""
    root = tmp_path_factory.mktemp("uneven") / "clips"
    small = Film(codec="mpeg4", options={"qmin": "2", "qmax": "3"})
    encode(root / "walk/a.avi", moving_square(14), small)
    encode(root / "run/b.avi", moving_square(14, seed=1), small)
    noise = [texture(480, 360, seed, contrast=90) for seed in range(24)]
    encode(root / "run/large.avi", noise, small)
    return root


def with_small_files(kibibytes: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run mocrop-prep where no file may grow beyond a size: the system answers as a full disk does."""
    shell = ["bash", "-c", 'ulimit -f "$0"; exec "$@"', str(kibibytes), *COMMAND]
    command = [*shell, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("command", ["transcode", "run"])
def test_a_clip_that_does_not_fit_fails_alone_and_is_done_later(
    uneven: Path, tmp_path: Path, command: str
) -> None:
    workdir = tmp_path / "work"
    options = FINE if command == "run" else ("--crf", "1", "--quiet", "--jobs", "1")
    done = with_small_files(250, command, uneven, workdir, *options)
    assert done.returncode == 1, done
    assert len(done.stderr.splitlines()) == 1
    with (workdir / "reports/failures.csv").open(newline="") as stream:
        failures = [(row["clip_id"], row["code"]) for row in csv.DictReader(stream)]
    assert failures == [("run__large", "disk")]
    assert list(workdir.rglob(".tmp-*")) == []
    assert prep(command, uneven, workdir, *options).status == 0


def test_shards_that_do_not_fit_leave_no_set_that_looks_whole(uneven: Path, tmp_path: Path) -> None:
    workdir, options = tmp_path / "work", (*FINE, "--limit", "2", "--size", "512", "--frames", "uniform:5")
    done = with_small_files(400, "run", uneven, workdir, *options)
    assert done.returncode == 2, done
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert not (workdir / f"shards/{DEFAULT}/dataset.json").exists()
    ok("run", uneven, workdir, *options)
    ok("run", uneven, tmp_path / "fresh", *options)
    assert outputs(workdir) == outputs(tmp_path / "fresh")
    assert prep("verify", workdir).status == 0

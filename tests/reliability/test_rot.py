"""A file that changed behind the pipeline's back is never worked on in silence."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mocrop_manifests import read_crops

from tests.commands import DEFAULT, ok, outputs, prep
from tests.conftest import FORMS, HOLDOUT, fresh
from tests.films import WEB, XVID, encode, moving_square, texture


def rot(path: Path) -> None:
    """Flip bits in the middle of a file and keep its size and its times."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = bytes(byte ^ 0x55 for byte in content[middle : middle + 8])
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


ROTTEN: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a transcoded clip": ("transcoded/walk__v_walk_g02_c01.mp4", lambda w: shutil.rmtree(w / "motion")),
    "a transcoded clip, cropped": (
        "transcoded/walk__v_walk_g02_c01.mp4",
        lambda w: shutil.rmtree(w / "shards"),
    ),
    "a vectors file": ("motion/walk__v_walk_g02_c01.parquet", lambda w: shutil.rmtree(w / "crops")),
}


@pytest.mark.parametrize("what", ROTTEN)
def test_a_stage_does_not_work_on_a_file_that_rotted(
    source: Path, kept: Path, workdir: Path, what: str
) -> None:
    name, forget = ROTTEN[what]
    rot(workdir / name)
    forget(workdir)
    statuses = [prep(*command, "--jobs", 1).status for command in (("extract", workdir), ("crop", workdir))]
    statuses.append(prep("shard", workdir, "--jobs", 1).status)
    assert 1 in statuses
    assert "bad-intermediate" in (workdir / "reports/failures.csv").read_text()


def test_run_does_not_reuse_a_transcoded_clip_that_rotted(source: Path, kept: Path, workdir: Path) -> None:
    rot(workdir / "transcoded/walk__v_walk_g02_c01.mp4")
    shutil.rmtree(workdir / "shards")
    ok("run", source, workdir, *HOLDOUT, "--keep")
    assert outputs(workdir) == outputs(kept)


@pytest.mark.parametrize("folder", ["transcoded/*.mp4", "motion/*.parquet"])
def test_what_was_kept_and_then_cut_is_kept_again(
    source: Path, kept: Path, workdir: Path, folder: str
) -> None:
    path = sorted(workdir.glob(folder))[0]
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    ok("run", source, workdir, *HOLDOUT, "--keep")
    assert path.read_bytes() == content


@pytest.mark.parametrize("form", FORMS)
def test_samples_are_not_taken_from_a_shard_that_rotted(own_source: Path, tmp_path: Path, form: str) -> None:
    workdir = tmp_path / "work"
    ok("run", own_source, workdir, *HOLDOUT, *FORMS[form])
    rot(next((workdir / f"shards/{DEFAULT}").glob("train-*")))
    encode(own_source / "walk/v_walk_g09_c01.mp4", moving_square(26, seed=78), WEB)
    assert prep("run", own_source, workdir, *HOLDOUT, *FORMS[form], "--jobs", 1).status == 0
    assert outputs(workdir) == fresh(own_source, tmp_path, *FORMS[form])


def test_a_clip_fails_as_a_bad_intermediate_and_is_done_once_the_file_is_back(
    source: Path, workdir: Path, kept: Path
) -> None:
    (workdir / "transcoded/walk__v_walk_g02_c01.mp4").unlink()
    shutil.rmtree(workdir / "motion")
    assert prep("extract", workdir, "--jobs", 1).status == 1
    failures = (workdir / "reports/failures.csv").read_text()
    assert "walk__v_walk_g02_c01,walk/v_walk_g02_c01.mp4,extract,bad-intermediate," in failures
    ok("transcode", source, workdir, *HOLDOUT)
    ok("extract", workdir)
    ok("crop", workdir)
    ok("shard", workdir)
    assert outputs(workdir) == outputs(kept)


def test_a_clip_that_could_not_be_written_is_tried_again(tmp_path: Path) -> None:
    source, workdir = tmp_path / "clips", tmp_path / "work"
    encode(source / "walk/a.avi", moving_square(20), XVID)
    encode(source / "run/b.avi", [texture(128, 96, 1)] * 3, XVID)
    ok("transcode", source, workdir)
    first = (workdir / "transcoded/walk__a.mp4").read_bytes()
    (workdir / "transcoded/walk__a.mp4").unlink()
    (workdir / "transcoded/walk__a.mp4").mkdir()
    outcome = prep("transcode", source, workdir, "--jobs", 1)
    assert outcome.status == 1, outcome
    (workdir / "transcoded/walk__a.mp4").rmdir()
    ok("transcode", source, workdir)
    assert (workdir / "transcoded/walk__a.mp4").read_bytes() == first


def test_a_clip_that_its_rotted_shard_lost_and_that_fails_now_is_a_failed_row_at_once(
    own_source: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "work"
    ok("run", own_source, workdir, *HOLDOUT)
    rot(workdir / f"shards/{DEFAULT}/train-000000.tar")
    broken = own_source / "walk/v_walk_g02_c01.mp4"
    status = broken.stat()
    broken.write_bytes(bytes(status.st_size))  # and nobody notices by its size and time
    os.utime(broken, ns=(status.st_atime_ns, status.st_mtime_ns))
    encode(own_source / "walk/v_walk_g09_c01.mp4", moving_square(26, seed=78), WEB)
    assert prep("run", own_source, workdir, *HOLDOUT, "--jobs", 1).status == 1
    rows = {row.path: row.status for row in read_crops(workdir / f"crops/{DEFAULT}.csv")}
    assert rows.pop("walk/v_walk_g02_c01.mp4") == "failed"
    assert set(rows.values()) == {"ok"}
    assert prep("verify", workdir).status == 0

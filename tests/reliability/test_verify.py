"""`verify` notices whatever changed: one byte, a missing file, a file that is not ours."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mocrop_prep.verify import verify
from mocrop_prep.workdir import open_workdir

from tests.commands import DEFAULT, ok, prep
from tests.conftest import FORMS, HOLDOUT

FLIPS = 12
"""Bytes to flip in each kind of file."""

KINDS = {
    "transcoded": "transcoded/*.mp4",
    "motion": "motion/*.parquet",
    "shards": "shards/*/*-*.tar",
    "the index": "shards/*/dataset.json",
    "the manifest": "crops/*.csv",
}


def problems(workdir: Path) -> list[str]:
    """Return what verify complains of, as it says it."""
    outcome = prep("verify", workdir, "--quiet")
    lines = outcome.out.splitlines()
    assert outcome.status == (1 if lines else 0)
    assert all(line.startswith("BAD  ") for line in lines)
    assert outcome.err == (f"{len(lines)} problems found\n" if lines else "")
    return lines


def test_a_finished_workdir_has_no_problem_and_every_part_is_named(workdir: Path) -> None:
    outcome = prep("verify", workdir)
    assert (outcome.status, outcome.err) == (0, "")
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_byte_is_noticed_wherever_it_is(workdir: Path, kind: str) -> None:
    rng = np.random.default_rng(len(kind))
    files = sorted(workdir.glob(KINDS[kind]))
    home = open_workdir(workdir)
    missed = []
    for _ in range(FLIPS):
        path = files[rng.integers(len(files))]
        content = path.read_bytes()
        place, bit = int(rng.integers(len(content))), 1 << int(rng.integers(8))
        flipped = bytearray(content)
        flipped[place] ^= bit
        path.write_bytes(flipped)
        found = [problem for _, problem in verify(home) if problem]
        if not found:
            missed.append(f"{path.name}: byte {place}, bit {bit}: {content[max(0, place - 9) : place + 9]!r}")
        path.write_bytes(content)
    assert missed == []
    assert problems(workdir) == []


@pytest.mark.parametrize("form", ["clips in parquet", "frames in parquet"])
def test_a_flipped_byte_in_parquet_shards_is_noticed(workdir: Path, form: str) -> None:
    ok("shard", workdir, *FORMS[form], "--name", "set")
    path = workdir / "shards/set/train-000000.parquet"
    content = path.read_bytes()
    rng = np.random.default_rng(5)
    for place in rng.integers(len(content), size=4):
        flipped = bytearray(content)
        flipped[place] ^= 0x10
        path.write_bytes(flipped)
        assert any(str(path) in problem for problem in problems(workdir))


@pytest.mark.parametrize(
    "lost",
    [
        "clips.csv",
        "transcoded/walk__v_walk_g02_c01.mp4",
        "motion/run__v_run_g01_c01.parquet",
        f"crops/{DEFAULT}.csv",
        f"shards/{DEFAULT}/test-000000.tar",
        f"shards/{DEFAULT}/dataset.json",
        f"shards/{DEFAULT}/README.md",
    ],
)
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
    assert any("run shard again" in problem for problem in problems(workdir))
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

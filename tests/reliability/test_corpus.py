"""Bad input by the hundred costs a row each: never the run, never more than its time, never in silence."""

from __future__ import annotations

import csv
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mocrop_manifests import read_crops
from mocrop_prep.clips.paths import escape

from tests.commands import DEFAULT, journal, outputs, prep, start
from tests.corpus import Case, batches, corpus, real_cases, sample

BATCH = 120
LIMIT_SECONDS = 30
HOW = ("--preset", "ultrafast", "--size", 32, "--quiet", "--jobs", 2)
LIMITS = ("--timeout", LIMIT_SECONDS, "--max-memory", "2GB")


def written(cases: Sequence[Case], root: Path) -> Path:
    for case in cases:
        case.write(root)
    return root


def fates(workdir: Path) -> dict[str, str]:
    """Return how every clip ended, by its path: `ok`, fallbacks too, or the code of its failure."""
    rows = read_crops(workdir / f"crops/{DEFAULT}.csv")
    return {row.path: str(row.reason) if row.status == "failed" else "ok" for row in rows}


def told(workdir: Path) -> dict[str, str]:
    """Return what the report says of every clip that failed."""
    with (workdir / "reports/failures.csv").open(newline="") as stream:
        return {row["path"]: row["detail"] for row in csv.DictReader(stream)}


def surprises(cases: Sequence[Case], found: dict[str, str]) -> list[tuple[str, str]]:
    """Return the cases that did not end as they must, with how they did."""
    ends = [(case, found.get(escape(case.path), "no row")) for case in cases]
    return [(case.path, end) for case, end in ends if end not in case.expected]


def check_run(cases: Sequence[Case], root: Path) -> dict[str, str]:
    """Run the real command over the cases; return how each ended, once nothing about it surprises."""
    command = start("run", written(cases, root / "clips"), root / "work", *HOW, *LIMITS)
    _, err = command.communicate(timeout=LIMIT_SECONDS * len(cases))
    assert command.returncode in (0, 1), err
    found = fates(root / "work")
    assert surprises(cases, found) == []
    assert set(found) == {escape(case.path) for case in cases}
    failed = {path for path, fate in found.items() if fate != "ok"}
    details = told(root / "work")
    assert set(details) == failed
    assert all(details.values())
    assert prep("verify", root / "work").status == 0
    return found


def test_a_sample_of_the_corpus_ends_as_it_must(tmp_path: Path) -> None:
    found = check_run(sample(40), tmp_path)
    assert 5 < sum(fate == "ok" for fate in found.values()) < 35


def test_the_corpus_is_the_same_each_time(tmp_path: Path) -> None:
    for case in sample(12):
        assert case.write(tmp_path / "a").read_bytes() == case.write(tmp_path / "b").read_bytes()


@pytest.mark.slow
def test_hundreds_of_bad_files_end_as_rows_in_time(tmp_path: Path) -> None:
    cases = corpus()
    assert len(cases) >= 500
    for number, batch in enumerate(batches(cases, BATCH)):
        root = tmp_path / str(number)
        check_run(batch, root)
        assert max(record["seconds"] for record in journal(root / "work", f"run-{DEFAULT}")) < LIMIT_SECONDS
        shutil.rmtree(root)


@pytest.mark.slow
def test_damaged_copies_of_real_files_end_as_rows_too(real_clips: Path, tmp_path: Path) -> None:
    for number, batch in enumerate(batches(list(real_cases(real_clips / "odd")), BATCH)):
        check_run(batch, tmp_path / str(number))
        shutil.rmtree(tmp_path / str(number))


def check_agreement(cases: Sequence[Case], folder: Path) -> Path:
    """Do the cases in one go and in stages; return the WORKDIR of either, once both are the same."""
    source = written(cases, folder / "clips")
    common = ("--quiet", "--jobs", 2)
    assert prep("run", source, folder / "fused", "--preset", "ultrafast", *common).status == 1
    for command in (("transcode", source, "--preset", "ultrafast"), ("extract",), ("crop",), ("shard",)):
        assert prep(*command[:2], folder / "stages", *command[2:], *common).status == 1
    assert outputs(folder / "stages") == outputs(folder / "fused")
    assert set(told(folder / "stages")) == set(told(folder / "fused"))
    return folder / "fused"


@pytest.mark.slow
def test_staged_and_fused_agree_on_bad_files(tmp_path: Path) -> None:
    check_agreement(sample(150), tmp_path)


def test_damage_that_only_decoding_shows_is_counted_whichever_way(tmp_path: Path) -> None:
    """Clips that are copied are decoded by extract at first."""
    names = ("payload-1b-plain.mp4", "noise-plain.mp4", "middle-plain.mp4")
    cases = [case for case in corpus() if case.name in names]
    workdir = check_agreement([*cases, *sample(10)], tmp_path)
    counts = {row.path: row.damaged for row in read_crops(workdir / f"crops/{DEFAULT}.csv")}
    assert len(cases) == len(names)
    assert all(counts[escape(case.path)] for case in cases)


@pytest.mark.slow
def test_keep_brings_more_through_and_counts_what_is_damaged(tmp_path: Path) -> None:
    cases = [case for case in corpus() if case.kind in ("cut", "flip", "zero", "packets")]
    source = written(cases, tmp_path / "clips")
    ends: dict[str, dict[str, tuple[str, Any]]] = {}
    for policy in ("fail", "keep"):
        how = ("--on-corrupt", policy, "--transcode", "always", "--preset", "ultrafast")
        assert prep("transcode", source, tmp_path / policy, *how, "--quiet", "--jobs", 2).status == 1
        ends[policy] = {
            record["clip_id"]: (record["code"], record["data"].get("damaged"))
            for record in journal(tmp_path / policy, "transcode")
        }
    damaged = {clip for clip, (code, _) in ends["fail"].items() if code == "corrupt"}
    saved = {clip for clip in damaged if ends["keep"][clip][0] == ""}
    assert len(saved) > 100
    for clip, (code, count) in ends["fail"].items():
        if clip in saved:
            assert 0 < count <= ends["keep"][clip][1]
        elif clip not in damaged:
            assert ends["keep"][clip] == (code, count)
    details = [detail for detail in told(tmp_path / "fail").values() if "on-corrupt keep uses" in detail]
    assert len(details) == len(damaged)
    assert all(re.search(r": [1-9]\d* of [1-9]\d* packets or their frames are damaged", d) for d in details)


def test_what_is_no_file_ends_at_once_with_a_code(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "device.mp4").symlink_to("/dev/zero")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "file").write_bytes(b"a file")
    expected = {
        "folder.mp4": "not-video",
        "pipe.mp4": "not-video",
        "device.mp4": "not-video",
        "loop.mp4": "unreadable",
        "x" * 300 + ".mp4": "unreadable",
        "file/inside.mp4": "missing-file",
        "absent.mp4": "missing-file",
    }
    rows = "".join(f"{path},walk\n" for path in expected)
    (tmp_path / "clips.csv").write_text("path,label\n" + rows)
    command = start("transcode", tmp_path / "clips.csv", tmp_path / "work", "--quiet", "--jobs", 2)
    command.communicate(timeout=30)
    records = journal(tmp_path / "work", "transcode")
    with (tmp_path / "work/reports/failures.csv").open(newline="") as stream:
        assert {row["path"]: row["code"] for row in csv.DictReader(stream)} == expected
    assert max(record["seconds"] for record in records) < 5

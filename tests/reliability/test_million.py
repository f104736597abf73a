"""What a run costs beside the work: it grows with the number of clips, and only little."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.benchmarks import million
from tests.commands import journal

RUN = "run-foreground"
MOST_BYTES = 1500  # of the parent's memory for a clip: a million take 1.5 GB


def simulate(folder: Path, clips: int) -> dict[str, dict[str, float]]:
    figures = dict(million.simulate(folder, clips, jobs=2))
    records = journal(folder / "work", RUN)
    assert len({record["clip_id"] for record in records}) == clips
    with (folder / "work/crops/foreground.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["clip_id"] for row in rows] == sorted(record["clip_id"] for record in records)
    assert {row["status"] for row in rows} == {"ok"}
    return figures


def test_thousands_of_clips_are_each_recorded_once_and_half_of_them_are_not_done_again(
    tmp_path: Path,
) -> None:
    simulate(tmp_path, 3000)
    assert len(journal(tmp_path / "work", RUN)) == 3000


@pytest.mark.slow
def test_a_million_clips_fit_in_memory(tmp_path: Path) -> None:
    few, many = (simulate(tmp_path / str(clips), clips) for clips in (50_000, 150_000))
    for name in few:
        grown = (many[name]["peak_mb"] - few[name]["peak_mb"]) * 1e6 / 100_000
        assert grown < MOST_BYTES, f"{name}: {grown:.0f} bytes a clip"

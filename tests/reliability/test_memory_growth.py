"""A worker takes the same memory for a clip of any length, and little of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from mocrop_prep.foreground.density import MOST_FRAMES

from tests.benchmarks.memory import LIMIT_MB, long_film, measure, peak_mb

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")


def test_pictures_and_packets_of_a_longer_clip_take_no_more_memory(tmp_path: Path) -> None:
    short, long = (measure(tmp_path, frames, (640, 360), ["extract", "shard"]) for frames in (480, 2400))
    for work, peak in long.items():
        assert peak < short[work] + 12, work


@pytest.mark.slow
def test_a_worker_stays_small_whatever_the_length_of_a_large_clip(tmp_path: Path) -> None:
    work = "extract, crop and shard fused, vectors kept"  # everything at once
    short, long = (peak_mb(work, long_film(tmp_path, frames)) for frames in (MOST_FRAMES, 2 * MOST_FRAMES))
    assert long < short + 20
    assert long < LIMIT_MB


@pytest.mark.slow
@pytest.mark.parametrize("work", ["transcode", "extract", "shard"])
def test_every_stage_stays_small_on_a_large_clip(tmp_path: Path, work: str) -> None:
    short, long = (measure(tmp_path, frames, works=[work])[work] for frames in (240, 1200))
    assert long < short + 20
    assert long < LIMIT_MB

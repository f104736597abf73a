"""The benchmark of the trainer's input compares like with like, and its figures are all there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mocrop_train.config import TrainConfig
from mocrop_train.data.feeds import Clock
from mocrop_train.data.loading import Batch
from mocrop_train.evaluation.speed import made_batch

from tests.benchmarks import bench_loader
from tests.benchmarks.bench_loader import LoaderBench
from tests.benchmarks.seeking import SIZE, Sets, make_sets, seek_and_crop
from tests.benchmarks.speed.interleaved import compare
from tests.benchmarks.waiting import data_wait

CLIPS = 4


@pytest.fixture(scope="module")
def sets(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Sets:
    return make_sets(source, tmp_path_factory.mktemp("bench") / "work", CLIPS)


def test_both_loaders_have_the_same_clips_and_crops(sets: Sets) -> None:
    assert len(sets.transcoded) == CLIPS
    for number, ((video, row), (original, _)) in enumerate(zip(sets.transcoded, sets.sources, strict=True)):
        entry = sets.tar.clips[number]
        assert (entry.clip_id, entry.label) == (row.clip_id, row.label)
        assert sets.parquet.clips[number] == entry
        assert original.is_file()
        sought = seek_and_crop(video, row)
        assert (sought.shape, sought.dtype) == ((8, 3, SIZE, SIZE), torch.float32)
        # the first frame of a clip is its first key frame, so both have it
        stored = bench_loader.normalised(sets.tar.read(number, [0]))
        assert (sought[0] - stored[0]).abs().mean() < 0.1


def test_every_comparison_has_both_speeds_and_a_ratio(sets: Sets) -> None:
    for result in compare(LoaderBench(sets).pairs(), rounds=1):
        assert result.low == result.ratio == result.high > 0
        assert len(result.rates) == 2
        assert min(result.rates.values()) > 0


def test_how_long_training_waits_is_a_share_of_its_time(sets: Sets) -> None:
    small = TrainConfig(model="mobilenet_v2", batch_size=2, device="cpu", workers=0, input_size=32)
    assert 0 < data_wait(sets.tar.folder, small) < 1


def test_the_figures_of_a_gpu_can_be_had_of_any_device(sets: Sets) -> None:
    small = TrainConfig(
        model="mobilenet_v2", batch_size=2, amp="bf16", device="cpu", workers=0, input_size=32
    )
    found = bench_loader.busy_figures(sets.tar.folder, small, rounds=1, times=1)
    name = "cpu training of mobilenet_v2, --amp bf16 --decode"
    assert list(found) == [
        f"{name} {decode}: share of time {what}" for decode in ("cpu", "cuda") for what in ("waiting", "busy")
    ]
    for what, figure in found.items():
        # about 1: on a CPU the same steps without reading take hardly less time
        low, high = (0.0, 1.0) if what.endswith("waiting") else (0.2, 5.0)
        assert low < figure["share"] < high


def test_waiting_is_the_time_until_a_batch_is_there() -> None:
    def slow() -> Iterator[Batch]:
        for _ in range(3):
            time.sleep(0.04)
            yield made_batch(1, 1, 8)

    class Slow:
        def __len__(self) -> int:
            return 3

        def __iter__(self) -> Iterator[Batch]:
            return slow()

    sums = {"seconds": 0.0, "waited": 0.0}
    started = time.perf_counter()
    for _ in Clock(sums).waiting(Slow()):
        time.sleep(0.08)
    passed = time.perf_counter() - started
    assert 3 * 0.04 <= sums["waited"] <= sums["seconds"] - 3 * 0.08
    assert sums["seconds"] == pytest.approx(passed, abs=0.01)

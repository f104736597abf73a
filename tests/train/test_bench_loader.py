"""The benchmark of the trainer's input compares like with like, and its figures are all there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mocrop_train.config import TrainConfig

from tests.benchmarks import bench_loader
from tests.benchmarks.bench_loader import LoaderBench
from tests.benchmarks.seeking import SIZE, Sets, make_sets, seek_and_crop
from tests.benchmarks.speed.interleaved import compare
from tests.benchmarks.waiting import data_wait, gpu_busy

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
    shards = sets.tar.folder
    small = TrainConfig(model="mobilenet_v2", batch_size=2, device="cpu", workers=0, input_size=32)
    assert 0 < data_wait(shards, small) < 1
    # about 1: on a CPU the same steps without reading take hardly less time
    assert 0.2 < gpu_busy(shards, small, rounds=1, times=2) < 5

"""How long training waits for its clips, and how busy it keeps a GPU."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from mocrop_manifests import read_dataset
from mocrop_train import loop
from mocrop_train.config import TrainConfig
from mocrop_train.data import loading
from mocrop_train.data.feeds import Feeds, feeds
from mocrop_train.data.loading import Batch, Batches
from mocrop_train.run import device, state
from mocrop_train.run.state import State

from tests.benchmarks.spent import spent


class Timed:
    """Batches, and how long whoever takes them has waited for them."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self.waited = 0.0

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        batches = iter(self._batches)
        while True:
            started = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - started
            if batch is None:
                return
            yield batch


class Resident:
    """One batch that is on the device already, again and again: as from a loader that costs nothing."""

    def __init__(self, batch: Batch, count: int, where: torch.device) -> None:
        self._batch = Batch(batch.frames.to(where), batch.counts, batch.labels.to(where))
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Batch]:
        return iter([self._batch] * self._count)


def data_wait(shards: Path, config: TrainConfig) -> float:
    """Return the share of an epoch of training that is spent waiting for batches."""
    run, fed, config = _training(shards, config)
    timed = Timed(fed.train)
    started = time.perf_counter()
    loop._train_epoch(run, run.model, dataclasses.replace(fed, train=timed), config)
    return timed.waited / (time.perf_counter() - started)


def gpu_busy(shards: Path, config: TrainConfig, *, rounds: int, times: int) -> float:
    """Return how busy training keeps a device: the time of the same steps on resident batches, over its own.

    `times` is how often the clips of the set are gone over in each of the interleaved rounds.
    """
    run, fed, config = _training(shards, config, times)
    resident = dataclasses.replace(fed, train=Resident(next(iter(fed.train)), len(fed.train), run.where))
    ratios = []
    for number in range(rounds + 1):
        ideal, real = (
            spent(partial(loop._train_epoch, run, run.model, side, config)).wall for side in (resident, fed)
        )
        if number:  # the first one starts workers and tunes kernels
            ratios.append(ideal / real)
    return statistics.median(ratios)


def _training(shards: Path, config: TrainConfig, times: int = 1) -> tuple[State, Feeds, TrainConfig]:
    index = read_dataset(shards)
    where = device.prepare(config)
    config = config.resolved(loading.stored_size(shards, index))
    clips = loading.ClipFrames(shards, index, "train", limit=config.limit)
    clips.chunks *= times
    run = state.start(config, len(index.classes), where)
    return run, feeds({"train": clips}, run.model, config, where, shards), config

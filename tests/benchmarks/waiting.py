"""How long training waits for its clips, and how busy it keeps a GPU."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from mocrop_manifests import read_dataset
from mocrop_train import loop
from mocrop_train.config import TrainConfig
from mocrop_train.data import loading
from mocrop_train.data.feeds import Feeds, feeds
from mocrop_train.data.loading import Batch
from mocrop_train.run import device, state
from mocrop_train.run.state import State

from tests.benchmarks.spent import spent


class Resident:
    """One batch that is on the device already, again and again: as from a loader that costs nothing."""

    def __init__(self, batch: Batch, count: int, where: torch.device) -> None:
        self._batch = Batch(batch.frames.to(where), batch.counts, batch.labels.to(where))
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Batch]:
        return iter([self._batch] * self._count)


def data_wait(shards: Path, config: TrainConfig, *, times: int = 1) -> float:
    """Return the share of an epoch of training that is spent waiting for batches: `wait` of log.csv.

    The epoch goes over the clips of the set `times` times, after one that does not count.
    """
    run, fed, config = prepared(shards, config, times)
    for _ in range(2):  # the first one starts workers and tunes kernels
        _epoch(run, fed, config)
    return run.sums["waited"] / run.sums["seconds"]


def gpu_busy(shards: Path, config: TrainConfig, *, rounds: int, times: int) -> float:
    """Return how busy training keeps a device: the time of the same steps on resident batches, over its own.

    `times` is how often the clips of the set are gone over in each of the interleaved rounds.
    """
    run, fed, config = prepared(shards, config, times)
    resident = dataclasses.replace(fed, train=Resident(next(iter(fed.train)), len(fed.train), run.where))
    ratios = []
    for number in range(rounds + 1):
        ideal, real = (spent(partial(_epoch, run, side, config)).wall for side in (resident, fed))
        if number:  # the first one starts workers and tunes kernels
            ratios.append(ideal / real)
    return statistics.median(ratios)


def _epoch(run: State, fed: Feeds, config: TrainConfig) -> None:
    """Train on all batches as in the first epoch, however often."""
    run.batch, run.sums = 0, state.no_sums()
    loop.train_epoch(run, fed, config, lambda: None)


def prepared(shards: Path, config: TrainConfig, times: int = 1) -> tuple[State, Feeds, TrainConfig]:
    """Return a run over the training clips of a shard set before its first step, and its resolved settings.

    An epoch goes over the clips `times` times.
    """
    index = read_dataset(shards)
    where = device.prepare(config)
    config = config.resolved(loading.stored_size(shards, index))
    clips = loading.ClipFrames(shards, index, "train", limit=config.limit)
    clips.chunks *= times
    run = state.start(config, len(index.classes), where)
    return run, feeds({"train": clips}, run.model, config, where, shards), config

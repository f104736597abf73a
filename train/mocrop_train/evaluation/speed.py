"""How fast a network predicts on this machine: frames in memory to scores of clips, as evaluation does it."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from mocrop_train.config import TrainConfig
from mocrop_train.data.loading import Batch
from mocrop_train.evaluation import evaluate

_LEAST_ROUNDS, _MOST_ROUNDS = 3, 20
_ENOUGH_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that `clips` clips take in one go: the median and the extremes of so many runs."""

    clips: int
    runs: int
    median: float
    low: float
    high: float


def made_batch(clips: int, frames: int, side: int) -> Batch:
    """Make a batch of clips of noise, in the order in which loaders give frames."""
    pictures = torch.randint(0, 256, (clips * frames, side, side, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    return Batch(pictures, torch.full((clips,), frames), torch.zeros(clips, dtype=torch.int64))


def timings(
    network: nn.Module, sides: Sequence[int], frames: int, config: TrainConfig, where: torch.device
) -> dict[tuple[int, int], Timing]:
    """Time clips of `frames` frames at every size of input, alone and in batches of the config's size.

    Returns the timings by size in px and clips at once. They are taken in turns, so that a busy machine hits
    all alike. The first round does not count; then follow 3, and more, up to 20, within half a minute.
    """
    at_once = sorted({1, config.batch_size})
    batches = {(side, clips): made_batch(clips, frames, side) for side in sides for clips in at_once}
    taken: dict[tuple[int, int], list[float]] = {which: [] for which in batches}
    started = time.monotonic()
    for number in itertools.count():
        for (side, clips), batch in batches.items():
            once = _Once(batch)
            evaluate.predict(network, once, config, where, f"round {number}, {side} px, batch of {clips}")
            if number:
                taken[side, clips].append(once.seconds)
        enough = time.monotonic() - started > _ENOUGH_SECONDS
        if number >= (_LEAST_ROUNDS if enough else _MOST_ROUNDS):
            break
    return {
        (side, clips): Timing(clips, len(found), statistics.median(found), min(found), max(found))
        for (side, clips), found in taken.items()
    }


class _Once:
    """One batch, and how long it was before the next one was asked for: until its scores were there."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self.seconds = 0.0

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Batch]:
        started = time.perf_counter()
        yield self._batch
        self.seconds = time.perf_counter() - started

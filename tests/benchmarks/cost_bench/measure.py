"""Time the parts of many clips, and networks on one, in turns."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from mocrop_train.config import TrainConfig
from mocrop_train.data.loading import Batch
from mocrop_train.evaluation import evaluate
from mocrop_train.evaluation.speed import made_batch
from mocrop_train.models import FrameClassifier, build_model
from mocrop_train.models.cost import Cost, clip_cost

from tests.benchmarks.cost_bench.parts import SHARD, SIDES, ClipWork
from tests.benchmarks.spent import spent

Key = tuple[str, str | int]
Work = dict[Key, list[Callable[[], object]]]
FRAMES = int(SHARD.frames)
CLASSES = 101
"""Those of UCF101: they make next to no difference."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Processor time of one clip in seconds: the median of the rounds and their extremes."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Prices:
    """What was measured: of parts by route and name, of networks by name and size in px.

    seconds: how long a clip plays, on the mean over `clips` clips, as all times of parts are.
    """

    clips: int
    seconds: float
    rounds: int
    parts: Mapping[str, Mapping[str, Figure]]
    networks: Mapping[str, Mapping[int, Figure]]
    counts: Mapping[str, Mapping[int, Cost]]

    def part(self, route: str, name: str) -> float:
        """Return the time of a part in seconds a clip."""
        return self.parts[route][name].median


def measure(clips: Sequence[ClipWork], models: Sequence[str], rounds: int) -> Prices:
    """Time every part of every clip, and every network."""
    work: Work = {}
    for clip in clips:
        for route, parts in clip.parts.items():
            for name, part in parts.items():
                work.setdefault((route, name), []).append(part)
    counts: dict[str, dict[int, Cost]] = {}
    for model in models:
        configs = {side: TrainConfig(model=model, input_size=side) for side in SIDES}
        counts[model] = {side: clip_cost(config, CLASSES, FRAMES) for side, config in configs.items()}
        network = build_model(configs[SIDES[0]], CLASSES)
        for side, config in configs.items():
            work[model, side] = [partial(_predict, network, [made_batch(1, FRAMES, side)], config)]
    found = _timed(work, rounds)
    routes = clips[0].parts
    return Prices(
        clips=len(clips),
        seconds=statistics.fmean(clip.seconds for clip in clips),
        rounds=rounds,
        parts={route: {name: found[route, name] for name in parts} for route, parts in routes.items()},
        networks={model: {side: found[model, side] for side in SIDES} for model in models},
        counts=counts,
    )


def _timed(work: Work, rounds: int) -> dict[Key, Figure]:
    """Do all work in each of the rounds, after one that does not count; return its time, a mean over clips.

    Within a round the order is another each time, so that neither what the machine does meanwhile nor what
    one part leaves in the cache for the next favours any.
    """
    every = [(key, one) for key, some in work.items() for one in some]
    times: dict[Key, list[float]] = {key: [] for key in work}
    rng = np.random.default_rng(0)
    for number in range(rounds + 1):
        taken = dict.fromkeys(work, 0.0)
        for place in rng.permutation(len(every)).tolist():
            key, one = every[place]
            taken[key] += spent(one).cpu / len(work[key])
        if number:
            for key, seconds in taken.items():
                times[key].append(seconds)
        print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
    return {key: Figure(statistics.median(some), min(some), max(some)) for key, some in times.items()}


def _predict(network: FrameClassifier, batches: Sequence[Batch], config: TrainConfig) -> None:
    evaluate.predict(network, batches, config, torch.device("cpu"), "")

"""Accuracies, and the default method against every other crop on the same clips and draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mocrop_prep.evaluation.candidates import DEFAULT_METHOD
from mocrop_train.evaluation.statistics import bootstrap, mcnemar
from numpy.typing import NDArray

from tests.benchmarks.crop_bench.contenders import Contender


@dataclass(frozen=True, slots=True)
class Paired:
    """The default method against another crop, over clips and draws.

    wins: the default is right where the other is wrong; losses: the reverse; difference: default minus
    other, with its 95 % interval over clips; p: exact McNemar, None where clips are tested in several draws,
    which are not independent.
    """

    wins: int
    losses: int
    difference: float
    interval: tuple[float, float]
    p: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """One crop's top-1: `right` of `tested` (clips times draws); `against` is None for the default itself."""

    name: str
    covers: float
    right: int
    tested: int
    against: Paired | None


def results(crops: Sequence[Contender], right: NDArray[np.bool_]) -> list[Result]:
    """Return the result of each contender from `right` (contenders, draws, clips)."""
    default = next(number for number, one in enumerate(crops) if one.name == DEFAULT_METHOD)
    return [
        Result(
            contender.name,
            contender.covers,
            int(right[number].sum()),
            right[number].size,
            None if number == default else _paired(right[default], right[number]),
        )
        for number, contender in enumerate(crops)
    ]


def _paired(first: NDArray[np.bool_], other: NDArray[np.bool_]) -> Paired:
    gain = first.astype(np.int64) - other
    wins, losses = int((gain > 0).sum()), int((gain < 0).sum())
    draws, clips = gain.shape
    interval = bootstrap(gain.ravel(), np.tile(np.arange(clips), draws), seed=0)
    p = mcnemar(wins, losses) if draws == 1 else None
    return Paired(wins, losses, float(gain.mean()), interval, p)

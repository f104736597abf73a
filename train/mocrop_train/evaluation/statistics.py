"""Is a difference more than chance? Exact tests, and intervals by drawing clips, groups and seeds again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
_AT_ONCE = 2_000_000
Gains = NDArray[Any]  # of int64 or float64


def mcnemar(wins: int, losses: int) -> float:
    """Return the exact two-sided p of McNemar's test: wins and losses are equally likely, ties say nothing.

    Twice the binomial tail, at most 1. McNemar, "Note on the sampling error of the difference between
    correlated proportions or percentages", 1947.
    """
    trials = wins + losses
    ways, tail = 1, 0
    for successes in range(min(wins, losses) + 1):
        tail += ways
        ways = ways * (trials - successes) // (successes + 1)
    p: float = 2 * tail / 2**trials  # whole numbers until here, so exact for any number of clips
    return min(1.0, p)


def sign_flip(gains: NDArray[np.int64]) -> float:
    """Return the exact two-sided p of the sign-flip permutation test of whole gains (units,).

    Where nothing but chance tells two sides apart, each unit's gain is as likely to be turned around. p is
    the share of all 2**units ways to turn them whose sum is as far from 0, or further; they are counted, not
    drawn. Of gains of -1, 0 and 1 this is McNemar's test. Fisher, "The Design of Experiments", 1935, sec. 21.
    """
    sizes, counts = np.unique(np.abs(gains[gains != 0]), return_counts=True)
    if not len(sizes):
        return 1.0
    divisor = int(np.gcd.reduce(sizes))
    observed = abs(int(gains.sum())) // divisor
    chances = np.ones(1)  # of the sum of the gains that are not turned around, from 0
    for at in np.argsort(counts)[::-1]:
        size, trials = int(sizes[at]) // divisor, int(counts[at])
        joined = np.zeros(len(chances) + size * trials)
        for successes, chance in enumerate(_binomial(trials)):
            joined[size * successes : size * successes + len(chances)] += chance * chances
        chances = joined
    sums = 2 * np.arange(len(chances)) - (len(chances) - 1)
    return min(1.0, float(chances[np.abs(sums) >= observed].sum()))


def _binomial(trials: int) -> list[float]:
    """Return the chances of 0 to `trials` heads among so many throws of a coin."""
    ways, found = 1, []
    for heads in range(trials + 1):
        found.append(ways / 2**trials)
        ways = ways * (trials - heads) // (heads + 1)
    return found


def holm(ps: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number: below 0.05, at most one in twenty families errs at all.

    Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    adjusted, worst = [0.0] * len(ps), 0.0
    for rank, at in enumerate(sorted(range(len(ps)), key=lambda at: ps[at])):
        worst = max(worst, min(1.0, (len(ps) - rank) * ps[at]))
        adjusted[at] = worst
    return adjusted


def bootstrap(gains: Gains, members: NDArray[np.int64], *, seed: int) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean gain, whole clusters drawn again, and seeds.

    gains: (clips,), or (seeds, clips) of runs that differ in their seed; a draw takes as many clusters, and
    as many seeds, as there are. members: the cluster of each clip, from 0; each clip its own cluster is the
    plain bootstrap. Davison and Hinkley, "Bootstrap Methods and their Application", 1997, sec. 3.8.
    """
    return _interval([np.atleast_2d(gains)], members, seed)


def bootstrap_apart(
    first: Gains, other: Gains, members: NDArray[np.int64], *, seed: int
) -> tuple[float, float]:
    """Return the interval of the difference of two means as `bootstrap` does, whose seeds do not pair.

    first, other: (seeds, clips) of one set of clips and any number of seeds, which are drawn apart.
    """
    return _interval([np.atleast_2d(first), -np.atleast_2d(other)], members, seed)


def _interval(parts: Sequence[Gains], members: NDArray[np.int64], seed: int) -> tuple[float, float]:
    """Return the interval of the sum of the parts' means, each (seeds, clips)."""
    sizes = np.bincount(members)
    sums = [np.stack([np.bincount(members, weights=row) for row in part], 1) for part in parts]
    rng = np.random.default_rng(seed)
    means = np.zeros(RESAMPLES)
    at_once = max(1, _AT_ONCE // (len(sizes) * max(part.shape[1] for part in sums)))
    for start in range(0, RESAMPLES, at_once):
        count = min(at_once, RESAMPLES - start)
        drawn = rng.integers(len(sizes), size=(count, len(sizes)))
        clips = sizes[drawn].sum(1)
        for part in sums:
            by_seed, seeds = part[drawn].sum(1), part.shape[1]
            if seeds > 1:
                by_seed = np.take_along_axis(by_seed, rng.integers(seeds, size=(count, seeds)), 1)
            means[start : start + count] += by_seed.mean(1) / clips
    low, high = np.quantile(means, (0.025, 0.975)).tolist()
    return low, high

"""Intervals by drawing clips again: frames of one clip are not independent, clips are.

Every statistic is of the frames of all clips together, as the frames are one set. A draw takes as many clips
as there are, with replacement, and with each clip all of its frames (the cluster bootstrap; Davison and
Hinkley, "Bootstrap Methods and their Application", 1997, sec. 3.8). The intervals are percentile intervals,
as those of mocrop-compare.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 4000
LEVEL = 0.95
_BLOCKS = 256
_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval over clips; None where one clip supports no interval."""

    value: float
    interval: tuple[float, float] | None


def clip_draws(clips: int, *, seed: int, draws: int = DRAWS) -> NDArray[np.int64]:
    """Return how often each draw takes each clip, (draws, clips); one table for all crops makes pairs."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(clips, np.full(clips, 1 / clips), size=draws)


def estimate(value: float, drawn: NDArray[np.float64], *, clips: int) -> Estimate:
    """Return a value and the middle 95 % of what the draws gave for it."""
    if clips < 2:
        return Estimate(value, None)
    low, high = np.quantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)).tolist()
    return Estimate(value, (low, high))


def pooled_mean(
    values: NDArray[np.float64],
    owners: NDArray[np.int64],
    frames: NDArray[np.int64],
    draws: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return each draw's mean over frames.

    `values` are the frames' (frames,) and `owners` their clips, from 0; `frames` counts them by clip.
    """
    sums = np.bincount(owners, weights=values, minlength=len(frames))
    means: NDArray[np.float64] = (draws @ sums) / (draws @ frames)
    return means


def pooled_tenth(
    values: NDArray[np.float64], owners: NDArray[np.int64], draws: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return each draw's 10th percentile over frames: the least value that a tenth of them do not exceed.

    `values` are the frames' (frames,) and `owners` their clips, from 0. The sorted values are counted in
    blocks first, so that a draw then looks through one block only: exact, and quick for millions of frames.
    """
    order = np.argsort(values, kind="stable")
    values, owners = values[order], owners[order]
    clips, size = draws.shape[1], -(-len(values) // _BLOCKS)
    blocks = -(-len(values) // size)
    places = np.arange(len(values)) // size
    in_block = np.bincount(places * clips + owners, minlength=blocks * clips).reshape(blocks, clips)
    # floating point multiplies matrices far quicker, and counts of frames are exact in it
    reached = np.cumsum(draws.astype(np.float64) @ in_block.T.astype(np.float64), axis=1).astype(np.int64)
    found = np.empty(len(draws))
    step = max(1, _AT_ONCE // size)
    for start in range(0, len(draws), step):
        part = slice(start, start + step)
        found[part] = values[_first_reaching(reached[part], owners, draws[part], size)]
    return found


def tenth(values: NDArray[np.float64]) -> float:
    """Return the 10th percentile of values: the least that a tenth of them do not exceed."""
    return float(np.sort(values)[-(-len(values) // 10) - 1])


def _first_reaching(
    reached: NDArray[np.int64], owners: NDArray[np.int64], draws: NDArray[np.int64], size: int
) -> NDArray[np.int64]:
    """Return, for each draw, the first sorted frame with which a tenth of its frames is counted."""
    total = reached[:, -1]
    block = (10 * reached < total[:, None]).sum(axis=1)
    before = np.where(block > 0, np.take_along_axis(reached, np.maximum(block - 1, 0)[:, None], 1)[:, 0], 0)
    frames = block[:, None] * size + np.arange(size)
    # the last block may be short: its missing frames weigh nothing
    weights = np.take_along_axis(draws, owners[np.minimum(frames, len(owners) - 1)], axis=1)
    weights = np.where(frames < len(owners), weights, 0)
    counted = before[:, None] + np.cumsum(weights, axis=1)
    first: NDArray[np.int64] = block * size + (10 * counted < total[:, None]).sum(axis=1)
    return first

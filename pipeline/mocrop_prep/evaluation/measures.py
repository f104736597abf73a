"""From the shares of every frame to figures with intervals, and to paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocrop_prep.evaluation.bootstrap import (
    Estimate,
    clip_draws,
    estimate,
    pooled_mean,
    pooled_tenth,
    tenth,
)
from mocrop_prep.evaluation.candidates import Candidate, reference_of
from mocrop_prep.evaluation.judge import Verdict

WHOLE = 0.95
"""An actor with at least this share inside counts as whole."""
SEED = 0
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares from 0 to 1 over all annotated frames of all clips, or differences of such.

    inside: mean share of the actor inside the crop; whole: share of the frames with at least WHOLE of it
    inside; tenth: the 10th percentile of the share.
    """

    inside: Estimate
    whole: Estimate
    tenth: Estimate


@dataclass(frozen=True, slots=True)
class Line:
    """A candidate's figures; `covers` is the mean over clips of its crops' share of the frame."""

    candidate: Candidate
    covers: float
    figures: Figures


@dataclass(frozen=True, slots=True)
class Difference:
    """The figures of `first` minus those of `other`, on the same frames and the same draws of clips."""

    first: Candidate
    other: Candidate
    figures: Figures


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The three figures of a candidate: values (3,), and what each draw of clips gave (3, draws)."""

    values: NDArray[np.float64]
    drawn: NDArray[np.float64]


def measure(
    verdicts: Sequence[Verdict], candidates: Sequence[Candidate]
) -> tuple[list[Line], list[Difference]]:
    """Return the figures of every candidate, and of each candidate's reference against it."""
    frames = np.array([verdict.shares.shape[1] for verdict in verdicts], np.int64)
    owners = np.repeat(np.arange(len(verdicts)), frames)
    draws = clip_draws(len(verdicts), seed=SEED)
    shares = np.concatenate([verdict.shares for verdict in verdicts], axis=1)
    covers = np.mean([verdict.areas for verdict in verdicts], axis=0).tolist()
    found = {
        candidate: _draw(values, owners, frames, draws)
        for candidate, values in zip(candidates, shares, strict=True)
    }
    clips = len(verdicts)
    lines = [
        Line(candidate, covered, _figures(found[candidate], clips))
        for candidate, covered in zip(candidates, covers, strict=True)
    ]
    differences = []
    for other in candidates:
        first = reference_of(other, candidates)
        if first is not None:
            a, b = found[first], found[other]
            apart = _Drawn(a.values - b.values, a.drawn - b.drawn)
            differences.append(Difference(first, other, _figures(apart, clips)))
    return lines, differences


def is_whole(shares: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say of each share whether it is at least WHOLE."""
    return np.asarray(shares >= WHOLE - _ROUNDING)


def _draw(
    shares: NDArray[np.float64],
    owners: NDArray[np.int64],
    frames: NDArray[np.int64],
    draws: NDArray[np.int64],
) -> _Drawn:
    whole = is_whole(shares).astype(np.float64)
    values = np.array([shares.mean(), whole.mean(), tenth(shares)])
    means = [pooled_mean(one, owners, frames, draws) for one in (shares, whole)]
    drawn = [*means, pooled_tenth(shares, owners, draws)]
    return _Drawn(values, np.stack(drawn))


def _figures(found: _Drawn, clips: int) -> Figures:
    pairs = zip(found.values.tolist(), found.drawn, strict=True)
    return Figures(*(estimate(value, drawn, clips=clips) for value, drawn in pairs))

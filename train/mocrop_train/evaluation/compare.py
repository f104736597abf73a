"""Paired comparison of prediction files: are two models apart by more than chance on the same clips?"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mocrop_train.errors import TrainError
from mocrop_train.evaluation.predictions import Predictions, read_predictions

FORMAT = "mocrop-comparison"
VERSION = 1
RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """The first model against another on the same clips; accuracies are top-1, shares from 0 to 1.

    wins: clips the first has right and the other wrong; losses: the reverse; ties: both right or both wrong.
    difference: first minus other. p: exact two-sided McNemar test. interval: 95 % bootstrap interval of the
    difference over clips; group_interval: over whole groups, None unless there are at least two.
    """

    first: str
    other: str
    clips: int
    first_top1: float
    other_top1: float
    wins: int
    losses: int
    ties: int
    difference: float
    p: float
    interval: tuple[float, float]
    groups: int
    group_interval: tuple[float, float] | None


def compare(first: Path, other: Path, *, seed: int = 0) -> Comparison:
    """Compare two prediction files; raises TrainError if they are not of the same clips and labels."""
    ours, theirs = read_predictions(first), read_predictions(other)
    _check_paired(first, ours, other, theirs)
    right = np.array([clip.prediction == clip.label for clip in ours.clips], dtype=np.int64)
    right_other = np.array([clip.prediction == clip.label for clip in theirs.clips], dtype=np.int64)
    gain = right - right_other
    wins, losses = int((gain > 0).sum()), int((gain < 0).sum())
    names, members = np.unique([clip.group for clip in ours.clips], return_inverse=True)
    grouped = len(names) > 1 and all(names)
    return Comparison(
        first=str(first),
        other=str(other),
        clips=len(gain),
        first_top1=float(right.mean()),
        other_top1=float(right_other.mean()),
        wins=wins,
        losses=losses,
        ties=len(gain) - wins - losses,
        difference=float(gain.mean()),
        p=mcnemar(wins, losses),
        interval=bootstrap(gain, np.arange(len(gain)), seed=seed),
        groups=len(names) if grouped else 0,
        group_interval=bootstrap(gain, members, seed=seed) if grouped else None,
    )


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


def bootstrap(gain: NDArray[np.int64], members: NDArray[np.int64], *, seed: int) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean of `gain` (clips,), whole clusters drawn again.

    members: the cluster of each clip, numbered from 0; each clip its own cluster is the plain bootstrap.
    """
    sizes = np.bincount(members)
    sums = np.bincount(members, weights=gain)
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    at_once = max(1, 2_000_000 // len(sizes))
    for start in range(0, RESAMPLES, at_once):
        drawn = rng.integers(len(sizes), size=(min(at_once, RESAMPLES - start), len(sizes)))
        means[start : start + at_once] = sums[drawn].sum(1) / sizes[drawn].sum(1)
    low, high = np.quantile(means, (0.025, 0.975)).tolist()
    return low, high


def format_json(comparisons: Sequence[Comparison]) -> str:
    """Return comparisons as the text of a JSON file."""
    body = {
        "format": FORMAT,
        "version": VERSION,
        "comparisons": [dataclasses.asdict(comparison) for comparison in comparisons],
    }
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def format_table(comparisons: Sequence[Comparison]) -> str:
    """Return comparisons of one model against others as a table for people, in per cent and points."""
    head = ("against", "top-1", "difference", "95 % clips", "95 % groups", "wins", "losses", "ties", "p")
    rows = [head, *map(_row, comparisons)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(_cells(row, widths)).rstrip() for row in rows]
    first = comparisons[0]
    title = f"{first.first}: top-1 {first.first_top1:.1%} of {first.clips} clips; against it:"
    note = "wins: right where the other is wrong; difference in points, first minus other; p: exact McNemar"
    return "\n".join([title, "", *lines, "", note])


def _row(one: Comparison) -> tuple[str, ...]:
    return (
        one.other,
        f"{one.other_top1:.1%}",
        f"{100 * one.difference:+.1f}",
        _points(one.interval),
        _points(one.group_interval),
        str(one.wins),
        str(one.losses),
        str(one.ties),
        f"{one.p:.4f}" if one.p >= 0.0001 else f"{one.p:.1e}",
    )


def _cells(row: tuple[str, ...], widths: list[int]) -> list[str]:
    return [
        row[0].ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
    ]


def _points(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}"


def _check_paired(first: Path, ours: Predictions, other: Path, theirs: Predictions) -> None:
    pair = f"{first} and {other}"
    if ours.classes != theirs.classes:
        raise TrainError(f"{pair}: different classes; compare predictions for one set of classes")
    labels = {clip.clip_id: clip.label for clip in ours.clips}
    labels_other = {clip.clip_id: clip.label for clip in theirs.clips}
    lone = sorted(labels.keys() ^ labels_other.keys())
    if lone:
        raise TrainError(f"{pair}: different clips: {len(lone)} are in one only, such as {lone[0]}")
    apart = [clip_id for clip_id, label in labels.items() if labels_other[clip_id] != label]
    if apart:
        raise TrainError(f"{pair}: different labels for {len(apart)} clips, such as {apart[0]}")
    if not labels:
        raise TrainError(f"{pair}: no clips to compare")

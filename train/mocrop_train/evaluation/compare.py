"""Paired comparison of predictions: are two sides apart by more than chance on the same clips?

A side is one prediction file, or those of several runs that differ in their seed: then a clip counts by its
mean over the runs.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mocrop_train.errors import TrainError, printable
from mocrop_train.evaluation import metrics
from mocrop_train.evaluation.caveats import notes_on, warnings_about
from mocrop_train.evaluation.predictions import Predictions, read_predictions
from mocrop_train.evaluation.statistics import bootstrap, bootstrap_apart, holm, mcnemar, sign_flip

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Run:
    """One prediction file of a side; `seed` is None where the file does not tell it."""

    file: str
    seed: int | None
    top1: float
    nll: float


@dataclass(frozen=True, slots=True)
class SeedPair:
    """Two runs, one of each side, compared by themselves; p is McNemar's."""

    first: str
    other: str
    difference: float
    wins: int
    losses: int
    p: float


@dataclass(frozen=True, slots=True)
class ClassDifference:
    """The clips of one class: accuracies and their difference, and the clips that make it."""

    name: str
    clips: int
    first: float
    other: float
    difference: float
    wins: int
    losses: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """The first side against another on the same clips; accuracies are top-1, shares from 0 to 1.

    wins: clips that the first has right more often, of one run each: that it has right and the other wrong;
    losses: the reverse; ties: the rest. difference: first minus other.
    interval: 95 % bootstrap interval of the difference over clips, and over seeds where a side has several;
    group_interval: over whole groups. p: exact two-sided sign-flip test over clips of the difference, the
    mean over runs; for one run each that is McNemar's. group_p: over groups. Both are about these networks,
    on other clips like these. What is of groups is None unless every clip has one, and there are two.
    p_holm, group_p_holm: adjusted for the number of comparisons that were made at once.
    nll_difference: mean log-loss, first minus other, nats: below 0, the first is better; its interval is over
    groups where there are groups, else over clips.
    pairs: each run with its counterpart, by equal seeds or else in order (`paired_by` seed, order); none
    where the sides have unequal numbers of runs. spread: standard deviation of the pairs' differences.
    classes: from the best for the first side to the worst.
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
    interval: Interval
    groups: int
    group_interval: Interval | None
    group_p: float | None
    p_holm: float
    group_p_holm: float | None
    first_nll: float
    other_nll: float
    nll_difference: float
    nll_interval: Interval
    first_runs: list[Run]
    other_runs: list[Run]
    paired_by: str
    pairs: list[SeedPair]
    spread: float | None
    classes: list[ClassDifference]
    warnings: list[str]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: its runs, the name of each, and what they said of the same clips."""

    names: list[str]
    said: list[Predictions]

    @property
    def name(self) -> str:
        """What the side is called: its first run, and how many more there are."""
        more = len(self.names) - 1
        return f"{self.names[0]} (+{more})" if more else self.names[0]

    def right(self) -> NDArray[np.int64]:
        """Return 1 where a run has a clip right: (runs, clips)."""
        hits = [[clip.prediction == clip.label for clip in said.clips] for said in self.said]
        return np.array(hits, dtype=np.int64)

    def nll(self) -> NDArray[np.float64]:
        """Return the log-loss of each clip in each run: (runs, clips), nats."""
        parts = [metrics.arrays(said) for said in self.said]
        return np.stack([metrics.nll_per_clip(labels, scores) for labels, _, scores in parts])


def compare(first: Path, other: Path, *, seed: int = 0) -> Comparison:
    """Compare two prediction files; raises TrainError if they are not of the same clips and labels."""
    return compare_files([[first], [other]], seed=seed)[0]


def compare_files(sides: Sequence[Sequence[Path]], *, seed: int = 0) -> list[Comparison]:
    """Compare the first side with each of the others; a side is one prediction file or one for each seed.

    Raises TrainError if a file cannot be read, or is not of the same clips, labels, classes and split.
    """
    read = [Side([str(path) for path in side], [read_predictions(path) for path in side]) for side in sides]
    for side in read:
        if len(set(side.names)) < len(side.names):
            raise TrainError(f"{side.name}: a file occurs twice on one side; name it once")
    return compare_sides(read, seed=seed)


def compare_sides(sides: Sequence[Side], *, seed: int = 0) -> list[Comparison]:
    """Compare the first side with each of the others; see compare_files."""
    first = sides[0]
    for side in sides:
        for name, said in zip(side.names, side.said, strict=True):
            check_paired(first.names[0], first.said[0], name, said)
    found = [_compared(first, other, seed) for other in sides[1:]]
    adjusted = holm([one.p for one in found])
    by_group = [one.group_p for one in found if one.group_p is not None]
    # groups are those of the clips, so all comparisons have them or none
    by_group_adjusted = iter(holm(by_group))
    return [
        dataclasses.replace(
            one,
            p_holm=p_holm,
            group_p_holm=None if one.group_p is None else next(by_group_adjusted),
        )
        for one, p_holm in zip(found, adjusted, strict=True)
    ]


def check_paired(name: str, ours: Predictions, other: str, theirs: Predictions) -> None:
    """Raise TrainError that names both unless they are of one split, its clips, labels, groups, classes."""
    pair = f"{name} and {other}"
    if ours.split != theirs.split:
        splits = f"{printable(ours.split)} and {printable(theirs.split)}"
        raise TrainError(f"{pair}: different splits, {splits}; compare one split")
    if ours.classes != theirs.classes:
        raise TrainError(f"{pair}: different classes; compare predictions for one set of classes")
    labels = {clip.clip_id: clip.label for clip in ours.clips}
    labels_other = {clip.clip_id: clip.label for clip in theirs.clips}
    lone = sorted(labels.keys() ^ labels_other.keys())
    if lone:
        raise TrainError(f"{pair}: different clips: {len(lone)} are in one only, such as {lone[0]}")
    for what, field in (("labels", "label"), ("groups", "group")):
        both = zip(ours.clips, theirs.clips, strict=True)
        apart = [one.clip_id for one, two in both if getattr(one, field) != getattr(two, field)]
        if apart:
            raise TrainError(f"{pair}: different {what} for {len(apart)} clips, such as {apart[0]}")
    if not labels:
        raise TrainError(f"{pair}: no clips to compare")


def _compared(first: Side, other: Side, seed: int) -> Comparison:
    other, paired_by = _in_step(first, other)
    right, right_other, nll, nll_other = first.right(), other.right(), first.nll(), other.nll()
    # whole numbers: the difference of the means times the number of runs of both sides
    gains = right.sum(0) * len(right_other) - right_other.sum(0) * len(right)
    names, members = np.unique([clip.group for clip in first.said[0].clips], return_inverse=True)
    grouped = len(names) > 1 and all(names)
    each = np.arange(len(gains))
    pairs = _pairs(first, right, other, right_other) if paired_by else []
    differences = [pair.difference for pair in pairs]
    p = sign_flip(gains)
    group_p = sign_flip(np.bincount(members, weights=gains).astype(np.int64)) if grouped else None
    return Comparison(
        first=first.name,
        other=other.name,
        clips=len(gains),
        first_top1=float(right.mean()),
        other_top1=float(right_other.mean()),
        wins=int((gains > 0).sum()),
        losses=int((gains < 0).sum()),
        ties=int((gains == 0).sum()),
        difference=float(gains.mean()) / (len(right) * len(right_other)),
        p=p,
        interval=_interval(right, right_other, each, paired_by, seed),
        groups=len(names) if grouped else 0,
        group_interval=_interval(right, right_other, members, paired_by, seed) if grouped else None,
        group_p=group_p,
        p_holm=p,
        group_p_holm=group_p,
        first_nll=float(nll.mean()),
        other_nll=float(nll_other.mean()),
        nll_difference=float(nll.mean() - nll_other.mean()),
        nll_interval=_interval(nll, nll_other, members if grouped else each, paired_by, seed),
        first_runs=_runs(first, right, nll),
        other_runs=_runs(other, right_other, nll_other),
        paired_by=paired_by,
        pairs=pairs,
        spread=statistics.stdev(differences) if len(differences) > 1 else None,
        classes=_by_class(first.said[0], right, right_other, gains),
        warnings=warnings_about(zip((*first.names, *other.names), (*first.said, *other.said), strict=True)),
        notes=notes_on(first.said, other.said),
    )


def _in_step(first: Side, other: Side) -> tuple[Side, str]:
    """Return the other side with its runs in the order of their counterparts, and what they are paired by."""
    if len(first.said) != len(other.said):
        return other, ""
    seeds, seeds_other = ([said.seed for said in side.said] for side in (first, other))
    if None in seeds or len(set(seeds)) < len(seeds) or set(seeds) != set(seeds_other):
        return other, "order"
    order = [seeds_other.index(seed) for seed in seeds]
    return Side([other.names[at] for at in order], [other.said[at] for at in order]), "seed"


def _interval(
    first: NDArray[np.int64] | NDArray[np.float64],
    other: NDArray[np.int64] | NDArray[np.float64],
    members: NDArray[np.int64],
    paired_by: str,
    seed: int,
) -> Interval:
    """Return the interval of the difference of (runs, clips); runs of one seed are drawn together."""
    if paired_by == "seed" or len(first) == len(other) == 1:
        return bootstrap(first - other, members, seed=seed)
    return bootstrap_apart(first, other, members, seed=seed)


def _runs(side: Side, right: NDArray[np.int64], nll: NDArray[np.float64]) -> list[Run]:
    tops, losses = right.mean(1).tolist(), nll.mean(1).tolist()
    each = zip(side.names, side.said, tops, losses, strict=True)
    return [Run(name, said.seed, top1, loss) for name, said, top1, loss in each]


def _pairs(
    first: Side, right: NDArray[np.int64], other: Side, right_other: NDArray[np.int64]
) -> list[SeedPair]:
    found = []
    for name, name_other, gain in zip(first.names, other.names, right - right_other, strict=True):
        wins, losses = int((gain > 0).sum()), int((gain < 0).sum())
        difference = float(gain.mean())
        found.append(SeedPair(name, name_other, difference, wins, losses, mcnemar(wins, losses)))
    return found


def _by_class(
    said: Predictions, right: NDArray[np.int64], right_other: NDArray[np.int64], gains: NDArray[np.int64]
) -> list[ClassDifference]:
    labels = np.array([clip.label for clip in said.clips])
    found = []
    for label in np.unique(labels).tolist():
        own = labels == label
        ours, theirs = float(right[:, own].mean()), float(right_other[:, own].mean())
        wins, losses = int((gains[own] > 0).sum()), int((gains[own] < 0).sum())
        name = said.classes[label]
        found.append(ClassDifference(name, int(own.sum()), ours, theirs, ours - theirs, wins, losses))
    return sorted(found, key=lambda one: (-one.difference, one.name))

"""What the cells say: accuracies with intervals, paired differences, and Holm's correction.

Clips of a group are alike, and so are trainings of a seed: intervals draw both again, whole groups and whole
seeds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from mocrop_train.evaluation.compare import RESAMPLES, mcnemar
from numpy.typing import NDArray

from tests.benchmarks.table_one.design import REFERENCES, Cell, Variant, settings_of
from tests.benchmarks.table_one.outcomes import Outcome

_SEED = 0


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Top-1 over clips and seeds, shares from 0 to 1.

    interval: 95 %, groups and seeds drawn again; spread: standard deviation over seeds, 0 for one seed.
    """

    top1: float
    interval: tuple[float, float]
    top5: float
    spread: float
    clips: int
    seeds: int


@dataclass(frozen=True, slots=True)
class Paired:
    """A cell minus its reference, on the same clips and seeds.

    difference: of top-1, over all seeds, with its 95 % interval. wins: clips that more seeds have right in
    the cell than in the reference; losses: the reverse. p: exact two-sided sign test of wins against losses;
    with one seed that is McNemar's. adjusted: after Holm over the family.
    """

    cell: Cell
    reference: Cell
    difference: float
    interval: tuple[float, float]
    wins: int
    losses: int
    p: float
    adjusted: float = 1.0


def accuracy(outcome: Outcome) -> Accuracy:
    """Return the accuracy of a cell."""
    right = outcome.right.astype(np.float64)
    by_seed = right.mean(1)
    return Accuracy(
        top1=float(right.mean()),
        interval=crossed_interval(right, outcome.groups),
        top5=outcome.top5,
        spread=float(by_seed.std(ddof=1)) if len(by_seed) > 1 else 0.0,
        clips=right.shape[1],
        seeds=right.shape[0],
    )


def crossed_interval(values: NDArray[np.float64], groups: NDArray[np.int64]) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean of `values` (seeds, clips).

    Every draw takes as many groups as there are and, independently, as many seeds, with replacement: the
    bootstrap of two crossed factors (Owen, "The pigeonhole bootstrap", 2007). It errs on the wide side.
    """
    seeds, sizes = len(values), np.bincount(groups)
    sums = np.stack([np.bincount(groups, weights=row, minlength=len(sizes)) for row in values])
    rng = np.random.default_rng(_SEED)
    of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES)
    of_groups = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=RESAMPLES)
    means = ((of_seeds @ sums) * of_groups).sum(1) / (seeds * (of_groups @ sizes))
    low, high = np.quantile(means, (0.025, 0.975)).tolist()
    return low, high


def comparisons(outcomes: Mapping[Cell, Outcome]) -> list[Paired]:
    """Return every comparison of the table, adjusted as one family."""
    pairs = dict.fromkeys(_pairs(list(outcomes)))
    found = [_paired(cell, reference, outcomes) for cell, reference in pairs]
    adjusted = holm([one.p for one in found])
    return [dataclasses.replace(one, adjusted=p) for one, p in zip(found, adjusted, strict=True)]


def holm(values: Sequence[float]) -> list[float]:
    """Return p values adjusted so that the chance of any false claim in the family is what they say.

    Holm, "A simple sequentially rejective multiple test procedure", 1979: the smallest counts as often as
    there are values, the next once less, and none becomes smaller than one before it.
    """
    order = np.argsort(values, kind="stable")
    factors = len(values) - np.arange(len(values))
    adjusted = np.minimum(1, np.maximum.accumulate(np.asarray(values, float)[order] * factors))
    found = np.empty(len(values))
    found[order] = adjusted
    return list(found.tolist())


def _pairs(cells: Sequence[Cell]) -> Iterator[tuple[Cell, Cell]]:
    """Yield what is compared with what.

    In each part of the table: every crop with `full` and with `center-square`. At smaller sizes also every
    crop with whole frames at the largest: the price of fewer pixels, and what a crop wins back of it.
    """
    largest = max(cell.test.size for cell in cells)
    whole = Cell(Variant("full", largest), Variant("full", largest))
    for _, _, some in settings_of(cells):
        by_crop = {cell.test.crop: cell for cell in some}
        for reference in REFERENCES:
            # center-square and full are held against each other once
            others = [crop for crop in by_crop if crop != reference and (crop, reference) != REFERENCES]
            if reference in by_crop:
                yield from ((by_crop[crop], by_crop[reference]) for crop in others)
        if whole in cells:
            yield from ((cell, whole) for cell in some if cell.test.size < largest)


def _paired(cell: Cell, reference: Cell, outcomes: Mapping[Cell, Outcome]) -> Paired:
    ours, theirs = outcomes[cell], outcomes[reference]
    gain = ours.right.astype(np.float64) - theirs.right
    total = gain.sum(0)
    wins, losses = int((total > 0).sum()), int((total < 0).sum())
    interval = crossed_interval(gain, ours.groups)
    return Paired(cell, reference, float(gain.mean()), interval, wins, losses, mcnemar(wins, losses))


def by_reference(found: Iterable[Paired]) -> dict[Cell, list[Paired]]:
    """Return the comparisons of each cell."""
    cells: dict[Cell, list[Paired]] = {}
    for one in found:
        cells.setdefault(one.cell, []).append(one)
    return cells

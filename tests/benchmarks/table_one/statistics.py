"""What the cells say: accuracies with intervals, and paired differences as mocrop-compare tests them.

Clips of a group are alike, and so are trainings of a seed: intervals draw both again, whole groups and whole
seeds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from mocrop_train.evaluation.statistics import bootstrap, holm, sign_flip

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
    the cell than in the reference; losses: the reverse. p: exact two-sided sign-flip test of the clips' gains
    over all seeds; with one seed that is McNemar's. group_p: the same over whole groups. adjusted: p after
    Holm over the family.
    """

    cell: Cell
    reference: Cell
    difference: float
    interval: tuple[float, float]
    wins: int
    losses: int
    p: float
    group_p: float
    adjusted: float = 1.0


def accuracy(outcome: Outcome) -> Accuracy:
    """Return the accuracy of a cell."""
    right = outcome.right.astype(np.float64)
    by_seed = right.mean(1)
    return Accuracy(
        top1=float(right.mean()),
        interval=bootstrap(right, outcome.groups, seed=_SEED),
        top5=outcome.top5,
        spread=float(by_seed.std(ddof=1)) if len(by_seed) > 1 else 0.0,
        clips=right.shape[1],
        seeds=right.shape[0],
    )


def comparisons(outcomes: Mapping[Cell, Outcome]) -> list[Paired]:
    """Return every comparison of the table, adjusted as one family."""
    pairs = dict.fromkeys(pairs_of(list(outcomes)))
    found = [_paired(cell, reference, outcomes) for cell, reference in pairs]
    adjusted = holm([one.p for one in found])
    return [dataclasses.replace(one, adjusted=p) for one, p in zip(found, adjusted, strict=True)]


def pairs_of(cells: Sequence[Cell]) -> Iterator[tuple[Cell, Cell]]:
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
    gain = ours.right.astype(np.int64) - theirs.right
    total = gain.sum(0)
    return Paired(
        cell=cell,
        reference=reference,
        difference=float(gain.mean()),
        interval=bootstrap(gain, ours.groups, seed=_SEED),
        wins=int((total > 0).sum()),
        losses=int((total < 0).sum()),
        p=sign_flip(total),
        group_p=sign_flip(np.bincount(ours.groups, weights=total).astype(np.int64)),
    )


def by_reference(found: Iterable[Paired]) -> dict[Cell, list[Paired]]:
    """Return the comparisons of each cell."""
    cells: dict[Cell, list[Paired]] = {}
    for one in found:
        cells.setdefault(one.cell, []).append(one)
    return cells

"""The table as Markdown, as CSV and as a plot."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mocrop_prep.evaluation.tables import markdown_table
from mocrop_train.models.cost import Cost
from mocrop_train.report.plots import Interval, intervals_png

from tests.benchmarks.table_one.design import REFERENCES, Cell, settings_of
from tests.benchmarks.table_one.statistics import Accuracy, Paired, by_reference

LEVEL = 0.05
NOTES = (
    "Top-1 in per cent of clips, the mean over seeds, with its 95 % interval: a bootstrap that draws whole",
    "groups and seeds again. Columns of one training have one checkpoint. `*`: apart from `full` of the",
    "same column, `†`: from `center-square`, p < 0.05 after Holm over all comparisons of the section. wins,",
    "losses: clips that more seeds have right, and fewer, than those of what it is held against; p: exact",
    "sign-flip test over clips (McNemar's, with one seed), as if those of a group were independent; p",
    "groups: over whole groups, never below 2 / 2^groups. No setting was chosen on these clips; the last",
    "epoch counts.",
)
_LARGEST = "full-at-the-largest"
_CLAIM = (
    "trained on", "tested on", "against", "difference", "wins, losses", "p", "p groups", "p after Holm"
)  # fmt: skip
_TRAINED = {"full": "trained on full frames", "own": "trained on the crop itself"}


@dataclass(frozen=True, slots=True)
class Part:
    """The cells of one backbone on one set of clips, under one protocol.

    about: how it was trained and tested, in a sentence. costs: of a clip, by the size in the test.
    """

    clips: str
    backbone: str
    protocol: str
    about: str
    accuracies: dict[Cell, Accuracy]
    paired: list[Paired]
    costs: dict[int, Cost]

    @property
    def title(self) -> str:
        """Return what the part is called."""
        return f"{self.clips}, {self.backbone}, {self.protocol}"


def markdown(parts: Sequence[Part]) -> str:
    """Return the page of the table."""
    lines = ["# Table 1: what crops are worth", "", *NOTES]
    for part in parts:
        lines += ["", f"## {part.title}", "", part.about, "", *_overview(part), "", *_costs(part)]
        lines += ["", *_claims(part)]
    return "\n".join([*lines, "", "![top-1 with 95 % intervals](table1.png)", ""])


def table_csv(parts: Sequence[Part]) -> str:
    """Return every cell with every number, a row each; shares are from 0 to 1."""
    rows = [row for part in parts for row in _rows(part)]
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def plot(parts: Sequence[Part]) -> bytes:
    """Return top-1 with its intervals at the largest size as PNG: one line for each crop and training.

    Of several protocols of one backbone, the first is shown.
    """
    lines = []
    shown = {(part.clips, part.backbone): part for part in reversed(parts)}
    for part in reversed(shown.values()):
        largest = max(cell.test.size for cell in part.accuracies)
        for trained, sizes, cells in settings_of(list(part.accuracies)):
            if sizes != (largest, largest):
                continue
            for cell in cells:
                found = part.accuracies[cell]
                label = f"{cell.test.crop}, {part.clips}, {part.backbone}"
                lines.append(Interval(label, found.top1, *found.interval, series=_TRAINED[trained]))
    return intervals_png(lines)


def _overview(part: Part) -> list[str]:
    """Return top-1 in per cent with its interval: a line a crop, a column for each training and size."""
    columns = list(settings_of(list(part.accuracies)))
    columns.sort(key=lambda column: column[0])
    compared = by_reference(part.paired)
    head = ["crop", *(f"{_TRAINED[trained]}, {_arrow(sizes)}" for trained, sizes, _ in columns)]
    rows = []
    for crop in dict.fromkeys(cell.test.crop for cell in part.accuracies):
        row = [f"`{crop}`"]
        for _, _, cells in columns:
            cell = next((cell for cell in cells if cell.test.crop == crop), None)
            row.append("-" if cell is None else _entry(part.accuracies[cell], compared.get(cell, [])))
        rows.append(tuple(row))
    return markdown_table(tuple(head), rows)


def _entry(found: Accuracy, compared: Sequence[Paired]) -> str:
    low, high = (100 * end for end in found.interval)
    certain = {_kind(one) for one in compared if one.adjusted < LEVEL}
    marks = "".join(mark for mark, name in zip("*†", REFERENCES, strict=True) if name in certain)
    return f"{100 * found.top1:.1f}{marks} [{low:.0f}-{high:.0f}]"


def _costs(part: Part) -> list[str]:
    shown = [
        f"at {size} px {cost.multiply_adds / cost.frames / 1e9:.2f} GFLOPs (multiply-adds) a frame, "
        f"{cost.multiply_adds / 1e9:.1f} a clip of {cost.frames}"
        for size, cost in sorted(part.costs.items(), reverse=True)
    ]
    return [f"Cost: {'; '.join(shown)}."]


def _claims(part: Part) -> list[str]:
    """Return the comparisons that chance alone would make in one of twenty cases, and how many there are."""
    some = sorted((one for one in part.paired if one.p < LEVEL), key=lambda one: one.p)
    kept = sum(one.adjusted < LEVEL for one in some)
    count = f"{len(part.paired)} comparisons, {len(some)} with p < {LEVEL}, {kept} of them after Holm"
    if not some:
        return [f"{count}."]
    return [f"{count}:", "", *markdown_table(_CLAIM, [_claim(one) for one in some])]


def _claim(one: Paired) -> tuple[str, ...]:
    low, high = (100 * end for end in one.interval)
    against = str(one.reference.test)
    if one.reference.train != one.cell.train:
        against += f" (trained on {one.reference.train})"
    return (
        str(one.cell.train),
        str(one.cell.test),
        against,
        f"{100 * one.difference:+.1f} [{low:+.1f}, {high:+.1f}]",
        f"{one.wins}, {one.losses}",
        _chance(one.p),
        _chance(one.group_p),
        _chance(one.adjusted),
    )


def _rows(part: Part) -> Iterator[dict[str, object]]:
    compared = by_reference(part.paired)
    for cell, found in part.accuracies.items():
        cost = part.costs[cell.test.size]
        yield {
            "clips": part.clips,
            "backbone": part.backbone,
            "protocol": part.protocol,
            "train_crop": cell.train.crop,
            "train_size": cell.train.size,
            "test_crop": cell.test.crop,
            "test_size": cell.test.size,
            "tested_clips": found.clips,
            "seeds": found.seeds,
            "top1": f"{found.top1:.4f}",
            "low": f"{found.interval[0]:.4f}",
            "high": f"{found.interval[1]:.4f}",
            "seed_deviation": f"{found.spread:.4f}",
            "top5": f"{found.top5:.4f}",
            "gflops_frame": f"{cost.multiply_adds / cost.frames / 1e9:.3f}",
            "gflops_clip": f"{cost.multiply_adds / 1e9:.3f}",
            **_compared(cell, compared.get(cell, [])),
        }


def _compared(cell: Cell, some: Sequence[Paired]) -> dict[str, object]:
    """Return the columns of a cell's comparisons, empty where there are none."""
    row: dict[str, object] = {}
    for name in (*REFERENCES, _LARGEST):
        one = next((one for one in some if _kind(one) == name), None)
        row |= {f"vs_{name}_{column}": value for column, value in _numbers(one).items()}
    return row


def _kind(one: Paired) -> str:
    """Return what a cell is compared with: a crop at its own size, or whole frames at the largest."""
    return _LARGEST if one.reference.test.size > one.cell.test.size else one.reference.test.crop


def _numbers(one: Paired | None) -> dict[str, object]:
    if one is None:
        return dict.fromkeys(("difference", "low", "high", "wins", "losses", "p", "p_groups", "holm"), "")
    low, high = one.interval
    return {
        "difference": f"{one.difference:.4f}",
        "low": f"{low:.4f}",
        "high": f"{high:.4f}",
        "wins": one.wins,
        "losses": one.losses,
        "p": f"{one.p:.3g}",
        "p_groups": f"{one.group_p:.3g}",
        "holm": f"{one.adjusted:.3g}",
    }


def _arrow(sizes: tuple[int, int]) -> str:
    train, test = sizes
    return f"{train} px" if train == test else f"{train} px, tested at {test}"


def _chance(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"

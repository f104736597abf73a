"""The ablations as Markdown tables, and as what a JSON file holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from mocrop_prep.evaluation import AREAS
from mocrop_prep.evaluation.bootstrap import Estimate
from mocrop_prep.evaluation.tables import estimate_cell, markdown_table

from tests.benchmarks.ablation.cost import EXTRACTION, LOOKING, READING, Costs
from tests.benchmarks.ablation.retention import Retention, Table
from tests.benchmarks.ablation.variants import OURS

NOTES = (
    "Mean share of the actor inside the crop, in per cent over annotated frames, and the variant less the",
    "whole method, in points on the same frames: below 0 the part is worth having. In brackets the 95 %",
    "interval of a bootstrap over clips; bold where it leaves out 0.",
    "DM: denoising of vectors; MCS: Monte Carlo sampling; AC: the adaptive window. Without AC the crop has,",
    "clip by clip, the area of the whole method's window.",
)


def retention_lines(found: Retention) -> list[str]:
    """Return the tables of a set, and after each one what its variants come to."""
    lines = [f"{found.clips} clips, {found.frames} frames", ""]
    for title, table in found.tables.items():
        head = [title, *(cell for area in AREAS for cell in (f"{area:g}", "less whole"))]
        rows = [[name, *_cells(table, name)] for name in table]
        lines += [*markdown_table(head, rows), "", *_verdicts(table), ""]
    return lines


def cost_lines(found: Costs) -> list[str]:
    """Return the table of times, and in one line what our method takes beside extraction."""
    method = next(iter(OURS))
    rows = [
        (name, f"{1000 * seconds:.1f}", f"{100 * found.share(name):.1f} %")
        for name, seconds in found.seconds.items()
    ]
    bare, whole = found.share(method), found.share(method) + found.share(READING)
    return [
        f"{found.clips} clips, {found.frames} frames",
        "",
        *markdown_table(("work", "ms for 1000 frames", f"of {EXTRACTION}"), rows),
        "",
        f"`{method}` takes {100 * bare:.1f} % of the time of {EXTRACTION} with vectors in memory, "
        f"{100 * whole:.1f} % with {READING} from Parquet; {LOOKING}, within {EXTRACTION}, "
        f"{100 * found.share(LOOKING):.1f} %.",
    ]


def retention_body(found: Retention) -> dict[str, Any]:
    """Return a set's figures; shares are from 0 to 1."""
    return {
        "clips": found.clips,
        "frames": found.frames,
        "tables": {
            title: {
                name: {f"{area:g}": asdict(kept) for area, kept in cells.items()}
                for name, cells in table.items()
            }
            for title, table in found.tables.items()
        },
    }


def _cells(table: Table, name: str) -> Iterable[str]:
    for kept in table[name].values():
        yield estimate_cell(kept.inside)
        yield "" if kept.apart is None else _apart(kept.apart)


def _apart(one: Estimate) -> str:
    cell = estimate_cell(one, signed=True)
    return f"**{cell}**" if _side(one) else cell


def _side(one: Estimate | None) -> int:
    """Return -1 or 1 where the interval lies on one side of 0, else 0."""
    if one is None or one.interval is None:
        return 0
    low, high = one.interval
    return int(low > 0) - int(high < 0)


def _verdicts(table: Table) -> list[str]:
    """Return which variants are worse, better and neither than the whole method, at any of the areas."""
    sides = {name: {_side(kept.apart) for kept in cells.values()} for name, cells in list(table.items())[1:]}
    said = {
        "Worse at some area": [name for name, found in sides.items() if -1 in found],
        "Better at some area": [name for name, found in sides.items() if 1 in found],
        "Neither at any": [name for name, found in sides.items() if found == {0}],
    }
    return [f"- {what}: {'; '.join(names) or 'none'}." for what, names in said.items()]

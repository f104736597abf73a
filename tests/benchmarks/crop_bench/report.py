"""The results as Markdown tables that can stand in a README."""

from __future__ import annotations

from collections.abc import Sequence

from mocrop_prep.evaluation.candidates import DEFAULT_METHOD, MATCHED
from mocrop_prep.evaluation.tables import markdown_table

from tests.benchmarks.crop_bench.paired import Paired, Result
from tests.benchmarks.crop_bench.probes import DRAWS

NOTES = (
    f"wins, losses: {DEFAULT_METHOD} right where the other is wrong, and the reverse; difference in points,",
    f"{DEFAULT_METHOD} minus other, with its 95 % interval over clips; p: exact McNemar.",
    f"{MATCHED}: for each clip the centred square of the size of {DEFAULT_METHOD}'s crop.",
    f"Few-shot settings test each clip in {DRAWS} draws. Draws of one clip are not independent: there is no",
    "p, and the interval draws whole clips.",
)


def setting_title(shots: int | None, folds: int) -> str:
    """Return what a setting is, in words."""
    if shots is None:
        return f"all training clips, {folds} group folds"
    return f"{shots} training clips a class, {folds} group folds, {DRAWS} draws"


def result_table(found: Sequence[Result]) -> list[str]:
    """Return a table of one setting."""
    head = ("crop", "covers", "top-1", "right", "wins, losses", "difference", "p")
    return markdown_table(head, [_row(one) for one in found])


def _row(one: Result) -> tuple[str, ...]:
    share = f"{100 * one.right / one.tested:.1f} %"
    return (
        f"`{one.name}`",
        f"{100 * one.covers:.0f} %",
        share,
        f"{one.right} of {one.tested}",
        *_against(one.against),
    )


def _against(paired: Paired | None) -> tuple[str, str, str]:
    if paired is None:
        return "-", "-", "-"
    low, high = (100 * end for end in paired.interval)
    difference = f"{100 * paired.difference:+.1f} [{low:+.1f}, {high:+.1f}]"
    p = "-" if paired.p is None else f"{paired.p:.3f}" if paired.p >= 0.001 else f"{paired.p:.0e}"
    return f"{paired.wins}, {paired.losses}", difference, p

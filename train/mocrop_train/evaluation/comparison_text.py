"""Comparisons as text and Markdown for people, in per cent and points, and as JSON for machines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence

from mocrop_train.errors import printable
from mocrop_train.evaluation.compare import ClassDifference, Comparison, Interval
from mocrop_train.tables import markdown_table, markdown_text, text_table

FORMAT = "mocrop-comparison"
VERSION = 2
SHOWN = 5


def format_json(comparisons: Sequence[Comparison]) -> str:
    """Return comparisons as the text of a JSON file."""
    body = {
        "format": FORMAT,
        "version": VERSION,
        "comparisons": [dataclasses.asdict(comparison) for comparison in comparisons],
    }
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def format_table(comparisons: Sequence[Comparison], *, shown: int = SHOWN) -> str:
    """Return comparisons of one side with others as text; `shown` classes from either end of the list."""
    parts = [text_table(part) if isinstance(part, list) else [part] for part in _parts(comparisons, shown)]
    return "\n\n".join("\n".join(part) for part in parts)


def format_markdown(comparisons: Sequence[Comparison], *, shown: int = SHOWN) -> str:
    """Return the same as Markdown."""
    parts = [
        markdown_table(part) if isinstance(part, list) else [markdown_text(part)]
        for part in _parts(comparisons, shown)
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def percent(share: float) -> str:
    """Return a share in per cent."""
    return f"{100 * share:.1f}"


def points(interval: Interval | None) -> str:
    """Return an interval of differences in points."""
    return "-" if interval is None else f"{100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}"


def chance(p: float | None) -> str:
    """Return a p value."""
    return "-" if p is None else f"{p:.4f}" if p >= 0.0001 else f"{p:.1e}"


def _parts(comparisons: Sequence[Comparison], shown: int) -> Iterable[str | list[tuple[str, ...]]]:
    """Yield the paragraphs and tables, in order."""
    first = comparisons[0]
    runs = f", mean of {len(first.first_runs)} runs," if len(first.first_runs) > 1 else ""
    yield f"{_plain(first.first)}: top-1 {first.first_top1:.1%}{runs} of {first.clips} clips; against it:"
    yield [
        _HEAD + ("p Holm",) * (len(comparisons) > 1),
        *(_row(one, len(comparisons) > 1) for one in comparisons),
    ]
    yield _legend(comparisons)
    yield from _losses(comparisons)
    for one in comparisons:
        yield from _seeds(one)
        if shown:
            yield from _classes(one, shown)
    for caveat in dict.fromkeys(line for one in comparisons for line in (*one.warnings, *one.notes)):
        yield f"note: {_plain(caveat)}"


_HEAD = (
    "against",
    "top-1, %",
    "difference",
    "95 % clips",
    "95 % groups",
    "wins",
    "losses",
    "ties",
    "p",
    "p groups",
)


def _legend(comparisons: Sequence[Comparison]) -> str:
    several = any(len(runs) > 1 for one in comparisons for runs in (one.first_runs, one.other_runs))
    said = [
        "wins: right where the other is wrong" + (", mean over runs" if several else ""),
        "difference: points, first minus other",
        "p: exact sign-flip test of the mean over runs, of these networks on other clips"
        if several
        else "p: exact McNemar",
    ]
    if comparisons[0].groups:
        said.append("p groups: exact sign-flip test over groups")
    if len(comparisons) > 1:
        said.append("p Holm: the last p before it, adjusted for the number of comparisons")
    return "; ".join(said)


def _row(one: Comparison, holm: bool) -> tuple[str, ...]:
    adjusted = one.p_holm if one.group_p_holm is None else one.group_p_holm
    return (
        _plain(one.other),
        percent(one.other_top1),
        f"{100 * one.difference:+.1f}",
        points(one.interval),
        points(one.group_interval),
        str(one.wins),
        str(one.losses),
        str(one.ties),
        chance(one.p),
        chance(one.group_p),
        *((chance(adjusted),) if holm else ()),
    )


def _losses(comparisons: Sequence[Comparison]) -> Iterable[str | list[tuple[str, ...]]]:
    yield f"log-loss {comparisons[0].first_nll:.3f} nats (below 0, the first is better):"
    rows = [
        (_plain(one.other), f"{one.other_nll:.3f}", f"{one.nll_difference:+.3f}",
         "{:+.3f} to {:+.3f}".format(*one.nll_interval))
        for one in comparisons
    ]  # fmt: skip
    yield [("against", "log-loss", "difference", "95 %"), *rows]


def _seeds(one: Comparison) -> Iterable[str | list[tuple[str, ...]]]:
    """Yield each run, if a side has several."""
    if len(one.first_runs) == len(one.other_runs) == 1:
        return
    if not one.pairs:
        yield f"runs, {len(one.first_runs)} against {len(one.other_runs)}, which do not pair:"
        runs = [(_plain(run.file), percent(run.top1)) for run in (*one.first_runs, *one.other_runs)]
        yield [("run", "top-1, %"), *runs]
        return
    yield f"each run against its counterpart, paired by {one.paired_by}:"
    rows = [
        (_plain(pair.first), _plain(pair.other), percent(run.top1), percent(counterpart.top1),
         f"{100 * pair.difference:+.1f}", str(pair.wins), str(pair.losses), chance(pair.p))
        for pair, run, counterpart in zip(one.pairs, one.first_runs, one.other_runs, strict=True)
    ]  # fmt: skip
    yield [("run", "against", "top-1, %", "other", "difference", "wins", "losses", "p McNemar"), *rows]
    if one.spread is not None:
        yield (
            f"the differences of {len(one.pairs)} runs spread by {100 * one.spread:.1f} points (standard "
            "deviation); the intervals draw runs, too, but few runs tell little of others"
        )


def _classes(one: Comparison, shown: int) -> Iterable[str | list[tuple[str, ...]]]:
    """Yield the classes that gain and lose most."""
    worst = [each for each in one.classes if each.difference < 0][::-1]
    best = [each for each in one.classes if each.difference > 0]
    if not worst and not best:
        return
    yield f"by class, against {_plain(one.other)}: {len(worst)} lose, {len(best)} gain, of {len(one.classes)}"
    kept = [*map(_class_row, worst[:shown]), *map(_class_row, best[:shown])]
    yield [("class", "clips", "top-1, %", "other", "difference", "wins", "losses"), *kept]


def _class_row(each: ClassDifference) -> tuple[str, ...]:
    return (
        _plain(each.name),
        str(each.clips),
        percent(each.first),
        percent(each.other),
        f"{100 * each.difference:+.1f}",
        str(each.wins),
        str(each.losses),
    )


def _plain(text: str) -> str:
    return printable(text)

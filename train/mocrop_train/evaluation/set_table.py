"""The table of one checkpoint on several shard sets, each held against the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mocrop_train.evaluation import metrics
from mocrop_train.evaluation.caveats import warnings_about
from mocrop_train.evaluation.compare import Comparison, Interval, Side, compare_sides
from mocrop_train.evaluation.comparison_text import chance, percent, points
from mocrop_train.evaluation.predictions import Predictions
from mocrop_train.evaluation.statistics import holm
from mocrop_train.tables import csv_text, markdown_table, text_table

_HEAD = (
    "set",
    "top-1, % [95 %]",
    "top-5, %",
    "NLL",
    "ECE, %",
    "clips",
    "difference",
    "95 %",
    "wins",
    "losses",
    "p",
)
_COLUMNS = (
    "set", "shards", "crops", "split", "selected_on", "clips", "top1", "top1_low", "top1_high", "top5", "nll",
    "ece", "brier", "difference", "difference_low", "difference_high", "wins", "losses", "p", "p_groups",
    "p_holm",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One shard set, and its comparison with the first (this one minus the first) if they share their clips.

    p_holm: `p`, adjusted for the number of comparisons.
    """

    name: str
    said: Predictions
    top1_interval: Interval
    against: Comparison | None
    p_holm: float | None

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of the difference: over groups where there are any, else over clips."""
        return (self.against.group_interval or self.against.interval) if self.against else None

    @property
    def p(self) -> float | None:
        """The p of the difference, over what its interval is over: clips of a group are not independent."""
        return _p(self.against) if self.against else None


def lines_of(found: Mapping[str, Predictions], *, seed: int = 0) -> list[Line]:
    """Return a line for every set; `seed` is that of the bootstrap."""
    first, reference = next(iter(found.items()))
    clips = [clip.clip_id for clip in reference.clips]
    against = {
        name: compare_sides([Side([name], [said]), Side([first], [reference])], seed=seed)[0]
        for name, said in found.items()
        if name != first and [clip.clip_id for clip in said.clips] == clips
    }
    adjusted = dict(zip(against, holm([*map(_p, against.values())]), strict=True))
    return [
        Line(name, said, _of_top1(said), against.get(name), adjusted.get(name))
        for name, said in found.items()
    ]


def format_text(lines: Sequence[Line]) -> str:
    """Return the table for a terminal."""
    return "\n".join([*text_table(_rows(lines)), "", *_notes(lines)])


def format_markdown(lines: Sequence[Line]) -> str:
    """Return the table as Markdown."""
    return "\n".join([*markdown_table(_rows(lines)), "", *_notes(lines)]) + "\n"


def format_csv(lines: Sequence[Line]) -> str:
    """Return all numbers as CSV; shares are from 0 to 1, and what is not known is empty."""
    return csv_text([_COLUMNS, *map(_csv_row, lines)])


def _p(one: Comparison) -> float:
    return one.p if one.group_p is None else one.group_p


def _of_top1(said: Predictions) -> Interval:
    return metrics.wilson(sum(clip.prediction == clip.label for clip in said.clips), len(said.clips))


def _rows(lines: Sequence[Line]) -> list[tuple[str, ...]]:
    many = sum(line.against is not None for line in lines) > 1
    return [(*_HEAD, "p Holm") if many else _HEAD, *(_row(line, many) for line in lines)]


def _row(line: Line, many: bool) -> tuple[str, ...]:
    said, one = line.said, line.against
    low, high = line.top1_interval
    paired = (
        (
            f"{100 * one.difference:+.1f}",
            points(line.interval),
            str(one.wins),
            str(one.losses),
            chance(line.p),
        )
        if one
        else ("-",) * 5
    )
    return (
        line.name,
        f"{percent(said.top1)} [{percent(low)} to {percent(high)}]",
        percent(said.top5),
        f"{said.calibration['nll']:.3f}",
        percent(said.calibration["ece"]),
        str(len(said.clips)),
        *paired,
        *((chance(line.p_holm),) if many else ()),
    )


def _notes(lines: Sequence[Line]) -> list[str]:
    first = lines[0].name
    # one checkpoint on one split: what is to be said of the first goes for all
    found = [f"note: {line}" for line in warnings_about([("all sets", lines[0].said)])]
    found += ["top-1 with Wilson's interval over clips; NLL: log-loss in nats; ECE: calibration error"]
    paired = [line.against for line in lines if line.against]
    if paired:
        over = "groups" if paired[0].groups else "clips"
        found += [
            f"against {first}, in points: difference and its bootstrap interval over {over}; wins: right",
            f"where {first} is wrong; p: {_test(paired[0])}"
            + ("; Holm: for so many comparisons" if len(paired) > 1 else ""),
        ]
    if len(paired) < len(lines) - 1:
        found.append(f"-: not of the same clips as {first}")
    return found


def _test(one: Comparison) -> str:
    return "exact sign-flip test over groups" if one.groups else "exact McNemar"


def _csv_row(line: Line) -> tuple[str, ...]:
    said, one = line.said, line.against
    numbers = (
        said.top1,
        *line.top1_interval,
        said.top5,
        *(said.calibration[key] for key in ("nll", "ece", "brier")),
    )
    paired: tuple[float | int | None, ...] = (
        (one.difference, *(line.interval or ()), one.wins, one.losses, one.p, one.group_p, line.p_holm)
        if one
        else (None,) * 8
    )
    cells = [
        "" if cell is None else f"{cell:.6g}" if isinstance(cell, float) else str(cell)
        for cell in (*numbers, *paired)
    ]
    about = (said.shards, said.crops, said.split, said.selected_on, str(len(said.clips)))
    return (line.name, *about, *cells)

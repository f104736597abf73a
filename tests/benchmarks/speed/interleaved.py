"""Two ways to do the same work, timed in turn: a noisy machine hits both alike, and ratios carry over."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.benchmarks.spent import Spent, spent

Side = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Pair:
    """A comparison: `name` is `A / B`, and its result the time of A over the time of B.

    `amount` counts what one run of a side does, in `unit`. `goal` is what the ratio should be at most, or at
    least where `above` is set; None where there is none.
    """

    name: str
    a: str
    work_a: Side
    b: str
    work_b: Side
    amount: int
    unit: str = "frames"
    goal: float | None = None
    above: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What a comparison gave: units a second of both sides, and the ratio of times, A over B.

    `low` and `high` are the extremes of its rounds; `cpu` is the ratio of processor time, None where other
    processes work too. `met` says whether the goal is met, None without one.
    """

    name: str
    rates: dict[str, float]
    unit: str
    ratio: float
    low: float
    high: float
    cpu: float | None
    goal: str
    met: bool | None

    def row(self) -> str:
        """Return the line of a Markdown table."""
        rates = ", ".join(f"{side} {rate:,.0f}" for side, rate in self.rates.items())
        verdict = "" if self.met is None else f"{self.goal}: {'met' if self.met else 'missed'}"
        cpu = "" if self.cpu is None else f"{self.cpu:.2f}"
        times = f"{self.ratio:.2f} ({self.low:.2f}-{self.high:.2f})"
        return f"| {self.name} | {rates} {self.unit}/s | {times} | {cpu} | {verdict} |"


HEADER = "| A / B | rates | time of A / time of B (range) | of processor time | goal |\n|---|---|---|---|---|"


def compare(pairs: Iterable[Pair], rounds: int) -> Iterable[Result]:
    """Run each comparison `rounds` times, after a run that does not count, and yield what came of it."""
    for pair in pairs:
        pair.work_a(), pair.work_b()
        yield result_of(pair, [(spent(pair.work_a), spent(pair.work_b)) for _ in range(rounds)])


def result_of(pair: Pair, times: list[tuple[Spent, Spent]]) -> Result:
    """Return what the times of both sides, one pair a round, come to."""
    ratios = [a.wall / b.wall for a, b in times]
    processor = [a.cpu / b.cpu for a, b in times if b.cpu > 0]
    # workers' time is not this process's: where most of it is theirs, its own says nothing
    alone = all(side.cpu > side.wall / 2 for both in times for side in both)
    ratio = statistics.median(ratios)
    met = None if pair.goal is None else (ratio >= pair.goal if pair.above else ratio <= pair.goal)
    sign = "at least" if pair.above else "at most"
    return Result(
        name=pair.name,
        rates={
            pair.a: pair.amount / statistics.median(a.wall for a, _ in times),
            pair.b: pair.amount / statistics.median(b.wall for _, b in times),
        },
        unit=pair.unit,
        ratio=ratio,
        low=min(ratios),
        high=max(ratios),
        cpu=statistics.median(processor) if alone and processor else None,
        goal="" if pair.goal is None else f"{sign} {pair.goal:g}",
        met=met,
    )

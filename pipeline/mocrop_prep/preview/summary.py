"""The head of the page: what a manifest holds as a whole, and where its crops lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode
from xml.etree.ElementTree import Element

import numpy as np
from mocrop_manifests import CropRow
from mocrop_manifests.markup import note, number_list, tag

from mocrop_prep.preview.blocks import swatch
from mocrop_prep.preview.draw import coverage, coverage_png
from mocrop_prep.preview.words import count, percent, times

_BINS = 20
_WIDTH, _HEIGHT = 200, 60  # of the histogram, in its own units
_SMALLEST = 1.5  # so that a single clip among thousands shows


@dataclass(frozen=True, slots=True)
class Measure:
    """A share that clips are counted by: its key in the page's address, its name, its values, marks on it."""

    key: str
    name: str
    values: Sequence[float]
    marks: Sequence[tuple[str, str, float]]


def manifest_summary(name: str, rows: Sequence[CropRow], colour: int, notes: Sequence[str]) -> Element:
    """Return the block of one manifest: counts, means, the crops' places, and histograms that filter."""
    inside = [row.motion_inside for row in rows if row.motion_inside is not None]
    areas = [row.area for row in rows if row.area is not None]
    sure = [row.confidence for row in rows if row.confidence is not None]
    mean_inside, mean_area, mean_sure = _mean(inside), _mean(areas), _mean(sure)
    gain = mean_inside / mean_area if mean_inside is not None and mean_area else None
    numbers = [
        ("mean confidence", f"{mean_sure:.2f}") if mean_sure is not None else None,
        ("mean motion inside", percent(mean_inside)),
        ("mean area", percent(mean_area)),
        ("inside ÷ area", times(gain)),
    ]
    grids = Counter(f"{row.method} on {row.grid}" for row in rows if row.grid)
    recipe = [f"{made} ({count})" if len(grids) > 1 else made for made, count in grids.most_common(3)]
    recipe += [f"{len(grids) - 3} more grids"] if len(grids) > 3 else []
    over = _marks(("mean", "mean", mean_inside), ("chance", "mean area", mean_area))
    measures = (
        Measure("confidence", "confidence", sure, _marks(("mean", "mean", mean_sure))),
        Measure("inside", "motion inside", inside, over),
    )
    chip = tag("span", ", ".join(recipe), class_="chip")
    about = tag(
        "div",
        tag("h2", swatch(colour), name, chip, class_="manifest"),
        _statuses(name, rows),
        number_list(number for number in numbers if number),
        *map(note, notes),
        class_="about",
    )
    charts = (_histogram(name, measure) for measure in measures if measure.values)
    figures = tag("div", _places(rows), *charts, class_="figures")
    return tag("section", about, figures, class_="summary", data_of=colour)


def _statuses(name: str, rows: Sequence[CropRow]) -> Element:
    """Return the counts by status; a press on one filters."""
    counts = Counter(row.status for row in rows)
    parts = [tag("span", tag("b", count(len(rows))), " clips")]
    for status in ("ok", "fallback", "failed"):
        number = (tag("b", count(counts[status])), f" {status}")
        if status == "failed" or not counts[status]:
            parts.append(tag("span", *number, class_=f"chip {status}" if counts[status] else "chip"))
        else:
            sets = urlencode({"by": name, "status": status})
            hint = f"show only the clips that are {status}"
            chip = tag("button", *number, type="button", class_=f"chip {status}", data_set=sets, title=hint)
            parts.append(chip)
    return tag("p", *parts, class_="statuses")


def _places(rows: Sequence[CropRow]) -> Element | None:
    shares = coverage(rows)
    if shares is None:
        return None
    low, high = percent(float(shares.min())), percent(float(shares.max()))
    alt = f"share of the crops that cover each place of the frame: {low} to {high}"
    scale = tag("span", class_="scale", aria_hidden="true")
    caption = tag("figcaption", "cover 0", scale, "100\N{NO-BREAK SPACE}%")
    return tag("figure", tag("img", src=coverage_png(shares), alt=alt, class_="places"), caption)


def _histogram(name: str, measure: Measure) -> Element:
    """Return a histogram of shares, 0 to 1, with lines at its marks; a press on a bar filters."""
    counts = np.histogram(measure.values, bins=_BINS, range=(0, 1))[0]
    step = _WIDTH / _BINS
    shapes = []
    for place, number in enumerate(int(number) for number in counts):
        tall = max(_SMALLEST, _HEIGHT * number / int(counts.max())) if number else 0
        low, high = place / _BINS, (place + 1) / _BINS
        label = f"{measure.name} {low:.2f} to {high:.2f}: {number} clips"
        sets = urlencode({"by": name, f"min-{measure.key}": f"{low:g}", f"max-{measure.key}": f"{high:g}"})
        box = {"x": f"{place * step + 0.5:g}", "width": f"{step - 1:g}"}
        bar = tag("rect", class_="bar", y=f"{_HEIGHT - tall:.2f}", height=f"{tall:.2f}", **box)
        # the whole column takes the press: a bar may be a hair
        press = tag("rect", tag("title", label), class_="press", y=0, height=_HEIGHT, data_set=sets, **box)
        shapes += [bar, press] if number else []
    values = ", ".join(f"{what} {value:.2f}" for _, what, value in measure.marks)
    chart = tag(
        "svg",
        *shapes,
        *(_mark(value, kind) for kind, _, value in measure.marks),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{measure.name} of {len(measure.values)} clips: {values}",
        class_="histogram",
    )
    axis = tag("div", *(tag("span", text) for text in ("0", "0.5", "1")), class_="axis")
    keys = [tag("span", what, class_=f"key {kind}") for kind, what, _ in measure.marks]
    return tag("figure", chart, axis, tag("figcaption", f"{measure.name} ", *keys), class_="chart")


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _marks(*marks: tuple[str, str, float | None]) -> list[tuple[str, str, float]]:
    return [(kind, name, value) for kind, name, value in marks if value is not None]


def _mark(share: float, kind: str) -> Element:
    x = f"{share * _WIDTH:.2f}"
    return tag("line", x1=x, x2=x, y1=0, y2=_HEIGHT, class_=f"mark {kind}")

"""The head of the page: what a manifest holds as a whole, and where its crops lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np
from mocrop_manifests import CropRow

from mocrop_prep.preview.blocks import manifest_heading, note, number_list
from mocrop_prep.preview.draw import coverage, coverage_png
from mocrop_prep.preview.markup import picture, tag
from mocrop_prep.preview.words import count, percent, times

_BINS = 20
_WIDTH, _HEIGHT = 200, 60  # of the histogram, in its own units


def manifest_summary(name: str, rows: Sequence[CropRow], colour: int, notes: Sequence[str]) -> Element:
    """Return the block of one manifest: counts, means, the crops' places, and a histogram."""
    status = Counter(row.status for row in rows)
    inside = [row.motion_inside for row in rows if row.motion_inside is not None]
    areas = [row.area for row in rows if row.area is not None]
    mean_inside = float(np.mean(inside)) if inside else None
    mean_area = float(np.mean(areas)) if areas else None
    gain = mean_inside / mean_area if mean_inside is not None and mean_area else None
    numbers = [
        ("clips", count(len(rows))),
        ("ok", count(status["ok"])),
        ("fallback", count(status["fallback"])),
        ("failed", count(status["failed"])),
        ("mean motion inside", percent(mean_inside)),
        ("mean area", percent(mean_area)),
        ("inside ÷ area", times(gain)),
    ]
    recipe = sorted({f"{row.method} on {row.grid}" for row in rows})
    return tag(
        "section",
        manifest_heading("h2", name, colour, tag("span", ", ".join(recipe), class_="chip")),
        number_list(numbers),
        _places(rows),
        _histogram(inside, mean_inside, mean_area),
        *map(note, notes),
        class_="summary",
    )


def _places(rows: Sequence[CropRow]) -> Element | None:
    shares = coverage(rows)
    if shares is None:
        return None
    low, high = percent(float(shares.min())), percent(float(shares.max()))
    alt = f"share of the crops that cover each place of the frame: {low} to {high}"
    scale = tag("span", class_="scale", aria_hidden="true")
    caption = tag("figcaption", "covered by crops: 0 %", scale, "100 %")
    return tag("figure", picture(coverage_png(shares), alt, kind="png", class_="heat"), caption)


def _histogram(inside: Sequence[float], mean: float | None, area: float | None) -> Element | None:
    """Return a histogram of the motion inside the crops, its mean, and the mean area: what chance gives."""
    if mean is None:
        return None
    counts = np.histogram(inside, bins=_BINS, range=(0, 1))[0]
    step = _WIDTH / _BINS
    bars = []
    for place, number in enumerate(counts):
        tall = _HEIGHT * int(number) / int(counts.max())
        label = f"{place * 100 // _BINS} to {(place + 1) * 100 // _BINS} %: {number} clips"
        box = {"x": f"{place * step + 0.5:g}", "y": f"{_HEIGHT - tall:.2f}", "width": f"{step - 1:g}"}
        bars.append(tag("rect", tag("title", label), class_="bar", height=f"{tall:.2f}", **box))
    alt = f"motion inside the crop, {len(inside)} clips: mean {percent(mean)}, mean area {percent(area)}"
    chart = tag(
        "svg",
        *bars,
        _mark(mean, "mean"),
        _mark(area, "chance") if area is not None else None,
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=alt,
        class_="histogram",
    )
    axis = tag("div", *(tag("span", f"{share}\N{NO-BREAK SPACE}%") for share in (0, 50, 100)), class_="axis")
    caption = tag(
        "figcaption",
        "motion inside: ",
        tag("span", "mean", class_="key mean"),
        " ",
        tag("span", "mean area", class_="key chance"),
    )
    return tag("figure", chart, axis, caption)


def _mark(share: float, kind: str) -> Element:
    x = f"{share * _WIDTH:.2f}"
    return tag("line", x1=x, x2=x, y1=0, y2=_HEIGHT, class_=f"mark {kind}")

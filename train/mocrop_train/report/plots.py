"""Plots as PNG bytes: the same input gives the same bytes. matplotlib is in the extra `train`.

Class names come from anybody: nothing in them is read as mathematics, and for one that the fonts at hand
cannot draw the number of the class is written. Colours are those of Okabe and Ito, which colour-blind people
tell apart.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mocrop_train.errors import TrainError, printable
from mocrop_train.evaluation.metrics import Calibration, wilson

try:
    from matplotlib import colormaps, font_manager, rcParams, style, ticker
    from matplotlib.colors import PowerNorm
    from matplotlib.figure import Figure
except ModuleNotFoundError as error:
    if error.name != "matplotlib":
        raise
    MISSING = True
else:
    MISSING = False

BLUE, ORANGE, GREEN, PINK, SKY, BLACK = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#333333"
_SERIES = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PINK, "D"), (SKY, "v"), (BLACK, "P"))
_DPI = 110
_MOST_COUNTED = 16  # classes up to which a confusion's count is written into its cell
_MOST_NAMED = 160  # classes up to which all are named
_LONGEST = 28
# fonts that have what DejaVu Sans, which comes with matplotlib, lacks; used where they are installed
_MORE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "WenQuanYi Micro Hei", "PingFang SC",
    "Hiragino Sans", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Noto Sans Arabic",
    "Noto Sans Devanagari",
)  # fmt: skip
_STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


# what the curves show: a title, what its values are multiplied by, and columns of log.csv with their names
_PANELS = (
    ("loss", 1, (("train_loss", "train"), ("val_loss", "val"))),
    ("accuracy, %", 100,
     (("train_top1", "train top-1"), ("val_top1", "val top-1"), ("val_top5", "val top-5"))),
    ("learning rate", 1, (("lr", "at the end of the epoch"),)),
)  # fmt: skip


class Interval(NamedTuple):
    """A value and where it may lie: `low` and `high` are None where that is not known.

    Rows of one `series` share a colour and a line of the legend.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    series: str = ""


def confusion_png(matrix: NDArray[np.int64], classes: Sequence[str]) -> bytes:
    """Return a confusion matrix as PNG; counts are int64 (classes, classes), rows true, columns predicted.

    Colours are shares of a row; rows without clips are grey. Few classes get their counts written in. Raises
    TrainError without matplotlib.
    """
    count = len(classes)
    totals = matrix.sum(1, keepdims=True)
    shares = np.full(matrix.shape, np.nan)
    np.divide(100 * matrix, totals, out=shares, where=totals > 0)
    side = float(np.clip(0.42 * count if count <= _MOST_COUNTED else 3.5 + 0.13 * count, 2.6, 22))
    room = 0.6 + 0.012 * _name_size(count) * min(_LONGEST, max(map(len, classes), default=0))
    with _figure(side + room + 1.1, side + room) as figure:
        axes = figure.subplots()
        colours = colormaps["Blues"].with_extremes(bad="#d8d8d8")
        # without counts the few clips off the diagonal must show by their colour
        scale = PowerNorm(1.0 if count <= _MOST_COUNTED else 0.5, 0, 100)
        image = axes.imshow(shares, cmap=colours, norm=scale, interpolation="nearest")
        axes.grid(visible=False)
        by = "" if count <= _MOST_NAMED else ", by number"
        axes.set(xlabel=f"predicted class{by}", ylabel=f"true class{by}")
        if count <= _MOST_NAMED:
            labels = [_drawable(name, number) for number, name in enumerate(classes)]
            look = {"fontsize": _name_size(count), "parse_math": False}
            axes.set_xticks(range(count), labels, rotation=90, **look)
            axes.set_yticks(range(count), labels, **look)
        if count <= _MOST_COUNTED:
            _write_counts(axes, matrix, shares)
        figure.colorbar(image, ax=axes, label="share of the true class, %", shrink=0.8, aspect=30)
        return _png(figure)


def _name_size(classes: int) -> float:
    """Return the size of class names in points."""
    return 8 if classes <= 40 else 5.5


def _write_counts(axes: Any, matrix: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (row, column), clips in np.ndenumerate(matrix):
        if clips:
            colour = "white" if shares[row, column] > 55 else "black"
            axes.text(column, row, f"{clips:,}", ha="center", va="center", fontsize=8, color=colour)


def reliability_png(calibration: Calibration) -> bytes:
    """Return the reliability diagram of confidences as PNG: accuracy by confidence, and clips by confidence.

    Raises TrainError without matplotlib. DeGroot and Fienberg, "The comparison and evaluation of
    forecasters", 1983.
    """
    bins = [each for each in calibration.bins if each[2]]
    confidence, accuracy = [100 * each[0] for each in bins], [100 * each[1] for each in bins]
    clips = [each[2] for each in bins]
    spans = 100 * np.array([wilson(round(right * count), count) for _, right, count in bins]).reshape(-1, 2)
    wide = 80 / max(1, len(calibration.bins))
    with _figure(4.4, 5.0) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.plot((0, 100), (0, 100), "--", color="#888888", linewidth=1, label="right as often as sure")
        above.vlines(confidence, *spans.T, color=SKY, linewidth=3, alpha=0.5, label="95 % interval")
        above.vlines(confidence, confidence, accuracy, color=ORANGE, linewidth=1.5, label="gap")
        above.plot(
            confidence,
            accuracy,
            color=BLUE,
            marker="o",
            markersize=4,
            linewidth=1,
            clip_on=False,
            label="clips of a bin",
        )
        above.set(ylabel="accuracy, %", xlim=(0, 100), ylim=(-2, 102))
        above.set_title(f"expected calibration error {100 * calibration.ece:.1f} %", loc="left")
        above.legend(fontsize=8)
        below.bar(confidence, clips, width=wide, color=SKY, edgecolor="white")
        below.set(xlabel="confidence of the predicted class, %", ylabel="clips")
        below.yaxis.set_major_locator(ticker.MaxNLocator(4, integer=True))
        return _png(figure)


def curves_png(history: Sequence[dict[str, float]], best: int | None = None) -> bytes:
    """Return loss, accuracy and learning rate over the epochs as PNG; `history` has the columns of log.csv.

    `best` is the epoch, from 1, that was chosen. Raises TrainError without matplotlib.
    """
    with _figure(10.5, 3.1) as figure:
        for axes, (title, factor, lines) in zip(figure.subplots(1, 3), _PANELS, strict=True):
            if best is not None:
                axes.axvline(best, color=BLACK, linestyle="-.", linewidth=0.9, label=f"chosen: epoch {best}")
            for (key, name), (colour, _), dashes in zip(lines, _SERIES, ("-", "--", ":"), strict=False):
                points = [(row["epoch"], factor * row[key]) for row in history if _there(row, key)]
                if points:
                    # a mark for each epoch would hide the line of a long run
                    marks = {"marker": "o", "markersize": 3} if len(points) <= 30 else {}
                    axes.plot(*zip(*points, strict=True), dashes, color=colour, linewidth=1.4, label=name,
                              **marks)  # fmt: skip
            axes.set(xlabel="epoch", ylabel=title, xlim=(0.5, len(history) + 0.5))
            axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True, min_n_ticks=1))
            axes.ticklabel_format(axis="y", scilimits=(-2, 4))
            if axes.get_legend_handles_labels()[1]:
                axes.legend(fontsize=7.5)
        return _png(figure)


def intervals_png(rows: Sequence[Interval], *, axis: str = "top-1 accuracy, %", factor: float = 100) -> bytes:
    """Return values with their intervals as PNG, one line each from the top, in the order given.

    `axis` names the quantity and its unit, in which `factor` times a value is. Raises TrainError without
    matplotlib.
    """
    series = list(dict.fromkeys(row.series for row in rows))
    with _figure(7.0, 0.9 + 0.24 * max(2, len(rows)) + 0.2 * (len(series) > 1)) as figure:
        axes = figure.subplots()
        for number, name in enumerate(series):
            colour, marker = _SERIES[number % len(_SERIES)]
            members = [(place, row) for place, row in enumerate(rows) if row.series == name]
            spans = [(place, row.low, row.high) for place, row in members]
            known = [(place, low, high) for place, low, high in spans if low is not None and high is not None]
            if known:
                places, lows, highs = (np.array(column, float) for column in zip(*known, strict=True))
                axes.hlines(places, factor * lows, factor * highs, color=colour, linewidth=2, alpha=0.6)
            axes.plot([factor * row.value for _, row in members], [place for place, _ in members], marker,
                      color=colour, markersize=5, label=_drawable(name, number))  # fmt: skip
        labels = [_drawable(row.label, place, longest=60) for place, row in enumerate(rows)]
        axes.set_yticks(range(len(rows)), labels, parse_math=False)
        axes.set(xlabel=axis, ylim=(len(rows) - 0.4, -0.6))
        axes.tick_params(axis="y", length=0)
        if len(series) > 1:
            legend = figure.legend(loc="outside upper left", ncols=min(4, len(series)), fontsize=8)
            for text in legend.get_texts():
                text.set_parse_math(False)
        return _png(figure)


@contextlib.contextmanager
def _figure(width: float, height: float) -> Iterator[Any]:
    """Give an empty figure, in inches, whose look depends on no settings of the user's."""
    if MISSING:
        raise TrainError("no plots: matplotlib is not installed: pip install 'mocrop[train]'")
    installed = {font.name for font in font_manager.fontManager.ttflist}
    families = ["DejaVu Sans", *(name for name in _MORE_FONTS if name in installed)]
    with style.context(["default", {**_STYLE, "font.family": families}]):
        figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
        yield figure


def _png(figure: Any) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _there(row: dict[str, float], key: str) -> bool:
    return bool(np.isfinite(row.get(key, np.nan)))


def _drawable(name: str, number: int, longest: int = _LONGEST) -> str:
    """Return a name as the fonts can draw it, shortened in the middle; else its number."""
    text = printable(name)
    if len(text) > longest:
        kept = (longest - 1) // 2
        text = f"{text[:kept]}…{text[-kept:]}"
    fonts = [font_manager.get_font(path) for path in _font_files()]
    if all(any(font.get_char_index(ord(mark)) for font in fonts) for mark in text):
        return text
    return f"class {number}"


def _font_files() -> list[str]:
    return [font_manager.findfont(family) for family in rcParams["font.family"]]

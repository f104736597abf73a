"""Plots: readable by machine, the same bytes for the same input, whatever the classes are called."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import warnings

import numpy as np
import pytest
from mocrop_train.errors import TrainError
from mocrop_train.evaluation.metrics import Calibration
from mocrop_train.report import plots
from numpy.typing import NDArray
from PIL import Image

HISTORY = [
    {"epoch": 1, "lr": 1e-3, "train_loss": 2.0, "train_top1": 0.3, "val_loss": 2.1, "val_top1": 0.2},
    {"epoch": 2, "lr": 5e-4, "train_loss": 1.0, "train_top1": 0.6, "val_loss": float("nan"), "val_top1": 0.5},
]
NAMES = ["$\\frac{1}{", "中文", "a\x1b[31m\nb", "x" * 500, "<b>&", "\\alpha_^", "", "\U0001f600", "e\u0301"]


def pixels(png: bytes) -> NDArray[np.int64]:
    return np.array(Image.open(io.BytesIO(png), formats=("PNG",)).convert("RGB"), np.int64)


def blueness(png: bytes) -> int:
    """Count the pixels of the darkest part of the colour map."""
    picture = pixels(png)
    return int((np.abs(picture - (8, 48, 107)).max(2) < 6).sum())


@pytest.mark.parametrize("count", [1, 2, 9, 101, 400])
def test_a_confusion_matrix_of_any_number_of_classes_is_drawn_large_enough(count: int) -> None:
    matrix = np.eye(count, dtype=np.int64)
    picture = pixels(plots.confusion_png(matrix, [f"Class{number}" for number in range(count)]))
    assert min(picture.shape[:2]) > max(200, 5 * count)
    assert max(picture.shape[:2]) < 3200


def test_a_confusion_shows_in_its_place() -> None:
    names = ["one", "two"]
    right = blueness(plots.confusion_png(np.array([[9, 0], [0, 9]]), names))
    half = blueness(plots.confusion_png(np.array([[9, 0], [5, 4]]), names))
    assert half < 0.6 * right


def test_a_class_without_clips_is_grey_not_white() -> None:
    picture = pixels(plots.confusion_png(np.array([[0, 0], [0, 3]]), ["none", "some"]))
    assert ((picture == 0xD8).all(2)).mean() > 0.05


def test_names_of_any_kind_are_drawn_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    matrix = np.eye(len(NAMES), dtype=np.int64)
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
        warnings.simplefilter("error")
        first = plots.confusion_png(matrix, NAMES)
        rows = [plots.Interval(name, 0.5, 0.4, 0.6, series=name) for name in NAMES]
        second = plots.intervals_png(rows)
    assert not caplog.records
    assert pixels(first).size
    assert pixels(second).size


def test_the_same_input_gives_the_same_bytes_in_another_process() -> None:
    script = (
        "import numpy as np, sys, matplotlib; from mocrop_train.report import plots\n"
        "matplotlib.rcParams.update({'font.size': 20, 'axes.facecolor': 'red', 'text.usetex': True})\n"
        "sys.stdout.buffer.write(plots.confusion_png(np.eye(3, dtype=np.int64), ['a', 'b', '$c']))"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    assert plots.confusion_png(np.eye(3, dtype=np.int64), ["a", "b", "$c"]) == other


def test_plots_leave_the_settings_of_matplotlib_alone() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots.curves_png(HISTORY, 2)
    assert dict(matplotlib.rcParams) == before


def test_curves_of_one_epoch_of_many_and_without_val_are_drawn() -> None:
    short = plots.curves_png([{"epoch": 1, "lr": 0.1, "train_loss": 1.0, "train_top1": 0.5}])
    both = plots.curves_png(HISTORY)
    chosen = plots.curves_png(HISTORY, best=2)
    assert len({short, both, chosen}) == 3
    assert pixels(both).shape == pixels(chosen).shape


def test_a_bin_off_the_diagonal_shows_its_gap() -> None:
    orange = (0xD5, 0x5E, 0x00)
    gaps = []
    for accuracy in (0.9, 0.2):
        picture = pixels(
            plots.reliability_png(Calibration(0.1, 0.0, 0.0, [(0.0, 0.0, 0), (0.9, accuracy, 8)]))
        )
        gaps.append(int((np.abs(picture - orange).max(2) < 40).sum()))
    assert gaps[1] > gaps[0] + 100


def test_a_wider_interval_is_a_longer_line() -> None:
    def ink(low: float | None, high: float | None) -> int:
        rows = [plots.Interval("all", 0.5, 0.0, 1.0), plots.Interval("one", 0.5, low, high)]
        return int((np.ptp(pixels(plots.intervals_png(rows)), axis=2) > 60).sum())

    assert ink(0.1, 0.9) > ink(0.45, 0.55) > ink(None, None)


def test_without_matplotlib_a_plot_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from mocrop_train.report import plots; plots.curves_png([])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stderr.strip().splitlines()[-1].endswith("pip install 'mocrop[train]'")
    monkeypatch.setattr(plots, "MISSING", True)
    with pytest.raises(TrainError, match="matplotlib is not installed"):
        plots.curves_png(HISTORY)

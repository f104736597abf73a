"""The paper's crop methods and the controls: motion vectors of a clip in, one crop in pixels out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mocrop_prep.appearance import Appearance
from mocrop_prep.config import CropSettings, parse_grid
from mocrop_prep.errors import UsageError
from mocrop_prep.geometry import Box, Lattice
from mocrop_prep.motion import IMPORTANCE, DensityMap, Importance, ImportanceDensity, UniformDensity
from mocrop_prep.placement import DensityIntegral
from mocrop_prep.vectors import Vectors
from mocrop_prep.windows import Score, Window, best_window, candidate_shapes

DEFAULT_GRIDS = {"mocrop-v2": (9, 16)}
_PAPER_GRID = (6, 8)
_GRIDLESS = ("full", "center", "center-square")
_CONTROLS = (*_GRIDLESS, "random")
_WINDOWED = ("mocrop-v1", "mocrop-v2", "random")  # their crops are windows of cells


@dataclass(frozen=True, slots=True)
class Choice:
    """A crop and how it came about.

    `reason` is empty, or says why the crop fell back to the centre; `motion_inside` is the share of the
    density inside the crop, None for an empty map; `score` is None for controls and fallbacks;
    `confidence`, 0 to 1, is None for methods that do not say.
    """

    box: Box
    reason: str
    density: DensityMap
    motion_inside: float | None
    score: float | None
    confidence: float | None = None


class _Estimator(Protocol):
    def add(self, vectors: Vectors) -> None: ...

    def result(self, rng: np.random.Generator) -> DensityMap: ...


class Chooser(Protocol):
    """Chooses the crop of one clip: `add` its vectors, then `choose`, with what is known of its pictures."""

    def add(self, vectors: Vectors) -> None:
        """Take in a batch of vectors."""

    def choose(self, appearance: Appearance | None = None) -> Choice:
        """Return the crop for all vectors added."""


class CropChooser:
    """Chooses the crop of one clip: `add` its vectors in any batches, then `choose`.

    `width` and `height` are the clip's pixels, `seed` its own sampling seed; `importance` is mocrop-v2's.
    Raises ValueError for a method that has a chooser of its own.
    """

    def __init__(
        self,
        settings: CropSettings,
        width: int,
        height: int,
        seed: int,
        *,
        importance: Importance = IMPORTANCE,
    ) -> None:
        if settings.method == "foreground":
            raise ValueError("foreground is chosen by foreground.ForegroundChooser")
        self._settings = settings
        rows, columns = grid_of(settings)
        self._lattice = Lattice(rows, columns, width, height)
        self._seed = seed
        self._estimator: _Estimator = (
            ImportanceDensity(self._lattice, importance)
            if settings.method == "mocrop-v2"
            else UniformDensity(self._lattice, eps=settings.eps, samples=settings.samples)
        )

    def add(self, vectors: Vectors) -> None:
        """Take in a batch of vectors."""
        self._estimator.add(vectors)

    def choose(self, appearance: Appearance | None = None) -> Choice:
        """Return the crop for all vectors added; a map that supports no choice falls back to the centre.

        These methods look at vectors alone.
        """
        del appearance
        rng = np.random.default_rng(self._seed)
        density = self._estimator.result(rng)
        reason, score = self._doubt(density), None
        if reason:
            box = center_box(self._lattice, self._settings.covered)
        elif self._settings.method in _CONTROLS:
            box = self._control(rng)
        else:
            window = self._search(density.cells)
            box, score = pixel_box(self._lattice, window), window.score
        inside = DensityIntegral(density.cells, self._lattice).share_inside(box)
        return Choice(box, reason, density, inside, score)

    def _control(self, rng: np.random.Generator) -> Box:
        area, lattice = self._settings.covered, self._lattice
        if self._settings.method == "full":
            return _frame(lattice)
        if self._settings.method == "center":
            return center_box(lattice, area)
        if self._settings.method == "center-square":
            return center_square_box(lattice, area)
        return random_box(lattice, candidate_shapes(lattice.rows, lattice.columns, area), rng)

    def _doubt(self, density: DensityMap) -> str:
        """Return why the map supports no choice, or an empty text; a control needs no map."""
        if self._settings.method in _GRIDLESS:
            return ""
        if self._lattice.width < self._lattice.columns or self._lattice.height < self._lattice.rows:
            return "too-small"
        if self._settings.method in _CONTROLS:
            return ""
        if not density.vectors:
            return "no-vectors"
        if not density.sampled:
            return "no-motion"
        if density.cells.min() == density.cells.max():
            return "flat-motion"
        return ""

    def _search(self, cells: NDArray[np.int64]) -> Window:
        shapes = candidate_shapes(self._lattice.rows, self._lattice.columns, self._settings.covered)
        score = sum_and_mean_score(cells) if self._settings.method == "mocrop-v2" else sum_score
        return best_window(cells, shapes, score)


def grid_of(settings: CropSettings) -> tuple[int, int]:
    """Return (rows, columns) of the density map; raises UsageError if no window of the area fits the grid."""
    rows, columns = (
        parse_grid(settings.grid) if settings.grid else DEFAULT_GRIDS.get(settings.method, _PAPER_GRID)
    )
    if settings.method in _WINDOWED and not candidate_shapes(rows, columns, settings.covered):
        raise UsageError(
            f"--area {settings.covered:g} on a grid of {rows}x{columns}: no window of cells is within 10 % "
            "of it; take a finer --grid"
        )
    return rows, columns


def sum_score(sums: NDArray[Any], height: int, width: int) -> NDArray[np.float64]:
    """Score of mocrop-v1: the density inside the window."""
    del height, width
    return sums.astype(np.float64)


def sum_and_mean_score(cells: NDArray[np.int64]) -> Score:
    """Score of mocrop-v2: 0.6 of sum over the map's total, 0.4 of mean over the full window's mean."""
    total = float(cells.sum())
    mean = total / cells.size

    def score(sums: NDArray[Any], height: int, width: int) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = 0.6 * (sums / total) + 0.4 * (sums / (height * width) / mean)
        return scores

    return score


def pixel_box(lattice: Lattice, window: Window) -> Box:
    """Return the pixels of a window of cells."""
    columns, rows = lattice.column_edges(), lattice.row_edges()
    x, y = int(columns[window.column]), int(rows[window.row])
    right, bottom = int(columns[window.column + window.width]), int(rows[window.row + window.height])
    return Box(x, y, right - x, bottom - y)


def center_box(lattice: Lattice, area: float) -> Box:
    """Return the centred crop of the frame's own shape."""
    side = math.sqrt(area)
    return _frame(lattice).central(max(1, round(lattice.width * side)), max(1, round(lattice.height * side)))


def center_square_box(lattice: Lattice, area: float) -> Box:
    """Return the centred square of the area, or the largest that fits."""
    side = round(math.sqrt(area * lattice.width * lattice.height))
    side = max(1, min(side, lattice.width, lattice.height))
    return _frame(lattice).central(side, side)


def random_box(lattice: Lattice, shapes: list[tuple[int, int]], rng: np.random.Generator) -> Box:
    """Return one placement of the candidate shapes; all placements are equally likely."""
    placements = [
        Window(row, column, height, width, 0.0)
        for height, width in shapes
        for row in range(lattice.rows - height + 1)
        for column in range(lattice.columns - width + 1)
    ]
    return pixel_box(lattice, placements[int(rng.integers(len(placements)))])


def _frame(lattice: Lattice) -> Box:
    return Box(0, 0, lattice.width, lattice.height)

"""Density map -> best window, by exact search over an integral image. Pure numpy, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Density = NDArray[np.integer[Any] | np.floating[Any]]
Score = Callable[[NDArray[Any], int, int], NDArray[np.float64]]
"""Maps (sums of all placements of one shape, its height, its width) to their scores."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of cells: top row, left column, height and width in cells, and its score."""

    row: int
    column: int
    height: int
    width: int
    score: float


def candidate_shapes(rows: int, columns: int, area: float, tolerance: float = 0.1) -> list[tuple[int, int]]:
    """Return the (height, width) in cells whose area is within `tolerance` of `area` times the grid's.

    Ordered by height, then width. Empty if the grid is too coarse for the area.
    """
    target = area * rows * columns
    slack = tolerance * target + 1e-9  # the edge belongs to the range, whatever the rounding
    return [
        (height, width)
        for height in range(1, rows + 1)
        for width in range(1, columns + 1)
        if abs(height * width - target) <= slack
    ]


def integral_image(density: Density) -> NDArray[Any]:
    """Return the (rows + 1, columns + 1) table of sums above and to the left of each corner."""
    table = np.zeros((density.shape[0] + 1, density.shape[1] + 1), np.result_type(density, np.int64))
    np.cumsum(density, axis=0, out=table[1:, 1:])
    np.cumsum(table[1:, 1:], axis=1, out=table[1:, 1:])
    return table


def window_sums(table: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Return the sum inside every placement of a shape: (rows - height + 1, columns - width + 1)."""
    below = table[height:, width:] - table[height:, :-width]
    sums: NDArray[Any] = below - (table[:-height, width:] - table[:-height, :-width])
    return sums


def best_window(density: Density, shapes: Sequence[tuple[int, int]], score: Score) -> Window:
    """Return the placement with the greatest score; among equals the first by height, width, row, column.

    `density` is (rows, columns), finite and not negative; `shapes` must not be empty. Integer maps are
    searched without rounding.
    """
    if not shapes:
        raise ValueError("no window shape to search")
    table = integral_image(density)
    placements = [_best_placement(table, height, width, score) for height, width in sorted(shapes)]
    return max(placements, key=lambda window: window.score)  # max keeps the first of equals


def _best_placement(table: NDArray[Any], height: int, width: int, score: Score) -> Window:
    scores = score(window_sums(table, height, width), height, width)
    row, column = divmod(int(np.argmax(scores)), scores.shape[1])  # argmax keeps the first, row by row
    return Window(row, column, height, width, float(scores[row, column]))

"""Places in a frame: boxes of pixels, and lattices of cells over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels: left, top, width, height."""

    x: int
    y: int
    w: int
    h: int

    def central(self, w: int, h: int) -> Box:
        """Return the box of another size around the same centre, to half a pixel."""
        return Box(self.x + (self.w - w) // 2, self.y + (self.h - h) // 2, w, h)

    def overlap(self, other: Box) -> float:
        """Return the intersection over the union of two boxes, 0 to 1."""
        across = min(self.x + self.w, other.x + other.w) - max(self.x, other.x)
        down = min(self.y + self.h, other.y + other.h) - max(self.y, other.y)
        common = max(across, 0) * max(down, 0)
        return common / (self.w * self.h + other.w * other.h - common)


@dataclass(frozen=True, slots=True)
class Lattice:
    """A grid of rows x columns cells over a frame of width x height pixels.

    Pixel x lies in column x * columns // width: the cell's pixels start at the smallest such x.
    """

    rows: int
    columns: int
    width: int
    height: int

    def cell_of(self, x: Pixels, y: Pixels) -> NDArray[np.int64]:
        """Return the row-major cell number of each pixel; pixels outside count at the edge."""
        across = np.arange(self.width, dtype=np.int64) * self.columns // self.width
        down = np.arange(self.height, dtype=np.int64) * self.rows // self.height * self.columns
        # looked up, because dividing every vector's place takes longer than all the rest
        cells: NDArray[np.int64] = down.take(y, mode="clip")
        cells += across.take(x, mode="clip")
        return cells

    def column_edges(self) -> NDArray[np.int64]:
        """Return the first pixel of each column of cells, and the frame's width behind them."""
        return _edges(self.columns, self.width)

    def row_edges(self) -> NDArray[np.int64]:
        """Return the first pixel of each row of cells, and the frame's height behind them."""
        return _edges(self.rows, self.height)


def _edges(cells: int, pixels: int) -> NDArray[np.int64]:
    return -(-np.arange(cells + 1, dtype=np.int64) * pixels // cells)

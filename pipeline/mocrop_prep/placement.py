"""Density map -> best window in whole pixels, by exact search over an integral image. Pure numpy, no I/O.

All sums are integers, so equal shares are equal, a larger window never holds less than one inside it, and
the result is the same on every CPU.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mocrop_prep.geometry import Box, Lattice

Size = tuple[int, int]
"""Width and height of a window in pixels."""
_BITS = 61  # of a map's total in fixed point: int64 less the sign and one bit for what rounding adds


@dataclass(frozen=True, slots=True)
class Placement:
    """A window in pixels (left, top, width, height) and the share of the density inside, 0 to 1."""

    x: int
    y: int
    w: int
    h: int
    share: float


class DensityIntegral:
    """Exact density inside any boxes of whole pixels; each cell's mass lies evenly on its pixels.

    `cells` is (rows, columns), integers or floats, finite and not negative; ValueError otherwise. Masses are
    int64 in units of which the map has `total`. For an integer map they are exact unless its sum nears 2**61
    divided by a cell's area, squared where cells differ by a pixel; for any other map the density of a pixel
    is rounded to 2**-60 of the total. Mass in cells without a pixel, as a frame smaller than the grid has,
    is left out.
    """

    def __init__(self, cells: NDArray[np.integer[Any] | np.floating[Any]], lattice: Lattice) -> None:
        if cells.shape != (lattice.rows, lattice.columns):
            raise ValueError(f"a map of {cells.shape} is not a grid of {lattice.rows}x{lattice.columns}")
        if not (np.isfinite(cells) & (cells >= 0)).all():
            raise ValueError("a density must be finite and not negative")
        heights, widths = np.diff(lattice.row_edges()), np.diff(lattice.column_edges())
        pixels = np.repeat(_pixel_density(cells, heights, widths), widths, axis=1)
        # left of each pixel column: in one pixel row of each row of cells, and in all rows of cells above
        self._along = np.zeros((lattice.rows, lattice.width + 1), np.int64)
        np.cumsum(pixels, axis=1, out=self._along[:, 1:])
        self._above = np.zeros((lattice.rows + 1, lattice.width + 1), np.int64)
        np.cumsum(self._along * heights[:, np.newaxis], axis=0, out=self._above[1:])
        # the row of cells of each pixel row, and how far down in it; the frame's lower edge is the last's
        self._row = np.append(np.repeat(np.arange(lattice.rows), heights), lattice.rows - 1)
        self._down = (np.arange(lattice.height + 1) - lattice.row_edges()[self._row])[:, np.newaxis]
        self.width, self.height = lattice.width, lattice.height
        self.total = int(self._above[-1, -1])

    def inside(self, w: int, h: int, xs: NDArray[np.int64], ys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the mass, (len(ys), len(xs)), in boxes of w x h pixels at all left edges and top edges."""
        left, right, top, bottom = xs, xs + w, ys, ys + h
        along = self._along.take(right, axis=1) - self._along.take(left, axis=1)
        above = self._above.take(right, axis=1) - self._above.take(left, axis=1)
        first, last = self._row[top], self._row[bottom]
        mass: NDArray[np.int64] = above.take(last, axis=0) + along.take(last, axis=0) * self._down[bottom]
        mass -= above.take(first, axis=0)
        mass -= along.take(first, axis=0) * self._down[top]
        return mass

    def share_inside(self, box: Box) -> float | None:
        """Return the share of the mass inside one box; None for an empty map."""
        mass = self.inside(box.w, box.h, np.array([box.x]), np.array([box.y]))
        return self.share(int(mass[0, 0])) if self.total else None

    def share(self, mass: int) -> float:
        """Return a mass as a share of the total, correctly rounded; 0 for an empty map."""
        return mass / (self.total or 1)


def sizes(width: int, height: int, *, step: int, low: float, high: float, smallest: int = 1) -> list[Size]:
    """Return all sizes with low <= w/h <= high in a frame of width x height, by height, then width.

    Sides are multiples of `step` pixels or the frame's own, the short side at least `smallest`. For one exact
    ratio, low == high, one side steps and the other is the nearest whole pixel: w is round(h * ratio), and h
    is round(w / ratio) where w is the frame's width. Empty if the frame has no such size.
    """
    across, down = _sides(width, step), _sides(height, step)
    if low == high:
        found = {(round(h * low), h) for h in down} | {(width, round(width / low))}
    else:
        found = {(w, h) for h in down for w in across if low <= w / h <= high}
    least = max(1, smallest)
    inside = [(w, h) for w, h in found if least <= min(w, h) and w <= width and h <= height]
    return sorted(inside, key=_by_height)


def sizes_of_area(width: int, height: int, area: float, *, step: int, low: float, high: float) -> list[Size]:
    """Return sizes nearest to `area`, a share of the frame's, with low <= w/h <= high, by height, then width.

    For one exact ratio, low == high, there is one, its w being round(h * ratio). For a range there is one for
    each multiple of `step` as its width, and those with the frame's width and height; where none of these is
    in the range, the ones nearest to its two ends. Where the frame is too small for the ratio at that area
    the window takes the frame's whole side and reaches the area along the other: never empty. Raises
    ValueError for an area that is not above 0 and at most 1.
    """
    if not 0 < area <= 1:
        raise ValueError(f"an area of {area:g} is not above 0 and at most 1")
    target = area * width * height
    if low < high:
        found = {(w, max(1, round(target / w))) for w in _sides(width, step)}
        found.add((max(1, round(target / height)), height))
        within = [(w, h) for w, h in found if h <= height and low <= w / h <= high]
        if within:
            return sorted(within, key=_by_height)
    ends = {_size_of_ratio(width, height, target, ratio) for ratio in (low, high)}
    return sorted(ends, key=_by_height)


def best_placement(
    integral: DensityIntegral, candidates: Iterable[Size], step: int, bounds: Box | None = None
) -> Placement:
    """Return the window with the greatest share over all candidate sizes and places.

    Places are multiples of `step` pixels from the left and top of `bounds`, the frame by default, and those
    that touch its right and lower edge. Among equals: the centre nearest to that of the bounds, then the
    smallest y, then x, then the widest. Raises ValueError if the bounds leave the
    frame or no candidate fits in.
    """
    search = _Search(integral, step, bounds)
    return search.placement(search.best(search.fitting(candidates)))


def smallest_placement(
    integral: DensityIntegral,
    candidates: Iterable[Size],
    share: float,
    step: int,
    bounds: Box | None = None,
) -> Placement:
    """Return the window of the least area that holds at least `share` of the density.

    Among equal areas the greatest share; places, further ties and errors as for `best_placement`. If no
    window holds the share: the best place of the largest candidate.

    Sizes that contain one another are bisected, which is exact: the most that a size can hold never falls
    with the size. Let a window of side s lie at x in bounds from b to e, and let S >= s. If x <= e - S, x is
    a multiple of the step or e - S itself, so a window of side S may lie there too and contains it. If not,
    the last place of S, e - S < x, reaches to e and contains it. The same holds for the other side, and no
    density is negative.
    """
    search = _Search(integral, step, bounds)
    needed = bisect_left(range(integral.total + 1), share, key=integral.share)  # the least mass enough
    fitting = search.fitting(candidates)
    least = max(map(_area, fitting))
    winners = [size for size in fitting if _area(size) == least]  # the largest, if nothing holds the share
    for chain in _chains(fitting):
        rivals = chain[: bisect_right(chain, least, key=_area)]
        if not rivals or search.most(rivals[-1]) < needed:
            continue
        size = rivals[bisect_left(rivals, needed, key=search.most)]
        # a largest size that does not hold the share may stay in: it has the lesser mass
        winners = [*winners, size] if _area(size) == least else [size]
        least = _area(size)
    return search.placement(search.best(winners))


_Found = tuple[int, int, int, int, Size]
"""A mass, squared distance to the centre, y and x, all three negative, and size: the greatest is the best."""


class _Search:
    def __init__(self, integral: DensityIntegral, step: int, bounds: Box | None) -> None:
        self._integral, self._step = integral, step
        self._x, self._y, self._w, self._h = 0, 0, integral.width, integral.height
        if bounds is not None:
            self._x, self._y, self._w, self._h = bounds.x, bounds.y, bounds.w, bounds.h
        right, bottom = self._x + self._w, self._y + self._h
        if min(self._x, self._y) < 0 or right > integral.width or bottom > integral.height:
            raise ValueError(f"bounds {bounds} leave the frame of {integral.width}x{integral.height}")

    def fitting(self, candidates: Iterable[Size]) -> list[Size]:
        found = [(w, h) for w, h in candidates if 1 <= w <= self._w and 1 <= h <= self._h]
        if not found:
            raise ValueError(f"no candidate size fits into {self._w}x{self._h} pixels")
        return found

    def most(self, size: Size) -> int:
        return int(self._masses(size)[0].max())

    def best(self, candidates: Sequence[Size]) -> _Found:
        best: _Found = (-1, 0, 0, 0, (0, 0))
        for size in candidates:
            masses, xs, ys = self._masses(size)
            most = int(masses.max())
            if most >= best[0]:
                best = max(best, (most, *self._most_central(masses == most, xs, ys, size), size))
        return best

    def placement(self, found: _Found) -> Placement:
        mass, _, y, x, (w, h) = found
        return Placement(-x, -y, w, h, self._integral.share(mass))

    def _masses(self, size: Size) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        xs = _places(self._x, self._w - size[0], self._step)
        ys = _places(self._y, self._h - size[1], self._step)
        return self._integral.inside(*size, xs, ys), xs, ys

    def _most_central(
        self, among: NDArray[np.bool_], xs: NDArray[np.int64], ys: NDArray[np.int64], size: Size
    ) -> tuple[int, int, int]:
        across = 2 * (xs - self._x) + size[0] - self._w  # twice the distance: centres lie on half pixels
        down = 2 * (ys - self._y) + size[1] - self._h
        rows, columns = np.nonzero(among)
        distances = down[rows] ** 2 + across[columns] ** 2
        first = int(np.argmin(distances))  # argmin keeps the first, row by row
        return -int(distances[first]), -int(ys[rows[first]]), -int(xs[columns[first]])


def _places(start: int, room: int, step: int) -> NDArray[np.int64]:
    places = np.arange(start, start + room + step, step, dtype=np.int64)
    places[-1] = start + room  # the last place, whether the step meets it or goes beyond
    return places


def _chains(candidates: Iterable[Size]) -> list[list[Size]]:
    """Return the sizes in groups, in each of which every size contains the ones before it."""
    ordered = sorted(set(candidates), key=_by_height)
    widths = [w for w, _ in ordered]
    if widths == sorted(widths):
        return [ordered]
    return [list(group) for _, group in groupby(ordered, key=lambda size: size[1])]


def _size_of_ratio(width: int, height: int, target: float, ratio: float) -> Size:
    """Return the size nearest to a target area in px^2; of the ratio, unless the frame is too small."""

    def of_height(h: int) -> Size:
        return max(1, round(h * ratio)), h

    above = bisect_left(range(1, width * height), target, key=lambda h: _area(of_height(h))) + 1
    nearest = (of_height(h) for h in (max(1, above - 1), above))
    w, h = min(nearest, key=lambda size: abs(_area(size) - target))  # min keeps the smaller of equals
    if h > height:
        return max(1, round(target / height)), height
    if w > width:
        return width, max(1, round(target / width))
    return w, h


def _sides(side: int, step: int) -> list[int]:
    return sorted({*range(step, side + 1, step), side})


def _area(size: Size) -> int:
    return size[0] * size[1]


def _by_height(size: Size) -> Size:
    return size[1], size[0]


def _pixel_density(
    cells: NDArray[np.integer[Any] | np.floating[Any]], heights: NDArray[np.int64], widths: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the mass on each pixel of a cell, in fixed point."""
    areas = np.maximum(heights[:, np.newaxis] * widths, 1)  # what a cell without pixels gets is never read
    total = math.fsum(cells.ravel().tolist())  # exact: numpy's order of summation may depend on the CPU
    # a unit that divides the mass of a pixel in every cell: sides are one of two lengths each
    unit = math.lcm(*(side for side in heights.tolist() if side))
    unit *= math.lcm(*(side for side in widths.tolist() if side))
    if np.issubdtype(cells.dtype, np.integer) and total * unit < 2**_BITS:
        exact: NDArray[np.int64] = cells.astype(np.int64) * (unit // areas)
        return exact
    fixed = np.ldexp(
        cells.astype(np.float64), _BITS - math.frexp(total)[1]
    )  # a power of two: no rounding yet
    rounded: NDArray[np.int64] = np.rint(fixed / areas).astype(np.int64)
    return rounded

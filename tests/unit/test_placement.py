"""The placement search against plain sums over pixels: every size, every place, exact fractions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mocrop_prep.geometry import Box, Lattice
from mocrop_prep.placement import (
    DensityIntegral,
    Placement,
    best_placement,
    sizes,
    sizes_of_area,
    smallest_placement,
)
from numpy.typing import NDArray

Size = tuple[int, int]
Ratios = tuple[float, float]
Pixels = list[list[Fraction]]
RATIOS: tuple[Ratios, ...] = (
    (1, 1),
    (16 / 9, 16 / 9),
    (0.5, 0.5),
    (1 / 3, 3),
    (0.75, 4 / 3),
    (1.0, 1.01),
    (3, 5),
)


@st.composite
def lattices(draw: st.DrawFn, side: int = 16) -> Lattice:
    """Grids whose cells seldom divide the frame; some have more cells than pixels."""
    rows, columns = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    return Lattice(rows, columns, draw(st.integers(1, side)), draw(st.integers(1, side)))


def counts_on(draw: st.DrawFn, lattice: Lattice) -> NDArray[np.int64]:
    """Small counts, so that ties are common."""
    levels = draw(st.sampled_from((2, 3, 100)))
    size = lattice.rows * lattice.columns
    raw = draw(st.binary(min_size=size, max_size=size))
    return (np.frombuffer(raw, np.uint8).astype(np.int64) % levels).reshape(lattice.rows, lattice.columns)


@st.composite
def maps(draw: st.DrawFn) -> tuple[NDArray[np.int64], Lattice]:
    lattice = draw(lattices())
    return counts_on(draw, lattice), lattice


@st.composite
def searches(draw: st.DrawFn) -> tuple[NDArray[np.int64], Lattice, list[Size], int, Box]:
    """A map, candidate sizes of all the kinds there are, a step and bounds that hold at least one of them."""
    cells, lattice = draw(maps())
    width, height = lattice.width, lattice.height
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    bounds = Box(left, top, draw(st.integers(1, width - left)), draw(st.integers(1, height - top)))
    step = draw(st.integers(1, 5))
    low, high = draw(st.sampled_from(RATIOS))
    kind = draw(st.sampled_from(("stepped", "of an area", "any")))
    candidates = [(bounds.w, bounds.h)]
    if kind == "stepped":
        candidates = sizes(bounds.w, bounds.h, step=step, low=low, high=high) or candidates
    elif kind == "of an area":
        area = draw(st.sampled_from((0.1, 0.5, 0.75, 1.0)))
        candidates = sizes_of_area(bounds.w, bounds.h, area, step=step, low=low, high=high)
    else:
        sides = st.tuples(st.integers(1, width), st.integers(1, height))
        drawn = draw(st.lists(sides, max_size=8))
        candidates += [*drawn, *((h, w) for w, h in drawn)]  # upright and lying: equal areas
    return cells, lattice, candidates, step, bounds


def pixels_of(cells: NDArray[np.int64], lattice: Lattice) -> Pixels:
    """Spread each cell over the pixels that the lattice counts to it."""
    owner = [
        [
            (y * lattice.rows // lattice.height, x * lattice.columns // lattice.width)
            for x in range(lattice.width)
        ]
        for y in range(lattice.height)
    ]
    every = [cell for line in owner for cell in line]
    held = {cell: every.count(cell) for cell in set(every)}
    return [[Fraction(int(cells[cell]), held[cell]) for cell in line] for line in owner]


class Brute:
    """Sums over pixels of every window, as fractions of the whole."""

    def __init__(self, cells: NDArray[np.int64], lattice: Lattice, step: int, bounds: Box) -> None:
        pixels = pixels_of(cells, lattice)
        self.total = sum(map(sum, pixels), Fraction(0))
        self._unit = math.lcm(*(mass.denominator for line in pixels for mass in line))
        self._pixels = np.array([[int(mass * self._unit) for mass in line] for line in pixels], np.int64)
        self._step, self._bounds = step, bounds

    def share(self, x: int, y: int, w: int, h: int) -> Fraction:
        mass = Fraction(int(self._pixels[y : y + h, x : x + w].sum()), self._unit)
        return mass / self.total if self.total else Fraction(0)

    def windows(self, candidates: Sequence[Size]) -> Iterator[tuple[Fraction, int, int, int, Size]]:
        """Yield share, centre, y and x, all so that the greatest is the best, and the size."""
        b = self._bounds
        for w, h in set(candidates):
            if w > b.w or h > b.h:
                continue
            ys = {*range(b.y, b.y + b.h - h + 1, self._step), b.y + b.h - h}
            xs = {*range(b.x, b.x + b.w - w + 1, self._step), b.x + b.w - w}
            for y, x in product(ys, xs):
                off = (2 * x + w - 2 * b.x - b.w) ** 2 + (2 * y + h - 2 * b.y - b.h) ** 2
                yield self.share(x, y, w, h), -off, -y, -x, (w, h)


def placement(window: tuple[Fraction, int, int, int, Size]) -> Placement:
    share, _, y, x, (w, h) = window
    return Placement(-x, -y, w, h, float(share))


@settings(max_examples=150)
@given(maps(), st.sampled_from((1, 2**20, 2**40)))
@example((np.array([[1, 2], [3, 4]]), Lattice(2, 2, 15, 15)), 1)
@example((np.arange(49).reshape(7, 7), Lattice(7, 7, 3, 2)), 1)
def test_the_mass_in_every_box_of_pixels_is_exact(
    case: tuple[NDArray[np.int64], Lattice], scale: int
) -> None:
    cells, lattice = case
    integral = DensityIntegral(cells * scale, lattice)
    frame = Box(0, 0, lattice.width, lattice.height)
    brute = Brute(cells, lattice, 1, frame)
    for w, h in product(range(1, lattice.width + 1), range(1, lattice.height + 1)):
        xs, ys = np.arange(lattice.width - w + 1), np.arange(lattice.height - h + 1)
        inside = integral.inside(w, h, xs, ys)
        assert inside.shape == (len(ys), len(xs))
        for (row, column), mass in np.ndenumerate(inside):
            exact = brute.share(int(xs[column]), int(ys[row]), w, h)
            assert Fraction(int(mass), integral.total or 1) == exact


def test_boxes_on_cell_borders_hold_the_sum_of_their_cells() -> None:
    cells = np.random.default_rng(3).integers(0, 10**9, (30, 40))
    lattice = Lattice(30, 40, 426, 240)  # columns of 10 and 11 pixels
    integral = DensityIntegral(cells, lattice)
    columns, rows = lattice.column_edges(), lattice.row_edges()
    total = int(cells.sum())
    for top, bottom, left, right in ((0, 30, 0, 40), (3, 4, 7, 8), (0, 11, 39, 40), (12, 29, 5, 23)):
        w, h = int(columns[right] - columns[left]), int(rows[bottom] - rows[top])
        mass = int(integral.inside(w, h, columns[left : left + 1], rows[top : top + 1])[0, 0])
        expected = int(cells[top:bottom, left:right].sum())
        assert Fraction(mass, integral.total) == Fraction(expected, total)
        assert integral.share(mass) == expected / total


@settings(max_examples=60)
@given(lattices(), st.integers(0, 2**32 - 1), st.sampled_from((1e-300, 1.0, 1e200)))
def test_maps_of_floats_are_right_to_far_below_what_counts(lattice: Lattice, seed: int, scale: float) -> None:
    cells = np.random.default_rng(seed).random((lattice.rows, lattice.columns)) * scale
    integral = DensityIntegral(cells, lattice)
    columns, rows = lattice.column_edges(), lattice.row_edges()
    held = [
        (Fraction(float(cells[row, column])), row, column)
        for row, column in product(range(lattice.rows), range(lattice.columns))
        if rows[row] < rows[row + 1] and columns[column] < columns[column + 1]
    ]
    w, h = max(1, lattice.width // 2), max(1, lattice.height // 3)
    mass = int(integral.inside(w, h, np.array([0]), np.array([0]))[0, 0])
    expected = Fraction(0)
    for cell, row, column in held:
        across = max(0, min(w, int(columns[column + 1])) - int(columns[column]))
        down = max(0, min(h, int(rows[row + 1])) - int(rows[row]))
        pixels = int(columns[column + 1] - columns[column]) * int(rows[row + 1] - rows[row])
        expected += cell * across * down / pixels
    share = expected / sum(cell for cell, _, _ in held)
    assert abs(Fraction(mass, integral.total) - share) < Fraction(1, 10**14)


@pytest.mark.parametrize("largest", [255, 2**40, 2**62])
def test_no_count_overflows(largest: int) -> None:
    lattice = Lattice(9, 16, 1919, 1079)
    dtype = np.uint8 if largest == 255 else np.uint64
    integral = DensityIntegral(np.full((9, 16), largest, dtype), lattice)
    found = best_placement(integral, [(1919, 1079)], 8)
    assert found == Placement(0, 0, 1919, 1079, 1.0)
    columns, rows = lattice.column_edges(), lattice.row_edges()
    half = integral.inside(int(columns[8]), int(rows[9]), columns[:1], rows[:1])
    assert integral.share(int(half[0, 0])) == pytest.approx(0.5, abs=1e-11)


def test_a_denser_cell_of_a_float_map_is_told_from_its_neighbours_at_a_part_in_a_hundred_trillion() -> None:
    cells = np.full((3, 4), 1.0)
    cells[1, 2] = 1 + 1e-14
    found = best_placement(DensityIntegral(cells, Lattice(3, 4, 32, 24)), [(8, 8)], 8)
    assert (found.x, found.y) == (16, 8)


@settings(max_examples=600)
@given(searches())
def test_the_best_placement_is_the_one_that_all_windows_yield(
    case: tuple[NDArray[np.int64], Lattice, list[Size], int, Box],
) -> None:
    cells, lattice, candidates, step, bounds = case
    found = best_placement(DensityIntegral(cells, lattice), candidates, step, bounds)
    assert found == placement(max(Brute(cells, lattice, step, bounds).windows(candidates)))


@settings(max_examples=900)
@given(searches(), st.sampled_from((0.0, 0.1, 0.25, 1 / 3, 0.5, 2 / 3, 0.75, 0.9, 1.0, 1.5)))
def test_the_smallest_placement_is_the_one_that_all_windows_yield(
    case: tuple[NDArray[np.int64], Lattice, list[Size], int, Box], share: float
) -> None:
    cells, lattice, candidates, step, bounds = case
    found = smallest_placement(DensityIntegral(cells, lattice), candidates, share, step, bounds)
    windows = list(Brute(cells, lattice, step, bounds).windows(candidates))
    holding = [window for window in windows if float(window[0]) >= share]
    if holding:
        least = min(w * h for *_, (w, h) in holding)
        expected = max(window for window in holding if math.prod(window[4]) == least)
    else:
        largest = max(w * h for *_, (w, h) in windows)
        expected = max(window for window in windows if math.prod(window[4]) == largest)
    assert found == placement(expected)


def test_a_share_is_held_by_just_that_share() -> None:
    cells = np.zeros((1, 10), np.int64)
    cells[0] = 1
    integral = DensityIntegral(cells, Lattice(1, 10, 70, 7))
    widths = [(w, 7) for w in range(1, 71)]
    for tenths in range(1, 11):
        found = smallest_placement(integral, widths, tenths / 10, 1)
        assert (found.w, found.share) == (7 * tenths, tenths / 10)


def test_among_equal_areas_the_greatest_share_wins() -> None:
    cells = np.zeros((6, 6), np.int64)
    cells[1, :], cells[:, 1] = 2, 3
    lattice = Lattice(6, 6, 48, 48)
    candidates = [(48, 8), (8, 48), (24, 16), (48, 48)]
    upright = smallest_placement(DensityIntegral(cells, lattice), candidates, 0.3, 8)
    assert upright == Placement(8, 0, 8, 48, 18 / 28)
    lying = smallest_placement(DensityIntegral(cells.T, lattice), candidates, 0.3, 8)
    assert lying == Placement(0, 8, 48, 8, 18 / 28)


def test_among_equals_the_centre_comes_first_then_the_top_then_the_left() -> None:
    flat = DensityIntegral(np.ones((3, 4), np.int64), Lattice(3, 4, 32, 24))
    assert best_placement(flat, [(8, 8)], 4) == Placement(12, 8, 8, 8, 1 / 12)
    assert best_placement(flat, [(8, 8)], 8) == Placement(8, 8, 8, 8, 1 / 12)  # not 16: the left one
    assert best_placement(flat, [(16, 16)], 8) == Placement(8, 0, 16, 16, 1 / 3)  # not 8: the upper one
    assert best_placement(flat, [(8, 8)], 4, Box(16, 0, 16, 16)) == Placement(20, 4, 8, 8, 1 / 12)


def test_equal_floats_tie_too() -> None:
    quarter = np.random.default_rng(1).random((6, 8))
    whole = np.block([[quarter, quarter[:, ::-1]], [quarter[::-1], quarter[::-1, ::-1]]])
    integral = DensityIntegral(whole, Lattice(12, 16, 128, 96))
    for side in (8, 24, 40, 56, 72, 88):
        found = best_placement(integral, [(side, side)], 8)
        mirrored = integral.inside(side, side, np.array([found.x, 128 - side - found.x]), np.array([found.y]))
        assert mirrored[0, 0] == mirrored[0, 1]
        assert (found.x, found.y) <= (128 - side - found.x, 96 - side - found.y)


def test_the_last_place_touches_the_edge_whatever_the_step() -> None:
    cells = np.zeros((3, 4), np.int64)
    cells[2, 3] = 5
    integral = DensityIntegral(cells, Lattice(3, 4, 31, 23))
    found = best_placement(integral, [(9, 9)], 8)
    assert (found.x, found.y, found.share) == (22, 14, 1.0)


def test_an_empty_map_gives_the_central_window() -> None:
    empty = DensityIntegral(np.zeros((3, 4), np.int64), Lattice(3, 4, 32, 24))
    assert best_placement(empty, [(8, 8), (16, 16)], 4) == Placement(8, 4, 16, 16, 0.0)
    assert smallest_placement(empty, [(8, 8), (16, 16)], 0.5, 4) == Placement(8, 4, 16, 16, 0.0)


def test_a_frame_smaller_than_the_grid_is_searched_by_its_pixels() -> None:
    lattice = Lattice(6, 8, 3, 2)
    cells = np.full((6, 8), 100)  # cells without pixels count nothing
    cells[np.ix_(lattice.row_edges()[:-1] < lattice.row_edges()[1:], np.ones(8, bool))] = 1
    integral = DensityIntegral(cells, lattice)
    assert best_placement(integral, [(3, 2)], 1) == Placement(0, 0, 3, 2, 1.0)
    assert best_placement(integral, [(1, 1)], 1) == Placement(1, 0, 1, 1, 1 / 6)


@pytest.mark.parametrize("cells", [np.full((3, 4), -1), np.full((3, 4), np.nan), np.full((3, 4), np.inf)])
def test_a_density_that_is_none_is_refused(cells: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        DensityIntegral(cells, Lattice(3, 4, 32, 24))


def test_a_map_of_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(4, 3\) is not a grid of 3x4"):
        DensityIntegral(np.ones((4, 3)), Lattice(3, 4, 32, 24))


@pytest.mark.parametrize("bounds", [Box(-1, 0, 8, 8), Box(0, -1, 8, 8), Box(25, 0, 8, 8), Box(0, 17, 8, 8)])
def test_bounds_that_leave_the_frame_are_refused(bounds: Box) -> None:
    integral = DensityIntegral(np.ones((3, 4)), Lattice(3, 4, 32, 24))
    with pytest.raises(ValueError, match="leave the frame of 32x24"):
        best_placement(integral, [(8, 8)], 8, bounds)


@pytest.mark.parametrize("candidates", [[], [(33, 24)], [(32, 25)], [(0, 4)]])
def test_a_search_without_a_size_that_fits_is_refused(candidates: list[Size]) -> None:
    integral = DensityIntegral(np.ones((3, 4)), Lattice(3, 4, 32, 24))
    with pytest.raises(ValueError, match="no candidate size fits into 32x24"):
        best_placement(integral, candidates, 8)
    with pytest.raises(ValueError, match="no candidate size fits into 32x24"):
        smallest_placement(integral, candidates, 0.5, 8)


FRAMES = st.tuples(st.integers(1, 50), st.integers(1, 50))


@settings(max_examples=300)
@given(FRAMES, st.integers(1, 12), st.sampled_from(RATIOS), st.integers(1, 20))
def test_sizes_are_all_that_the_frame_and_the_ratio_allow(
    frame: Size, step: int, ratios: Ratios, smallest: int
) -> None:
    width, height = frame
    low, high = ratios
    expected = set()
    for w, h in product(range(smallest, width + 1), range(smallest, height + 1)):
        steps_w, steps_h = w % step == 0 or w == width, h % step == 0 or h == height
        if low < high:
            allowed = steps_w and steps_h and low <= w / h <= high
        else:
            allowed = (steps_h and w == round(h * low)) or (w == width and h == round(w / low))
        if allowed:
            expected.add((w, h))
    found = sizes(width, height, step=step, low=low, high=high, smallest=smallest)
    assert found == sorted(expected, key=lambda size: (size[1], size[0]))


@settings(max_examples=300)
@given(FRAMES, st.integers(1, 100), st.sampled_from((1.0, 16 / 9, 0.5, 0.1, 9.0)))
@example((320, 240), 75, 1.0)
@example((1, 1), 100, 1.0)
def test_the_size_of_an_exact_ratio_is_the_nearest_to_the_area(
    frame: Size, percent: int, ratio: float
) -> None:
    width, height = frame
    target = percent / 100 * width * height
    [(w, h)] = sizes_of_area(width, height, percent / 100, step=8, low=ratio, high=ratio)
    assert 1 <= w <= width
    assert 1 <= h <= height
    unlimited = [(max(1, round(side * ratio)), side) for side in range(1, width * height + 1)]
    error, nearest_w, nearest_h = min((abs(a * b - target), a, b) for a, b in unlimited)
    if nearest_w <= width and nearest_h <= height:
        assert (abs(w * h - target), w, h) == (error, nearest_w, nearest_h)
    else:  # too small a frame: a whole side, and the area within half a pixel of the other
        assert h == height if nearest_h > height else w == width
        assert abs(w * h - target) <= (h if nearest_h > height else w) / 2 or min(w, h) == 1


@settings(max_examples=300)
@given(FRAMES, st.integers(1, 12), st.integers(1, 100), st.sampled_from(RATIOS[3:]))
def test_sizes_of_a_range_of_ratios_all_have_the_area(
    frame: Size, step: int, percent: int, ratios: Ratios
) -> None:
    (width, height), (low, high) = frame, ratios
    target = percent / 100 * width * height
    found = sizes_of_area(width, height, percent / 100, step=step, low=low, high=high)
    stepped = [(w, max(1, round(target / w))) for w in range(1, width + 1) if w % step == 0 or w == width]
    stepped.append((max(1, round(target / height)), height))
    expected = {(w, h) for w, h in stepped if h <= height and low <= w / h <= high}
    ends = {sizes_of_area(width, height, percent / 100, step=1, low=end, high=end)[0] for end in ratios}
    assert found == sorted(expected or ends, key=lambda size: (size[1], size[0]))


def test_a_frame_too_small_for_the_ratio_keeps_the_area() -> None:
    assert sizes_of_area(320, 240, 0.75, step=8, low=1, high=1) == [(240, 240)]
    assert sizes_of_area(426, 240, 0.75, step=8, low=1, high=1) == [(320, 240)]  # 16:9
    assert sizes_of_area(240, 426, 0.75, step=8, low=1, high=1) == [(240, 320)]  # a phone's
    assert sizes_of_area(240, 240, 0.75, step=8, low=3, high=5) == [(240, 180)]
    assert sizes_of_area(320, 240, 1.0, step=8, low=1, high=1) == [(320, 240)]


@pytest.mark.parametrize("area", [0, -0.5, 1.01, math.nan])
def test_an_impossible_area_is_refused(area: float) -> None:
    with pytest.raises(ValueError, match="not above 0 and at most 1"):
        sizes_of_area(320, 240, area, step=8, low=1, high=1)


def test_if_nothing_holds_the_share_the_largest_size_takes_its_best_place() -> None:
    cells = np.zeros((6, 6), np.int64)
    cells[0, 0], cells[3, 0], cells[5, 1:] = 7, 1, 1
    integral = DensityIntegral(cells, Lattice(6, 6, 48, 48))
    found = smallest_placement(integral, [(8, 8), (8, 32), (32, 8), (16, 16)], 0.9, 8)
    assert found == Placement(0, 0, 8, 32, 8 / 13)


def test_a_square_is_a_square_to_the_pixel_on_any_grid() -> None:
    lattice = Lattice(7, 11, 319, 241)
    integral = DensityIntegral(np.random.default_rng(2).integers(0, 9, (7, 11)), lattice)
    for area in (0.1, 0.3, 0.5, 0.75):
        found = best_placement(integral, sizes_of_area(319, 241, area, step=8, low=1, high=1), 8)
        assert found.w == found.h
    for share in (0.2, 0.5, 0.8):
        found = smallest_placement(integral, sizes(319, 241, step=8, low=1, high=1), share, 8)
        assert found.w == found.h

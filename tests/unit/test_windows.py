"""The window search against plain loops: the same rectangle, the same score, the same order of ties."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mocrop_prep.methods import sum_and_mean_score, sum_score
from mocrop_prep.windows import best_window, candidate_shapes, integral_image, window_sums

Cells = list[list[int]]
Shape = tuple[int, int]
SlowScore = Callable[[int, int, int], float]


@st.composite
def maps_and_shapes(draw: st.DrawFn) -> tuple[Cells, list[Shape]]:
    """A map of small counts, so that ties are common, and the shapes of some area."""
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 16))
    levels = draw(st.sampled_from((2, 3, 10)))
    raw = draw(st.binary(min_size=rows * columns, max_size=rows * columns))
    cells = [[byte % levels for byte in raw[row * columns :][:columns]] for row in range(rows)]
    area = draw(st.sampled_from((0.25, 0.5, 0.75, 1.0)))
    return cells, candidate_shapes(rows, columns, area) or [(rows, columns)]


def slow_best(cells: Cells, shapes: Sequence[Shape], score: SlowScore) -> tuple[int, int, int, int, float]:
    rows, columns = len(cells), len(cells[0])
    best: tuple[int, int, int, int, float] | None = None
    for height in range(1, rows + 1):
        for width in range(1, columns + 1):
            if (height, width) not in shapes:
                continue
            for row in range(rows - height + 1):
                for column in range(columns - width + 1):
                    inside = sum(sum(line[column : column + width]) for line in cells[row : row + height])
                    value = score(inside, height, width)
                    if best is None or value > best[4]:
                        best = (row, column, height, width, value)
    assert best is not None
    return best


@settings(max_examples=2200)
@given(maps_and_shapes())
def test_the_best_window_is_the_one_that_plain_loops_find_first(case: tuple[Cells, list[Shape]]) -> None:
    cells, shapes = case
    density = np.array(cells, np.int64)
    found = best_window(density, shapes, sum_score)
    slow = slow_best(cells, shapes, lambda inside, height, width: float(inside))
    assert (found.row, found.column, found.height, found.width, found.score) == slow

    total, size = sum(map(sum, cells)), density.size
    if total:
        found = best_window(density, shapes, sum_and_mean_score(density))
        slow = slow_best(
            cells,
            shapes,
            lambda inside, height, width: (
                0.6 * (inside / total) + 0.4 * ((inside / (height * width)) / (total / size))
            ),
        )
        assert (found.row, found.column, found.height, found.width, found.score) == slow


@pytest.mark.parametrize("rows", range(1, 9))
def test_on_every_small_grid_the_first_of_equal_windows_wins(rows: int) -> None:
    rng = np.random.default_rng(rows)
    for columns, area in product(range(1, 9), (0.1, 0.3, 0.5, 0.75, 0.9, 1.0)):
        shapes = candidate_shapes(rows, columns, area)
        # maps full of ties: empty, flat, one hot cell, and few counts that occur often
        maps = [np.zeros((rows, columns), np.int64), np.ones((rows, columns), np.int64)]
        maps += [
            np.eye(1, rows * columns, int(rng.integers(rows * columns)), np.int64).reshape(rows, columns)
        ]
        maps += [rng.integers(0, levels, (rows, columns)) for levels in (2, 3)]
        for density in maps if shapes else ():
            found = best_window(density, shapes, sum_score)
            slow = slow_best(density.tolist(), shapes, lambda inside, height, width: float(inside))
            assert (found.row, found.column, found.height, found.width, found.score) == slow


def test_no_window_of_mocrop_v2_beats_the_chosen_one_in_exact_arithmetic() -> None:
    rng = np.random.default_rng(5)
    shapes = candidate_shapes(9, 16, 0.75)
    for _ in range(40):
        density = np.bincount(rng.integers(0, 144, rng.integers(1, 90)), minlength=144).reshape(9, 16)
        found = best_window(density, shapes, sum_and_mean_score(density))
        total, best = int(density.sum()), Fraction(0)
        for height, width in shapes:
            for row, column in product(range(9 - height + 1), range(16 - width + 1)):
                inside = int(density[row : row + height, column : column + width].sum())
                share, mean = Fraction(inside, total), Fraction(inside * 144, height * width * total)
                best = max(best, Fraction(6, 10) * share + Fraction(4, 10) * mean)
        assert found.score == pytest.approx(float(best), rel=1e-14)


@pytest.mark.parametrize("order", [1, -1])
def test_shapes_may_come_in_any_order(order: int) -> None:
    flat = np.ones((6, 8), np.int64)
    window = best_window(flat, [(4, 6), (6, 4), (3, 8)][::order], sum_score)
    assert (window.row, window.column, window.height, window.width) == (0, 0, 3, 8)


def test_a_search_without_shapes_is_refused() -> None:
    with pytest.raises(ValueError, match="no window shape"):
        best_window(np.ones((6, 8), np.int64), [], sum_score)


def test_the_published_grid_has_two_shapes() -> None:
    assert candidate_shapes(6, 8, 0.75) == [(5, 7), (6, 6)]


@settings(max_examples=300)
@given(st.integers(1, 24), st.integers(1, 24), st.integers(1, 1000), st.sampled_from(("1/10", "1/4", "0")))
@example(5, 8, 250, "1/10")  # 9 and 11 of a target of 10: the range's two ends
@example(1, 9, 1000, "1/10")
@example(20, 20, 1, "1/10")
def test_candidate_shapes_are_those_within_the_tolerance(
    rows: int, columns: int, thousandths: int, tolerance: str
) -> None:
    target = Fraction(thousandths, 1000) * rows * columns
    slack = Fraction(tolerance) * target
    expected = [
        (height, width)
        for height, width in product(range(1, rows + 1), range(1, columns + 1))
        if target - slack <= height * width <= target + slack
    ]
    assert candidate_shapes(rows, columns, thousandths / 1000, float(Fraction(tolerance))) == expected


def test_both_ends_of_the_tolerance_belong_to_it() -> None:
    areas = {height * width for height, width in candidate_shapes(4, 10, 0.25)}
    assert areas == {9, 10}  # 10 +- 1; no rectangle of a 4x10 grid has 11 cells
    assert (1, 11) in candidate_shapes(2, 20, 0.25)


@settings(max_examples=100)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 2**32 - 1),
    st.sampled_from((3, 2**31, 2**56)),
)
def test_sums_are_exact_whatever_the_size_of_the_counts(
    rows: int, columns: int, seed: int, largest: int
) -> None:
    density = np.random.default_rng(seed).integers(largest // 2, largest, (rows, columns))
    cells = density.tolist()
    table = integral_image(density)
    assert table.dtype == np.int64
    for bottom, right in product(range(rows + 1), range(columns + 1)):
        assert int(table[bottom, right]) == sum(sum(line[:right]) for line in cells[:bottom])
    for height, width in product(range(1, rows + 1), range(1, columns + 1)):
        assert window_sums(table, height, width).tolist() == [
            [
                sum(sum(line[column : column + width]) for line in cells[row : row + height])
                for column in range(columns - width + 1)
            ]
            for row in range(rows - height + 1)
        ]


def test_narrow_integers_do_not_overflow() -> None:
    assert integral_image(np.full((20, 20), 255, np.uint8))[-1, -1] == 400 * 255


def test_maps_of_real_numbers_are_searched_too() -> None:
    density = np.zeros((6, 8), np.float32)
    density[5, 7] = 0.25
    window = best_window(density, candidate_shapes(6, 8, 0.75), sum_score)
    assert (window.row, window.column, window.score) == (1, 1, 0.25)

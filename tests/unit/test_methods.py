"""Crop methods and controls: boxes by their formulas, fallbacks by their codes, shares by counting pixels."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mocrop_prep.config import METHODS, CropSettings
from mocrop_prep.errors import FALLBACKS, UsageError
from mocrop_prep.geometry import Box, Lattice
from mocrop_prep.methods import (
    Choice,
    CropChooser,
    center_box,
    center_square_box,
    grid_of,
    pixel_box,
)
from mocrop_prep.placement import DensityIntegral
from mocrop_prep.vectors import Vectors
from mocrop_prep.windows import Window

Row = tuple[int, int, int, int, int]  # dst_x, dst_y, motion_x, motion_y, scale
VectorMaker = Callable[[Sequence[Row]], Vectors]
GRIDLESS = ("full", "center", "center-square")
OTHERS = tuple(method for method in METHODS if method != "foreground")
"""The methods and controls of this module; `foreground` has tests of its own."""
V1 = CropSettings(method="mocrop-v1")
SIDES = st.integers(16, 97)


def choose(
    options: CropSettings, vectors: Vectors | None, width: int = 320, height: int = 240, seed: int = 0
) -> Choice:
    chooser = CropChooser(options, width, height, seed)
    if vectors is not None:
        chooser.add(vectors)
    return chooser.choose()


def starts(cells: int, pixels: int) -> list[int]:
    """The first pixel of each cell, and the end, from exact fractions."""
    return [math.ceil(Fraction(cell * pixels, cells)) for cell in range(cells + 1)]


def shapes_of(rows: int, columns: int, area: Fraction) -> list[tuple[int, int]]:
    target = area * rows * columns
    every = product(range(1, rows + 1), range(1, columns + 1))
    return [(h, w) for h, w in every if abs(h * w - target) <= target / 10]


def candidate_boxes(rows: int, columns: int, area: Fraction, width: int, height: int) -> set[Box]:
    xs, ys = starts(columns, width), starts(rows, height)
    return {
        Box(xs[c], ys[r], xs[c + w] - xs[c], ys[r + h] - ys[r])
        for h, w in shapes_of(rows, columns, area)
        for r, c in product(range(rows - h + 1), range(columns - w + 1))
    }


def everywhere(step: int = 40, width: int = 320, height: int = 240) -> list[Row]:
    return [(x, y, 8, 0, 4) for y in range(step // 2, height, step) for x in range(step // 2, width, step)]


def test_a_method_with_a_chooser_of_its_own_is_not_taken_for_the_papers() -> None:
    with pytest.raises(ValueError, match="foreground"):
        CropChooser(CropSettings(method="foreground"), 320, 240, 0)


class TestFallbacks:
    def test_a_clip_without_vectors_falls_back(self, make_vectors: VectorMaker) -> None:
        for method in ("mocrop-v1", "mocrop-v2"):
            for vectors in (None, make_vectors([])):
                assert self.fallen(choose(CropSettings(method=method), vectors)) == "no-vectors"

    def test_a_clip_in_which_nothing_moves_falls_back(self, make_vectors: VectorMaker) -> None:
        still = make_vectors([(100, 100, 0, 0, 4)] * 50)
        for method in ("mocrop-v1", "mocrop-v2"):
            assert self.fallen(choose(CropSettings(method=method), still)) == "no-motion"

    def test_motion_of_at_most_eps_is_no_motion_to_v1_alone(self, make_vectors: VectorMaker) -> None:
        slow = make_vectors([(100, 100, 4, 0, 4)] * 50)
        assert self.fallen(choose(V1, slow)) == "no-motion"
        assert choose(CropSettings(method="mocrop-v1", eps=0.9), slow).reason == ""
        assert choose(CropSettings(method="mocrop-v2"), slow).reason == ""

    def test_a_map_that_is_the_same_everywhere_falls_back(self, make_vectors: VectorMaker) -> None:
        vectors = make_vectors(everywhere() * 3)
        assert self.fallen(choose(V1, vectors)) == "flat-motion"
        one_cell = CropSettings(method="mocrop-v2", grid="1x1", area=1.0)
        assert self.fallen(choose(one_cell, vectors)) == "flat-motion"

    def test_a_frame_with_fewer_pixels_than_the_grid_has_cells_falls_back(
        self, make_vectors: VectorMaker
    ) -> None:
        vectors = make_vectors([(3, 3, 40, 0, 4)] * 20)
        for method in ("mocrop-v1", "mocrop-v2", "random"):
            for grid in ("6x17", "17x8"):
                choice = choose(CropSettings(method=method, grid=grid), vectors, 16, 16)
                assert self.fallen(choice, 16, 16) == "too-small"
            assert choose(CropSettings(method=method, grid="16x16"), vectors, 16, 16).reason == ""

    def test_controls_need_no_motion(self, make_vectors: VectorMaker) -> None:
        for method in (*GRIDLESS, "random"):
            for vectors in (None, make_vectors([(100, 100, 0, 0, 4)]), make_vectors(everywhere())):
                choice = choose(CropSettings(method=method), vectors)
                assert (choice.reason, choice.score) == ("", None)

    def test_every_code_is_one_of_these(self) -> None:
        assert set(FALLBACKS) == {"no-vectors", "no-motion", "unsure-motion", "flat-motion", "too-small"}

    @staticmethod
    def fallen(choice: Choice, width: int = 320, height: int = 240) -> str:
        """The reason, once it is certain that the crop is the control `center` without a score."""
        w, h = round(width * math.sqrt(0.75)), round(height * math.sqrt(0.75))
        if choice.density.cells.size > 1:
            assert choice.box == Box((width - w) // 2, (height - h) // 2, w, h)
        assert choice.score is None
        return choice.reason


class TestChoice:
    @pytest.mark.parametrize("method", ["mocrop-v1", "mocrop-v2"])
    def test_the_crop_goes_where_the_motion_is(self, make_vectors: VectorMaker, method: str) -> None:
        busy: list[Row] = [(310, 230, 40, 0, 4)] * 300
        choice = choose(CropSettings(method=method), make_vectors([*busy, *everywhere()]))
        assert choice.box.x + choice.box.w == 320
        assert choice.box.y + choice.box.h == 240
        assert choice.reason == ""
        assert choice.score is not None

    def test_v1_takes_the_published_window_and_score(self, make_vectors: VectorMaker) -> None:
        # one vector in each cell of the last column but two of the first row: 6x6 at the right holds 36 + 6
        rows = [*everywhere(), *(row for row in everywhere() if row[0] > 280)]
        choice = choose(V1, make_vectors(rows))
        assert choice.box == Box(80, 0, 240, 240)
        assert choice.score == 42.0
        assert choice.motion_inside == pytest.approx(42 / 54)
        density = choice.density
        assert (density.vectors, density.kept, density.sampled) == (54, 54, 54)

    def test_v2_scores_the_share_and_the_mean(self, make_vectors: VectorMaker) -> None:
        choice = choose(CropSettings(method="mocrop-v2"), make_vectors([(5, 5, 80, 0, 4)] * 5))
        # all motion inside the smallest shape, 7x14 of 9x16 cells
        assert choice.score == pytest.approx(0.6 + 0.4 * 144 / 98)
        assert choice.box == Box(0, 0, 280, 187)

    def test_batches_and_seeds_of_another_clip_play_no_part(self, make_vectors: VectorMaker) -> None:
        rng = np.random.default_rng(4)
        rows: list[Row] = [
            (int(x), int(y), int(d), 3, 4)
            for x, y, d in zip(
                rng.integers(0, 320, 900), rng.integers(0, 240, 900), rng.integers(5, 99, 900), strict=True
            )
        ]
        for method in OTHERS:
            options = CropSettings(method=method, samples=100)
            whole = choose(options, make_vectors(rows), seed=5)
            chooser = CropChooser(options, 320, 240, 5)
            for start in range(0, 900, 70):
                chooser.add(make_vectors(rows[start : start + 70]))
            parts = chooser.choose()
            assert (parts.box, parts.score, parts.motion_inside) == (
                whole.box,
                whole.score,
                whole.motion_inside,
            )

    @settings(max_examples=250)
    @given(
        st.sampled_from(OTHERS),
        SIDES,
        SIDES,
        st.integers(1, 100),
        st.integers(1, 20),
        st.integers(1, 20),
        st.integers(0, 2**63 - 1),
        st.integers(0, 60),
    )
    def test_every_crop_lies_inside_the_frame(
        self,
        make_vectors: VectorMaker,
        method: str,
        width: int,
        height: int,
        percent: int,
        rows: int,
        columns: int,
        seed: int,
        count: int,
    ) -> None:
        options = CropSettings(method=method, area=percent / 100, grid=f"{rows}x{columns}")
        rng = np.random.default_rng(seed)
        table = rng.integers((-9, -9, -20, -20), (width + 9, height + 9, 20, 20), (count, 4))
        vectors = make_vectors([(x, y, dx, dy, 4) for x, y, dx, dy in table.tolist()])
        possible = method in GRIDLESS or bool(shapes_of(rows, columns, Fraction(percent, 100)))
        if not possible:
            with pytest.raises(UsageError):
                CropChooser(options, width, height, 0)
            return
        choice = choose(options, vectors, width, height, seed)
        box = choice.box
        assert 0 <= box.x < box.x + box.w <= width
        assert 0 <= box.y < box.y + box.h <= height
        assert choice.reason in ("", *FALLBACKS)
        assert choice.motion_inside is None or 0 <= choice.motion_inside <= 1 + 1e-12
        if method in ("mocrop-v1", "mocrop-v2", "random") and not choice.reason:
            assert box in candidate_boxes(rows, columns, Fraction(percent, 100), width, height)


class TestControls:
    @settings(max_examples=200)
    @given(SIDES, SIDES, st.integers(1, 1000))
    def test_center_has_the_frames_shape_and_center_square_is_square(
        self, width: int, height: int, thousandths: int
    ) -> None:
        area = thousandths / 1000
        lattice = Lattice(6, 8, width, height)
        box = center_box(lattice, area)
        assert box.w == max(1, round(width * math.sqrt(area)))
        assert box.h == max(1, round(height * math.sqrt(area)))
        square = center_square_box(lattice, area)
        side = round(math.sqrt(area * width * height))
        assert (square.w, square.h) == (max(1, min(side, width, height)),) * 2
        for found in (box, square):
            assert 0 <= found.x == (width - found.w) // 2
            assert 0 <= found.y == (height - found.h) // 2

    @pytest.mark.parametrize(
        ("method", "area", "box"),
        [
            ("full", 0.75, Box(0, 0, 320, 240)),
            ("full", 0.1, Box(0, 0, 320, 240)),
            ("center", 0.75, Box(21, 16, 277, 208)),
            ("center", 1.0, Box(0, 0, 320, 240)),
            ("center-square", 0.75, Box(40, 0, 240, 240)),
            ("center-square", 0.5, Box(62, 22, 196, 196)),
        ],
    )
    def test_controls_give_the_box_of_their_formula(self, method: str, area: float, box: Box) -> None:
        assert choose(CropSettings(method=method, area=area), None).box == box

    def test_controls_without_a_grid_take_any_area(self) -> None:
        for method in GRIDLESS:
            box = choose(CropSettings(method=method, area=0.001), None, 16, 16).box
            assert box.w >= 1
            assert box.h >= 1

    @pytest.mark.parametrize(("grid", "area", "size"), [("", "3/4", (320, 240)), ("5x5", "1/2", (67, 43))])
    def test_random_reaches_all_candidate_windows_equally_often(
        self, grid: str, area: str, size: tuple[int, int]
    ) -> None:
        rows, columns = (5, 5) if grid else (6, 8)
        options = CropSettings(method="random", area=float(Fraction(area)), grid=grid)
        candidates = candidate_boxes(rows, columns, Fraction(area), *size)
        times = 200 * len(candidates)
        seen = Counter(choose(options, None, *size, seed=seed).box for seed in range(times))
        assert set(seen) == candidates
        expected = 200
        chi_square = sum((count - expected) ** 2 / expected for count in seen.values())
        freedom = len(candidates) - 1
        assert chi_square < freedom + 4 * math.sqrt(2 * freedom)

    def test_random_is_the_same_for_the_same_seed_whatever_the_motion(
        self, make_vectors: VectorMaker
    ) -> None:
        options = CropSettings(method="random")
        first = choose(options, None, seed=77).box
        assert choose(options, None, seed=77).box == first
        assert choose(options, make_vectors(everywhere()), seed=77).box == first


class TestGrid:
    def test_methods_have_their_papers_grid(self) -> None:
        assert grid_of(V1) == (6, 8)
        assert grid_of(CropSettings(method="mocrop-v2")) == (9, 16)
        assert grid_of(CropSettings(method="random")) == (6, 8)
        assert grid_of(CropSettings(method="mocrop-v2", grid="3x4")) == (3, 4)

    @pytest.mark.parametrize("method", ["mocrop-v1", "mocrop-v2", "random"])
    def test_an_area_that_no_window_has_is_refused_in_one_line(self, method: str) -> None:
        with pytest.raises(UsageError) as raised:
            grid_of(CropSettings(method=method, grid="2x2", area=0.6))
        message = str(raised.value)
        assert "\n" not in message
        assert "--area 0.6" in message
        assert "2x2" in message
        assert "--grid" in message

    @settings(max_examples=150)
    @given(st.data(), st.integers(1, 15), st.integers(1, 15), SIDES, SIDES)
    def test_a_window_covers_the_pixels_of_its_cells_and_no_other(
        self, data: st.DataObject, rows: int, columns: int, width: int, height: int
    ) -> None:
        window_h, window_w = data.draw(st.integers(1, rows)), data.draw(st.integers(1, columns))
        row = data.draw(st.integers(0, rows - window_h))
        column = data.draw(st.integers(0, columns - window_w))
        box = pixel_box(Lattice(rows, columns, width, height), Window(row, column, window_h, window_w, 0.0))
        # pixel x belongs to cell x * columns // width
        across = [x for x in range(width) if column <= x * columns // width < column + window_w]
        down = [y for y in range(height) if row <= y * rows // height < row + window_h]
        assert list(range(box.x, box.x + box.w)) == across
        assert list(range(box.y, box.y + box.h)) == down


class TestMotionInside:
    @settings(max_examples=100)
    @given(st.data(), st.integers(1, 6), st.integers(1, 6), st.integers(6, 25), st.integers(6, 25))
    def test_it_is_the_density_spread_over_pixels_and_summed_inside(
        self, data: st.DataObject, rows: int, columns: int, width: int, height: int
    ) -> None:
        raw = data.draw(st.binary(min_size=rows * columns, max_size=rows * columns))
        cells = np.frombuffer(raw, np.uint8).reshape(rows, columns).astype(np.int64)
        assume(cells.any())
        x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        box = Box(x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
        xs, ys = starts(columns, width), starts(rows, height)
        inside = Fraction(0)
        for py, px in product(range(y, y + box.h), range(x, x + box.w)):
            r, c = bisect_right(ys, py) - 1, bisect_right(xs, px) - 1
            pixels = (ys[r + 1] - ys[r]) * (xs[c + 1] - xs[c])
            inside += Fraction(int(cells[r, c]), pixels)
        share = DensityIntegral(cells, Lattice(rows, columns, width, height)).share_inside(box)
        assert share == pytest.approx(float(inside / int(cells.sum())), rel=1e-12, abs=1e-15)

    def test_an_empty_map_has_no_share(self) -> None:
        lattice = Lattice(6, 8, 320, 240)
        assert DensityIntegral(np.zeros((6, 8), np.int64), lattice).share_inside(Box(0, 0, 320, 240)) is None

    @pytest.mark.parametrize("size", [(320, 240), (18, 34), (16, 16)])
    @pytest.mark.parametrize("grid", ["6x8", "16x16", "20x20"])
    def test_the_full_frame_holds_all_of_the_motion(
        self, make_vectors: VectorMaker, size: tuple[int, int], grid: str
    ) -> None:
        # block centres of a frame that is coded in whole macroblocks lie beyond its right and lower edge
        rows: list[Row] = [
            (x, y, 40, 0, 4) for x in range(8, size[0] + 16, 16) for y in range(8, size[1] + 16, 16)
        ]
        choice = choose(CropSettings(method="full", grid=grid), make_vectors(rows), *size)
        assert choice.motion_inside == pytest.approx(1.0)

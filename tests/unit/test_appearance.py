"""What key frames say of texture, overlays and borders, against gradients pixel by pixel and known bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mocrop_prep.appearance import LOOKS, Appearance, AppearanceGauge, coarse_lattice, frames_to_look_at
from numpy.typing import NDArray

from tests.films import texture

Luma = NDArray[np.uint8]
Bars = tuple[int, int, int, int]  # left, top, right, bottom


def look(*pictures: Luma) -> Appearance:
    height, width = pictures[0].shape
    gauge = AppearanceGauge(width, height, range(len(pictures)))
    for picture in pictures:
        gauge.add(picture)
    return gauge.result()


def noise(width: int, height: int, seed: int = 0) -> Luma:
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def scene(width: int = 320, height: int = 240, seed: int = 0) -> Luma:
    return np.ascontiguousarray(texture(width, height, seed)[..., 1])


def barred(bars: Bars, level: int = 16, *, size: tuple[int, int] = (320, 240), grain: int = 0) -> Luma:
    """A scene inside bars of one level and so many levels of noise."""
    width, height = size
    left, top, right, bottom = bars
    picture = level + np.random.default_rng(9).integers(0, grain + 1, (height, width))
    inside = scene(width - left - right, height - top - bottom)
    picture[top : height - bottom, left : width - right] = inside
    return picture.astype(np.uint8)


def inside_of(bars: Bars, size: tuple[int, int] = (320, 240)) -> tuple[int, int, int, int]:
    left, top, right, bottom = bars
    return left, top, size[0] - left - right, size[1] - top - bottom


class TestTexture:
    @staticmethod
    def slow(picture: Luma) -> NDArray[np.float64]:
        """The weaker gradient by cell: mean structure tensors of 3x3 pixels, one after the other."""
        height, width = picture.shape
        levels = picture.astype(float)
        gradients = np.zeros((height, width, 2))
        for y in range(height):
            for x in range(width):
                if 0 < x < width - 1:
                    gradients[y, x, 0] = (levels[y, x + 1] - levels[y, x - 1]) / 2
                if 0 < y < height - 1:
                    gradients[y, x, 1] = (levels[y + 1, x] - levels[y - 1, x]) / 2
        mirrored = np.pad(gradients, ((1, 1), (1, 1), (0, 0)), mode="reflect")
        lattice = coarse_lattice(width, height)
        cells: list[list[float]] = [[] for _ in range(lattice.rows * lattice.columns)]
        for y in range(height):
            for x in range(width):
                around = mirrored[y : y + 3, x : x + 3].reshape(9, 2)
                weaker = np.linalg.eigvalsh(around.T @ around / 9)[0]
                cells[y * lattice.rows // height * lattice.columns + x * lattice.columns // width].append(
                    weaker
                )
        means = [math.sqrt(max(0, sum(cell) / len(cell))) for cell in cells]
        return np.array(means).reshape(lattice.rows, lattice.columns)

    @settings(max_examples=25)
    @given(st.integers(3, 33), st.integers(3, 33), st.integers(0, 2**32), st.integers(0, 3))
    def test_it_is_the_weaker_gradient_of_the_structure_tensor(
        self, width: int, height: int, seed: int, blur: int
    ) -> None:
        picture = noise(width, height, seed)
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), blur), np.uint8) if blur else picture
        found, slow = look(picture), self.slow(picture)
        left, top, w, h = found.content
        lattice = coarse_lattice(width, height)
        columns = self.inner(lattice.column_edges().tolist(), left, left + w)
        rows = self.inner(lattice.row_edges().tolist(), top, top + h)
        for (row, column), weaker in np.ndenumerate(slow):
            expected = weaker if row in rows and column in columns else 0
            # a pixel is rounded to sixteenths of its square, a cell to sixteenths
            assert found.texture_map()[row, column] == pytest.approx(expected, abs=0.25)

    @staticmethod
    def inner(edges: Sequence[int], start: int, stop: int) -> list[int]:
        """The cells between two others inside the content; all if there is none."""
        every = list(range(len(edges) - 1))
        return [n for n in every if start < edges[n] and edges[n + 1] < stop] or every

    def test_it_ranks_the_cells_of_a_large_picture_as_opencv_does(self) -> None:
        picture = scene()
        picture[:, :160] = picture[:, :160] // 4 + 90
        mine = look(picture).texture_map()
        reduced = cv2.resize(picture, (160, 120), interpolation=cv2.INTER_AREA)
        weaker = cv2.cornerMinEigenVal(reduced, 3, ksize=1)
        theirs = np.sqrt(weaker.reshape(15, 8, 20, 8).mean(axis=(1, 3)))
        inner = (slice(1, -1), slice(1, -1))
        assert mine[inner] / mine[inner].mean() == pytest.approx(
            theirs[inner] / theirs[inner].mean(), abs=0.02
        )

    @pytest.mark.parametrize("level", [0, 16, 128, 255])
    def test_a_flat_picture_has_none(self, level: int) -> None:
        assert not any(look(np.full((240, 320), level, np.uint8)).texture)

    @pytest.mark.parametrize("angle", [0, 30, 45, 90])
    def test_stripes_have_almost_none_for_they_slide_along_themselves(self, angle: int) -> None:
        y, x = np.mgrid[:120, :160]
        across = x * math.cos(math.radians(angle)) + y * math.sin(math.radians(angle))
        stripes = np.rint(128 + 100 * np.sin(across / 3)).astype(np.uint8)
        assert look(stripes).texture_map()[1:-1, 1:-1].max() < 0.5

    def test_checks_and_noise_have_much(self) -> None:
        y, x = np.mgrid[:120, :160]
        checks = np.where((x // 4 + y // 4) % 2, 220, 40).astype(np.uint8)
        for picture in (checks, noise(160, 120)):
            assert look(picture).texture_map()[1:-1, 1:-1].min() > 16

    def test_the_mean_is_over_all_looks(self) -> None:
        flat, rich = np.full((120, 160), 90, np.uint8), noise(160, 120)
        both = look(flat, rich, flat, flat).texture_map()
        assert both == pytest.approx(look(rich).texture_map() / 2, abs=0.07)

    def test_it_does_not_depend_on_the_number_of_pixels(self) -> None:
        small = scene(160, 120)
        large = np.repeat(np.repeat(small, 6, axis=0), 6, axis=1)
        assert look(large).texture == look(small).texture
        assert look(large).grid == look(small).grid == (15, 20)

    def test_without_a_look_there_is_neither_texture_nor_border(self) -> None:
        found = AppearanceGauge(320, 240, ()).result()
        assert not any(found.texture)
        assert found.content == (0, 0, 320, 240)


class TestBorders:
    @pytest.mark.parametrize("level", [16, 0, 40])
    @pytest.mark.parametrize(
        "bars", [(0, 30, 0, 30), (40, 0, 40, 0), (24, 18, 24, 18), (0, 10, 0, 60), (7, 0, 1, 0), (1, 2, 3, 5)]
    )
    def test_the_content_lies_between_pairs_of_black_bars(self, bars: Bars, level: int) -> None:
        assert look(barred(bars, level)).content == inside_of(bars)

    @pytest.mark.parametrize("bars", [(0, 30, 0, 30), (40, 0, 40, 0), (24, 18, 24, 18)])
    @pytest.mark.parametrize("level", [41, 120, 235])
    def test_bars_of_a_colour_are_content_for_a_wall_may_look_so(self, level: int, bars: Bars) -> None:
        assert look(barred(bars, level)).content == (0, 0, 320, 240)

    @pytest.mark.parametrize("bars", [(0, 0, 0, 60), (7, 0, 0, 0), (0, 60, 0, 0), (0, 0, 90, 0)])
    def test_a_black_wall_on_one_side_is_content_for_bars_come_in_pairs(self, bars: Bars) -> None:
        assert look(barred(bars)).content == (0, 0, 320, 240)

    def test_a_black_wall_on_one_side_hides_no_bars_on_the_others(self) -> None:
        assert look(barred((50, 30, 0, 30))).content == (0, 30, 320, 180)

    def test_of_a_black_and_a_coloured_bar_neither_is_a_border(self) -> None:
        picture = barred((0, 30, 0, 30), 16)
        picture[-30:] = 200
        assert look(picture).content == (0, 0, 320, 240)

    @pytest.mark.parametrize("grain", [4, 12, 24])
    def test_coding_noise_leaves_a_bar_a_bar(self, grain: int) -> None:
        bars = (16, 30, 16, 30)
        assert look(barred(bars, grain=grain)).content == inside_of(bars)

    def test_cells_at_the_edge_of_the_picture_have_no_texture(self) -> None:
        bare, cut = scene(), scene()
        cut[:30] = cut[-12:] = 16
        found = look(cut)
        assert found.content == (0, 30, 320, 198)
        rim = found.texture_map()
        assert not any(edge.any() for edge in (rim[:2], rim[-1], rim[:, 0], rim[:, -1]))
        assert np.array_equal(rim[3:-1], look(bare).texture_map()[3:-1])
        assert look(bare).texture_map()[1:-1, 1:-1].min() > 1

    def test_a_picture_to_its_edges_has_no_border(self) -> None:
        assert look(scene()).content == (0, 0, 320, 240)

    def test_a_dark_top_with_texture_is_no_border(self) -> None:
        picture = scene()
        picture[:60] = picture[:60] // 4
        assert look(picture).content == (0, 0, 320, 240)

    def test_what_is_lit_in_any_look_is_content(self) -> None:
        dark = barred((0, 60, 0, 60))
        lit = dark.copy()
        lit[20:60, 150:170] = 200
        assert look(dark, lit).content == (0, 20, 320, 160)

    @pytest.mark.parametrize("level", [0, 16, 128])
    def test_a_picture_of_one_colour_is_content_as_a_whole(self, level: int) -> None:
        assert look(np.full((240, 320), level, np.uint8)).content == (0, 0, 320, 240)

    def test_a_speck_on_one_colour_does_not_make_the_rest_a_border(self) -> None:
        picture = np.full((240, 320), 16, np.uint8)
        picture[100:140, 100:150] = scene(50, 40)
        assert look(picture).content == (0, 0, 320, 240)

    @pytest.mark.parametrize("level", [41, 90, 200])
    def test_a_plain_wall_behind_an_actor_is_no_border(self, level: int) -> None:
        looks = []
        for x in (90, 130, 170, 210):
            wall = np.full((240, 320), level, np.uint8)
            wall[90:200, x : x + 30] = scene(30, 110, seed=4)
            looks.append(wall)
        assert look(*looks).content == (0, 0, 320, 240)


class TestSteady:
    @staticmethod
    def beside_logo(*seeds: int, grain: float = 0) -> Appearance:
        looks = []
        for seed in seeds:
            picture = scene(seed=seed)
            picture[30:80, 200:256] = scene(56, 50, seed=99)
            noise = np.random.default_rng(seed).normal(0, grain, picture.shape)
            looks.append(np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8))
        return look(*looks)

    @pytest.mark.parametrize("grain", [0, 3])
    def test_cells_that_a_logo_covers_whole_are_steady(self, grain: float) -> None:
        logo = np.zeros((15, 20), bool)
        logo[2:5, 13:16] = True
        assert np.array_equal(self.beside_logo(1, 2, 3, 4, grain=grain).steady_map(), logo)

    def test_what_changes_in_one_of_the_looks_is_not(self) -> None:
        still, other = scene(), scene()
        other[100:140, 40:90] = 255 - other[100:140, 40:90]
        assert look(still, still).steady_map().all()
        changed = np.zeros((15, 20), bool)
        changed[6:9, 2:6] = True
        for looks in ((still, still, other), (other, still, still), (still, other, still)):
            assert np.array_equal(~look(*looks).steady_map(), changed)

    def test_of_a_single_look_nothing_is_known_to_stay(self) -> None:
        assert not look(scene()).steady_map().any()
        assert not AppearanceGauge(320, 240, ()).result().steady_map().any()

    @pytest.mark.parametrize("factor", [1, 3])
    def test_a_change_is_measured_in_the_reduced_picture(self, factor: int) -> None:
        small = np.full((120, 160), 100, np.uint8)
        for change, same in ((3, True), (4, False)):
            looks = [level.repeat(factor, 0).repeat(factor, 1) for level in (small, small + np.uint8(change))]
            assert look(*looks).steady_map().all() == look(*looks).steady_map().any() == same


@pytest.mark.parametrize("size", [(2, 2), (3, 2), (2, 9), (16, 16), (17, 15), (33, 240), (241, 31), (1, 1)])
def test_every_size_of_frame_can_be_measured(size: tuple[int, int]) -> None:
    width, height = size
    found = look(noise(width, height), noise(width, height, 1))
    lattice = coarse_lattice(width, height)
    assert found.grid == (lattice.rows, lattice.columns)
    assert found.texture_map().shape == found.grid
    x, y, w, h = found.content
    assert x >= 0
    assert y >= 0
    assert w >= 1
    assert h >= 1
    assert x + w <= width
    assert y + h <= height


@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((320, 240), (15, 20)),
        ((240, 320), (20, 15)),
        ((1920, 1080), (15, 27)),
        ((128, 96), (15, 20)),
        ((40, 24), (6, 10)),
        ((2, 2), (1, 1)),
    ],
)
def test_cells_are_nearly_square_and_never_under_four_pixels(
    size: tuple[int, int], grid: tuple[int, int]
) -> None:
    lattice = coarse_lattice(*size)
    assert (lattice.rows, lattice.columns) == grid


def test_the_order_of_the_looks_does_not_matter() -> None:
    pictures = [barred((0, 10 * n, 0, 30), grain=5) for n in range(1, 4)]
    assert len({look(*order) for order in permutations(pictures)}) == 1


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=60, unique=True).map(sorted))
def test_the_looks_are_spread_evenly_over_the_key_frames(key_frames: Sequence[int]) -> None:
    numbers = sorted(frames_to_look_at(key_frames))
    assert len(numbers) == min(LOOKS, len(key_frames))
    places = [key_frames.index(number) for number in numbers]
    gaps = [places[0] + 0.5, *np.diff(places), len(key_frames) - places[-1] - 0.5]
    part = len(key_frames) / len(numbers)
    assert all(abs(gap - part) < 1 + part / 2 for gap in gaps)
    assert abs(gaps[0] - gaps[-1]) <= 1


def test_no_key_frame_no_look() -> None:
    assert frames_to_look_at(()) == frozenset()

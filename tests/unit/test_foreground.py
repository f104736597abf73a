"""The density of foreground motion against a slow one in plain Python, and what must not change it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mocrop_prep.appearance import Appearance, coarse_lattice
from mocrop_prep.foreground.density import MOST_FRAMES, PARTS, ForegroundDensity, Parts
from mocrop_prep.geometry import Box
from mocrop_prep.motion import DensityMap
from mocrop_prep.vectors import ClipInfo, Vectors
from numpy.typing import NDArray

from tests.fields import (
    Block,
    Floats,
    Motion,
    acting,
    clip,
    field,
    join,
    looks,
    panning,
    still,
    stuck,
    vectors_of,
)
from tests.unit.slow_foreground import SlowForeground, UndecidedError

SIZES = st.sampled_from(((24, 20), (20, 33), (40, 16), (12, 12), (65, 62), (7, 5)))
ACTOR = Box(192, 64, 48, 80)
LENGTHS = ("dst_x", "dst_y", "w", "h", "motion_x", "motion_y")

PARTS_OF_ALL_KINDS = st.builds(
    Parts,
    camera=st.sampled_from(("affine", "translation", "none")),
    least=st.sampled_from((0.0, 0.75, 3.1)),
    most=st.sampled_from((2.0, 8.0)),
    noise=st.sampled_from((0.0, 1.3, 3.0)),
    coherence=st.booleans(),
    turbulence=st.booleans(),
    texture=st.booleans(),
    overlay=st.booleans(),
    balance=st.booleans(),
    blur=st.sampled_from((0.5, 1.2)),
)


@st.composite
def clips(draw: st.DrawFn) -> tuple[ClipInfo, list[Block], Appearance | None]:
    """Small frames under a camera, with a few blocks that move on their own, of all sizes and scales."""
    width, height = draw(SIZES)
    fps = draw(st.sampled_from((10.0, 23.976, 25.0, 30.0, 50.0)))
    frames = draw(st.integers(1, 14))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    logo = draw(st.sampled_from((0, width // 3)))
    pan, reach = rng.integers(-6, 7, 2), draw(st.sampled_from((0, 1, 9)))
    blocks = []
    for _ in range(draw(st.integers(0, 150))):
        scale = int(rng.choice((1, 2, 4)))
        w, h = rng.choice((4, 8, 16), 2)
        x, y = rng.integers((-3, -3), (width + 3, height + 3))
        u, v = pan * scale // 4 + (rng.integers(-reach, reach + 1, 2) if rng.random() < 0.4 else 0)
        if x < logo:
            u = v = 0
        frame = int(rng.integers(frames))
        blocks.append(Block(frame, int(x), int(y), int(w), int(h), int(u), int(v), scale))
    blocks.sort(key=lambda block: block.frame)
    info = ClipInfo(width, height, fps, frames, (0,))
    return info, blocks, draw(st.none() | st.builds(lambda n: textured(info, n), st.integers(0, 99)))


def textured(info: ClipInfo, seed: int) -> Appearance:
    """Any texture, in one cell of four none, and logos anywhere."""
    lattice, rng = coarse_lattice(info.width, info.height), np.random.default_rng(seed)
    grid = lattice.rows, lattice.columns
    texture = rng.uniform(0, 60, grid) * (rng.random(grid) < 0.75)
    return looks(info, texture, steady=rng.random(grid) < rng.random())


def density_of(
    info: ClipInfo, batches: Sequence[Vectors], parts: Parts = PARTS, seen: Appearance | None = None
) -> tuple[DensityMap, float]:
    density = ForegroundDensity(info, parts=parts)
    for batch in batches:
        density.add(batch)
    return density.result(seen)


def normal(density: DensityMap) -> NDArray[np.float64]:
    """The map with 1 as its greatest value."""
    return np.asarray(density.cells / max(1, density.cells.max()), np.float64)


def inside(density: DensityMap, info: ClipInfo, box: Box) -> float:
    """The share of the density in fine cells whose centre is in a box."""
    rows, columns = density.cells.shape
    y = (np.arange(rows) + 0.5) * info.height / rows
    x = (np.arange(columns) + 0.5) * info.width / columns
    chosen = ((box.y <= y) & (y < box.y + box.h))[:, np.newaxis] & ((box.x <= x) & (x < box.x + box.w))
    return float(density.cells[chosen].sum() / density.cells.sum())


def around(box: Box, margin: int = 24) -> Box:
    return Box(box.x - margin, box.y - margin, box.w + 2 * margin, box.h + 2 * margin)


class TestAgainstPlainPython:
    @settings(max_examples=120)
    @given(clips(), PARTS_OF_ALL_KINDS)
    def test_it_is_what_its_description_says(
        self, drawn: tuple[ClipInfo, list[Block], Appearance | None], parts: Parts
    ) -> None:
        info, blocks, seen = drawn
        slow = SlowForeground(info.width, info.height, info.fps, **asdict(parts))
        maps = (None, None) if seen is None else (seen.texture_map().tolist(), seen.steady_map().tolist())
        try:
            expected = slow.density(blocks, *maps)
        except UndecidedError:
            assume(False)
        found, trust = density_of(info, [vectors_of(blocks)], parts, seen)
        assert found.vectors == len(blocks)
        assert (found.kept, found.sampled) == (expected.kept, expected.kept)
        assert trust == pytest.approx(expected.trust, rel=1e-4, abs=1e-7)
        cells = np.array(expected.cells)
        assert normal(found) == pytest.approx(cells / (cells.max() or 1), abs=2e-4)

    def test_the_scenes_of_these_tests_as_well(self) -> None:
        info = clip(96, 64, frames=12)
        blocks = [
            Block(n, x, y, 8, 8, 12 + 9 * (48 <= x < 72 and y < 32), (x + y + n) % 3 - 1)
            for n in range(1, 12)
            for y in range(4, 64, 8)
            for x in range(4, 96, 8)
        ]
        found, trust = density_of(info, [vectors_of(blocks)])
        expected = SlowForeground(96, 64, 25.0).density(blocks, None)
        assert expected.kept > 50
        assert found.kept == expected.kept
        assert trust == pytest.approx(expected.trust, rel=1e-4)
        cells = np.array(expected.cells)
        assert normal(found) == pytest.approx(cells / cells.max(), abs=1e-4)


class TestInvariance:
    @settings(max_examples=60)
    @given(clips(), PARTS_OF_ALL_KINDS, st.lists(st.integers(0, 150), max_size=6))
    def test_the_batches_that_vectors_come_in_do_not_matter(
        self, drawn: tuple[ClipInfo, list[Block], Appearance | None], parts: Parts, cuts: list[int]
    ) -> None:
        info, blocks, seen = drawn
        edges = [0, *sorted(min(cut, len(blocks)) for cut in cuts), len(blocks)]
        batches = [vectors_of(blocks[a:b]) for a, b in pairwise(edges)]
        whole, trust = density_of(info, [vectors_of(blocks)], parts, seen)
        split, split_trust = density_of(info, batches, parts, seen)
        assert (split.vectors, split.kept, split_trust) == (whole.vectors, whole.kept, trust)
        assert np.array_equal(split.cells, whole.cells)

    @settings(max_examples=60)
    @given(clips(), st.randoms(use_true_random=False))
    def test_the_order_within_a_frame_does_not_matter(
        self, drawn: tuple[ClipInfo, list[Block], Appearance | None], random: Random
    ) -> None:
        info, blocks, seen = drawn
        shuffled = list(blocks)
        random.shuffle(shuffled)
        shuffled.sort(key=lambda block: block.frame)
        one, other = (density_of(info, [vectors_of(rows)], seen=seen) for rows in (blocks, shuffled))
        assert one[1] == other[1]
        assert np.array_equal(one[0].cells, other[0].cells)

    def test_a_frame_of_many_vectors_may_come_one_vector_at_a_time(self) -> None:
        info = clip(frames=3)
        vectors = field(info, acting(ACTOR, camera=panning(3, 1)))
        one = density_of(info, [vectors])
        single = density_of(info, [vectors.select(np.arange(len(vectors)) == n) for n in range(len(vectors))])
        assert one[0].kept > 0
        assert np.array_equal(one[0].cells, single[0].cells)

    @pytest.mark.parametrize("scale", [1, 2])
    def test_vectors_of_other_scales_say_the_same(self, scale: int) -> None:
        info = clip()
        vectors = field(info, acting(ACTOR, camera=panning(3, -1)))
        other = replace(
            vectors,
            motion_x=vectors.motion_x * scale // 4,
            motion_y=vectors.motion_y * scale // 4,
            scale=np.full_like(vectors.scale, scale),
        )
        one, again = density_of(info, [vectors]), density_of(info, [other])
        assert np.array_equal(one[0].cells, again[0].cells)

    @pytest.mark.parametrize("camera", ["none", "affine"])
    def test_the_same_scene_in_a_larger_frame_has_the_same_density(self, camera: str) -> None:
        small, large = clip(320, 240), clip(960, 720)
        zoom: Motion = lambda n, x, y: ((x - 160) / 80, (y - 120) / 80)  # noqa: E731
        vectors = field(small, acting(ACTOR, stride=7, camera=zoom))
        same = replace(
            vectors,
            **{name: getattr(vectors, name) * 3 for name in LENGTHS},
        )
        parts = replace(PARTS, camera=camera)
        one, other = density_of(small, [vectors], parts), density_of(large, [same], parts)
        assert one[0].kept == other[0].kept > 0
        assert one[1] == pytest.approx(other[1], rel=1e-2)
        assert normal(one[0]) == pytest.approx(normal(other[0]), abs=0.01)

    @staticmethod
    def marching(pace: float) -> Motion:
        """Two seconds of one actor under a zooming pan, in a frame of 960x720."""

        def camera(n: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
            return pace * (18 + (x - 480) / 40), np.zeros_like(y)

        motion = acting(Box(576, 192, 144, 240), stride=9 * pace, camera=camera)
        return lambda n, x, y: motion(0, x, y)

    @pytest.mark.parametrize("fps", [12.5, 15.0, 23.976, 24.0, 29.97, 30.0, 48.0, 59.94, 100.0])
    def test_the_same_seconds_at_another_rate_have_the_same_density(self, fps: float) -> None:
        found, fine = [], 64
        for rate in (25.0, fps):
            info = clip(960, 720, frames=round(2 * rate), fps=rate)
            vectors = field(info, self.marching(fine * 25 / rate), block=48)
            found.append(density_of(info, [replace(vectors, scale=np.full_like(vectors.scale, 4 * fine))]))
        assert normal(found[1][0]) == pytest.approx(normal(found[0][0]), abs=0.03)
        assert found[1][1] == pytest.approx(found[0][1], abs=0.01)

    @pytest.mark.parametrize("fps", [10.0, 24.0, 25.0, 30.0, 50.0, 60.0])
    def test_what_moves_three_quarters_of_a_unit_in_a_25th_of_a_second_moves(self, fps: float) -> None:
        info, fine = clip(frames=round(fps), fps=fps), 1024
        stride = 25 / fps * fine / np.hypot(1, 0.5)
        for units, moves in ((0.73, False), (0.77, True)):
            vectors = field(info, acting(Box(192, 64, 16, 16), stride=units * stride))
            density, _ = density_of(info, [replace(vectors, scale=np.full_like(vectors.scale, 4 * fine))])
            assert (density.kept > 0) == moves

    def test_twice_the_frames_at_half_the_pace_have_the_same_density(self) -> None:
        info = clip(frames=24)
        vectors = field(info, acting(ACTOR, stride=6, camera=panning(4, -2)))
        half = replace(vectors, motion_x=vectors.motion_x // 2, motion_y=vectors.motion_y // 2)
        assert not (vectors.motion_x % 2).any()
        frames = [half.select(vectors.frame == n) for n in np.unique(vectors.frame)]
        twice = join([replace(v, frame=2 * v.frame + late) for v in frames for late in (0, 1)])
        fast = ClipInfo(320, 240, 50.0, 48, (0, 24))
        one, other = density_of(info, [vectors]), density_of(fast, [twice])
        assert one[0].kept * 2 == other[0].kept > 0
        assert one[1] == pytest.approx(other[1])
        assert normal(one[0]) == pytest.approx(normal(other[0]), abs=1e-5)


class TestWhatMoves:
    @pytest.mark.parametrize(
        "camera",
        [still, panning(6, -2), lambda n, x, y: ((160 - x) / 50, (120 - y) / 50)],
        ids=["still", "pan", "zoom"],
    )
    def test_the_density_lies_on_the_actor_whatever_the_camera_does(self, camera: Motion) -> None:
        info = clip()
        density, trust = density_of(info, [field(info, acting(ACTOR, camera=camera))])
        assert inside(density, info, around(ACTOR)) > 0.95
        assert trust > 0.9

    def test_an_actor_whom_the_camera_follows_is_what_moves(self) -> None:
        info = clip()
        at_rest: Motion = lambda n, x, y: (  # noqa: E731
            np.where((abs(x - 216) < 24) & (abs(y - 104) < 40), 0.0, 5.0),
            np.zeros_like(y),
        )
        density, _ = density_of(info, [field(info, at_rest)])
        assert inside(density, info, around(ACTOR)) > 0.95

    def test_without_the_camera_part_a_pan_is_action_everywhere(self) -> None:
        info = clip()
        vectors = field(info, acting(ACTOR, camera=panning(6)))
        density, _ = density_of(info, [vectors], replace(PARTS, camera="none", noise=0.0))
        assert inside(density, info, around(ACTOR)) < 0.4

    def test_flicker_is_weaker_than_limbs(self) -> None:
        info = clip()
        rng, left = np.random.default_rng(0), Box(32, 64, 64, 96)
        actor = acting(ACTOR)

        def both(n: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
            u, v = actor(n, x, y)
            noisy = (left.x <= x) & (x < left.x + left.w) & (left.y <= y) & (y < left.y + left.h)
            return u + noisy * rng.uniform(-6, 6, x.shape), v + noisy * rng.uniform(-6, 6, x.shape)

        vectors = field(info, both)
        coherent, _ = density_of(info, [vectors])
        plain, _ = density_of(info, [vectors], replace(PARTS, coherence=False, turbulence=False))
        ratio = [inside(d, info, around(left)) / inside(d, info, around(ACTOR)) for d in (coherent, plain)]
        assert ratio[0] < 0.1 < 1 < ratio[1]

    def test_blocks_without_texture_count_little(self) -> None:
        info = clip()
        wall = Box(32, 64, 48, 80)
        vectors = field(info, acting(ACTOR, wall))
        rich = np.full((15, 20), 30.0)
        rich[:, :8] = 1
        assert inside(density_of(info, [vectors])[0], info, around(wall)) == pytest.approx(0.5, abs=0.05)
        seen = looks(info, rich)
        assert inside(density_of(info, [vectors], seen=seen)[0], info, around(wall)) < 0.02

    @pytest.mark.parametrize(("units", "stays"), [(0.0, True), (0.2, True), (0.3, False)])
    def test_what_looks_the_same_and_stays_within_a_quarter_of_a_unit_does_not_move(
        self, units: float, stays: bool
    ) -> None:
        info, logo, fine = clip(), Box(272, 16, 32, 32), 64
        pan = stuck(logo, panning(3 * fine))

        def trembling(n: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
            u, v = pan(n, x, y)
            return np.where(u, u, fine * units * (-1) ** (n // 2)), v

        vectors = field(info, trembling)
        vectors = replace(vectors, scale=np.full_like(vectors.scale, 4 * fine))
        density, _ = density_of(info, [vectors], seen=looks(info, steady=True))
        assert (density.kept == 0) == stays
        assert density_of(info, [vectors], seen=looks(info))[0].kept > 0

    def test_on_a_coarse_grid_no_motion_falls_between_the_cells(self) -> None:
        info = clip()
        amid, between = Box(32, 112, 16, 16), Box(224, 112, 16, 16)
        density = ForegroundDensity(info, (3, 4))
        density.add(field(info, acting(amid, between)))
        left, right = np.hsplit(density.result()[0].cells, 2)
        assert right.sum() > 0.8 * left.sum()

    def test_a_burst_is_not_the_clip(self) -> None:
        info, burst = clip(frames=48), Box(32, 64, 112, 144)
        steady = acting(ACTOR, stride=2)
        fast = acting(burst, stride=30)
        vectors = field(info, lambda n, x, y: (fast if n in (20, 21) else steady)(n, x, y))
        balanced, _ = density_of(info, [vectors])
        plain, _ = density_of(info, [vectors], replace(PARTS, balance=False))
        assert inside(balanced, info, around(ACTOR)) > 0.8
        assert inside(plain, info, around(ACTOR)) < inside(balanced, info, around(ACTOR)) - 0.1

    @pytest.mark.parametrize("camera", [still, panning(5, 3)])
    def test_nothing_but_the_camera_is_nothing(self, camera: Motion) -> None:
        info = clip()
        density, trust = density_of(info, [field(info, camera)])
        assert (density.kept, density.sampled, trust) == (0, 0, 0)
        assert density.vectors > 5000
        assert not density.cells.any()

    def test_counts_are_no_more_than_there_are_vectors(self) -> None:
        info = clip()
        vectors = field(info, acting(Box(0, 0, 320, 240), stride=9, camera=panning(2)))
        vectors = replace(
            vectors, motion_x=np.random.default_rng(0).integers(-90, 90, len(vectors), np.int32)
        )
        density, trust = density_of(info, [vectors], replace(PARTS, noise=0.0, least=0.0))
        assert len(vectors) == density.vectors >= density.kept == density.sampled > 0.9 * len(vectors)
        assert 0 < trust <= 1

    @pytest.mark.parametrize("place", [(8, 8), (24, 8), (312, 232), (-40, 900)])
    def test_a_single_block_in_a_frame_is_no_fault(self, place: tuple[int, int]) -> None:
        info = clip()
        blocks = [Block(n, *place, u=40) for n in range(1, 12)]
        with np.errstate(all="raise", under="ignore"):
            density, trust = density_of(info, [vectors_of(blocks)])
        assert (density.vectors, density.kept, trust) == (11, 0, 0)


class TestLongClips:
    @staticmethod
    def long(frames: int, key_frames: range, batch: int = 2000) -> tuple[ClipInfo, list[Vectors]]:
        """A clip of few blocks to the frame, of which one corner moves."""
        info = ClipInfo(64, 48, 25.0, frames, tuple(key_frames))
        rows, columns = (part.ravel() for part in np.mgrid[:3, :4])
        count = np.arange(1, frames).repeat(12)
        x, y = (np.tile(16 * part + 8, frames - 1) for part in (columns, rows))
        u = np.where((x < 16) & (y < 16), 40, 0)
        table = vectors_of([Block(0, 8, 8)])
        one = {name: np.repeat(getattr(table, name), len(count)) for name in ("source", "w", "h", "scale")}
        vectors = Vectors(
            frame=count.astype(np.int32),
            dst_x=x.astype(np.int16),
            dst_y=y.astype(np.int16),
            motion_x=u.astype(np.int32),
            motion_y=np.zeros(len(u), np.int32),
            **one,
        )
        places = np.arange(len(count)) // batch
        return info, [vectors.select(places == n) for n in range(places[-1] + 1)]

    def test_a_vector_to_a_later_frame_says_what_its_opposite_to_an_earlier_one_says(self) -> None:
        info = clip()
        vectors = field(info, acting(ACTOR, stride=6, camera=panning(4, -2)))
        turned = vectors.frame % 3 == 1
        sign = np.where(turned, -1, 1).astype(np.int32)
        mixed = replace(
            vectors,
            source=-sign,
            motion_x=vectors.motion_x * sign,
            motion_y=vectors.motion_y * sign,
        )
        before, after = density_of(info, [vectors]), density_of(info, [mixed])
        assert np.array_equal(before[0].cells, after[0].cells)
        assert before[1] == after[1]

    def test_of_a_long_clip_some_groups_of_pictures_are_used(self) -> None:
        short = density_of(*self.long(MOST_FRAMES, range(0, MOST_FRAMES, 12)))
        frames = 10 * MOST_FRAMES
        long = density_of(*self.long(frames, range(0, frames, 12), batch=60_000))
        assert long[0].vectors == 12 * (frames - 1)
        assert long[0].kept == pytest.approx(short[0].kept, rel=0.05)
        assert normal(long[0]) == pytest.approx(normal(short[0]), abs=0.02)

    def test_the_memory_of_a_long_clip_is_that_of_a_short_one(self) -> None:
        peaks = []
        for frames in (MOST_FRAMES, 8 * MOST_FRAMES):
            info, batches = self.long(frames, range(0, frames, 12))
            tracemalloc.start()
            density_of(info, batches)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < 1.3 * peaks[0]

    @pytest.mark.parametrize("keys", [range(1), range(0, 2 * MOST_FRAMES, 250)])
    def test_of_a_long_clip_with_few_key_frames_runs_of_frames_are_used(self, keys: range) -> None:
        frames = 2 * MOST_FRAMES
        parts, whole = (density_of(*self.long(frames, keys, batch))[0] for batch in (2000, 12 * frames))
        assert parts.kept == whole.kept == pytest.approx(parts.vectors / 24, rel=0.01)

    def test_a_long_clip_is_split_into_batches_as_a_short_one_is(self) -> None:
        frames = 2 * MOST_FRAMES
        keys = range(0, frames, 25)  # an odd distance: slots straddle the groups
        one, other = (density_of(*self.long(frames, keys, batch)) for batch in (997, 50_000))
        assert np.array_equal(one[0].cells, other[0].cells)
        assert one[1] == other[1]

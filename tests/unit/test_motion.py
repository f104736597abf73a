"""Density maps against per-vector counts in exact arithmetic, and samples against their known laws."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mocrop_prep import motion
from mocrop_prep.geometry import Lattice
from mocrop_prep.motion import DensityMap, Importance, ImportanceDensity, UniformDensity, clip_seed
from mocrop_prep.vectors import Vectors
from numpy.typing import NDArray

Row = tuple[int, int, int, int, int]  # dst_x, dst_y, motion_x, motion_y, scale
VectorMaker = Callable[[Sequence[Row]], Vectors]
Estimator = UniformDensity | ImportanceDensity

LATTICE = Lattice(rows=3, columns=4, width=37, height=23)
EVERYTHING = 10**9
ROWS = st.lists(
    st.tuples(
        st.integers(-20, 60),
        st.integers(-20, 40),
        st.integers(-9, 9),
        st.integers(-9, 9),
        st.sampled_from((1, 2, 4)),
    ),
    max_size=40,
)


def squared_length(row: Row) -> Fraction:
    """|d|^2 in px^2."""
    return Fraction(row[2], row[4]) ** 2 + Fraction(row[3], row[4]) ** 2


def slow_cell(lattice: Lattice, row: Row) -> int:
    """The cell of a block centre, by the cells' bounds as fractions of the frame."""
    column_starts = [Fraction(c * lattice.width, lattice.columns) for c in range(1, lattice.columns)]
    row_starts = [Fraction(r * lattice.height, lattice.rows) for r in range(1, lattice.rows)]
    return bisect_right(row_starts, row[1]) * lattice.columns + bisect_right(column_starts, row[0])


def cells_of(density: DensityMap) -> list[int]:
    return [int(count) for count in density.cells.reshape(-1)]


def feed(estimator: Estimator, batches: Sequence[Vectors], seed: int = 0) -> DensityMap:
    for batch in batches:
        estimator.add(batch)
    return estimator.result(np.random.default_rng(seed))


def same(one: DensityMap, other: DensityMap) -> bool:
    counts = (one.vectors, one.kept, one.sampled) == (other.vectors, other.kept, other.sampled)
    return counts and np.array_equal(one.cells, other.cells)


def repeat(estimator: Estimator, times: int) -> NDArray[np.int64]:
    """The maps of many seeds, (times, cells)."""
    maps = [estimator.result(np.random.default_rng(seed)).cells.reshape(-1) for seed in range(times)]
    return np.stack(maps)


class TestLattice:
    @settings(max_examples=200)
    @given(st.integers(1, 24), st.integers(1, 24), st.integers(1, 131), st.integers(1, 131))
    def test_a_pixel_lies_in_the_cell_whose_edges_contain_it(
        self, make_vectors: VectorMaker, rows: int, columns: int, width: int, height: int
    ) -> None:
        lattice = Lattice(rows, columns, width, height)
        x_edges, y_edges = lattice.column_edges().tolist(), lattice.row_edges().tolist()
        assert (x_edges[0], x_edges[-1], y_edges[0], y_edges[-1]) == (0, width, 0, height)
        assert x_edges == sorted(x_edges)
        across = lattice.cell_of(np.arange(width), np.zeros(width, int))
        down = lattice.cell_of(np.zeros(height, int), np.arange(height))
        assert across.tolist() == [bisect_right(x_edges, x) - 1 for x in range(width)]
        assert down.tolist() == [(bisect_right(y_edges, y) - 1) * columns for y in range(height)]

    def test_cells_of_a_frame_that_divides_evenly_are_equal(self) -> None:
        lattice = Lattice(6, 8, 320, 240)
        assert lattice.column_edges().tolist() == list(range(0, 321, 40))
        assert lattice.row_edges().tolist() == list(range(0, 241, 40))

    @pytest.mark.parametrize(
        ("x", "y", "cell"),
        [(-1, -1, 0), (-32768, 5, 0), (37, 0, 3), (32767, 32767, 11), (5, 23, 8), (36, 22, 11), (0, -7, 0)],
    )
    def test_centres_outside_the_frame_count_at_its_edge(
        self, make_vectors: VectorMaker, x: int, y: int, cell: int
    ) -> None:
        assert LATTICE.cell_of(np.array([x]), np.array([y])).tolist() == [cell]


class TestUniformDensity:
    @settings(max_examples=300)
    @given(ROWS, st.sampled_from((0.0, 0.25, 0.5, 1.0, 1.25, 2.0, 5.0)))
    @example([(1, 1, 3, 4, 1), (1, 1, 6, 8, 2), (1, 1, 12, 16, 4)], 5.0)  # |d| is exactly eps
    @example([(1, 1, 3, 4, 4), (1, 1, 5, 0, 4), (1, 1, 5, 1, 4)], 1.25)
    def test_without_sampling_it_is_the_count_of_vectors_longer_than_eps(
        self, make_vectors: VectorMaker, rows: list[Row], eps: float
    ) -> None:
        density = feed(UniformDensity(LATTICE, eps=eps, samples=EVERYTHING), [make_vectors(rows)])
        kept = [row for row in rows if squared_length(row) > Fraction(eps) ** 2]
        expected = Counter(slow_cell(LATTICE, row) for row in kept)
        assert cells_of(density) == [expected[cell] for cell in range(12)]
        assert density.cells.shape == (3, 4)
        assert (density.vectors, density.kept, density.sampled) == (len(rows), len(kept), len(kept))

    @settings(max_examples=150)
    @given(ROWS, st.data(), st.sampled_from((7, EVERYTHING)))
    def test_neither_batches_nor_order_change_the_map(
        self, make_vectors: VectorMaker, rows: list[Row], data: st.DataObject, samples: int
    ) -> None:
        whole = feed(UniformDensity(LATTICE, eps=1.0, samples=samples), [make_vectors(rows)])
        shuffled = data.draw(st.permutations(rows))
        cut = data.draw(st.integers(0, len(rows)))
        parts = [make_vectors(shuffled[:cut]), make_vectors(shuffled[cut:])]
        assert same(whole, feed(UniformDensity(LATTICE, eps=1.0, samples=samples), parts))

    @settings(max_examples=150)
    @given(ROWS, st.integers(1, 30), st.integers(0, 2**63 - 1))
    def test_a_sample_has_its_size_and_no_more_of_a_cell_than_there_is(
        self, make_vectors: VectorMaker, rows: list[Row], samples: int, seed: int
    ) -> None:
        batch = [make_vectors(rows)]
        everything = feed(UniformDensity(LATTICE, eps=1.0, samples=EVERYTHING), batch)
        sample = feed(UniformDensity(LATTICE, eps=1.0, samples=samples), batch, seed)
        assert sample.sampled == sum(cells_of(sample)) == min(samples, everything.kept)
        assert sample.kept == everything.kept
        assert bool(np.all((sample.cells >= 0) & (sample.cells <= everything.cells)))
        assert same(sample, feed(UniformDensity(LATTICE, eps=1.0, samples=samples), batch, seed))

    def test_samples_follow_the_law_of_draws_without_replacement(self, make_vectors: VectorMaker) -> None:
        counts = [40, 0, 25, 10, 5, 0, 0, 0, 0, 0, 0, 20]
        rows = [
            (10 * (cell % 4), 8 * (cell // 4), 8, 0, 4) for cell in range(12) for _ in range(counts[cell])
        ]
        total, size, times = len(rows), 70, 4000
        estimator = UniformDensity(LATTICE, eps=1.0, samples=size)
        estimator.add(make_vectors(rows))
        maps = repeat(estimator, times)
        share = np.array(counts) / total
        # moments of the multivariate hypergeometric law; with replacement the variance is 3.3 times this
        mean = size * share
        covariance = size * (np.diag(share) - np.outer(share, share)) * (total - size) / (total - 1)
        variance = np.diag(covariance)
        assert bool(np.all(np.abs(maps.mean(axis=0) - mean) <= 4 * np.sqrt(variance / times)))
        assert np.cov(maps.T) == pytest.approx(covariance, rel=0.1, abs=0.15)

        rng = np.random.default_rng(11)
        places = np.repeat(np.arange(12), counts)
        reference = np.stack(
            [np.bincount(rng.choice(places, size, replace=False), minlength=12) for _ in range(times)]
        )
        error = np.sqrt(2 * variance / times)
        assert bool(np.all(np.abs(maps.mean(axis=0) - reference.mean(axis=0)) <= 4 * error))

    def test_a_population_too_large_for_an_exact_draw_keeps_the_size_of_the_sample(
        self, make_vectors: VectorMaker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(motion, "_EXACT_DRAW_LIMIT", 1000)
        estimator = UniformDensity(LATTICE, eps=1.0, samples=600)
        estimator.add(make_vectors([(1, 1, 8, 0, 4)] * 2000 + [(30, 20, 8, 0, 4)] * 4000))
        maps = repeat(estimator, 300)
        assert set(maps.sum(axis=1).tolist()) == {600}
        assert maps.mean(axis=0)[[0, 11]] == pytest.approx([200, 400], abs=4 * math.sqrt(133 / 300))

    def test_a_clip_without_vectors_gives_an_empty_map(self, make_vectors: VectorMaker) -> None:
        density = feed(UniformDensity(LATTICE, eps=1.0, samples=5), [])
        assert (density.vectors, density.kept, density.sampled, int(density.cells.sum())) == (0, 0, 0, 0)


def scattered(seed: int, count: int, low: int = 0, high: int = 200) -> list[Row]:
    """Vectors at random places with random lengths, in quarter pixels."""
    rng = np.random.default_rng(seed)
    table = np.column_stack(
        [
            rng.integers(0, 37, count),
            rng.integers(0, 23, count),
            rng.integers(low, high, (count, 2)) * rng.choice((-1, 1), (count, 2)),
            np.full(count, 4),
        ]
    )
    return [tuple(row) for row in table.tolist()]


class TestImportanceDensity:
    @settings(max_examples=150)
    @given(ROWS, st.sampled_from((0.01, 0.1, 0.25, 0.6, 1.0)))
    def test_what_is_kept_are_the_longest_vectors(
        self, make_vectors: VectorMaker, rows: list[Row], share: float
    ) -> None:
        parts = Importance(kept=share, sampled=1.0)  # all that is kept shows in the map
        density = feed(ImportanceDensity(LATTICE, parts), [make_vectors(rows)], seed=len(rows))
        ranked = sorted((row for row in rows if squared_length(row)), key=squared_length, reverse=True)
        size = min(len(ranked), math.ceil(Fraction(str(share)) * len(rows)))
        assert (density.vectors, density.kept, density.sampled) == (len(rows), size, size)
        shortest = squared_length(ranked[size - 1]) if size else Fraction(0)
        longer = Counter(slow_cell(LATTICE, row) for row in ranked if squared_length(row) > shortest)
        tied = Counter(slow_cell(LATTICE, row) for row in ranked if squared_length(row) == shortest)
        assert sum(cells_of(density)) == size
        for cell, count in enumerate(cells_of(density)):
            assert longer[cell] <= count <= longer[cell] + tied[cell]

    @pytest.mark.parametrize("count", [1, 99, 100, 101, 1000, 1001, 9999])
    def test_one_percent_is_kept_and_a_tenth_of_it_sampled_both_rounded_up(
        self, make_vectors: VectorMaker, count: int
    ) -> None:
        density = feed(ImportanceDensity(LATTICE), [make_vectors(scattered(count, count, low=1))])
        kept = -(-count // 100)
        assert (density.kept, density.sampled, int(density.cells.sum())) == (
            kept,
            -(-kept // 10),
            -(-kept // 10),
        )

    def test_only_the_longest_are_ever_sampled_and_each_of_them_sometimes(
        self, make_vectors: VectorMaker
    ) -> None:
        lattice = Lattice(30, 40, 400, 300)
        rng = np.random.default_rng(3)
        lengths = rng.permutation(np.arange(801, 2001))  # one vector a cell, no two of one length
        rows: list[Row] = [
            (10 * (cell % 40), 10 * (cell // 40), int(length), 0, 4) for cell, length in enumerate(lengths)
        ]
        estimator = ImportanceDensity(lattice)
        estimator.add(make_vectors(rows))
        seen = repeat(estimator, 300).sum(axis=0)
        longest = sorted(range(1200), key=lambda cell: -int(lengths[cell]))[:12]
        assert set(np.flatnonzero(seen).tolist()) == set(longest)

    def test_vectors_of_zero_length_are_never_kept(self, make_vectors: VectorMaker) -> None:
        still: list[Row] = [(5, 5, 0, 0, 4)] * 990
        density = feed(ImportanceDensity(LATTICE), [make_vectors([*still, (30, 20, 1, 0, 4)])])
        assert (density.vectors, density.kept, density.sampled) == (991, 1, 1)
        assert cells_of(density) == [0] * 11 + [1]
        density = feed(ImportanceDensity(LATTICE), [make_vectors(still)])
        assert (density.vectors, density.kept, density.sampled, int(density.cells.sum())) == (990, 0, 0, 0)

    def test_displacements_are_compared_in_pixels_across_scales(self, make_vectors: VectorMaker) -> None:
        # 3 px at scale 1 is longer than 5 half pixels and 11 quarter pixels
        rows: list[Row] = [(0, 0, 5, 0, 2), (30, 0, 3, 0, 1), (0, 20, 11, 0, 4)]
        estimator = ImportanceDensity(LATTICE, Importance(sampled=1.0))
        assert cells_of(feed(estimator, [make_vectors(rows)]))[3] == 1

    @settings(max_examples=100)
    @given(ROWS, st.data())
    def test_neither_batches_nor_order_nor_compaction_change_the_map(
        self, make_vectors: VectorMaker, rows: list[Row], data: st.DataObject
    ) -> None:
        shuffled = data.draw(st.permutations(rows))
        cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
        bounds = [0, *cuts, len(rows)]
        batches = [make_vectors(shuffled[a:b]) for a, b in pairwise(bounds)]
        half = Importance(kept=0.5)
        with pytest.MonkeyPatch.context() as patch:
            whole = feed(ImportanceDensity(LATTICE, half), [make_vectors(rows)], seed=9)
            patch.setattr(motion, "_COMPACT_AT", data.draw(st.sampled_from((1, 5, 1 << 20))))
            assert same(whole, feed(ImportanceDensity(LATTICE, half), batches, seed=9))

    def test_a_long_clip_in_small_batches_is_the_same_clip(
        self, make_vectors: VectorMaker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = scattered(2, 30_000, high=60)
        whole = feed(ImportanceDensity(LATTICE), [make_vectors(rows)])
        monkeypatch.setattr(motion, "_COMPACT_AT", 1000)
        parts = [make_vectors(rows[start : start + 700]) for start in range(0, len(rows), 700)]
        estimator = ImportanceDensity(LATTICE)
        assert same(whole, feed(estimator, parts))
        assert whole.kept == 300

    def test_reading_the_result_twice_changes_nothing(self, make_vectors: VectorMaker) -> None:
        estimator = ImportanceDensity(LATTICE)
        estimator.add(make_vectors(scattered(8, 500)))
        first = estimator.result(np.random.default_rng(1))
        assert same(first, estimator.result(np.random.default_rng(1)))

    def test_the_first_draw_follows_the_fourth_power_of_the_length(self, make_vectors: VectorMaker) -> None:
        still: list[Row] = [(5, 5, 0, 0, 4)] * 198
        estimator = ImportanceDensity(LATTICE)
        estimator.add(make_vectors([*still, (0, 0, 4, 0, 4), (30, 20, 0, 8, 4)]))
        maps = repeat(estimator, 4000)
        assert set(maps.sum(axis=1).tolist()) == {1}
        share = 16 / 17  # 2^4 to 1^4
        assert maps[:, 11].mean() == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 4000))

    def test_without_the_power_each_that_is_kept_is_drawn_alike(self, make_vectors: VectorMaker) -> None:
        estimator = ImportanceDensity(LATTICE, Importance(kept=1.0, sampled=0.5, exponent=0))
        estimator.add(make_vectors([(0, 0, 4, 0, 4), (30, 20, 0, 800, 4)]))
        maps = repeat(estimator, 4000)
        assert set(maps.sum(axis=1).tolist()) == {1}
        assert maps[:, 11].mean() == pytest.approx(0.5, abs=4 * math.sqrt(0.25 / 4000))

    def test_later_draws_are_without_replacement(self, make_vectors: VectorMaker) -> None:
        lengths = [4, 5, 6, 7, 8, 9, 4, 5, 6, 7, 8]  # eleven are kept, two of them sampled
        rows: list[Row] = [(10 * (i % 4), 8 * (i // 4), length, 0, 4) for i, length in enumerate(lengths)]
        estimator = ImportanceDensity(LATTICE)
        estimator.add(make_vectors([*rows, *[(0, 0, 0, 0, 4)] * 1089]))
        times = 6000
        maps = repeat(estimator, times)
        assert int(maps.max()) == 1
        p = np.array(lengths, float) ** 4
        p /= p.sum()
        second = [sum(p[j] * p[i] / (1 - p[j]) for j in range(11) if j != i) for i in range(11)]
        included = p + np.array(second)
        error = np.sqrt(included * (1 - included) / times)
        assert bool(np.all(np.abs(maps[:, :11].mean(axis=0) - included) <= 4 * error))

    def test_ties_at_the_limit_are_drawn_at_random(self, make_vectors: VectorMaker) -> None:
        rows: list[Row] = [(0, 0, 8, 0, 4)] * 3000 + [(30, 20, 0, -8, 4)] * 7000
        estimator = ImportanceDensity(LATTICE, Importance(sampled=1.0))
        estimator.add(make_vectors(rows))
        maps = repeat(estimator, 500)
        assert set(maps.sum(axis=1).tolist()) == {100}
        assert maps.mean(axis=0)[[0, 11]] == pytest.approx([30, 70], abs=4 * math.sqrt(21 / 500))

    def test_an_empty_clip_gives_an_empty_map(self) -> None:
        density = feed(ImportanceDensity(LATTICE), [])
        assert (density.vectors, density.kept, density.sampled, int(density.cells.sum())) == (0, 0, 0, 0)
        assert density.cells.shape == (3, 4)


class TestClipSeed:
    def test_it_is_the_documented_hash(self) -> None:
        expected = int(hashlib.sha256(b"7:v_Diving_g01_c01").hexdigest()[:16], 16) // 2
        assert clip_seed(7, "v_Diving_g01_c01") == expected

    @given(st.integers(0, 2**63 - 1), st.text(max_size=20))
    def test_it_is_a_seed_that_numpy_and_a_64_bit_column_take(self, seed: int, clip_id: str) -> None:
        value: Any = clip_seed(seed, clip_id)
        assert 0 <= value < 2**63
        np.random.default_rng(value)

    def test_clips_and_seeds_differ(self) -> None:
        assert len({clip_seed(seed, f"clip-{n}") for seed in range(30) for n in range(30)}) == 900

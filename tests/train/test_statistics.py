"""Tests and intervals are those of their definitions, told again by counting every case."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mocrop_train.evaluation.statistics import bootstrap, bootstrap_apart, holm, mcnemar, sign_flip


@pytest.mark.parametrize(
    ("wins", "losses", "p"),
    [(10, 2, 0.03857421875), (2, 10, 0.03857421875), (5, 0, 0.0625), (0, 0, 1.0), (3, 3, 1.0), (6, 1, 0.125)],
)
def test_known_values_of_the_exact_test(wins: int, losses: int, p: float) -> None:
    assert mcnemar(wins, losses) == p


@given(wins=st.integers(0, 6), losses=st.integers(0, 6))
def test_p_is_the_share_of_all_coin_throws_at_least_as_uneven(wins: int, losses: int) -> None:
    trials = wins + losses
    throws = itertools.product((0, 1), repeat=trials)
    uneven = sum(abs(2 * sum(throw) - trials) >= abs(wins - losses) for throw in throws)
    assert mcnemar(wins, losses) == pytest.approx(float(Fraction(uneven, 2**trials)))


def test_p_of_thousands_of_clips_is_still_a_number() -> None:
    assert 0 < mcnemar(2600, 2400) < 0.01
    assert mcnemar(5000, 0) < 1e-300


@given(st.lists(st.integers(-6, 6), max_size=11))
def test_the_sign_flip_test_counts_every_way_to_turn_the_gains(gains: list[int]) -> None:
    ways = list(itertools.product((1, -1), repeat=len(gains)))
    sums = [sum(sign * gain for sign, gain in zip(way, gains, strict=True)) for way in ways]
    far = sum(abs(total) >= abs(sum(gains)) for total in sums)
    assert sign_flip(np.array(gains, dtype=np.int64)) == pytest.approx(float(Fraction(far, len(ways))))


@given(wins=st.integers(0, 300), losses=st.integers(0, 300), ties=st.integers(0, 9))
def test_the_sign_flip_test_of_one_run_each_is_mcnemars(wins: int, losses: int, ties: int) -> None:
    gains = np.array([1] * wins + [-1] * losses + [0] * ties, dtype=np.int64)
    assert sign_flip(gains) == pytest.approx(mcnemar(wins, losses), rel=1e-9)


def test_gains_of_several_runs_over_thousands_of_clips_are_still_counted() -> None:
    rng = np.random.default_rng(3)
    gains = rng.integers(-3, 4, 4000)
    # the sum of many independent signs is nearly normal
    z = abs(gains.sum()) / np.sqrt((gains**2).sum())
    assert sign_flip(gains) == pytest.approx(2 * (1 - _normal(z)), abs=2e-3)
    assert sign_flip(np.abs(gains)) < 1e-300


def _normal(z: float) -> float:
    steps = np.linspace(-9, z, 200_001)
    return float(np.trapezoid(np.exp(-(steps**2) / 2) / np.sqrt(2 * np.pi), steps))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_holm_refuses_what_the_step_by_step_procedure_refuses(ps: list[float]) -> None:
    adjusted = holm(ps)
    for level in (0.01, 0.05, 0.3):
        left = dict(enumerate(ps))
        while (
            left
        ):  # the smallest is held against the level over how many are left; the first to pass ends it
            at = min(left, key=lambda place: (left[place], place))
            if left[at] * len(left) > level:
                break
            del left[at]
        assert [p <= level for p in adjusted] == [at not in left for at in range(len(ps))]


def test_holm_of_one_comparison_changes_nothing() -> None:
    assert holm([0.03]) == [0.03]
    assert holm([0.02, 0.01, 0.9]) == [0.04, 0.03, 0.9]


def test_the_interval_is_that_of_the_binomial_where_it_is_known() -> None:
    gain = np.array([1] * 300 + [0] * 700)
    low, high = bootstrap(gain, np.arange(1000), seed=0)
    error = 1.96 * (0.3 * 0.7 / 1000) ** 0.5
    assert low == pytest.approx(0.3 - error, abs=0.003)
    assert high == pytest.approx(0.3 + error, abs=0.003)


def test_the_interval_over_groups_and_seeds_is_that_of_every_draw() -> None:
    gains = np.random.default_rng(2).random((2, 7))
    members = np.array([0, 0, 1, 2, 2, 2, 3])
    means: list[float] = []
    for drawn in itertools.product(range(4), repeat=4):
        clips = [clip for group in drawn for clip in np.flatnonzero(members == group)]
        draws = itertools.product(range(2), repeat=2)
        means += [
            float(np.mean([[gains[seed, clip] for clip in clips] for seed in seeds])) for seeds in draws
        ]
    assert bootstrap(gains, members, seed=0) == pytest.approx(_middle(means), abs=0.01)


def _middle(means: Sequence[float]) -> list[float]:
    """Return where the middle 95 % of equally likely means begin and end."""
    ends: list[float] = np.quantile(means, (0.025, 0.975), method="inverted_cdf").tolist()
    return ends


def test_seeds_that_do_not_pair_are_drawn_apart() -> None:
    first, other = np.array([[1.0], [5.0]]), np.array([[0.0], [10.0], [100.0]])
    means = [
        float(np.mean(one) - np.mean(two))
        for one in itertools.product((1, 5), repeat=2)
        for two in itertools.product((0, 10, 100), repeat=3)
    ]
    found = bootstrap_apart(first, other, np.array([0]), seed=0)
    assert found == pytest.approx(_middle(means), abs=0.01)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        gains = rng.choice([-1, 0, 1], size=120, p=[0.1, 0.6, 0.3])
        low, high = bootstrap(gains, np.arange(120), seed=1)
        held += low <= 0.2 <= high
    assert 88 <= held <= 99


def test_the_same_seed_gives_the_same_interval_and_another_a_near_one() -> None:
    gain = np.random.default_rng(0).integers(-1, 2, 80)
    each = np.arange(80)
    assert bootstrap(gain, each, seed=1) == bootstrap(gain, each, seed=1)
    assert bootstrap(gain, each, seed=2) == pytest.approx(bootstrap(gain, each, seed=1), abs=0.03)

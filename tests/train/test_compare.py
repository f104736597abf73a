"""Paired comparison: exact, repeatable, and only of what is comparable."""

from __future__ import annotations

import dataclasses
import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mocrop_train.errors import TrainError
from mocrop_train.evaluation.compare import bootstrap, compare, format_json, format_table, mcnemar
from mocrop_train.evaluation.predictions import ClipPrediction, Predictions, write_predictions


def predictions(right: list[bool], *, groups: list[str] | None = None, label: int = 0) -> Predictions:
    clips = [
        ClipPrediction(
            f"clip{i:04d}", groups[i] if groups else "", label, label if hit else 1 - label, [0.5, 0.5]
        )
        for i, hit in enumerate(right)
    ]
    top1 = sum(right) / max(1, len(right))
    return Predictions("toy", "test", ["a", "b"], "resnet18", "run/best.pt", top1, 1.0, {"a": top1}, clips)


def written(path: Path, what: Predictions) -> Path:
    path.write_text(write_predictions(what))
    return path


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


def test_two_files_are_compared_clip_by_clip(tmp_path: Path) -> None:
    right = [True] * 70 + [False] * 30
    other = [True] * 60 + [False] * 10 + [True] * 2 + [False] * 28
    a = written(tmp_path / "a.json", predictions(right))
    b = written(tmp_path / "b.json", predictions(other))
    found = compare(a, b)
    assert (found.clips, found.first_top1, found.other_top1) == (100, 0.70, 0.62)
    assert (found.wins, found.losses, found.ties) == (10, 2, 88)
    assert found.difference == pytest.approx(0.08)
    assert found.p == 0.03857421875
    assert found.interval[0] < 0.08 < found.interval[1]
    assert found.group_interval is None
    back = compare(b, a)
    assert (back.wins, back.losses, back.p) == (2, 10, found.p)


def test_the_interval_is_that_of_the_binomial_where_it_is_known() -> None:
    gain = np.array([1] * 300 + [0] * 700)
    low, high = bootstrap(gain, np.arange(1000), seed=0)
    error = 1.96 * (0.3 * 0.7 / 1000) ** 0.5
    assert low == pytest.approx(0.3 - error, abs=0.003)
    assert high == pytest.approx(0.3 + error, abs=0.003)


def test_an_interval_over_groups_is_wider_when_groups_stand_together(tmp_path: Path) -> None:
    groups = [f"g{i // 10}" for i in range(100)]
    ours = [i // 10 % 2 == 0 for i in range(100)]
    a = written(tmp_path / "a.json", predictions(ours, groups=groups))
    b = written(tmp_path / "b.json", predictions([False] * 100, groups=groups))
    found = compare(a, b)
    assert found.groups == 10
    assert found.group_interval is not None
    clips_wide = found.interval[1] - found.interval[0]
    groups_wide = found.group_interval[1] - found.group_interval[0]
    assert groups_wide > 2 * clips_wide


def test_the_same_seed_gives_the_same_interval_and_another_a_near_one() -> None:
    gain = np.random.default_rng(0).integers(-1, 2, 80)
    each = np.arange(80)
    assert bootstrap(gain, each, seed=1) == bootstrap(gain, each, seed=1)
    assert bootstrap(gain, each, seed=2) == pytest.approx(bootstrap(gain, each, seed=1), abs=0.03)


def test_identical_predictions_are_not_apart(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", predictions([True, False, True]))
    found = compare(path, path)
    assert (found.wins, found.losses, found.ties, found.p, found.interval) == (0, 0, 3, 1.0, (0.0, 0.0))


def test_other_clips_labels_or_classes_are_refused_in_one_line(tmp_path: Path) -> None:
    a = written(tmp_path / "a.json", predictions([True, True, False]))
    cases = {
        "different clips: 1 are in one only, such as clip0002": predictions([True, True]),
        "different labels for 3 clips, such as clip0000": predictions([True, True, False], label=1),
        "different classes": dataclasses.replace(predictions([True, True, False]), classes=["a", "c"]),
    }
    for message, what in cases.items():
        b = written(tmp_path / "b.json", what)
        with pytest.raises(TrainError, match=message) as caught:
            compare(a, b)
        assert "\n" not in str(caught.value)
    empty = written(tmp_path / "empty.json", predictions([]))
    with pytest.raises(TrainError, match="no clips to compare"):
        compare(empty, empty)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a prediction file"),
        ('{"format": "mocrop-predictions", "version": 3}', "version 3"),
        ('{"format": "mocrop-predictions", "version": 2}', "incomplete: 'shards'"),
        ('{"format": "mocrop-predictions", "version": 1}', "incomplete: 'shards'"),
    ],
)
def test_what_is_no_prediction_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(TrainError, match=rf"a\.json: {message}"):
        compare(path, path)


def test_clips_that_occur_twice_are_refused(tmp_path: Path) -> None:
    one = predictions([True])
    path = written(tmp_path / "a.json", dataclasses.replace(one, clips=one.clips * 2))
    with pytest.raises(TrainError, match="a clip occurs twice"):
        compare(path, path)


def test_the_order_of_the_clips_in_a_file_does_not_matter(tmp_path: Path) -> None:
    ours, other = predictions([True, False, False, True]), predictions([True, True, False, False])
    a = written(tmp_path / "a.json", ours)
    b = written(tmp_path / "b.json", dataclasses.replace(other, clips=other.clips[::-1]))
    assert compare(a, b).wins == 1
    assert compare(a, b).losses == 1


def test_the_table_has_one_line_for_each_other_file(tmp_path: Path) -> None:
    a = written(tmp_path / "a.json", predictions([True] * 10))
    others = [written(tmp_path / f"{n}.json", predictions([True] * n + [False] * (10 - n))) for n in (4, 9)]
    comparisons = [compare(a, other) for other in others]
    lines = format_table(comparisons).splitlines()
    assert "top-1 100.0% of 10 clips" in lines[0]
    assert [line.split()[0].rpartition("/")[2] for line in lines[3:5]] == ["4.json", "9.json"]
    assert "+60.0" in lines[3]
    assert "0.0312" in lines[3]
    assert format_json(comparisons).count('"wins"') == 2

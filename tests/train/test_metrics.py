"""The numbers of predictions are those of their definitions, told again clip by clip."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mocrop_train.errors import TrainError
from mocrop_train.evaluation import metrics
from mocrop_train.evaluation.predictions import ClipPrediction, Predictions


def told(labels: list[int], scores: list[list[float]], classes: int) -> Predictions:
    clips = [
        ClipPrediction(f"c{i:03d}", "", label, row.index(max(row)), row)
        for i, (label, row) in enumerate(zip(labels, scores, strict=True))
    ]
    return Predictions("toy", "test", [f"k{i}" for i in range(classes)], "m", "c", 0.0, 0.0, {}, clips)


@st.composite
def predictions(draw: st.DrawFn) -> Predictions:
    classes, clips = draw(st.integers(2, 8)), draw(st.integers(1, 30))
    labels = [draw(st.integers(0, classes - 1)) for _ in range(clips)]
    # few weights, so that classes are often equally likely and shares lie on the edges of bins
    weights = [[draw(st.sampled_from((0, 1, 1, 2, 5, 40))) for _ in range(classes)] for _ in range(clips)]
    for row in weights:
        row[draw(st.integers(0, classes - 1))] += 1
    return told(labels, [[weight / sum(row) for weight in row] for row in weights], classes)


@given(predictions())
def test_the_confusion_matrix_counts_every_clip_at_its_place(found: Predictions) -> None:
    matrix = metrics.confusion(found)
    assert matrix.dtype == np.int64
    for true in range(len(found.classes)):
        for predicted in range(len(found.classes)):
            clips = [c for c in found.clips if (c.label, c.prediction) == (true, predicted)]
            assert matrix[true, predicted] == len(clips)


@given(predictions())
def test_the_share_of_a_class_is_that_of_its_own_clips(found: Predictions) -> None:
    shares = metrics.recalls(metrics.confusion(found))
    for label, share in enumerate(shares):
        own = [clip for clip in found.clips if clip.label == label]
        right = sum(clip.prediction == label for clip in own)
        assert share == (right / len(own) if own else None)


@given(predictions(), st.integers(1, 6))
def test_top_k_looks_through_the_sorted_classes(found: Predictions, k: int) -> None:
    labels, _, scores = metrics.arrays(found)
    right = 0
    for clip in found.clips:
        ranked = sorted(range(len(clip.scores)), key=lambda label: (-clip.scores[label], label))
        right += clip.label in ranked[:k]
    assert metrics.top_k(labels, scores, k) == pytest.approx(right / len(found.clips))


@given(predictions(), st.integers(1, 20))
def test_calibration_is_that_of_its_definition(found: Predictions, bins: int) -> None:
    told = metrics.calibration(found, bins)
    clips = len(found.clips)
    ece = 0.0
    for number in range(bins):
        inside = [
            clip
            for clip in found.clips
            if number / bins < max(clip.scores) <= (number + 1) / bins
            or (number == 0 and not max(clip.scores))
        ]
        assert told.bins[number][2] == len(inside)
        if inside:
            confidence = sum(max(clip.scores) for clip in inside) / len(inside)
            accuracy = sum(clip.prediction == clip.label for clip in inside) / len(inside)
            assert list(told.bins[number][:2]) == pytest.approx([confidence, accuracy])
            ece += len(inside) / clips * abs(accuracy - confidence)
    brier = sum(
        (share - (label == clip.label)) ** 2
        for clip in found.clips
        for label, share in enumerate(clip.scores)
    )
    nll = sum(-math.log(clip.scores[clip.label] or 5e-324) for clip in found.clips)
    assert told.ece == pytest.approx(ece, abs=1e-12)
    assert told.brier == pytest.approx(brier / clips)
    assert told.nll == pytest.approx(nll / clips)


def test_nll_is_the_cross_entropy_of_torch() -> None:
    logits = torch.randn(50, 7, generator=torch.Generator().manual_seed(1)).double() * 8
    labels = torch.arange(50) % 7
    found = metrics.nll_per_clip(labels.numpy(), logits.softmax(1).numpy())
    assert found == pytest.approx(torch.nn.functional.cross_entropy(logits, labels, reduction="none").numpy())


def test_a_model_that_is_as_sure_as_it_is_right_has_no_calibration_error() -> None:
    found = told([0, 0, 0, 1], [[0.75, 0.25]] * 4, 2)
    assert metrics.calibration(found).ece == 0
    assert metrics.calibration(found).numbers()["brier"] == pytest.approx((3 * 0.125 + 1.125) / 4)


def test_without_clips_there_is_no_number() -> None:
    with pytest.raises(TrainError, match="no clips to score"):
        metrics.calibration(told([], [], 2))


@given(clips=st.integers(1, 400), data=st.data())
def test_wilsons_interval_ends_where_the_score_test_does(clips: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, clips))
    low, high = metrics.wilson(right, clips)
    assert 0 <= low <= right / clips <= high <= 1
    for end in (low, high):
        if 0 < end < 1:  # a share that is just not refused at 5 %
            assert abs(right / clips - end) / math.sqrt(end * (1 - end) / clips) == pytest.approx(1.959964)


def test_wilsons_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    clips, truth = 60, Fraction(7, 10)
    held = sum(
        math.comb(clips, right) * truth**right * (1 - truth) ** (clips - right)
        for right in range(clips + 1)
        if metrics.wilson(right, clips)[0] <= truth <= metrics.wilson(right, clips)[1]
    )
    assert 0.93 < held < 0.97

"""Crops against boxes: shares by counting pixels, intervals by drawing clips one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mocrop_manifests import Clip
from mocrop_prep.boxes import ActorBox
from mocrop_prep.config import METHODS
from mocrop_prep.errors import UsageError
from mocrop_prep.evaluation import parse_areas
from mocrop_prep.evaluation.annotations import Annotation, by_clip, fit
from mocrop_prep.evaluation.bootstrap import clip_draws, estimate, pooled_mean, pooled_tenth, tenth
from mocrop_prep.evaluation.candidates import (
    DEFAULT_METHOD,
    manifest_candidates,
    matched_center,
    method_candidates,
    reference_of,
)
from mocrop_prep.evaluation.judge import Verdict
from mocrop_prep.evaluation.measures import measure
from mocrop_prep.evaluation.shares import frame_shares, share_inside
from mocrop_prep.evaluation.tables import estimate_cell, markdown_table, text_table
from mocrop_prep.geometry import Box

SIDE = 24
Sides = tuple[int, int, int, int]


def clip(clip_id: str, path: str) -> Clip:
    return Clip(clip_id, path, 0, "walk", "train", "")


def annotation(frames: Sequence[int], boxes: Sequence[Sequence[float]]) -> Annotation:
    return Annotation(np.array(frames, np.int64), np.array(boxes, np.float64).reshape(-1, 4))


def pixels(box: Sequence[int]) -> np.ndarray:
    x, y, w, h = box
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y : y + h, x : x + w] = True
    return mask


@st.composite
def rectangles(draw: st.DrawFn) -> Sides:
    x, y = draw(st.integers(0, SIDE - 1)), draw(st.integers(0, SIDE - 1))
    return x, y, draw(st.integers(1, SIDE - x)), draw(st.integers(1, SIDE - y))


@given(st.lists(rectangles(), min_size=1, max_size=6), rectangles())
def test_the_share_inside_is_that_of_the_pixels(boxes: list[Sides], crop: Sides) -> None:
    expected = [(pixels(box) & pixels(crop)).sum() / pixels(box).sum() for box in boxes]
    assert share_inside(np.array(boxes, float), Box(*crop)) == pytest.approx(expected, abs=1e-12)


@given(rectangles())
def test_a_box_in_the_crop_is_inside_to_the_last_bit(box: Sides) -> None:
    assert share_inside(np.array([box], float), Box(0, 0, SIDE, SIDE)).tolist() == [1.0]


def test_several_actors_in_a_frame_count_as_their_mean() -> None:
    boxes = annotation([7, 2, 7, 7], [(0, 0, 4, 4), (2, 0, 4, 4), (4, 0, 4, 4), (20, 20, 4, 4)])
    assert frame_shares(boxes, Box(0, 0, 4, 8)).tolist() == pytest.approx([0.5, 1 / 3])


def test_odd_boxes_are_cut_or_dropped_and_counted_and_cost_no_other() -> None:
    frames = [0, 1, 2, 3, 4, -1, 10, 5]
    boxes = [
        (2, 3, 4, 5),
        (-4, -2, 8, 8),
        (40, 3, 4, 4),
        (2, 2, 0, 4),
        (math.nan, 2, 4, 4),
        (1, 1, 2, 2),
        (1, 1, 2, 2),
        (30, 20, 9, 9),
    ]
    fitted = fit(annotation(frames, boxes), width=32, height=24, frames=10)
    assert fitted.annotation.frames.tolist() == [0, 1, 5]
    assert fitted.annotation.boxes.tolist() == [[2, 3, 4, 5], [0, 0, 4, 6], [30, 20, 2, 4]]
    assert (fitted.late, fitted.outside, fitted.cut) == (2, 3, 2)


def test_boxes_of_a_larger_source_are_scaled_first() -> None:
    fitted = fit(annotation([0], [(100, 40, 60, 20)]), width=80, height=30, frames=1, scale=(0.5, 0.25))
    assert fitted.annotation.boxes.tolist() == [[50, 10, 30, 5]]


def test_boxes_find_their_clip_by_file_name_or_clip_id_and_the_rest_is_noted() -> None:
    clips = [
        clip("walk__a", "walk/a.avi"),
        clip("run__a", "run/a.mp4"),
        clip("walk__b", "walk/b.tar.avi"),
        clip("run__bare", "run/bare.avi"),
    ]
    box = ActorBox("0", 10**30, 1.0, 2.0, 3.0, 4.0)
    found, notes = by_clip(clips, {"a": [box], "run__a": [box], "b.tar": [box, box], "nobody": [box]})
    assert {clip_id: len(one.frames) for clip_id, one in found.items()} == {"run__a": 1, "walk__b": 2}
    assert [note.rpartition(": ")[2] for note in notes] == [
        "1 (a)",
        "1 (nobody)",
        "2 (walk__a, run__bare)",
    ]


@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(1, 60), st.integers(1, 9))
def test_draws_give_what_drawing_whole_clips_gives(seed: int, clips: int, most: int, kinds: int) -> None:
    rng = np.random.default_rng(seed)
    frames = rng.integers(1, most + 1, clips)
    owners = np.repeat(np.arange(clips), frames)
    values = rng.integers(0, kinds, len(owners)) / kinds  # with ties
    draws = clip_draws(clips, seed=seed, draws=20)
    assert (draws.sum(axis=1) == clips).all()
    means, tenths = [], []
    for counts in draws:
        drawn = np.concatenate([values[owners == one] for one in np.repeat(np.arange(clips), counts)])
        means.append(drawn.mean())
        tenths.append(np.sort(drawn)[math.ceil(len(drawn) / 10) - 1])
    assert pooled_mean(values, owners, frames, draws) == pytest.approx(means)
    assert pooled_tenth(values, owners, draws).tolist() == tenths


def test_the_tenth_is_exact_for_more_frames_than_blocks() -> None:
    rng = np.random.default_rng(3)
    owners = np.sort(rng.integers(0, 5, 3001))
    values = rng.random(3001)
    draws = clip_draws(5, seed=1, draws=50)
    expected = [
        tenth(np.concatenate([np.tile(values[owners == one], counts[one]) for one in range(5)]))
        for counts in draws
    ]
    assert pooled_tenth(values, owners, draws).tolist() == expected


def test_the_tenth_is_the_least_value_that_a_tenth_of_all_does_not_exceed() -> None:
    assert tenth(np.arange(10) / 10) == 0.0
    assert tenth(np.arange(11) / 10) == 0.1
    assert tenth(np.array([0.5])) == 0.5


def test_one_clip_supports_no_interval() -> None:
    assert estimate(0.4, np.full(20, 0.4), clips=1).interval is None
    assert estimate_cell(estimate(0.4, np.full(20, 0.4), clips=1)) == "40.0"


def test_the_interval_of_a_mean_is_that_of_the_textbook() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0.6, 0.1, 400)
    owners, frames = np.arange(400), np.ones(400, np.int64)
    drawn = pooled_mean(values, owners, frames, clip_draws(400, seed=0))
    interval = estimate(values.mean(), drawn, clips=400).interval
    error = 1.96 * values.std() / math.sqrt(400)
    assert interval == pytest.approx((values.mean() - error, values.mean() + error), abs=error / 10)


def verdict(clip_id: str, *shares: Sequence[float]) -> Verdict:
    table = np.array(shares)
    crops = tuple(Box(0, 0, 8, 8) for _ in shares)
    return Verdict(clip_id, crops, np.full(len(shares), 0.5), table, table.shape[1], 0, 0, 0)


def test_a_clip_with_many_frames_weighs_by_them_and_differences_are_paired() -> None:
    candidates = manifest_candidates(["mine", "theirs"])
    long = verdict("a", [1.0] * 9, [0.95] * 9)
    short = verdict("b", [0.5], [0.45])
    lines, differences = measure([long, short], candidates)
    assert lines[0].figures.inside.value == pytest.approx(0.95)
    assert [line.figures.whole.value for line in lines] == pytest.approx([0.9, 0.9])
    assert [line.figures.tenth.value for line in lines] == [0.5, 0.45]
    assert [(one.first.name, one.other.name) for one in differences] == [("mine", "theirs")]
    # the same in every frame: whatever is drawn, the difference stays, though each value moves
    assert differences[0].figures.inside.interval == pytest.approx((0.05, 0.05))
    assert lines[0].figures.inside.interval == pytest.approx((0.5, 1.0))


def test_every_method_is_judged_at_every_area_and_compared_at_it_with_the_default() -> None:
    candidates = method_candidates(METHODS, [0.75, 0.5])
    others = {name for name in METHODS if name != "full"}
    for area in (0.75, 0.5):
        assert {one.name for one in candidates if one.area == area} == others
    assert [one.name for one in candidates].count("full") == 1
    for one in candidates:
        reference = reference_of(one, candidates)
        if one.name in ("full", DEFAULT_METHOD):
            assert reference is None
        else:
            assert reference is not None
            assert (reference.name, reference.area) == (DEFAULT_METHOD, one.area)


def test_the_default_method_is_judged_whoever_else_is() -> None:
    assert {one.name for one in method_candidates(["center"], [0.5])} >= {"center", DEFAULT_METHOD}


def test_an_area_that_no_window_has_is_refused() -> None:
    with pytest.raises(UsageError, match="no window of cells"):
        method_candidates(["mocrop-v1"], [0.001])


@given(st.integers(8, 64), st.integers(8, 64), st.integers(1, 64))
def test_the_matched_centre_has_the_size_of_the_square_it_is_matched_to(
    width: int, height: int, side: int
) -> None:
    side = min(side, width, height)
    twin = matched_center(Box(width - side, 0, side, side), width, height)
    assert twin == Box((width - side) // 2, (height - side) // 2, side, side)


def test_areas_are_read_in_their_order_each_once() -> None:
    assert parse_areas(" .5, 0.25,.5 ,1") == (0.5, 0.25, 1.0)
    assert parse_areas("") == ()


@pytest.mark.parametrize("text", ["half", ".5;.6", ".5,", "0", "1.5", "nan"])
def test_areas_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="area"):
        parse_areas(text)


def test_tables_line_up_and_are_markdown_where_asked(tmp_path: Path) -> None:
    head, rows = ("crop", "area", "inside"), [("full", "1", "100.0"), ("center", "own", "7.0")]
    assert text_table(head, rows) == [
        "crop    area  inside",
        "full       1   100.0",
        "center   own     7.0",
    ]
    assert markdown_table(head, rows)[:3] == [
        "| crop | area | inside |",
        "| --- | --- | --- |",
        "| full | 1 | 100.0 |",
    ]

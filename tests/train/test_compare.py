"""Paired comparison: exact, repeatable, and only of what is comparable."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mocrop_train.errors import TrainError
from mocrop_train.evaluation.compare import compare, compare_files
from mocrop_train.evaluation.comparison_text import format_json, format_markdown, format_table
from mocrop_train.evaluation.predictions import ClipPrediction, Predictions, write_predictions
from mocrop_train.evaluation.statistics import holm


def predictions(right: list[bool], *, groups: list[str] | None = None, label: int = 0) -> Predictions:
    clips = [
        ClipPrediction(
            f"clip{i:04d}", groups[i] if groups else "", label, label if hit else 1 - label, [0.5, 0.5]
        )
        for i, hit in enumerate(right)
    ]
    top1 = sum(right) / max(1, len(right))
    return Predictions("toy", "test", ["a", "b"], "resnet18", "run/best.pt", top1, 1.0, {"a": top1}, clips)


def in_classes(labels: list[int], right: list[bool]) -> Predictions:
    classes = max(labels) + 1
    clips = []
    for i, (label, hit) in enumerate(zip(labels, right, strict=True)):
        said = label if hit else (label + 1) % classes
        clips.append(
            ClipPrediction(f"clip{i:04d}", "", label, said, [float(k == said) for k in range(classes)])
        )
    return Predictions("toy", "test", [f"k{i}" for i in range(classes)], "m", "c", 0.0, 1.0, {}, clips)


def written(path: Path, what: Predictions) -> Path:
    path.write_text(write_predictions(what))
    return path


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
    assert [one["wins"] for one in json.loads(format_json(comparisons))["comparisons"]] == [6, 1]


def test_one_checkpoint_on_two_sets_is_told_and_so_is_another_network(tmp_path: Path) -> None:
    one = dataclasses.replace(predictions([True, False]), weights_sha256="c", shards_sha256="s", crops="full")
    center = dataclasses.replace(one, shards_sha256="t", crops="center")
    a, b = written(tmp_path / "a.json", one), written(tmp_path / "b.json", center)
    assert compare(a, b).notes == ["one checkpoint on two sets of crops: full, and center"]
    assert compare(a, a).notes == ["one checkpoint on one set of crops: only how it was evaluated can differ"]
    swin = written(tmp_path / "s.json", dataclasses.replace(center, model="swin_t", weights_sha256="d"))
    assert compare(a, swin).notes == [
        "the networks differ, resnet18 and swin_t: not only what they were shown"
    ]


@pytest.mark.parametrize(
    ("told", "warning"),
    [
        ({"selected_on": "test"}, "chosen by its accuracy on split test"),
        ({"split": "val", "selected_on": "val"}, "chosen by its accuracy on split val"),
        ({"split": "train", "selected_on": "val"}, "of split train, from which its network has learned"),
        ({"selected_on": "val"}, ""),
        ({"selected_on": "train groups"}, ""),
        ({"selected_on": "last"}, ""),
        ({"selected_on": ""}, ""),
    ],
)
def test_an_accuracy_that_is_too_good_is_warned_of(
    tmp_path: Path, told: dict[str, Any], warning: str
) -> None:
    plain = {**told, "selected_on": ""}
    a = written(tmp_path / "a.json", dataclasses.replace(predictions([True, False]), **plain))
    b = written(tmp_path / "b.json", dataclasses.replace(predictions([True, False]), **told))
    warnings = [line for line in compare(a, b).warnings if line.startswith(str(b))]
    assert len(warnings) == bool(warning)
    assert warning in "".join(warnings)


def test_classes_are_told_by_how_much_they_gain(tmp_path: Path) -> None:
    labels = [0, 0, 0, 0, 1, 1, 1, 2, 2]
    ours = [True, True, True, False, False, False, True, True, False]
    other = [False, False, True, False, True, True, False, True, False]
    a, b = (
        written(tmp_path / f"{name}.json", in_classes(labels, right))
        for name, right in (("a", ours), ("b", other))
    )
    found = compare(a, b)
    told = [(one.name, one.clips, one.wins, one.losses) for one in found.classes]
    assert told == [("k0", 4, 2, 0), ("k2", 2, 0, 0), ("k1", 3, 1, 2)]
    for one in found.classes:
        own = [at for at, label in enumerate(labels) if f"k{label}" == one.name]
        assert one.first == pytest.approx(sum(ours[at] for at in own) / len(own))
        assert one.difference == pytest.approx(sum(ours[at] - other[at] for at in own) / len(own))
    text = format_table([found], shown=1)
    assert "1 lose, 1 gain, of 3" in text
    assert text.index("k1 ") < text.index("k0 ")  # the worst first
    assert "by class" not in format_table([found], shown=0)


def test_the_difference_of_log_losses_has_a_sign_and_an_interval(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sure, unsure = ([[x, 1 - x] for x in rng.uniform(low, 0.99, 60).tolist()] for low in (0.8, 0.3))
    a, b = (
        written(
            tmp_path / f"{name}.json",
            dataclasses.replace(
                predictions([True] * 60),
                clips=[
                    ClipPrediction(f"c{i:02d}", "", 0, int(row[0] < 0.5), row) for i, row in enumerate(rows)
                ],
            ),
        )
        for name, rows in (("a", sure), ("b", unsure))
    )
    found = compare(a, b)
    losses = [-np.log([row[0] for row in rows]).mean() for rows in (sure, unsure)]
    assert (found.first_nll, found.other_nll) == pytest.approx(tuple(losses))
    assert found.nll_difference == pytest.approx(losses[0] - losses[1])
    assert found.nll_interval[0] < found.nll_difference < found.nll_interval[1] < 0


def test_several_comparisons_adjust_their_p(tmp_path: Path) -> None:
    a = written(tmp_path / "a.json", predictions([True] * 12))
    others = [
        written(tmp_path / f"{n}.json", predictions([True] * n + [False] * (12 - n))) for n in (3, 5, 11)
    ]
    found = compare_files([[a], *([other] for other in others)])
    assert [one.p_holm for one in found] == holm([one.p for one in found])
    assert [one.group_p_holm for one in found] == [None] * 3
    assert "p Holm" in format_table(found)
    assert "p Holm" not in format_table(found[:1])


def test_markdown_has_the_same_numbers_in_tables_that_names_cannot_break(tmp_path: Path) -> None:
    side = dataclasses.replace(predictions([True, True, False]), classes=["a | b\x1b", "c"])
    a = written(tmp_path / "a.json", side)
    b = written(tmp_path / "b.json", dataclasses.replace(predictions([False] * 3), classes=side.classes))
    text = format_markdown([compare(a, b)])
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert "+66.7" in text
    assert "\x1b" not in text
    for line in tables:
        assert line.endswith(" |")
    (row,) = [line for line in tables if line.startswith("| a ")]
    assert row.replace("\\|", "").count("|") == 8


def test_names_are_neither_html_nor_links_nor_code_in_markdown(tmp_path: Path) -> None:
    name = "<img src=x> [a](http://b) `c` *d* e_f_g \\"
    side = dataclasses.replace(predictions([True, False]), classes=[name, "c"])
    a = written(tmp_path / "a.json", side)
    b = written(tmp_path / "*<b>.json", dataclasses.replace(predictions([False] * 2), classes=side.classes))
    text = format_markdown([compare(a, b)])
    assert r"\<img src=x> [a]\(http://b) \`c\` \*d\* e_f_g \\ |" in text
    assert text.count(r"\*\<b>.json") == 3  # in both tables of sides, and where its classes are told
    assert not re.search(r"(?<!\\)[<`*]", text)
    assert name in format_table([compare(a, b)])


def test_other_splits_and_groups_are_refused(tmp_path: Path) -> None:
    a = written(tmp_path / "a.json", predictions([True, False], groups=["g", "h"]))
    for message, what in {
        "different splits, test and val": {"split": "val"},
        "different groups for 1 clips, such as clip0001": {
            "clips": predictions([True, False], groups=["g", "x"]).clips
        },
    }.items():
        changed: Any = what
        b = written(
            tmp_path / "b.json",
            dataclasses.replace(predictions([True, False], groups=["g", "h"]), **changed),
        )
        with pytest.raises(TrainError, match=message):
            compare(a, b)

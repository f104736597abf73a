"""Sides of several seeds: a clip counts by its mean, and the spread of the runs is in the interval."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from mocrop_train.cli import compare_main
from mocrop_train.errors import TrainError
from mocrop_train.evaluation.compare import compare_files
from mocrop_train.evaluation.comparison_text import format_table
from mocrop_train.evaluation.predictions import ClipPrediction, Predictions, write_predictions
from mocrop_train.evaluation.statistics import mcnemar


def seeds(folder: Path, name: str, runs: list[list[bool]], *, groups: list[str] | None = None) -> list[Path]:
    """Write one file for each run of a side; its seed is its number."""
    files = []
    for seed, right in enumerate(runs):
        clips = [
            ClipPrediction(f"clip{i:04d}", groups[i] if groups else "", 0, 0 if hit else 1, [0.5, 0.5])
            for i, hit in enumerate(right)
        ]
        whole = Predictions("toy", "test", ["a", "b"], "resnet18", "run/best.pt", 0.0, 1.0, {}, clips)
        told = dataclasses.replace(whole, seed=seed, weights_sha256=f"{name}{seed}")
        files.append(folder / f"{name}-s{seed}.json")
        files[-1].write_text(write_predictions(told))
    return files


def test_a_clip_of_several_seeds_counts_by_its_mean(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    ours = (rng.random((3, 12)) < 0.8).tolist()
    other = (rng.random((3, 12)) < 0.5).tolist()
    groups = [f"g{i // 2}" for i in range(12)]
    (found,) = compare_files(
        [seeds(tmp_path, "a", ours, groups=groups), seeds(tmp_path, "b", other, groups=groups)[::-1]]
    )
    gains = [sum(r[i] for r in ours) - sum(r[i] for r in other) for i in range(12)]
    assert found.difference == pytest.approx(sum(gains) / 36)
    assert (found.wins, found.losses) == (sum(g > 0 for g in gains), sum(g < 0 for g in gains))
    assert found.p == pytest.approx(turned(gains))
    by_group = [gains[2 * i] + gains[2 * i + 1] for i in range(6)]
    assert found.group_p == pytest.approx(turned(by_group))
    # the files of the other side came in another order: equal seeds make pairs
    assert found.paired_by == "seed"
    assert [pair.difference for pair in found.pairs] == pytest.approx(
        [(sum(a) - sum(b)) / 12 for a, b in zip(ours, other, strict=True)]
    )
    for pair, a, b in zip(found.pairs, ours, other, strict=True):
        wins = sum(x and not y for x, y in zip(a, b, strict=True))
        losses = sum(y and not x for x, y in zip(a, b, strict=True))
        assert (pair.wins, pair.losses, pair.p) == (wins, losses, mcnemar(wins, losses))
    differences = [pair.difference for pair in found.pairs]
    assert found.spread == pytest.approx(np.std(differences, ddof=1))
    assert found.interval[0] < found.difference < found.interval[1]


def turned(gains: list[int]) -> float:
    ways = list(itertools.product((1, -1), repeat=len(gains)))
    sums = [abs(sum(sign * gain for sign, gain in zip(way, gains, strict=True))) for way in ways]
    return sum(total >= abs(sum(gains)) for total in sums) / len(ways)


def test_the_interval_of_runs_that_differ_much_is_wider_than_that_of_one(tmp_path: Path) -> None:
    good, bad, other = [True] * 90 + [False] * 10, [True] * 40 + [False] * 60, [True] * 65 + [False] * 35
    (alike,) = compare_files([seeds(tmp_path, "a", [good] * 3), seeds(tmp_path, "b", [other] * 3)])
    (apart,) = compare_files([seeds(tmp_path, "c", [good, bad, good]), seeds(tmp_path, "d", [other] * 3)])
    assert alike.spread == 0
    assert apart.spread == pytest.approx(np.std([0.25, -0.25, 0.25], ddof=1))
    wide = [one.interval[1] - one.interval[0] for one in (alike, apart)]
    assert wide[1] > 2 * wide[0]


def test_sides_with_other_numbers_of_runs_are_compared_without_pairs(tmp_path: Path) -> None:
    right = [True, True, False, False, True]
    (found,) = compare_files(
        [seeds(tmp_path, "a", [right, right[::-1]]), seeds(tmp_path, "b", [[False] * 5])]
    )
    assert (found.pairs, found.paired_by, found.spread) == ([], "", None)
    assert found.difference == pytest.approx(0.6)
    text = format_table([found])
    assert "runs, 2 against 1, which do not pair" in text
    assert "a-s0.json (+1): top-1 60.0%, mean of 2 runs, of 5 clips" in text


def test_a_file_may_not_stand_twice_on_a_side_nor_a_checkpoint_unnoticed(tmp_path: Path) -> None:
    (a,) = seeds(tmp_path, "a", [[True, False]])
    (b,) = seeds(tmp_path, "b", [[True, False]])
    with pytest.raises(TrainError, match="a file occurs twice on one side"):
        compare_files([[a, a], [b]])
    copy = tmp_path / "copy.json"
    copy.write_bytes(a.read_bytes())
    (found,) = compare_files([[a, copy], [b]])
    assert found.notes == ["a checkpoint occurs twice on one side: its runs are not independent"]


def test_a_side_of_several_networks_or_crops_is_told(tmp_path: Path) -> None:
    a = seeds(tmp_path, "a", [[True, False]] * 2)
    b = seeds(tmp_path, "b", [[True, False]] * 2)
    assert compare_files([a, b])[0].notes == []
    for old, new, note in (
        ('"crops": ""', '"crops": "center"', "one side has runs on several sets of crops: toy, center"),
        (
            '"model": "resnet18"',
            '"model": "swin_t"',
            "one side has runs of several networks: resnet18, swin_t",
        ),
    ):
        text = b[1].read_text()
        assert old in text
        b[1].write_text(text.replace(old, new))
        assert note in compare_files([a, b])[0].notes
        b[1].write_text(text)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(compare_main, [str(argument) for argument in arguments])


def test_vs_stands_between_sides_and_every_file_is_one_without_it(tmp_path: Path) -> None:
    a = seeds(tmp_path, "a", [[True, True, False, True]] * 2)
    b = seeds(tmp_path, "b", [[False, True, False, False]] * 2)
    sides = call(*a, "vs", *b, "--json", tmp_path / "t.json", "--markdown", tmp_path / "t.md")
    assert sides.exit_code == 0, sides.output
    (one,) = json.loads((tmp_path / "t.json").read_text())["comparisons"]
    assert [len(one[side]) for side in ("first_runs", "other_runs")] == [2, 2]
    assert one["difference"] == 0.5
    assert "paired by seed" in sides.stdout
    assert "| +50.0 |" in (tmp_path / "t.md").read_text()
    files = call(*a, *b, "--json", tmp_path / "t.json")
    assert files.exit_code == 0, files.output
    assert len(json.loads((tmp_path / "t.json").read_text())["comparisons"]) == 3


def test_a_warning_is_told_on_stderr_and_kept_in_what_is_written(tmp_path: Path) -> None:
    (a,) = seeds(tmp_path, "a", [[True, False]])
    (b,) = seeds(tmp_path, "b", [[True, False]])
    b.write_text(b.read_text().replace('"selected_on": ""', '"selected_on": "test"'))
    found = call(a, b, "--markdown", tmp_path / "t.md")
    assert found.exit_code == 0
    (line,) = found.stderr.splitlines()
    assert line.startswith(f"{b}: its checkpoint was chosen by its accuracy on split test")
    assert f"note: {line}" in found.stdout
    assert line in (tmp_path / "t.md").read_text()


@pytest.mark.parametrize("words", [["vs", "b"], ["a", "vs"], ["a", "vs", "vs", "b"], ["vs"]])
def test_a_side_without_files_is_bad_usage(words: list[str]) -> None:
    found = call(*words)
    assert found.exit_code == 2
    assert found.stderr.startswith("mocrop-compare: vs stands between two sides")
    assert len(found.stderr.splitlines()) == 1


def test_a_folder_is_no_prediction_file(tmp_path: Path) -> None:
    found = call(tmp_path, tmp_path)
    assert found.exit_code == 2
    assert found.stderr.splitlines() == [f"mocrop-compare: {tmp_path}: cannot be read: Is a directory"]

"""One checkpoint on several shard sets: checked first, each evaluated once, in one table."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from mocrop_train import loop
from mocrop_train.cli import main
from mocrop_train.config import TrainConfig
from mocrop_train.errors import TrainError
from mocrop_train.evaluation import evaluate, set_table, write
from mocrop_train.evaluation.compare import compare
from mocrop_train.evaluation.predictions import ClipPrediction, Predictions, read_predictions
from mocrop_train.evaluation.sets import evaluate_sets
from mocrop_train.report import plots

TINY = TrainConfig(model="mobilenet_v2", epochs=1, batch_size=8, device="cpu", segments=1)
FILES = [
    "confusion.csv",
    "confusion.png",
    "evaluated.json",
    "metrics.json",
    "predictions.json",
    "reliability.png",
]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def full(shared_toys: Any) -> Path:
    """The shard set that the checkpoint was trained on."""
    folder: Path = shared_toys.write("full", shared_toys.clips(train=6))
    return folder


@pytest.fixture(scope="module")
def best(full: Path) -> Path:
    loop.train(full, full.parent / "run", TINY)
    return full.parent / "run" / "best.pt"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the sets that are evaluated from here on, as they come."""
    names: list[str] = []
    evaluated = evaluate.evaluate

    def noted(loaded: Any, held: Any, label: str) -> Any:
        names.append(held.folder.name)
        return evaluated(loaded, held, label)

    monkeypatch.setattr(evaluate, "evaluate", noted)
    return names


def test_every_set_gets_its_results_and_the_table_is_that_of_the_files(
    toys: Any, tmp_path: Path, full: Path, best: Path
) -> None:
    small = toys.write("small", toys.clips(size=(24, 24)), size=24)
    result = call("--eval", f"whole={full}", small, "--checkpoint", best, "--out", tmp_path / "eval")
    assert result.exit_code == 0, result.output
    whole, other = (
        read_predictions(tmp_path / "eval" / name / "predictions.json") for name in ("whole", "small")
    )
    assert whole == read_predictions(best.parent / "predictions.json")
    assert other == evaluate.evaluate_checkpoint(small, best)
    for name in ("whole", "small"):
        assert sorted(path.name for path in (tmp_path / "eval" / name).iterdir()) == FILES
    rows = list(csv.DictReader(io.StringIO((tmp_path / "eval" / "eval.csv").read_text())))
    assert [row["set"] for row in rows] == ["whole", "small"]
    assert [float(row["top1"]) for row in rows] == pytest.approx([whole.top1, other.top1])
    paired = compare(*(tmp_path / "eval" / name / "predictions.json" for name in ("small", "whole")))
    told = [float(rows[1][name]) for name in ("difference", "wins", "losses", "p")]
    assert told == pytest.approx([paired.difference, paired.wins, paired.losses, paired.p], abs=1e-5)
    assert rows[0]["p"] == ""
    assert f"| small | {100 * other.top1:.1f} [" in (tmp_path / "eval" / "eval.md").read_text()
    assert f"{100 * paired.difference:+.1f}" in result.stdout


def test_what_is_done_is_not_done_again_unless_checkpoint_or_shards_change(
    toys: Any, tmp_path: Path, full: Path, best: Path, seen: list[str]
) -> None:
    sets = [("a", full), ("b", toys.write("other"))]
    out = tmp_path / "eval"
    first = evaluate_sets(sets, best, out)
    assert seen == ["full", "other"]
    made_of = json.loads((out / "b" / "evaluated.json").read_text())
    assert made_of["weights"] == first["b"].weights_sha256
    assert evaluate_sets(sets, best, out) == first
    assert seen == ["full", "other"]
    before = {path.name: path.read_bytes() for path in (out / "a").iterdir()}
    for file in write.BESIDE:
        (out / "a" / file).unlink()
    assert evaluate_sets(sets, best, out) == first
    assert {path.name: path.read_bytes() for path in (out / "a").iterdir()} == before
    assert seen == ["full", "other"]
    toys.write("other", [clip for clip in toys.clips() if clip.clip_id != "across__test_000"])
    assert len(evaluate_sets(sets, best, out)["b"].clips) == 11
    assert seen == ["full", "other", "other"]
    evaluate_sets(sets, best, out, {"limit": 5})
    assert seen[3:] == ["full", "other"]
    (out / "a" / "predictions.json").write_text("{}")  # what somebody changed is not trusted
    evaluate_sets(sets[:1], best, out, {"limit": 5})
    assert seen[5:] == ["full"]
    saved = torch.load(best, weights_only=True)
    copied, trained = tmp_path / "copied.pt", tmp_path / "trained.pt"
    torch.save({**saved, "step": 0}, copied)  # the same weights, whatever else the file holds
    evaluate_sets(sets[:1], copied, out, {"limit": 5})
    assert seen[6:] == []
    next(tensor for name, tensor in saved["model"].items() if name.endswith("bias"))[0] += 1
    torch.save(saved, trained)
    evaluate_sets(sets[:1], trained, out, {"limit": 5})
    assert seen[6:] == ["full"]


def test_an_interrupted_evaluation_keeps_what_is_done(
    toys: Any, tmp_path: Path, full: Path, best: Path, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = ["--eval", f"a={full}", f"b={toys.write('b')}", f"c={toys.write('c')}"]
    arguments = [*sets, "--checkpoint", best, "--out", tmp_path / "eval"]
    with monkeypatch.context() as patch:
        evaluated = evaluate.evaluate

        def interrupted(loaded: Any, held: Any, label: str) -> Any:
            if held.folder.name == "b":
                raise KeyboardInterrupt
            return evaluated(loaded, held, label)

        patch.setattr(evaluate, "evaluate", interrupted)
        assert call(*arguments).exit_code == 130
    assert seen == ["full"]
    assert call(*arguments).exit_code == 0
    assert seen == ["full", "b", "c"]


def test_results_that_were_not_finished_do_not_count(
    tmp_path: Path, full: Path, best: Path, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(plots, "confusion_png", interrupted)
        with pytest.raises(KeyboardInterrupt):
            evaluate_sets([("a", full)], best, tmp_path / "eval")
    evaluate_sets([("a", full)], best, tmp_path / "eval")
    assert seen == ["full", "full"]


def test_all_sets_are_checked_before_the_first_is_evaluated(
    toys: Any, tmp_path: Path, full: Path, best: Path, seen: list[str]
) -> None:
    renamed = toys.write("renamed", classes=("across", "down", "upwards"))
    without = toys.write("without", toys.clips(test=0))
    cut = toys.write("cut")
    shard = next(cut.glob("test-*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    moved = [clip for clip in toys.clips() if clip.split == "test"]
    moved[-1].label = 0
    labels = toys.write("labels", moved)
    lone = [clip for clip in toys.clips() if clip.split == "test"]
    lone[0].group = ""
    groups = toys.write("groups", lone)
    for second, message in (
        (renamed, "only in the checkpoint: slanted"),
        (without, "no clips in split test"),
        (cut, "make the shards again"),
        (labels, "full and second: different labels for 1 clips, such as slanted__test_011"),
        (groups, "full and second: different groups for 1 clips, such as across__test_000"),
        (tmp_path / "nowhere", "no such file; is .*nowhere a shard set"),
    ):
        result = call(
            "--eval", f"full={full}", f"second={second}", "--checkpoint", best, "--out", tmp_path / "e"
        )
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert re.search(message, line), line
    assert seen == []
    assert not (tmp_path / "e").exists()


def test_sets_of_other_clips_are_told_and_not_paired(
    toys: Any, tmp_path: Path, full: Path, best: Path
) -> None:
    fewer = toys.write("fewer", [clip for clip in toys.clips() if clip.clip_id != "across__test_000"])
    sets = ["--eval", f"full={full}", f"fewer={fewer}"]
    result = call(*sets, "--checkpoint", best, "--out", tmp_path / "eval")
    assert result.exit_code == 0
    assert "full and fewer: different clips, so they are not paired: 1 are in one only" in result.stderr
    assert "-: not of the same clips as full" in result.stdout


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["a={full}", "a={full}"], "both are named a"),
        (["a={full}", "A={full}"], "both are named A"),
        (["{full}", "full={full}"], "both are named full"),
        (["a b={full}"], "is no name for a folder of results"),
        (["..={full}"], "is no name for a folder of results"),
        (["={full}"], "write NAME=DIR"),
        (["a="], "write NAME=DIR"),
    ],
)
def test_names_are_those_of_folders_and_each_stands_once(
    tmp_path: Path, full: Path, best: Path, sets: list[str], message: str
) -> None:
    named = [text.format(full=full) for text in sets]
    result = call("--eval", *named, "--checkpoint", best, "--out", tmp_path / "eval")
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_bare_folder_may_have_an_equals_sign(toys: Any, tmp_path: Path, best: Path) -> None:
    toys.write("lr=3")
    found = call("--eval", f"x={tmp_path / 'lr=3'}", "--checkpoint", best, "--out", tmp_path / "eval")
    assert found.exit_code == 0, found.output
    found = call("--eval", tmp_path / "lr=3", "--checkpoint", best, "--out", tmp_path / "eval")
    assert "'lr=3' is no name for a folder of results" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--eval", "a=x"], "--eval needs --checkpoint"),
        (["--eval", "a=x", "--checkpoint", "b.pt"], "--eval needs --out"),
        (["--eval", "a=x", "--shards", "s", "--checkpoint", "b.pt"], "and training, not with --eval"),
        (["a=x", "--shards", "s"], "unexpected extra argument a=x; NAME=DIR goes with --eval"),
        ([], "training needs --shards"),
        (["--eval-only", "--shards", "s"], "--eval-only needs --checkpoint"),
    ],
)
def test_bad_usage_is_one_line(arguments: list[str], message: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_numbers_beside_predictions_are_those_of_the_clips(best: Path) -> None:
    run = best.parent
    said = read_predictions(run / "predictions.json")
    rows = list(csv.reader((run / "confusion.csv").read_text().splitlines()))
    assert rows[0] == ["true class", *said.classes]
    for label, row in enumerate(rows[1:]):
        assert row[0] == said.classes[label]
        for predicted, count in enumerate(row[1:]):
            own = [clip for clip in said.clips if (clip.label, clip.prediction) == (label, predicted)]
            assert int(count) == len(own)
    told = json.loads((run / "metrics.json").read_text())
    assert (told["top1"], told["nll"], told["clips"]) == (said.top1, said.calibration["nll"], 12)
    assert told["selected_on"] == said.selected_on != ""
    assert sum(each["clips"] for each in told["bins"]) == 12
    for label, one in enumerate(told["classes"]):
        own, called = (
            [clip for clip in said.clips if getattr(clip, field) == label]
            for field in ("label", "prediction")
        )
        right = sum(clip.prediction == clip.label for clip in own)
        assert (one["clips"], one["right"], one["predicted"]) == (len(own), right, len(called))
        assert one["recall"] == right / len(own)
        assert one["precision"] == (right / len(called) if called else None)
    for picture in ("confusion.png", "reliability.png"):
        assert (run / picture).read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_all_but_the_pictures_is_written(
    tmp_path: Path, best: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said = read_predictions(best.parent / "predictions.json")

    def missing(*_: object) -> bytes:
        raise TrainError("no plots: matplotlib is not installed: pip install 'mocrop[train]'")

    monkeypatch.setattr(plots, "confusion_png", missing)
    write.write_results(tmp_path / "x", said)
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [
        "confusion.csv", "metrics.json", "predictions.json",
    ]  # fmt: skip
    assert "matplotlib is not installed" in caplog.text


def told(right: list[bool], *, groups: bool) -> Predictions:
    """Return predictions of clips in groups of two, or in none."""
    clips = [
        ClipPrediction(f"c{i:03d}", f"g{i // 2}" if groups else "", 0, int(not hit), [0.5, 0.5])
        for i, hit in enumerate(right)
    ]
    shares = {"nll": 0.7, "ece": 0.5, "brier": 0.5}
    return Predictions("s", "test", ["a", "b"], "m", "c", sum(right) / len(right), 1.0, {}, clips, shares)


def test_p_is_over_what_the_interval_is_over_and_adjusted_for_the_sets() -> None:
    right = {"a": [True] * 12, "b": [False] * 12, "c": [False] * 2 + [True] * 10}
    over_clips = {"b": 2 / 2**12, "c": 2 / 2**2}
    over_groups = {"b": 2 / 2**6, "c": 1.0}
    for groups, expected in ((False, over_clips), (True, over_groups)):
        lines = set_table.lines_of({name: told(hits, groups=groups) for name, hits in right.items()})
        assert {line.name: line.p for line in lines[1:]} == expected
        assert [line.p_holm for line in lines] == [None, 2 * expected["b"], expected["c"]]
        rows = list(csv.DictReader(io.StringIO(set_table.format_csv(lines))))
        assert float(rows[1]["p"]) == pytest.approx(over_clips["b"], rel=1e-5)
        assert rows[1]["p_groups"] == (f"{over_groups['b']:.6g}" if groups else "")
        text = set_table.format_text(lines)
        assert ("over groups" in text, "exact McNemar" in text) == (groups, not groups)
        assert "p Holm" in text
        assert "p Holm" not in set_table.format_text(lines[:2])


def test_a_checkpoint_that_was_chosen_on_the_split_is_told_beside_its_table() -> None:
    found = {name: told([True, False], groups=False) for name in ("a", "b")}
    assert "too good" not in set_table.format_text(set_table.lines_of(found))
    peeked = {name: dataclasses.replace(one, selected_on="test") for name, one in found.items()}
    lines = set_table.lines_of(peeked)
    for text in (set_table.format_text(lines), set_table.format_markdown(lines)):
        assert text.count("note: all sets: its checkpoint was chosen by its accuracy on split test") == 1
    rows = csv.DictReader(io.StringIO(set_table.format_csv(lines)))
    assert [row["selected_on"] for row in rows] == ["test", "test"]

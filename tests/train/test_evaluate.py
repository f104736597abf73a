"""Evaluation counts every clip once, over all of its frames, and can be repeated from a checkpoint."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from mocrop_train import loop
from mocrop_train.config import TrainConfig
from mocrop_train.data.shards import ClipEntry
from mocrop_train.errors import TrainError
from mocrop_train.evaluation import evaluate, metrics
from mocrop_train.evaluation.evaluate import clip_logits, evaluate_checkpoint, score
from mocrop_train.evaluation.predictions import (
    ClipPrediction,
    Predictions,
    read_predictions,
    write_predictions,
)
from mocrop_train.run import checkpoint

TINY = TrainConfig(model="mobilenet_v2", epochs=1, batch_size=8, device="cpu", segments=2)


def test_a_clip_is_the_mean_of_its_own_frames() -> None:
    logits = torch.tensor([[1.0, 5.0], [2.0, 2.0], [4.0, 0.0], [9.0, 1.0]])
    found = clip_logits(logits, torch.tensor([1, 3]))
    assert torch.equal(found, torch.tensor([[1.0, 5.0], [5.0, 1.0]]))


def test_accuracies_count_clips_and_classes() -> None:
    clips = [ClipEntry(f"c{i}", label, "", 1) for i, label in enumerate([0, 0, 1, 6])]
    logits = torch.zeros(4, 7)
    logits[0, 0] = 1  # right
    logits[1, 3] = 1  # wrong, but class 0 is among the first five
    logits[2] = torch.tensor([6.0, 0.0, 5.0, 4.0, 3.0, 2.0, 1.0])  # its class comes last
    logits[3, 6] = 1  # right
    logits[1, 0] = 0.5
    scores = score(logits, clips)
    assert scores.top1 == 0.5
    assert scores.top5 == 0.75
    assert scores.per_class == [0.5, 0.0, None, None, None, None, 1.0]
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 0, 1, 6])).item()
    assert scores.loss == pytest.approx(expected)


@pytest.mark.parametrize("freeze", [False, True])
def test_eval_only_repeats_the_predictions_of_the_run(toys: Any, tmp_path: Path, freeze: bool) -> None:
    folder = toys.write()
    report = loop.train(folder, tmp_path / "run", dataclasses.replace(TINY, freeze=freeze))
    again = evaluate_checkpoint(folder, tmp_path / "run" / "best.pt")
    assert report.test is not None
    assert [clip.prediction for clip in again.clips] == [clip.prediction for clip in report.test.clips]
    for a, b in zip(again.clips, report.test.clips, strict=True):
        assert a.scores == pytest.approx(b.scores, abs=2e-6)
    assert again.calibration == pytest.approx(report.test.calibration, abs=1e-4)
    alike: dict[str, Any] = {"clips": [], "calibration": {}}
    assert dataclasses.replace(again, **alike) == dataclasses.replace(report.test, **alike)


def test_a_checkpoint_can_be_evaluated_on_other_shards_of_another_size(toys: Any, tmp_path: Path) -> None:
    loop.train(toys.write(), tmp_path / "run", TINY)
    other = toys.write(
        "keep", toys.clips(size=(40, 56)), aspect="keep", size=40, storage="parquet", sample="frame"
    )
    found = evaluate_checkpoint(other, tmp_path / "run" / "best.pt", split="train")
    assert (found.shards, found.split, len(found.clips)) == ("keep", "train", 24)


def test_the_size_of_batches_does_not_change_predictions(toys: Any, tmp_path: Path) -> None:
    folder = toys.write()
    loop.train(folder, tmp_path / "run", TINY)
    one, many = (
        evaluate_checkpoint(folder, tmp_path / "run" / "best.pt", {"batch_size": size}) for size in (1, 12)
    )
    for a, b in zip(one.clips, many.clips, strict=True):
        assert a.scores == pytest.approx(b.scores, abs=1e-4)


def test_predictions_are_sorted_probabilities_with_groups(toys: Any, tmp_path: Path) -> None:
    loop.train(toys.write(), tmp_path / "run", TINY)
    body = json.loads((tmp_path / "run" / "predictions.json").read_text())
    assert body["format"] == "mocrop-predictions"
    assert body["version"] == 2
    assert body["checkpoint"] == "run/best.pt"
    ids = [clip["clip_id"] for clip in body["clips"]]
    assert ids == sorted(ids)
    assert len(ids) == 12
    for clip in body["clips"]:
        assert sum(clip["scores"]) == pytest.approx(1.0, abs=1e-5)
        assert clip["prediction"] == max(range(3), key=clip["scores"].__getitem__)
        assert clip["group"] in {"g0", "g1", "g2", "g3"}
    right = sum(clip["prediction"] == clip["label"] for clip in body["clips"])
    assert body["top1"] == pytest.approx(right / 12)
    assert [clip["frames"] for clip in body["clips"]] == [
        len(clip.frames) for clip in toys.clips() if clip.split == "test"
    ]


def test_predictions_tell_what_made_them(toys: Any, tmp_path: Path) -> None:
    folder = toys.write()
    report = loop.train(folder, tmp_path / "run", dataclasses.replace(TINY, seed=7))
    test = report.test
    assert test is not None
    assert (test.crops, test.seed) == ("full", 7)
    assert test.shards_sha256 == hashlib.sha256((folder / "dataset.json").read_bytes()).hexdigest()
    assert test.selected_on == report.selected_on == "train groups"
    saved = checkpoint.load(tmp_path / "run" / "best.pt")
    assert test.weights_sha256 == checkpoint.digest(checkpoint.weights(saved))


def test_the_digest_of_weights_is_theirs_alone_and_tells_every_change() -> None:
    weights = {"b": torch.ones(2, 3), "a": torch.tensor(1, dtype=torch.int64), "c": torch.ones(2).bfloat16()}
    known = checkpoint.digest(weights)
    assert checkpoint.digest({**weights, "b": torch.ones(3, 2).T}) == known
    nearly = torch.ones(2, 3)
    nearly[1, 2] = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
    others: list[dict[str, torch.Tensor]] = [
        {**weights, "b": nearly},
        {**weights, "b": torch.ones(3, 2)},
        {**weights, "b": torch.ones(2, 3).double()},
        {"b": weights["b"], "a": weights["a"], "d": weights["c"]},
    ]
    assert len({known, *map(checkpoint.digest, others)}) == 5


def test_the_numbers_of_a_file_are_those_of_its_scores(toys: Any, tmp_path: Path) -> None:
    loop.train(toys.write(), tmp_path / "run", TINY)
    found = read_predictions(tmp_path / "run" / "predictions.json")
    assert metrics.calibration(found).numbers() == found.calibration
    assert metrics.confusion(found).trace() / 12 == found.top1


def test_a_score_of_next_to_nothing_keeps_its_logarithm(toys: Any, tmp_path: Path) -> None:
    folder = toys.write()
    loop.train(folder, tmp_path / "run", TINY)
    loaded = evaluate.load(tmp_path / "run" / "best.pt")
    held = evaluate.hold(folder, loaded)
    logits = torch.tensor([[0.0, 90.0, -300.0]]).repeat(12, 1)
    loss = torch.nn.functional.cross_entropy(
        logits.double(), torch.tensor([c.label for c in held.source.clips])
    )
    whole: dict[str, Any] = {"split": "test", "path": loaded.path, "saved": loaded.saved, "shards_sha256": ""}
    found = evaluate.predictions_of(logits, held.source.clips, held.index, **whole)
    assert found.calibration["nll"] == pytest.approx(loss.item(), rel=1e-5)
    assert score(logits, held.source.clips).loss == pytest.approx(loss.item())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_output_that_is_no_number_is_told_with_its_clip(bad: float) -> None:
    logits = torch.zeros(3, 4)
    logits[1, 2] = bad
    with pytest.raises(TrainError, match="clip c1: the network's output is not finite"):
        score(logits, [ClipEntry(f"c{i}", 0, "", 1) for i in range(3)])


def test_files_of_version_1_are_still_read(tmp_path: Path) -> None:
    clip = {"clip_id": "a", "group": "g", "label": 1, "prediction": 0, "scores": [1.0, 0.0]}
    head = {
        "format": "mocrop-predictions",
        "version": 1,
        "shards": "toy",
        "split": "test",
        "model": "resnet18",
    }
    numbers = {"checkpoint": "run/best.pt", "top1": 0.0, "top5": 1.0, "per_class": {"b": 0.0}}
    path = tmp_path / "old.json"
    path.write_text(json.dumps({**head, **numbers, "classes": ["a", "b"], "clips": [clip]}))
    found = read_predictions(path)
    assert (found.calibration, found.selected_on, found.seed, found.clips[0].frames) == ({}, "", None, 0)
    # six decimals: what was written as 0 was less than 5e-7
    assert metrics.calibration(found).nll == pytest.approx(-math.log(5e-7))
    path.write_text(write_predictions(found))
    assert read_predictions(path) == found


@pytest.mark.parametrize(
    "scores", ["[NaN, 1.0]", "[-0.1, 1.1]", "[0.5, 0.1]", "[1e999, 0.0]", f"[1{'0' * 400}, 0]"]
)
def test_scores_that_are_no_probabilities_are_refused(tmp_path: Path, scores: str) -> None:
    clip = ClipPrediction("a", "", 0, 0, [0.625, 0.375])
    body = write_predictions(Predictions("toy", "test", ["a", "b"], "m", "c", 1.0, 1.0, {}, [clip]))
    path = tmp_path / "a.json"
    path.write_text(body.replace("[0.625, 0.375]", scores))
    with pytest.raises(TrainError, match="clip 'a' has scores that are no probabilities"):
        read_predictions(path)


def test_prediction_files_come_back_as_they_were_written(toys: Any, tmp_path: Path) -> None:
    report = loop.train(toys.write(), tmp_path / "run", TINY)
    path = tmp_path / "run" / "predictions.json"
    assert read_predictions(path) == report.test
    assert write_predictions(read_predictions(path)) == path.read_text()


def test_classes_that_differ_from_the_checkpoint_are_named(toys: Any, tmp_path: Path) -> None:
    folder = toys.write()
    loop.train(folder, tmp_path / "run", TINY)
    best = tmp_path / "run" / "best.pt"
    renamed = toys.write("renamed", classes=("across", "down", "upwards"))
    with pytest.raises(TrainError, match=r"only in the checkpoint: slanted; only in the shards: upwards"):
        evaluate_checkpoint(renamed, best)
    turned = toys.write("turned", classes=("down", "across", "slanted"))
    with pytest.raises(TrainError, match="the same names in another order"):
        evaluate_checkpoint(turned, best)


def test_a_split_without_clips_is_refused(toys: Any, tmp_path: Path) -> None:
    folder = toys.write()
    loop.train(folder, tmp_path / "run", TINY)
    with pytest.raises(TrainError, match="no clips in split val; there are train, test"):
        evaluate_checkpoint(folder, tmp_path / "run" / "best.pt", split="val")


def test_limit_evaluates_a_part(toys: Any, tmp_path: Path) -> None:
    folder = toys.write()
    loop.train(folder, tmp_path / "run", dataclasses.replace(TINY, limit=6))
    best = tmp_path / "run" / "best.pt"
    assert len(evaluate_checkpoint(folder, best).clips) == 12
    assert len(evaluate_checkpoint(folder, best, {"limit": 4}).clips) == 4


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_a_file_that_is_no_checkpoint_is_named(toys: Any, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "best.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrainError, match=r"best\.pt: (no such|not a readable) checkpoint"):
        evaluate_checkpoint(toys.write(), path)


def test_tensors_that_are_no_checkpoint_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "w.pt")
    with pytest.raises(TrainError, match="not a checkpoint of mocrop-train"):
        checkpoint.load(tmp_path / "w.pt")


def test_a_result_for_people_lists_the_worst_class_first(toys: Any, tmp_path: Path) -> None:
    report = loop.train(toys.write(), tmp_path / "run", TINY)
    assert report.test is not None
    per_class = {"across": 0.5, "down": 0.25, "slanted": 1.0}
    text = evaluate.format_result(dataclasses.replace(report.test, top1=0.75, top5=1.0, per_class=per_class))
    assert text.splitlines() == [
        "test: top-1 75.0%, top-5 100.0% of 12 clips",
        "  down      25.0%",
        "  across    50.0%",
        "  slanted  100.0%",
    ]

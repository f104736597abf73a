"""Evaluation counts every clip once, over all of its frames, and can be repeated from a checkpoint."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mocrop_train import loop
from mocrop_train.config import TrainConfig
from mocrop_train.data.shards import ClipEntry
from mocrop_train.errors import TrainError
from mocrop_train.evaluation import evaluate
from mocrop_train.evaluation.evaluate import clip_logits, evaluate_checkpoint, score
from mocrop_train.evaluation.predictions import read_predictions, write_predictions
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
    assert dataclasses.replace(again, clips=[]) == dataclasses.replace(report.test, clips=[])


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
    assert body["version"] == 1
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

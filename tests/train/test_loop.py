"""Whole training runs, small ones: they learn, they stop where they should, they go on to the bit."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from mocrop_manifests import read_dataset
from mocrop_train import config, loop
from mocrop_train.config import TrainConfig
from mocrop_train.data.loading import Batch, ClipFrames
from mocrop_train.data.sampling import ShuffledClips
from mocrop_train.errors import TrainError
from mocrop_train.evaluation import evaluate
from mocrop_train.run import checkpoint, device
from torch import nn

TINY = TrainConfig(model="mobilenet_v2", epochs=3, batch_size=8, device="cpu", workers=0, segments=2)


def weights(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = checkpoint.load(path)["model"]
    return state


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


class KilledError(Exception):
    pass


def interrupt_after(monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    """Let the next run die at the start of the epoch after `epochs`, as a kill there would."""
    whole = loop.train_epoch

    def dying(run: Any, *rest: Any) -> None:
        if run.epoch == epochs:
            raise KilledError
        whole(run, *rest)

    monkeypatch.setattr(loop, "train_epoch", dying)


def test_a_separable_toy_set_is_learned_from_scratch(toys: Any, tmp_path: Path) -> None:
    folder = toys.write(clips=toys.clips(train=60, test=30))
    settings = TrainConfig(epochs=6, batch_size=8, segments=2, device="cpu", min_scale=0.75, flip=False)
    report = loop.train(folder, tmp_path / "run", settings)
    losses = [row["train_loss"] for row in report.history]
    assert losses[-1] < losses[0]
    assert report.test is not None
    assert report.test.top1 > 0.9


def test_a_frozen_run_trains_the_head_alone(toys: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    from mocrop_train.models import build_model

    start = build_model(TINY, 3)
    torch.save(start.backbone.state_dict(), tmp_path / "backbone.pth")
    settings = dataclasses.replace(
        TINY, freeze=True, weights=str(tmp_path / "backbone.pth"), epochs=20, dropout=0.1
    )
    report = loop.train(toys.write(), tmp_path / "run", settings)
    found = weights(tmp_path / "run" / "best.pt")
    for key, value in start.backbone.state_dict().items():
        assert torch.equal(found[f"backbone.{key}"], value), key
    assert report.history[-1]["train_loss"] < report.history[0]["train_loss"]


@pytest.mark.parametrize("freeze", [False, True])
def test_a_resumed_run_ends_with_the_very_weights_of_an_uninterrupted_one(
    toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, freeze: bool
) -> None:
    folder = toys.write(clips=toys.clips(train=20, val=6, test=6))
    settings = dataclasses.replace(TINY, freeze=freeze, dropout=0.3)
    whole = loop.train(folder, tmp_path / "whole", settings)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1)
        with pytest.raises(KilledError):
            loop.train(folder, tmp_path / "cut", settings)
    assert checkpoint.load(tmp_path / "cut" / "last.pt")["epoch"] == 1
    saved = config.resumed(checkpoint.load(tmp_path / "cut" / "last.pt")["config"], {})
    resumed = loop.train(folder, tmp_path / "cut", saved, resume=True)
    for name in ("last.pt", "best.pt"):
        assert same(weights(tmp_path / "whole" / name), weights(tmp_path / "cut" / name))
    assert [row["train_loss"] for row in resumed.history] == [row["train_loss"] for row in whole.history]
    texts = [
        (tmp_path / run / "predictions.json").read_text().replace(f"{run}/best.pt", "")
        for run in ("whole", "cut")
    ]
    assert texts[0] == texts[1]


def test_a_seed_decides_a_run_and_another_seed_another(toys: Any, tmp_path: Path) -> None:
    folder = toys.write(clips=toys.clips(train=12, test=0))
    settings = dataclasses.replace(TINY, epochs=1)
    for name, seed, workers in (("a", 0, 0), ("b", 0, 2), ("c", 1, 0)):
        loop.train(folder, tmp_path / name, dataclasses.replace(settings, seed=seed, workers=workers))
    a, b, c = (weights(tmp_path / name / "last.pt") for name in "abc")
    assert same(a, b)
    assert not same(a, c)


def test_both_storages_train_to_the_same_weights(toys: Any, tmp_path: Path) -> None:
    clips = toys.clips(train=12, test=0)
    found = []
    for storage in ("webdataset", "parquet"):
        folder = toys.write(storage, clips, storage=storage)
        loop.train(folder, tmp_path / f"run-{storage}", dataclasses.replace(TINY, epochs=1))
        found.append(weights(tmp_path / f"run-{storage}" / "last.pt"))
    assert same(*found)


def test_the_best_epoch_on_val_is_kept_and_tested(toys: Any, tmp_path: Path) -> None:
    folder = toys.write(clips=toys.clips(train=18, val=9, test=6))
    report = loop.train(folder, tmp_path / "run", dataclasses.replace(TINY, epochs=4, lr=0.01))
    ranks = [(row["val_top1"], -row["val_loss"]) for row in report.history]
    assert report.best == ranks.index(max(ranks)) + 1
    assert checkpoint.load(tmp_path / "run" / "best.pt")["epoch"] == report.best
    assert checkpoint.load(tmp_path / "run" / "last.pt")["epoch"] == 4


def test_without_anything_to_choose_on_the_last_epoch_is_taken(toys: Any, tmp_path: Path) -> None:
    report = loop.train(toys.write(), tmp_path / "run", dataclasses.replace(TINY, val_share=0.0))
    assert report.best == 3
    assert checkpoint.load(tmp_path / "run" / "best.pt")["epoch"] == 3
    assert "val_top1" not in report.history[0]


def test_a_run_folder_tells_what_was_run_and_how_it_went(toys: Any, tmp_path: Path) -> None:
    loop.train(toys.write(), tmp_path / "run", TINY)
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config.build(about["config"]) == TINY.resolved(32)
    assert about["versions"]["torch"] == torch.__version__
    with (tmp_path / "run" / "log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "best.pt",
        "config.json",
        "confusion.csv",
        "confusion.png",
        "last.pt",
        "log.csv",
        "metrics.json",
        "predictions.json",
        "reliability.png",
        "report.html",
    ]


def test_checkpoints_hold_plain_values_only(toys: Any, tmp_path: Path) -> None:
    loop.train(toys.write(), tmp_path / "run", dataclasses.replace(TINY, epochs=1))
    body = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert body["classes"] == ["across", "down", "slanted"]
    assert body["config"]["model"] == "mobilenet_v2"
    assert {"model", "optimizer", "scaler", "rng", "epoch", "step"} <= body.keys()


def test_a_loss_that_is_no_number_stops_the_run_and_says_where(toys: Any, tmp_path: Path) -> None:
    settings = dataclasses.replace(TINY, optimizer="sgd", lr=1e30, warmup=0.0, schedule="step", val_share=0.0)
    folder = toys.write()
    with pytest.raises(TrainError) as caught:
        loop.train(folder, tmp_path / "run", settings)
    source = ClipFrames(folder, read_dataset(folder), "train")
    second = [source.clips[clip].clip_id for clip, _ in ShuffledClips(source.chunks, 0)][8:16]
    assert str(caught.value) in {
        f"epoch 1, step 2: the loss is {value} at learning rate 1e+30; start anew with a lower --lr (now "
        f"1e+30) or --clip-grad 1; the clips of this batch are {', '.join(second)}"
        for value in ("nan", "inf")
    }
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["config.json"]


@pytest.mark.parametrize("save_every", [0.0, 1e-9])
def test_weights_that_are_no_numbers_are_never_saved(toys: Any, tmp_path: Path, save_every: float) -> None:
    # one step, after which weights are infinite though no loss was
    settings = dataclasses.replace(
        TINY,
        optimizer="sgd",
        lr=1e39,
        warmup=0.0,
        schedule="step",
        epochs=1,
        save_every=save_every,
        val_share=0.0,
    )
    folder = toys.write(clips=toys.clips(train=8, test=3))
    with pytest.raises(TrainError, match=r"epoch 1, step 1: \d+ weights hold nan or inf \(\S+ first\)"):
        loop.train(folder, tmp_path / "run", settings)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["config.json"]


@pytest.mark.parametrize(("batch_size", "clips"), [(2, 16), (3, 17), (3, 20)])
def test_accumulated_batches_make_the_step_of_one_large_batch(
    toys: Any, tmp_path: Path, batch_size: int, clips: int
) -> None:
    # the head of a frozen backbone: without batch normalisation a clip's gradient is its own
    folder = toys.write(clips=toys.clips(train=clips, test=3))
    settings = dataclasses.replace(
        TINY, freeze=True, optimizer="sgd", lr=0.1, epochs=2, clip_grad=0.5, flip=False, val_share=0.0
    )
    steps, found = 2 * math.ceil(clips / (3 * batch_size)), []
    for name, size, accumulate in (("large", 3 * batch_size, 1), ("small", batch_size, 3)):
        run = dataclasses.replace(settings, batch_size=size, accumulate=accumulate)
        report = loop.train(folder, tmp_path / name, run)
        found.append((weights(tmp_path / name / "last.pt"), report.history[-1]["train_loss"]))
        assert checkpoint.load(tmp_path / name / "last.pt")["step"] == steps
    for key, value in found[0][0].items():
        torch.testing.assert_close(found[1][0][key], value, rtol=1e-5, atol=1e-6)
    assert found[1][1] == pytest.approx(found[0][1], rel=1e-5)


def test_the_average_of_the_weights_is_what_is_evaluated(toys: Any, tmp_path: Path) -> None:
    folder = toys.write(clips=toys.clips(train=16, val=6, test=6))
    report = loop.train(folder, tmp_path / "run", dataclasses.replace(TINY, ema=0.99, lr=0.01))
    body = checkpoint.load(tmp_path / "run" / "best.pt")
    assert not same(body["ema"], body["model"])
    assert same(checkpoint.weights(body), body["ema"])
    # what was said of val and test is what the average says, and not what the last weights say
    plain = {name: part for name, part in body.items() if name not in ("format", "version")}
    found = {}
    for name in ("ema", "model"):
        checkpoint.save(tmp_path / f"{name}.pt", {**plain, "model": body[name], "ema": None})
        found[name] = evaluate.evaluate_checkpoint(folder, tmp_path / f"{name}.pt")
    assert report.test is not None
    assert report.test.clips == found["ema"].clips != found["model"].clips
    val = evaluate.evaluate_checkpoint(folder, tmp_path / "ema.pt", split="val")
    assert val.top1 == report.history[report.best - 1]["val_top1"]


def test_an_epoch_tells_how_long_it_took_and_waited(toys: Any, tmp_path: Path) -> None:
    report = loop.train(toys.write(), tmp_path / "run", dataclasses.replace(TINY, epochs=1, val_share=0.0))
    row = report.history[0]
    assert list(row)[-3:] == ["seconds", "wait", "clips_per_second"]
    assert 0 < row["wait"] < 1
    assert row["clips_per_second"] * row["seconds"] == pytest.approx(24, rel=0.05)


class Greedy(nn.Module):
    """Asks for a petabyte."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return torch.empty(1 << 50, dtype=torch.uint8)


def test_memory_that_runs_out_in_evaluation_is_told_too() -> None:
    config = TINY.resolved(32)
    batch = Batch(torch.zeros(2, 3, 32, 32), torch.tensor([2]), torch.tensor([0]))
    with pytest.raises(TrainError, match="out of memory in evaluation of val: --batch-size 8 x --segments 2"):
        evaluate.predict(Greedy(), [batch], config, torch.device("cpu"), "val")


@pytest.mark.slow
def test_a_compiled_network_trains_as_the_plain_one_and_its_checkpoint_is_a_plain_one(
    toys: Any, tmp_path: Path
) -> None:
    folder = toys.write(clips=toys.clips(train=10, val=3, test=3))
    # one step: later ones of AdamW would turn any difference in rounding into one of a whole step
    settings = dataclasses.replace(TINY, model="resnet18", batch_size=10, epochs=1, optimizer="sgd")
    try:
        device.compiled(nn.Linear(2, 2), dataclasses.replace(settings, compile=True), torch.device("cpu"))
    except TrainError as error:
        pytest.skip(str(error))
    histories = []
    for name, compiled in (("plain", False), ("compiled", True)):
        report = loop.train(folder, tmp_path / name, dataclasses.replace(settings, compile=compiled))
        histories.append(report.history[-1])
    ours, plain = (weights(tmp_path / name / "last.pt") for name in ("compiled", "plain"))
    assert ours.keys() == plain.keys()
    assert histories[1]["train_loss"] == pytest.approx(histories[0]["train_loss"], rel=1e-4)
    for key, value in plain.items():
        torch.testing.assert_close(ours[key], value, rtol=1e-3, atol=1e-4)


def test_a_shard_set_without_test_trains_and_says_so(
    toys: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report = loop.train(
        toys.write(clips=toys.clips(test=0)), tmp_path / "run", dataclasses.replace(TINY, epochs=1)
    )
    assert report.test is None
    assert "no clips in split test, so there is no test result" in caplog.text
    assert not (tmp_path / "run" / "predictions.json").exists()


def test_a_shard_set_without_training_clips_is_refused_and_leaves_nothing(toys: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="no clips in split train; there are test"):
        loop.train(toys.write(clips=toys.clips(train=0)), tmp_path / "run", TINY)
    assert not (tmp_path / "run").exists()


def test_a_finished_run_is_not_overwritten(toys: Any, tmp_path: Path) -> None:
    folder = toys.write()
    loop.train(folder, tmp_path / "run", dataclasses.replace(TINY, epochs=1))
    before = (tmp_path / "run" / "last.pt").read_bytes()
    with pytest.raises(TrainError, match="holds a run already; --resume goes on with it"):
        loop.train(folder, tmp_path / "run", TINY)
    assert (tmp_path / "run" / "last.pt").read_bytes() == before


def test_a_run_that_died_before_best_pt_was_written_gets_it_when_resumed(toys: Any, tmp_path: Path) -> None:
    folder, settings = toys.write(), dataclasses.replace(TINY, epochs=1)
    first = loop.train(folder, tmp_path / "run", settings)
    (tmp_path / "run" / "best.pt").unlink()
    again = loop.train(folder, tmp_path / "run", settings.resolved(32), resume=True)
    assert again.test == first.test


def test_a_run_is_not_resumed_on_other_shards(toys: Any, tmp_path: Path) -> None:
    settings = dataclasses.replace(TINY, epochs=1)
    loop.train(toys.write("one"), tmp_path / "run", settings)
    other = toys.write("two", toys.clips(train=9))
    with pytest.raises(TrainError, match="trained on other shards"):
        loop.train(other, tmp_path / "run", settings.resolved(32), resume=True)


def test_a_checkpoint_of_this_trainer_can_be_fine_tuned_on_other_classes(toys: Any, tmp_path: Path) -> None:
    loop.train(toys.write(), tmp_path / "first", dataclasses.replace(TINY, epochs=1))
    clips = [clip for clip in toys.clips() if clip.label < 2]
    folder = toys.write("two-classes", clips, classes=toys.classes[:2])
    settings = dataclasses.replace(TINY, epochs=1, freeze=True, weights=str(tmp_path / "first" / "best.pt"))
    loop.train(folder, tmp_path / "second", settings)
    first, second = weights(tmp_path / "first" / "best.pt"), weights(tmp_path / "second" / "best.pt")
    assert torch.equal(first["backbone.features.0.0.weight"], second["backbone.features.0.0.weight"])
    assert second["head.linear.weight"].shape[0] == 2


@pytest.mark.parametrize(("amp", "optimizer"), [("off", "sgd"), ("bf16", "adamw")])
def test_precisions_and_optimizers_train(toys: Any, tmp_path: Path, amp: str, optimizer: str) -> None:
    settings = dataclasses.replace(
        TINY, epochs=2, amp=amp, optimizer=optimizer, clip_grad=1.0, label_smoothing=0.1, schedule="step"
    )
    report = loop.train(toys.write(clips=toys.clips(train=6, test=3)), tmp_path / "run", settings)
    assert report.history[1]["train_loss"] != report.history[0]["train_loss"]
    state = weights(tmp_path / "run" / "last.pt")
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}


def test_half_precision_without_a_gpu_is_refused(toys: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="--amp fp16 needs a GPU"):
        loop.train(toys.write(), tmp_path / "run", dataclasses.replace(TINY, amp="fp16"))

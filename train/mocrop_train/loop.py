"""The training loop, top to bottom: what a run does, in the order it does it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mocrop_manifests import DatasetIndex, read_dataset
from mocrop_manifests.files import publish_text, sweep
from torch import Tensor, nn
from torch.nn import functional as F

from mocrop_train.config import TrainConfig
from mocrop_train.data import loading
from mocrop_train.data.feeds import Feeds, feeds
from mocrop_train.errors import TrainError
from mocrop_train.evaluation import evaluate
from mocrop_train.evaluation.predictions import Predictions, write_predictions
from mocrop_train.progress import log, track
from mocrop_train.run import checkpoint, device, runfolder, state
from mocrop_train.run.state import State


@dataclass(frozen=True, slots=True)
class Report:
    """How a run ended: `best` is the epoch, from 1, whose weights best.pt holds; `test` is None without one.

    history: one row per epoch, the columns of log.csv.
    """

    best: int
    history: list[dict[str, float]]
    test: Predictions | None


def train(
    shards: Path,
    out: Path,
    config: TrainConfig,
    *,
    resume: bool = False,
    verify: bool = False,
    predictions: Path | None = None,
) -> Report:
    """Train on the split `train` of a shard set, then evaluate once on `test`; folder `out` gets everything.

    best.pt is chosen on the split `val`; without one it is the last epoch, never the best on test. With
    `resume`, `config` must be that of out/last.pt (see config.resumed). `predictions` is where those on
    test go, out/predictions.json by default. Raises TrainError or ManifestError.
    """
    last = out / "last.pt"
    if last.exists() and not resume:
        raise TrainError(
            f"{out}: holds a run already; --resume goes on with it, another --out starts a new one"
        )
    where = device.prepare(config)
    index = read_dataset(shards, verify=verify)
    splits = loading.open_splits(shards, index, limit=config.limit)
    if "train" not in splits:
        raise TrainError(f"{shards}: no clips in split train; there are {', '.join(splits) or 'none'}")
    config = config.resolved(loading.stored_size(shards, index))
    identity = state.identity(shards, index, config)
    run = state.start(config, len(index.classes), where, load=not resume)
    sweep(out, spare_living=True)
    if resume:
        state.restore(run, last, identity)
        if run.best == run.epoch:  # the run may have died between writing last.pt and best.pt
            checkpoint.keep_as(last, out / "best.pt")
    runfolder.write_config(out / "config.json", config, index)

    fed = feeds(splits, run.model, config, where)
    # frozen: what is fed are features, and only the head is left to run
    network = run.model.head if config.freeze else run.model
    _fit(run, network, fed, config, out, identity)
    if "test" not in splits:
        log.warning("%s: no clips in split test, so there is no test result", shards)
        return Report(run.best, run.history, None)
    test = _test(run, network, fed, config, out / "best.pt", index)
    publish_text(predictions or out / "predictions.json", write_predictions(test))
    return Report(run.best, run.history, test)


def format_report(report: Report) -> str:
    """Return the outcome of a run as text for people."""
    row = report.history[report.best - 1]
    chosen = (
        f"val top-1 {row['val_top1']:.1%}" if "val_top1" in row else "the last one; there is no split val"
    )
    lines = [f"best.pt: epoch {report.best} of {len(report.history)} ({chosen})"]
    if report.test:
        lines.append(evaluate.format_result(report.test))
    return "\n".join(lines)


def _fit(
    run: State, network: nn.Module, fed: Feeds, config: TrainConfig, out: Path, identity: dict[str, Any]
) -> None:
    """Train epoch by epoch from where the state is; save, log and keep the best after each."""
    for epoch in range(run.epoch, config.epochs):
        started = time.monotonic()
        fed.order.epoch = epoch
        row = {"epoch": epoch + 1, **_train_epoch(run, network, fed, config)}
        if "val" in fed.held_out:
            logits = evaluate.predict(network, fed.held_out["val"], config, run.where, "val")
            scores = evaluate.score(logits, fed.clips["val"])
            row |= {"val_loss": scores.loss, "val_top1": scores.top1, "val_top5": scores.top5}
        row["seconds"] = time.monotonic() - started
        run.history.append(row)
        run.epoch = epoch + 1
        improved = _is_best(run.history)
        if improved:
            run.best = run.epoch
        state.save(run, out / "last.pt", identity)
        if improved:
            checkpoint.keep_as(out / "last.pt", out / "best.pt")
        runfolder.write_log(out / "log.csv", run.history)
        log.info("  ".join(f"{name} {value:.4g}" for name, value in row.items()))


def _train_epoch(run: State, network: nn.Module, fed: Feeds, config: TrainConfig) -> dict[str, float]:
    """Take one step per batch; the loss and accuracy are those seen on the way."""
    network.train()
    loss_sum, right, seen, lr = 0.0, 0, 0, 0.0
    steps = config.epochs * len(fed.train)
    for batch in track(fed.train, f"epoch {run.epoch + 1}/{config.epochs}", len(fed.train)):
        lr = config.peak_lr * lr_factor(run.step, steps, config)
        for group in run.optimizer.param_groups:
            group["lr"] = lr
        frames = batch.frames.to(run.where, non_blocking=True)
        labels = batch.labels.to(run.where, non_blocking=True)
        with device.autocast(config, run.where):
            logits = evaluate.clip_logits(network(frames), batch.counts).float()
        loss = F.cross_entropy(logits, labels, label_smoothing=config.label_smoothing)
        if not math.isfinite(loss.item()):
            raise TrainError(
                f"epoch {run.epoch + 1}, step {run.step + 1}: the loss is {loss.item()}; start anew with a "
                f"lower --lr (now {config.peak_lr:g}) or --clip-grad 1"
            )
        _step(run, network, loss, config)
        loss_sum += loss.item() * len(labels)
        right += int((logits.argmax(1) == labels).sum())
        seen += len(labels)
    return {"lr": lr, "train_loss": loss_sum / seen, "train_top1": right / seen}


def _step(run: State, network: nn.Module, loss: Tensor, config: TrainConfig) -> None:
    run.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(run.scaler.scale(loss))
    if config.clip_grad is not None:
        run.scaler.unscale_(run.optimizer)
        nn.utils.clip_grad_norm_(network.parameters(), config.clip_grad)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    run.step += 1


def _test(
    run: State, network: nn.Module, fed: Feeds, config: TrainConfig, best: Path, index: DatasetIndex
) -> Predictions:
    """Predict the test clips with the weights of best.pt."""
    saved = checkpoint.load(best)
    run.model.load_state_dict(saved["model"])
    logits = evaluate.predict(network, fed.held_out["test"], config, run.where, "test")
    return evaluate.predictions_of(
        logits, fed.clips["test"], index, split="test", path=best, saved=saved, shards_sha256=saved["shards"]
    )


def lr_factor(step: int, steps: int, config: TrainConfig) -> float:
    """Return the share of the peak learning rate at `step`, from 0, of a run: warm-up, then the schedule."""
    done = (step + 0.5) / steps
    if done < config.warmup:
        return done / config.warmup
    if config.schedule == "step":
        return 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01
    return 0.5 * (1 + math.cos(math.pi * (done - config.warmup) / (1 - config.warmup)))


def _is_best(history: list[dict[str, float]]) -> bool:
    """Say whether the last epoch is the best so far on val; without val the last is all there is to go by."""
    if "val_top1" not in history[-1]:
        return True
    ranks = [(row["val_top1"], -row["val_loss"]) for row in history]
    return all(ranks[-1] > rank for rank in ranks[:-1])

"""The training loop, top to bottom: what a run does, in the order it does it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from mocrop_manifests import DatasetIndex, read_dataset
from mocrop_manifests.files import sweep
from torch import nn

from mocrop_train.config import TrainConfig
from mocrop_train.data import loading, mixing, splits
from mocrop_train.data.feeds import Clock, Feeds, feeds
from mocrop_train.data.loading import NO_LABEL, Batch
from mocrop_train.errors import InterruptionError, TrainError
from mocrop_train.evaluation import evaluate
from mocrop_train.evaluation.predictions import Predictions
from mocrop_train.evaluation.write import write_results
from mocrop_train.progress import log, track
from mocrop_train.report.events import Events, check_installed
from mocrop_train.report.page import leave_report
from mocrop_train.run import checkpoint, device, optim, runfolder, state
from mocrop_train.run.keeping import Keeper
from mocrop_train.run.state import State
from mocrop_train.run.stopping import Stop


@dataclass(frozen=True, slots=True)
class Report:
    """How a run ended: `best` is the epoch, from 1, whose weights best.pt holds; `test` is None without one.

    history: one row per epoch, the columns of log.csv. selected_on: one of splits.SELECTED_ON.
    """

    best: int
    history: list[dict[str, float]]
    selected_on: str
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

    best.pt is chosen as data.splits says: on test only if the config asks for that. With `resume`, `config`
    must be that of out/last.pt (see overrides.resumed). `predictions` is where those on test go,
    out/predictions.json by default. Raises TrainError or ManifestError, and InterruptionError on a first
    SIGINT or SIGTERM, once the step is done and saved.
    """
    last = out / "last.pt"
    if last.exists() and not resume:
        raise TrainError(
            f"{out}: holds a run already; --resume goes on with it, another --out starts a new one"
        )
    check_installed(config)
    where = device.prepare(config)
    index = read_dataset(shards, verify=verify)
    division = splits.divide(shards, index, config)
    config = config.resolved(loading.stored_size(shards, index))
    identity = state.identity(shards, index, config, division.selection.on)
    run = state.start(config, len(index.classes), where, load=not resume)
    if resume:
        state.restore(run, last, identity)
    main = run.ranks.main
    with runfolder.alone(out, holds=main), Stop() as stop, Events(out, config) as events:
        if main:
            sweep(out, spare_living=True)
            runfolder.write_config(out / "config.json", config, index, shards, division.selection)
        with stop.at_once():
            fed = feeds(division.sources, run.model, config, where, out)
        keeper = Keeper(run, out, identity, stop, config.save_every, events)
        test = _fit_and_test(run, fed, config, keeper, out / "best.pt", index)
    if test is None:
        log.warning("%s: no clips in split test, so there is no test result", shards)
    elif main:
        write_results(out, test, path=predictions)
    if main:
        leave_report(out, shards=shards, predictions=predictions)
    return Report(run.best, run.history, division.selection.on, test)


def format_report(report: Report) -> str:
    """Return the outcome of a run as text for people."""
    chosen = "the last one; there is nothing to choose on"
    if report.selected_on != splits.LAST:
        row = report.history[report.best - 1]
        chosen = f"top-1 {row['val_top1']:.1%} on {report.selected_on}"
    lines = [f"best.pt: epoch {report.best} of {len(report.history)} ({chosen})"]
    if report.test:
        lines.append(evaluate.format_result(report.test))
    return "\n".join(lines)


def _fit_and_test(
    run: State, fed: Feeds, config: TrainConfig, keeper: Keeper, best: Path, index: DatasetIndex
) -> Predictions | None:
    """Train and test; whoever interrupts it is told where it stopped."""
    try:
        _fit(run, fed, config, keeper)
        with keeper.stop.at_once():
            return _test(run, fed, config, best, index)
    except InterruptionError:
        done = f"{run.epoch} of {config.epochs} epochs and {run.batch} of {len(fed.train)} batches"
        raise InterruptionError(f"stopped after {done}; the same command with --resume goes on") from None


def _fit(run: State, fed: Feeds, config: TrainConfig, keeper: Keeper) -> None:
    """Train epoch by epoch from where the state is; save, log and keep the best after each."""
    keeper.catch_up()
    for epoch in range(run.epoch, config.epochs):
        fed.begin(epoch, run.batch * config.batch_size)
        with device.shortages_told(config, f"epoch {epoch + 1}"):
            train_epoch(run, fed, config, keeper.after_step)
        row = _row(run, fed, config, keeper)
        run.end_epoch(row)
        if _is_best(run.history):
            run.best = run.epoch
        keeper.save()
        log.info("  ".join(f"{name} {value:.4g}" for name, value in row.items()))


def train_epoch(run: State, fed: Feeds, config: TrainConfig, after_step: Callable[[], None]) -> None:
    """Learn from the batches that are left of an epoch; a step is taken after every `accumulate` of them."""
    run.network.train()
    label, batches, clock = f"epoch {run.epoch + 1}/{config.epochs}", len(fed.train), Clock(run.sums)
    for batch in track(clock.waiting(fed.train), label, batches, done=run.batch, remark=run.in_words):
        whole = (run.batch + 1) % config.accumulate == 0 or run.batch + 1 == batches
        with run.ranks.gathering(run.network, whole=whole):
            _learn(run, batch, fed, config)
        run.batch += 1
        if whole:
            _step(run, batches, config)
            clock.tick()
            after_step()


def _learn(run: State, batch: Batch, fed: Feeds, config: TrainConfig) -> None:
    """Add the gradient of a batch; the loss and accuracy of the epoch are those seen on the way."""
    frames = batch.frames.to(run.where, non_blocking=True)
    labels = batch.labels.to(run.where, non_blocking=True)
    draw = (config.seed, run.epoch, run.batch)
    run.ranks.seed(*draw)
    frames, targets = mixing.mix(frames, batch, labels, alpha=config.mixup, draw=draw)
    with device.autocast(config, run.where):
        logits = evaluate.clip_logits(run.network(frames).float(), batch.counts)
    loss = targets.loss(logits, config.label_smoothing)
    # what is taken of the gradients of several processes is their mean
    share = run.ranks.world / optim.clips_of_step(run.batch, len(fed.order), config)
    torch.autograd.backward(run.scaler.scale(loss * share))
    # the one place of a step that waits for a GPU: behind the backward pass, and before the weights change
    value, right = torch.stack((loss.detach().double(), targets.right(logits).double())).tolist()
    if not math.isfinite(value):
        raise _broken(run, value, fed, config)
    run.sums["loss"] += value
    run.sums["right"] += right
    run.sums["seen"] += int((batch.labels != NO_LABEL).sum())


def _step(run: State, batches: int, config: TrainConfig) -> None:
    """Move the weights by the gradient that has been gathered, and their average after them."""
    optim.set_lr(run.optimizer, optim.learning_rate(run.step, batches, config))
    if config.clip_grad:
        run.scaler.unscale_(run.optimizer)
        nn.utils.clip_grad_norm_(run.network.parameters(), config.clip_grad)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    run.optimizer.zero_grad(set_to_none=True)
    if run.averaged is not None:
        optim.update_average(run.part(run.averaged), run.part(run.model), run.step, config.ema or 0.0)
    run.step += 1


def _broken(run: State, loss: float, fed: Feeds, config: TrainConfig) -> TrainError:
    """Say where the loss has become no number, over which clips, and what to do about it."""
    lr = optim.learning_rate(run.step, len(fed.train), config)
    clips = fed.next_clips(run.batch * config.batch_size, config.batch_size)
    return TrainError(
        f"epoch {run.epoch + 1}, step {run.step + 1}: the loss is {loss} at learning rate {lr:.3g}; start "
        f"anew with a lower --lr (now {config.peak_lr:g}) or --clip-grad 1; the clips of this batch are "
        f"{', '.join(clips)}"
    )


def _row(run: State, fed: Feeds, config: TrainConfig, keeper: Keeper) -> dict[str, float]:
    """Return the line of log.csv of an epoch whose training is done; here it is held against val."""
    sums, trained = run.pool_sums(), time.perf_counter()
    row = {
        "epoch": run.epoch + 1,
        "lr": optim.learning_rate(run.step - 1, len(fed.train), config),
        "train_loss": sums["loss"] / sums["seen"],
        "train_top1": sums["right"] / sums["seen"],
        **(_validate(run, fed, config, keeper) if "val" in fed.held_out else {}),
    }
    row["seconds"] = sums["seconds"] + time.perf_counter() - trained
    row["wait"] = sums["waited"] / sums["seconds"]
    row["clips_per_second"] = sums["seen"] / sums["seconds"]
    return row


def _validate(run: State, fed: Feeds, config: TrainConfig, keeper: Keeper) -> dict[str, float]:
    """Return loss and accuracy on val; whoever interrupts it finds the steps of the epoch saved."""
    keeper.check()  # else it would be said of a clip that its logits are no numbers
    try:
        with keeper.stop.at_once():
            logits = evaluate.predict(run.evaluated, fed.held_out["val"], config, run.where, "val")
    except InterruptionError:
        keeper.save()
        raise
    scores = evaluate.score(logits, fed.clips["val"])
    return {"val_loss": scores.loss, "val_top1": scores.top1, "val_top5": scores.top5}


def _test(run: State, fed: Feeds, config: TrainConfig, best: Path, index: DatasetIndex) -> Predictions | None:
    """Predict the test clips, if there are any, with the weights of best.pt."""
    if "test" not in fed.held_out:
        return None
    run.ranks.barrier()  # until rank 0 has written it
    saved = checkpoint.load(best)
    checkpoint.fill(run.model, checkpoint.weights(saved), best)
    logits = evaluate.predict(run.part(run.model), fed.held_out["test"], config, run.where, "test")
    return evaluate.predictions_of(
        logits, fed.clips["test"], index, split="test", path=best, saved=saved, shards_sha256=saved["shards"]
    )


def _is_best(history: list[dict[str, float]]) -> bool:
    """Say whether the last epoch is the best so far on val; without val the last is all there is to go by."""
    if "val_top1" not in history[-1]:
        return True
    ranks = [(row["val_top1"], -row["val_loss"]) for row in history]
    return all(ranks[-1] > rank for rank in ranks[:-1])

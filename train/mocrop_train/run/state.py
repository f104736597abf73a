"""The state of a run: made new, saved between any two steps, restored to the bit."""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mocrop_manifests import DatasetIndex
from mocrop_manifests.files import sha256
from torch import Tensor, nn

from mocrop_train.config import TrainConfig
from mocrop_train.data.splits import LAST
from mocrop_train.errors import TrainError
from mocrop_train.models import FrameClassifier, build_model
from mocrop_train.run import checkpoint, device, optim, parallel
from mocrop_train.run.parallel import Ranks

OVER_CLIPS = ("loss", "right", "seen")


def no_sums() -> dict[str, float]:
    """Return the sums of an epoch that has not begun.

    loss, right: over the clips seen. seconds: of its training so far; waited: those spent waiting for data.
    """
    return dict.fromkeys(("loss", "right", "seen", "seconds", "waited"), 0.0)


@dataclass(slots=True)
class State:
    """All that changes in training, and so all that a checkpoint must hold.

    network: what is trained and called: the model or its head, perhaps compiled; averaged: the moving average
    of the model, if there is one. epoch, step and batch count what is done: epochs of the run, steps of
    the run, batches of the epoch; sums are those of the epoch, of what this process has seen of it. best is
    the epoch, from 1, that best.pt holds; history has one row per epoch. The learning rate and all draws but
    dropout's follow from these counts alone.
    """

    model: FrameClassifier
    network: nn.Module
    averaged: FrameClassifier | None
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    where: torch.device
    ranks: Ranks
    frozen: bool
    epoch: int = 0
    step: int = 0
    batch: int = 0
    sums: dict[str, float] = field(default_factory=no_sums)
    best: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    def part(self, model: FrameClassifier) -> nn.Module:
        """Return what of a model is fed: with a frozen backbone the head, which takes features."""
        return model.head if self.frozen else model

    def end_epoch(self, row: dict[str, float]) -> None:
        """Note what is said of an epoch, and begin the next one."""
        self.history.append(row)
        self.epoch, self.batch, self.sums = self.epoch + 1, 0, no_sums()

    def pool_sums(self) -> dict[str, float]:
        """Return the sums over the clips of all processes, with the clock of rank 0, whose they are now."""
        names = list(self.sums)
        mine = [self.sums[name] if name in OVER_CLIPS or self.ranks.main else 0.0 for name in names]
        pooled = dict(zip(names, self.ranks.sums(*mine), strict=True))
        self.sums.update(pooled if self.ranks.main else no_sums())
        return pooled

    def in_words(self) -> str:
        """Return how the epoch goes: its mean loss so far, and the learning rate of the last step."""
        loss = self.sums["loss"] / max(1, self.sums["seen"])
        return f"loss {loss:.3f}, lr {self.optimizer.param_groups[0]['lr']:.2g}"

    @property
    def evaluated(self) -> nn.Module:
        """What is to be evaluated: the average, where there is one."""
        return self.part(self.model if self.averaged is None else self.averaged)


def identity(shards: Path, index: DatasetIndex, config: TrainConfig, selected_on: str) -> dict[str, Any]:
    """Return what makes a run this run and no other: shards (by hash), classes, settings, how it selects."""
    return {
        "shards": sha256(shards / "dataset.json"),
        "classes": index.classes,
        "made": index.config,
        "config": dataclasses.asdict(config),
        "selected_on": selected_on,
    }


def start(config: TrainConfig, classes: int, where: torch.device, *, load: bool = True) -> State:
    """Return the state before the first step, a function of config and seed; `load` pretrained weights."""
    ranks = parallel.current()
    torch.manual_seed(config.seed)
    model = build_model(config, classes, load=load).to(where)
    return State(
        model=model,
        network=ranks.averaging(device.compiled(model.head if config.freeze else model, config, where)),
        averaged=None if config.ema is None else copy.deepcopy(model).requires_grad_(False),
        optimizer=optim.optimizer(model, config),
        scaler=torch.amp.GradScaler(where.type, enabled=config.amp == "fp16"),
        where=where,
        ranks=ranks,
        frozen=config.freeze,
    )


def save(state: State, path: Path, run: dict[str, Any]) -> None:
    """Write a checkpoint between two steps; `run` is its identity.

    It is said to be selected only if its weights are: those of another epoch than the best are the last ones.
    Raises TrainError, and leaves the last checkpoint, if a weight is no finite number.
    """
    weights = state.model.state_dict()
    refuse_broken(state, path)
    body = {
        "model": weights,
        "ema": None if state.averaged is None else state.averaged.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
        "rng": _rng(state.where),
        "epoch": state.epoch,
        "step": state.step,
        "batch": state.batch,
        "sums": state.sums,
        "best": state.best,
        "history": state.history,
    }
    if state.best != state.epoch or state.batch:
        run = {**run, "selected_on": LAST}
    checkpoint.save(path, {**body, **run})


def restore(state: State, path: Path, run: dict[str, Any]) -> None:
    """Continue from a checkpoint; raises TrainError if it is of other shards, classes or networks."""
    saved = checkpoint.load(path)
    checkpoint.check_classes(path, saved["classes"], run["classes"])
    if saved["shards"] != run["shards"]:
        raise TrainError(
            f"{path}: trained on other shards (dataset.json differs); start anew with another --out"
        )
    checkpoint.fill(state.model, saved["model"], path)
    if state.averaged is not None:
        checkpoint.fill(state.averaged, saved["ema"] or {}, path)
    try:
        state.optimizer.load_state_dict(saved["optimizer"])
        state.scaler.load_state_dict(saved["scaler"])
        torch.set_rng_state(saved["rng"]["cpu"])
        if state.where.type == "cuda" and "cuda" in saved["rng"]:
            torch.cuda.set_rng_state(saved["rng"]["cuda"])
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise TrainError(f"{path}: not a whole checkpoint, cannot go on from it: {error!r}") from error
    for name in ("epoch", "step", "batch", "best", "history"):
        setattr(state, name, saved[name])
    state.sums = saved["sums"] if state.ranks.main else no_sums()


def refuse_broken(state: State, path: Path) -> None:
    """Raise TrainError if a weight is no finite number; `path` is the last checkpoint, if there is one."""
    weights = state.model.state_dict()
    floats = [value for value in weights.values() if value.is_floating_point()]
    if math.isfinite(nn.utils.get_total_norm(floats, math.inf).item()):
        return
    names = [name for name, value in weights.items() if not value.isfinite().all()]
    epoch = state.epoch + (state.batch > 0)
    kept = f"; {path} keeps the state before" if path.exists() else ""
    raise TrainError(
        f"epoch {epoch}, step {state.step}: {len(names)} weights hold nan or inf ({names[0]} "
        f"first); start anew with a lower --lr or --clip-grad 1{kept}"
    )


def _rng(where: torch.device) -> dict[str, Tensor]:
    # the order, the frames, the augmentation and mixup have seeds of their own; these are for dropout
    states = {"cpu": torch.get_rng_state()}
    if where.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state()
    return states

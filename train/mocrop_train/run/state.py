"""The state of a run: made new, saved after every epoch, restored to the bit."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mocrop_manifests import DatasetIndex

from mocrop_train.config import TrainConfig
from mocrop_train.errors import TrainError
from mocrop_train.models import FrameClassifier, build_model
from mocrop_train.run import checkpoint


@dataclass(slots=True)
class State:
    """All that changes in training, and so all that a checkpoint must hold.

    epoch and step count what is done; best is the epoch, from 1, that best.pt holds; history has one row
    per epoch. The learning rate follows from step alone.
    """

    model: FrameClassifier
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    where: torch.device
    epoch: int = 0
    step: int = 0
    best: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def identity(shards: Path, index: DatasetIndex, config: TrainConfig) -> dict[str, Any]:
    """Return what makes a run this run and no other: shards (hash, how they were made), classes, settings."""
    return {
        "shards": hashlib.sha256((shards / "dataset.json").read_bytes()).hexdigest(),
        "classes": index.classes,
        "made": index.config,
        "config": dataclasses.asdict(config),
    }


def start(config: TrainConfig, classes: int, where: torch.device, *, load: bool = True) -> State:
    """Return the state before the first step, a function of config and seed; `load` pretrained weights."""
    torch.manual_seed(config.seed)
    model = build_model(config, classes, load=load).to(where)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer: torch.optim.Optimizer = (
        torch.optim.AdamW(groups, config.peak_lr)
        if config.optimizer == "adamw"
        else torch.optim.SGD(groups, config.peak_lr, momentum=0.9)
    )
    scaler = torch.amp.GradScaler(where.type, enabled=config.amp == "fp16")
    return State(model, optimizer, scaler, where)


def save(state: State, path: Path, run: dict[str, Any]) -> None:
    """Write a checkpoint; `run` is its identity."""
    body = {
        "model": state.model.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
        "rng": _rng(state.where),
        "epoch": state.epoch,
        "step": state.step,
        "best": state.best,
        "history": state.history,
    }
    checkpoint.save(path, {**body, **run})


def restore(state: State, path: Path, run: dict[str, Any]) -> None:
    """Continue from a checkpoint; raises TrainError if it is of other shards or classes."""
    saved = checkpoint.load(path)
    checkpoint.check_classes(path, saved["classes"], run["classes"])
    if saved["shards"] != run["shards"]:
        raise TrainError(
            f"{path}: trained on other shards (dataset.json differs); start anew with another --out"
        )
    state.model.load_state_dict(saved["model"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.scaler.load_state_dict(saved["scaler"])
    torch.set_rng_state(saved["rng"]["cpu"])
    if state.where.type == "cuda" and "cuda" in saved["rng"]:
        torch.cuda.set_rng_state(saved["rng"]["cuda"])
    state.epoch, state.step, state.best = saved["epoch"], saved["step"], saved["best"]
    state.history = saved["history"]


def _rng(where: torch.device) -> dict[str, torch.Tensor]:
    # the order, the frames and the augmentation have seeds of their own; these are for dropout
    states = {"cpu": torch.get_rng_state()}
    if where.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state()
    return states

"""How weights change: parameter groups, optimiser, learning rate, their average."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from mocrop_train.config import TrainConfig


def optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimiser of a resolved config over what is to be trained.

    Biases and normalisation layers, which have one dimension, are not decayed unless the config says so.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {
            "params": [p for p in trained if p.ndim <= 1],
            "weight_decay": config.weight_decay if config.decay_norms else 0.0,
        },
    ]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, config.peak_lr)
    return torch.optim.SGD(groups, config.peak_lr, momentum=0.9)


def lr_factor(step: int, steps: int, config: TrainConfig) -> float:
    """Return the share of the peak learning rate at `step`, from 0, of a run: warm-up, then the schedule."""
    done = (step + 0.5) / steps
    if done < config.warmup:
        return done / config.warmup
    if config.schedule == "step":
        lowered: float = config.lr_decay ** sum(done >= share for share in config.lr_steps)
        return lowered
    return 0.5 * (1 + math.cos(math.pi * (done - config.warmup) / (1 - config.warmup)))


def learning_rate(step: int, batches: int, config: TrainConfig) -> float:
    """Return the learning rate of `step`, from 0, of a run with so many batches an epoch."""
    steps = config.epochs * math.ceil(batches / config.accumulate)
    return config.peak_lr * lr_factor(step, steps, config)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Let the next step be taken with this learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def clips_of_step(batch: int, clips: int, config: TrainConfig) -> int:
    """Return how many clips, of the `clips` of an epoch, go into the step that `batch`, from 0, is part of."""
    whole = config.batch_size * config.accumulate
    return min(whole, clips - batch // config.accumulate * whole)


def ema_decay(step: int, decay: float) -> float:
    """Return what the average keeps of itself in step number `step`, from 0: min(decay, (1 + t) / (10 + t)).

    With a constant decay of .999 the random start would make up a third of the average after 1,000 steps.
    With this one the average is over about the last tenth of the steps so far, until the decay is reached:
    after 10 steps the start counts for 1e-5. As in tf.train.ExponentialMovingAverage(num_updates).
    """
    return min(decay, (1 + step) / (10 + step))


def update_average(averaged: nn.Module, model: nn.Module, step: int, decay: float) -> None:
    """Move the floats of `averaged`, weights and buffers, towards those of `model` after `step`, from 0.

    Counters are copied.
    """
    mine, theirs = averaged.state_dict(), model.state_dict()
    floats = [name for name, value in mine.items() if value.is_floating_point()]
    average = get_ema_multi_avg_fn(ema_decay(step, decay))  # type: ignore[no-untyped-call]
    average([mine[name] for name in floats], [theirs[name] for name in floats], None)
    for name in mine.keys() - set(floats):
        mine[name].copy_(theirs[name])

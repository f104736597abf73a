"""What each process of a run of tests does: the jobs of a JSON file, one after the other.

A job is {"train": {settings}, "shards", "out", "resume", "stop": [rank, step], "batch_norm"} or {"evaluate":
{options}, "shards", "checkpoint", "out"}.
"""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
import torchvision
from mocrop_train import loop
from mocrop_train.config import TrainConfig
from mocrop_train.errors import InterruptionError
from mocrop_train.evaluation.evaluate import evaluate_checkpoint
from mocrop_train.evaluation.predictions import write_predictions
from mocrop_train.evaluation.sets import evaluate_sets
from mocrop_train.models import backbones
from mocrop_train.run import parallel, state
from mocrop_train.run.keeping import Keeper
from torch import nn


def normalise_each_clip_alone() -> None:
    """Let mobilenet_v2 be a small one whose clips know nothing of each other, and that draws nothing."""

    def build(name: str, classes: int) -> nn.Module:
        network: nn.Module = torchvision.models.mobilenet_v2(
            width_mult=0.25, dropout=0.0, num_classes=classes, norm_layer=functools.partial(nn.GroupNorm, 1)
        )
        return network

    backbones.build = build


def train(job: dict[str, Any]) -> None:
    """Train; when it is asked of one process after some step, stop there."""
    runs: list[state.State] = []
    start, after_step = state.start, Keeper.after_step

    def noted(*args: Any, **options: Any) -> state.State:
        runs.append(start(*args, **options))
        return runs[-1]

    def asked_to_stop(keeper: Keeper) -> None:
        if [runs[-1].ranks.rank, runs[-1].step] == job.get("stop"):
            keeper.stop.asked = True
        after_step(keeper)

    state.start = noted
    Keeper.after_step = asked_to_stop  # type: ignore[method-assign, assignment]
    try:
        config = TrainConfig(**job["train"])
        loop.train(Path(job["shards"]), Path(job["out"]), config, resume=job.get("resume", False))
        stopped = False
    except InterruptionError:
        stopped = True
    finally:
        state.start, Keeper.after_step = start, after_step  # type: ignore[method-assign]
    if stopped != ("stop" in job):
        raise AssertionError(f"stopped: {stopped}")
    ranks = runs[-1].ranks
    if len(set(ranks.gather(digest(runs[-1].network)))) != 1:
        raise AssertionError("the processes ended with different weights")


def digest(network: nn.Module) -> str:
    found = hashlib.sha256()
    for parameter in network.parameters():
        found.update(parameter.detach().numpy().tobytes())
    return found.hexdigest()


def evaluate(job: dict[str, Any]) -> None:
    """Evaluate, with a folder of results too; every process must find the same, and rank 0 writes it."""
    shards, path, out = (Path(job[name]) for name in ("shards", "checkpoint", "out"))
    found = evaluate_checkpoint(shards, path, job["evaluate"])
    kept = evaluate_sets([("set", shards)], path, out.with_suffix(""), job["evaluate"])
    if kept["set"].top1 != found.top1:
        raise AssertionError("a set is worth something else than its clips")
    text = write_predictions(found)
    ranks = parallel.current()
    if len(set(ranks.gather(text))) != 1:
        raise AssertionError("the processes found different things")
    if ranks.main:
        out.write_text(text)


def do(jobs: list[dict[str, Any]]) -> None:
    build = backbones.build
    for job in jobs:
        if not job.get("batch_norm"):
            normalise_each_clip_alone()
        try:
            train(job) if "train" in job else evaluate(job)
        finally:
            backbones.build = build


if __name__ == "__main__":
    torch.set_num_threads(1)
    do(json.loads(Path(sys.argv[1]).read_text()))

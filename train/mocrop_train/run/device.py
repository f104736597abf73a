"""Where and how precisely to compute: device, threads, mixed precision."""

from __future__ import annotations

import contextlib
import os
import typing
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from mocrop_train.config import TrainConfig
from mocrop_train.data import jpegs
from mocrop_train.errors import TrainError
from mocrop_train.progress import log
from mocrop_train.run import launched, parallel

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
# what allocators say; on a GPU torch has a class of its own, but the libraries on it have not
_WORKER_LOST = "DataLoader worker (pid"
_NO_MEMORY = ("can't allocate memory", "not enough memory", "ALLOC_FAILED")


def prepare(config: TrainConfig) -> torch.device:
    """Apply `threads`, join the processes of torchrun and return the device of this one to compute on.

    Raises TrainError if it is not there.
    A device that cannot decode though it should is no error: it is told, and the CPU decodes.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainError("--device cuda: torch sees no CUDA GPU here; use --device cpu")
    if name == "cpu" and config.amp == "fp16":
        raise TrainError("--amp fp16 needs a GPU; on a CPU use --amp bf16 or off")
    where = parallel.start(torch.device(name))
    if config.decode == "cuda" and not decodes(config, where):
        log.warning("--decode cuda: no nvJPEG to be had (computing on %s); the CPU decodes", where)
    if config.augment == "cuda" and where.type != "cuda":
        log.warning("--augment cuda: computing on %s, which augments too", where)
    return where


def decodes(config: TrainConfig, device: torch.device) -> bool:
    """Say whether the device on which a run computes is to decode its JPEGs, and can."""
    return config.decode == "cuda" and device.type == "cuda" and jpegs.can_decode_on(device)


def augments(config: TrainConfig, device: torch.device) -> bool:
    """Say whether training clips are augmented on the device on which a run computes, which is a GPU."""
    return config.augment != "cpu" and device.type == "cuda"


def autocast(config: TrainConfig, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which forward passes run: mixed precision, or nothing."""
    if config.amp == "off":
        return contextlib.nullcontext()
    return torch.autocast(device.type, _DTYPES[config.amp])


def compiled(network: nn.Module, config: TrainConfig, device: torch.device) -> nn.Module:
    """Return what trains as `network` and shares its weights: compiled if the config says so.

    Its own names of the weights differ; a state dict is taken of `network`. Raises TrainError if torch's
    compiler does not work here.
    """
    if not config.compile:
        return network
    try:
        torch.compile(lambda x: x.sin() + 1)(torch.ones(2, device=device))
    except Exception as error:  # the compiler fails in as many ways as there are machines
        reason = str(error).strip().partition("\n")[0]
        raise TrainError(
            f"--compile: torch's compiler does not work here ({reason}); leave --compile out"
        ) from error
    # an epoch has two shapes of batches; compiled for each, a step does not depend on which came first
    return typing.cast(nn.Module, torch.compile(network, dynamic=False))


@contextlib.contextmanager
def shortages_told(config: TrainConfig, doing: str) -> Iterator[None]:
    """Let running out of memory be a TrainError that says how much was asked for and how to ask for less."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if _WORKER_LOST in str(error):
            reason = str(error).strip().partition("\n")[0]
            raise TrainError(
                f"{doing}: a process that reads was lost ({reason}); if memory is short, take fewer --workers"
            ) from error
        lacking = isinstance(error, (torch.OutOfMemoryError, MemoryError))
        if not lacking and not any(words in str(error) for words in _NO_MEMORY):
            raise
        frames, side = config.batch_size * config.segments, config.side
        raise TrainError(
            f"out of memory in {doing}: --batch-size {config.batch_size} x --segments {config.segments} are "
            f"{frames} frames of {side} x {side} px at once; take a smaller --batch-size (with --accumulate "
            f"for as many clips a step), a smaller --input-size, or --amp bf16"
        ) from error


def loader_workers(config: TrainConfig, device: torch.device) -> int:
    """Return how many processes read for this one: on a CPU none, as they would take the cores that compute.

    The processes of torchrun on one machine share its cores.
    """
    if config.workers is not None:
        return config.workers
    if device.type == "cpu":
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, max(1, cores // launched.on_this_machine() - 1))

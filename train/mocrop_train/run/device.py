"""Where and how precisely to compute: device, threads, mixed precision."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import torch

from mocrop_train.config import TrainConfig
from mocrop_train.data import jpegs
from mocrop_train.errors import TrainError
from mocrop_train.progress import log
from mocrop_train.run import parallel

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


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
    return where


def decodes(config: TrainConfig, device: torch.device) -> bool:
    """Say whether the device on which a run computes is to decode its JPEGs, and can."""
    return config.decode == "cuda" and device.type == "cuda" and jpegs.can_decode_on(device)


def autocast(config: TrainConfig, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which forward passes run: mixed precision, or nothing."""
    if config.amp == "off":
        return contextlib.nullcontext()
    return torch.autocast(device.type, _DTYPES[config.amp])


def loader_workers(config: TrainConfig, device: torch.device) -> int:
    """Return how many processes read: on a CPU none, as they would take the cores that compute."""
    if config.workers is not None:
        return config.workers
    if device.type == "cpu":
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, max(1, cores - 1))

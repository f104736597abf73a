"""Checkpoints: the whole state of a run in one file, which appears whole or not at all."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import torch

from mocrop_train.errors import TrainError
from mocrop_train.files import publish

FORMAT = "mocrop-checkpoint"
VERSION = 1


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint; a reader sees the old file or the new one."""
    body = {"format": FORMAT, "version": VERSION, **state}
    publish(path, lambda temporary: torch.save(body, temporary))


def keep_as(path: Path, copy: Path) -> None:
    """Let `copy` hold what `path` holds now, also after `path` is replaced; costs no room until then."""

    def link(temporary: Path) -> None:
        try:
            os.link(path, temporary)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, temporary)

    publish(copy, link)


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU, tensors and plain values only; raises TrainError if it is not one."""
    try:
        body = torch.load(path, "cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainError(f"{path}: no such checkpoint") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise TrainError(f"{path}: not a readable checkpoint: {str(error).partition(chr(10))[0]}") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise TrainError(f"{path}: not a checkpoint of mocrop-train")
    if body["version"] != VERSION:
        raise TrainError(f"{path}: checkpoint version {body['version']}; this release reads {VERSION}")
    return body


def check_classes(path: Path, known: list[str], found: list[str]) -> None:
    """Raise TrainError that names the difference unless checkpoint and shards have the same classes."""
    if known == found:
        return
    parts = [
        f"only in {where}: {', '.join(names)}"
        for where, names in (
            ("the checkpoint", [name for name in known if name not in found]),
            ("the shards", [name for name in found if name not in known]),
        )
        if names
    ]
    difference = "; ".join(parts) or "the same names in another order"
    raise TrainError(f"{path}: {len(known)} classes where the shards have {len(found)}; {difference}")

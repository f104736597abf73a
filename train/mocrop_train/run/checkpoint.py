"""Checkpoints: the whole state of a run in one file, which appears whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from mocrop_manifests.files import publish
from torch import nn

from mocrop_train import settings
from mocrop_train.config import TrainConfig
from mocrop_train.errors import TrainError, printable

FORMAT = "mocrop-checkpoint"
VERSION = 2
_PARTS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("model", "optimizer", "scaler", "rng", "sums", "config", "made"), (dict,)),
    **dict.fromkeys(("epoch", "step", "batch", "best"), (int,)),
    **dict.fromkeys(("history", "classes"), (list,)),
    "ema": (dict, type(None)),
    **dict.fromkeys(("shards", "selected_on"), (str,)),
}


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint; a reader sees the old file or the new one."""
    body = {"format": FORMAT, "version": VERSION, **state}
    with publish(path) as temporary:
        torch.save(body, temporary)


def keep_as(path: Path, copy: Path) -> None:
    """Let `copy` hold what `path` holds now, also after `path` is replaced; costs no room until then."""

    with publish(copy) as temporary:
        try:
            os.link(path, temporary)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, temporary)


def load(path: Path, *, mapped: bool = False) -> dict[str, Any]:
    """Read a checkpoint to the CPU, tensors and plain values only; raises TrainError if it is not one.

    `mapped` leaves the tensors in the file until they are looked at.
    """
    if not path.exists():
        raise TrainError(f"{path}: no such checkpoint")
    try:
        body = read_tensors(path, mapped=mapped)
    except TrainError as error:
        raise TrainError(f"{path}: not a readable checkpoint: {error}") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise TrainError(f"{path}: not a checkpoint of mocrop-train")
    if body.get("version") != VERSION:
        raise TrainError(f"{path}: checkpoint version {body.get('version')!r}; this release reads {VERSION}")
    for name, kinds in _PARTS.items():
        if name not in body or not isinstance(body[name], kinds):
            raise TrainError(
                f"{path}: not a whole checkpoint: {name} is missing, or is no {kinds[0].__name__}"
            )
    if not all(isinstance(name, str) for name in body["classes"]):
        raise TrainError(f"{path}: not a whole checkpoint: classes are not all texts")
    try:
        settings.replaced(TrainConfig(), body["config"])
    except TrainError as error:
        raise TrainError(f"{path}: its settings are not those of this release: {error}") from error
    return body


def weights(body: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return what a checkpoint is evaluated with, a state dict: the averaged weights if there are any."""
    found: dict[str, torch.Tensor] = body["model"] if body["ema"] is None else body["ema"]
    return found


def digest(weights: dict[str, torch.Tensor]) -> str:
    """Return the hexadecimal SHA-256 of weights: names, types, shapes, values, in the order of the network.

    The same in whatever file they are: a checkpoint also holds times, and a copy of it other bytes.
    """
    found = hashlib.sha256()
    for name, tensor in weights.items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def fill(network: nn.Module, weights: dict[str, Any], path: Path) -> None:
    """Load the weights of a checkpoint; raises TrainError that says how many are not those of the network."""
    own = network.state_dict()
    wrong = own.keys() ^ weights.keys()
    wrong |= {key for key in own.keys() - wrong if own[key].shape != getattr(weights[key], "shape", None)}
    if wrong:
        raise TrainError(
            f"{path}: {len(wrong)} weights do not fit the network of its settings, {min(map(str, wrong))} "
            f"among them; it is not the file that a run has written"
        )
    network.load_state_dict(weights)


def read_tensors(path: Path, *, mapped: bool = False) -> Any:
    """Read a file of torch.save to the CPU: tensors and plain values, never code.

    Raises TrainError, which does not name the file, for one that is damaged or holds anything else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # on damaged bytes torch guesses at their pickle
            return torch.load(path, "cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # damaged bytes make torch's unpickler fail in every way there is
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise TrainError(f"not a file of plain tensors: {reason}") from error


def check_classes(path: Path, known: list[str], found: list[str]) -> None:
    """Raise TrainError that names the difference unless checkpoint and shards have the same classes."""
    if known == found:
        return
    parts = [
        f"only in {where}: {', '.join(map(printable, names))}"
        for where, names in (
            ("the checkpoint", [name for name in known if name not in found]),
            ("the shards", [name for name in found if name not in known]),
        )
        if names
    ]
    difference = "; ".join(parts) or "the same names in another order"
    raise TrainError(f"{path}: {len(known)} classes where the shards have {len(found)}; {difference}")

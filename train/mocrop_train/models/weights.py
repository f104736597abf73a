"""Pretrained weights: from torchvision, from a file, from a checkpoint; nothing is skipped silently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from mocrop_train.errors import TrainError
from mocrop_train.progress import log
from mocrop_train.run import checkpoint

_KEYS_SHOWN = 8


def load_weights(model: nn.Module, name: str, head: str, source: str, *, allow_partial: bool) -> None:
    """Load `source` into a torchvision model.

    source: `imagenet`, or a .pth, .pt or .safetensors file with torchvision's keys, with those of its
    `features` part, or of a checkpoint of this trainer. `head` names the classifier: one of another shape
    is dropped with a log line. Raises TrainError that lists every other key that is missing, unexpected or
    of another shape, unless `allow_partial`.
    """
    state = _imagenet(name) if source == "imagenet" else _read(Path(source), model, head)
    state = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    own = model.state_dict()
    misfits = {key for key, value in state.items() if key in own and own[key].shape != value.shape}
    fitting = {key: value for key, value in state.items() if key not in misfits}
    missing, unexpected = model.load_state_dict(fitting, strict=False)
    shapes = [f"{key} {tuple(state[key].shape)} for {tuple(own[key].shape)}" for key in sorted(misfits)]
    of_head = [key for key in own if key.startswith(f"{head}.") and key not in fitting]
    if of_head:
        log.info("%s: its head is for other classes or absent; a new one is trained", source)
    problems = [
        _listed("missing", [key for key in missing if key not in misfits and key not in of_head]),
        _listed("unexpected", unexpected),
        _listed("of another shape", [text for text in shapes if not text.startswith(f"{head}.")]),
    ]
    found = "; ".join(problem for problem in problems if problem)
    if found and not allow_partial:
        raise TrainError(f"{source} does not fit {name}: {found}; --allow-partial loads what fits")
    if not any(key in own for key in fitting):
        raise TrainError(f"{source} does not fit {name}: {found}; nothing fits")
    if found:
        log.warning("%s: loaded in part: %s", source, found)


def _imagenet(name: str) -> dict[str, Tensor]:
    if name not in torchvision.models.list_models():
        raise TrainError(f"--weights imagenet: torchvision has none for {name}; give --weights FILE")
    weights = torchvision.models.get_model_weights(name).DEFAULT
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network, or a damaged download
        raise TrainError(
            f"--weights imagenet: cannot download {weights.url}: {error}; give --weights FILE or none"
        ) from error
    return state


def _read(path: Path, model: nn.Module, head: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise TrainError(f"--weights {path}: no such file; give a file, imagenet or none")
    try:
        body: Any = load_file(path) if path.suffix == ".safetensors" else checkpoint.read_tensors(path)
    except SafetensorError as error:
        raise TrainError(f"--weights {path}: not a file of plain tensors: {error}") from error
    except TrainError as error:
        raise TrainError(f"--weights {path}: {error}") from error
    if isinstance(body, dict) and body.get("format") == checkpoint.FORMAT:
        body = body.get("ema") or body
    while isinstance(body, dict) and not _is_state(body):
        nested = body.get("model", body.get("state_dict"))
        if nested is None:
            break
        body = nested
    if not _is_state(body):
        raise TrainError(f"--weights {path}: holds no state dict (names and tensors)")
    return _torchvision_keys(body, model, head)


def _is_state(body: Any) -> bool:
    return isinstance(body, dict) and bool(body) and all(isinstance(value, Tensor) for value in body.values())


def _torchvision_keys(state: dict[str, Tensor], model: nn.Module, head: str) -> dict[str, Tensor]:
    own = model.state_dict()
    if all(key.startswith(("backbone.", "head.linear.")) for key in state):  # our own checkpoint
        state = {key.replace("head.linear.", f"{head}.", 1): value for key, value in state.items()}
        return {key.removeprefix("backbone."): value for key, value in state.items()}
    if not any(key in own for key in state) and all(f"features.{key}" in own for key in state):
        return {f"features.{key}": value for key, value in state.items()}
    return state


def _listed(what: str, keys: list[str]) -> str:
    if not keys:
        return ""
    more = f" and {len(keys) - _KEYS_SHOWN} more" if len(keys) > _KEYS_SHOWN else ""
    return f"{len(keys)} {what} ({', '.join(keys[:_KEYS_SHOWN])}{more})"

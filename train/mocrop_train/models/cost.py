"""What a network costs before it runs: its multiply-adds and parameters, counted from shapes alone.

Everything is on torch's meta device, which has shapes but no numbers: counting takes no memory to speak of
and a fraction of a second, at any size of input.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mocrop_train.config import TrainConfig
from mocrop_train.models import build_model

_META = torch.device("meta")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a clip of `frames` frames costs a network with so many `parameters`.

    multiply_adds: those of all convolutions and matrix products, attention's among them, for the whole clip.
    norms: what normalisation and pooling add in the counts of papers, for the whole clip.
    """

    frames: int
    parameters: int
    multiply_adds: int
    norms: int

    @property
    def published(self) -> int:
        """The clip's GFLOPs as papers give them: multiply-adds, and normalisation and pooling."""
        return self.multiply_adds + self.norms


def clip_cost(config: TrainConfig, classes: int, frames: int) -> Cost:
    """Count what the network of a resolved config costs for a clip of `frames` frames."""
    with _META:
        network = build_model(config, classes, load=False)
        clip = torch.empty(frames, 3, config.side, config.side, dtype=torch.uint8)
    return network_cost(network, clip)


def network_cost(network: nn.Module, clip: Tensor) -> Cost:
    """Count what a network costs for `clip` (frames, ...); both are on the meta device.

    torch's counter has two operations for a multiply-add, which counts once here. Normalisation and pooling
    count as in fvcore (fvcore/nn/jit_handles.py, github.com/facebookresearch/fvcore), from which the figures
    of papers come: 2 for each number that a batch norm takes in, 5 for a layer norm, 1 for adaptive average
    pooling. Counted in neither are activations, softmax, other pooling, sums, biases and what is done to the
    pixels before the first layer. Raises ValueError for a network or a clip with numbers.
    """
    if not clip.is_meta or not all(parameter.is_meta for parameter in network.parameters()):
        raise ValueError("network and clip are counted on the meta device")
    network.eval()
    # inference mode shows the counter whole operations, on every device the same ones
    with FlopCounterMode(display=False, custom_mapping=_NORMS) as counter, torch.inference_mode():
        network(clip)
    found: dict[Any, int] = counter.get_flop_counts().get("Global", {})
    norms = sum(count for operation, count in found.items() if operation in _NORMS)
    return Cost(
        frames=len(clip),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        multiply_adds=(sum(found.values()) - norms) // 2,
        norms=norms,
    )


def _each(price: int) -> Callable[..., int]:
    """Return a formula for the counter: so many operations for each number that goes in."""

    def count(shape: torch.Size, *_: Any, **__: Any) -> int:
        return price * math.prod(shape)

    return count


_NORMS = {
    torch.ops.aten.batch_norm: _each(2),
    torch.ops.aten.layer_norm: _each(5),
    torch.ops.aten.adaptive_avg_pool2d: _each(1),
}

"""An image network with a linear head, which gives the logits of single frames."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from mocrop_train.config import TrainConfig
from mocrop_train.models import backbones
from mocrop_train.models.weights import load_weights

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class FrameClassifier(nn.Module):
    """Backbone and linear head; takes RGB frames (n, 3, height, width), returns logits (n, classes).

    Frames are uint8, or floats of the same range, 0 to 255, such as blends of frames. The mean and deviation
    of ImageNet are applied inside, so no caller can forget them.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, head: nn.Sequential) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        # not persistent: constants, not weights
        self.register_buffer("mean", 255 * torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def features(self, frames: Tensor) -> Tensor:
        """Return the pooled features of frames, (n, width of the backbone)."""
        pixels = frames.to(torch.float32, copy=True, memory_format=torch.channels_last)
        # in place: a batch of floats is large, and so is the time it takes to be given new memory
        features: Tensor = self.backbone(pixels.sub_(self.mean).div_(self.std))
        return features

    def forward(self, frames: Tensor) -> Tensor:
        """Return the logits of frames."""
        logits: Tensor = self.head(self.features(frames))
        return logits


def build_model(config: TrainConfig, classes: int, *, load: bool = True) -> FrameClassifier:
    """Build the network of a config, with its pretrained weights unless not `load`.

    Memory is channels-last: torch's convolutions are faster so, on CPUs several times. A frozen backbone
    does not train and its features go through a LayerNorm without parameters, so that one learning rate
    serves backbones with features of any size; its head always starts anew.
    """
    network = backbones.build(config.model, classes)
    head = backbones.HEADS[config.model]
    if load and config.weights != "none":
        load_weights(network, config.model, head, config.weights, allow_partial=config.allow_partial)
    linear = network.get_submodule(head)
    if not isinstance(linear, nn.Linear):
        raise TypeError(
            f"{config.model}.{head} is a {type(linear).__name__}; this torchvision is not supported"
        )
    network.set_submodule(head, nn.Identity())
    norm: nn.Module = nn.Identity()
    if config.freeze:
        network.requires_grad_(False)
        norm = nn.LayerNorm(linear.in_features, elementwise_affine=False)
        linear.reset_parameters()
    parts = OrderedDict(norm=norm, dropout=nn.Dropout(config.dropout), linear=linear)
    model = FrameClassifier(network, nn.Sequential(parts))
    return model.to(memory_format=torch.channels_last)

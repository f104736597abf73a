"""One table of settings: ranges hold wherever a value comes from."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from mocrop_train import overrides, recipes, settings
from mocrop_train.config import MODELS, TrainConfig
from mocrop_train.errors import TrainError
from mocrop_train.models import backbones
from mocrop_train.run import optim
from torch import nn


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
        ({"seed": 2**64}, "--seed: 18446744073709551616 is not in the range 0 to 4294967295"),
        ({"lr_steps": 0.5}, "--lr-steps: 0.5 is no list of float"),
        ({"lr_steps": [0.5, "x"]}, "--lr-steps: 'x' is not of type float"),
        ({"lr_steps": [0.5, 1.5]}, "--lr-steps: 1.5 is not in the range 0.0 to 1.0"),
        ({"recipe": "best"}, "--recipe: 'best' is not one of none, paper, modern"),
        ({"recipe": ["paper"]}, "--recipe: ('paper',) is not of type str"),
        ({"learning_rate": 0.1}, "unknown setting 'learning_rate'"),
        ({"epoch": 3}, "unknown setting 'epoch'; did you mean epochs?"),
    ],
)
def test_bad_settings_are_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainError) as caught:
        overrides.build(options)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_the_command_line_wins_over_the_file_which_wins_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "train.toml"
    file.write_text('epochs = 7\nbatch-size = 4\nmodel = "swin_t"\nlr = 1\n')
    built = overrides.build(settings.given({"epochs": 9}, file))
    assert (built.epochs, built.batch_size, built.model, built.lr) == (9, 4, "swin_t", 1)
    assert built.segments == TrainConfig().segments


def test_flags_win_over_the_file_over_the_recipe_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "train.toml"
    file.write_text('recipe = "paper"\nepochs = 7\nmixup = 0.4\nlr-steps = [0.3, 0.6, 0.9]\n')
    built = overrides.build(settings.given({"epochs": 9}, file))
    assert (built.epochs, built.mixup, built.lr_steps) == (9, 0.4, (0.3, 0.6, 0.9))
    assert (built.batch_size, built.weight_decay, built.crop_shape) == (32, 1e-4, "free")
    assert built.save_every == TrainConfig().save_every
    assert overrides.build(settings.given({"recipe": "none"}, file)).batch_size == TrainConfig().batch_size


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_is_made_of_settings_and_its_help_tells_them_all(name: str) -> None:
    built = overrides.build({"recipe": name})
    for setting, value in recipes.RECIPES[name].items():
        assert getattr(built, setting) == value
        assert f"{settings.flag(setting)[2:]} " in recipes.in_words(name)
    rest = {field.name for field in dataclasses.fields(TrainConfig)} - {"recipe", *recipes.RECIPES[name]}
    assert all(getattr(built, setting) == getattr(TrainConfig(), setting) for setting in rest)


def test_the_recipe_of_the_paper_lowers_the_rate_where_its_code_does() -> None:
    built = overrides.build({"recipe": "paper"}).resolved(224)
    batches = 298
    rates = [optim.learning_rate(epoch * batches, batches, built) for epoch in range(100)]
    assert rates == pytest.approx([1e-3] * 40 + [1e-4] * 40 + [1e-5] * 20)


@pytest.mark.parametrize("decay_norms", [False, True])
def test_biases_and_norms_are_decayed_if_asked_for(decay_norms: bool) -> None:
    built = TrainConfig(weight_decay=0.3, lr=0.1, decay_norms=decay_norms)
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    by_decay = {
        parameter: group["weight_decay"]
        for group in optim.optimizer(model, built).param_groups
        for parameter in group["params"]
    }
    assert by_decay[model[0].weight] == 0.3
    small = 0.3 if decay_norms else 0.0
    assert {by_decay[p] for p in (model[0].bias, model[1].weight, model[1].bias)} == {small}


def test_settings_of_several_numbers_are_written_as_they_are_read() -> None:
    saved = json.loads(json.dumps(dataclasses.asdict(TrainConfig(lr_steps=(0.2, 0.5)).resolved(32))))
    assert overrides.resumed(saved, {}).lr_steps == (0.2, 0.5)
    assert overrides.resumed(saved, {"lr_steps": [0.2, 0.5]}).lr_steps == (0.2, 0.5)
    assert overrides.build({"lr_steps": []}).lr_steps == ()
    assert settings.in_words((0.2, 0.5)) == "0.2,0.5"


def test_a_run_that_goes_on_keeps_what_its_recipe_was_then() -> None:
    saved = dataclasses.asdict(overrides.build({"recipe": "modern", "epochs": 3}).resolved(32))
    saved["mixup"] = 0.0  # as an older release had it
    assert overrides.resumed(saved, {}).mixup == 0.0
    del saved["hue"]
    assert overrides.resumed(saved, {}).hue == TrainConfig().hue


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
    going_on = overrides.resumed(saved, {"workers": 1, "epochs": 5})
    assert (going_on.epochs, going_on.workers, going_on.device) == (5, 1, "cpu")
    with pytest.raises(
        TrainError, match=r"--lr 0\.5: a resumed run keeps its settings, and there it is 0\.001"
    ):
        overrides.resumed(saved, {"lr": 0.5})


def test_evaluation_forgets_the_machine_and_the_limit_of_the_training() -> None:
    saved = dataclasses.asdict(TrainConfig(limit=3, threads=64, device="cuda", amp="bf16").resolved(32))
    found = overrides.evaluated(saved, {"batch_size": 2})
    assert (found.limit, found.threads, found.device) == (None, None, "auto")
    assert (found.amp, found.batch_size, found.input_size) == ("bf16", 2, 32)
    with pytest.raises(TrainError, match="--segments 8: evaluation keeps to the settings of the checkpoint"):
        overrides.evaluated(saved, {"segments": 8})


def test_every_model_on_the_list_can_be_built() -> None:
    assert set(MODELS) == set(backbones.HEADS)

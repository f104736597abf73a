"""What is asked for, over what is there already: a recipe, the settings of a run, those of a checkpoint."""

from __future__ import annotations

from typing import Any

from mocrop_train import recipes
from mocrop_train.config import ANY_RUN, TrainConfig
from mocrop_train.errors import TrainError
from mocrop_train.settings import flag, in_words, replaced

WHEN_EVALUATED = (*ANY_RUN, "batch_size", "amp", "limit")


def build(options: dict[str, Any]) -> TrainConfig:
    """Make a config of `options`, over those of their recipe, over the defaults.

    Raises TrainError for unknown names, wrong types and values out of range.
    """
    recipe = options.get("recipe")
    values = recipes.RECIPES.get(recipe, {}) if isinstance(recipe, str) else {}
    return replaced(TrainConfig(), {**values, **options})


def resumed(saved: dict[str, Any], options: dict[str, Any]) -> TrainConfig:
    """Return the config of a checkpoint to go on with; `options` may change the machine's settings only.

    Raises TrainError that names an option which differs.
    """
    return _carry_on(saved, options, ANY_RUN, "a resumed run keeps its settings")


def evaluated(saved: dict[str, Any], options: dict[str, Any]) -> TrainConfig:
    """Return the config to evaluate a checkpoint with; the machine and `limit` of its training are forgotten.

    Raises TrainError that names an option which differs and is not one of WHEN_EVALUATED.
    """
    kept = {name: value for name, value in saved.items() if name not in (*ANY_RUN, "limit")}
    return _carry_on(kept, options, WHEN_EVALUATED, "evaluation keeps to the settings of the checkpoint")


def _carry_on(
    saved: dict[str, Any], options: dict[str, Any], changeable: tuple[str, ...], why: str
) -> TrainConfig:
    config = replaced(TrainConfig(), saved)  # whole already: what its recipe says now is of no matter
    changed = replaced(config, options)
    for name in options:
        value, before = getattr(changed, name), getattr(config, name)
        if name not in changeable and value != before:
            raise TrainError(
                f"{flag(name)} {in_words(value)}: {why}, and there it is {in_words(before)}; "
                "leave the option out"
            )
    return changed

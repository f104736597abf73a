"""How settings are declared, checked and read: a frozen dataclass whose fields are made by `option`."""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from mocrop_train.errors import TrainError

Settings = TypeVar("Settings", bound="Checked")


def option(
    default: Any,
    meaning: str,
    *,
    section: str,
    choices: tuple[str, ...] = (),
    low: float = -math.inf,
    high: float = math.inf,
    auto: str = "",
) -> Any:
    """Declare one setting; `auto` says in words what None stands for.

    A field of type tuple[float, ...] holds several numbers, each of which is in the range.
    """
    about = {
        "help": meaning,
        "section": section,
        "choices": choices,
        "low": low,
        "high": high,
        "auto": auto,
    }
    return dataclasses.field(default=default, metadata=about)


class Checked:
    """Settings that are checked when they are made: a dataclass whose fields come from `option`."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            _check(type(self), field, getattr(self, field.name))


def given(options: dict[str, Any], file: Path | None) -> dict[str, Any]:
    """Return what was asked for: a TOML `file`, if any, and `options`, which win over it.

    Names in the file are those of the fields or of the flags. Raises TrainError if it cannot be read.
    """
    if file is None:
        return options
    try:
        body = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TrainError(f"{file}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainError(f"{file}: not valid TOML: {error}") from None
    return {**{name.replace("-", "_"): value for name, value in body.items()}, **options}


def replaced(config: Settings, values: dict[str, Any]) -> Settings:
    """Return settings with some values changed.

    Raises TrainError for unknown names, wrong types and values out of range.
    """
    fields = dataclasses.fields(config)  # type: ignore[arg-type]
    names = [field.name for field in fields]
    for name in values:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise TrainError(f"unknown setting {name!r}; {hint}")
    # TOML and JSON know lists only
    found = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return dataclasses.replace(config, **found)  # type: ignore[type-var]


def flag(name: str) -> str:
    """Return the command-line spelling of a field."""
    return "--" + name.replace("_", "-")


def value_type(kind: type[Any], field: dataclasses.Field[Any]) -> type[Any]:
    """Return bool, int, float or str: what a field holds when it is not None, or several of."""
    hint = typing.get_type_hints(kind)[field.name]
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    if typing.get_origin(hint) is tuple:
        hint = typing.get_args(hint)[0]
    return typing.cast(type[Any], hint)


def holds_several(kind: type[Any], field: dataclasses.Field[Any]) -> bool:
    """Say whether a field holds a tuple of values."""
    return typing.get_origin(typing.get_type_hints(kind)[field.name]) is tuple


def bounds(field: dataclasses.Field[Any]) -> str:
    """Return the range of a numeric field in words, or an empty text if it has none."""
    low, high = field.metadata["low"], field.metadata["high"]
    if math.isinf(low) and math.isinf(high):
        return ""
    return f"{low} or more" if math.isinf(high) else f"{low} to {high}"


def in_words(value: Any) -> str:
    """Return a value as it is written on the command line."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _check(owner: type[Any], field: dataclasses.Field[Any], value: Any) -> None:
    if value is None and field.metadata["auto"]:
        return
    kind = value_type(owner, field)
    if not holds_several(owner, field):
        _check_one(field, kind, value)
        return
    if not isinstance(value, tuple):
        raise TrainError(f"{flag(field.name)}: {value!r} is no list of {kind.__name__}")
    for one in value:
        _check_one(field, kind, one)


def _check_one(field: dataclasses.Field[Any], kind: type[Any], value: Any) -> None:
    about = field.metadata
    allowed = (int, float) if kind is float else (kind,)
    # bool is an int to Python, but `epochs = true` is a mistake
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise TrainError(f"{flag(field.name)}: {value!r} is not of type {kind.__name__}")
    if about["choices"] and value not in about["choices"]:
        raise TrainError(f"{flag(field.name)}: {value!r} is not one of {', '.join(about['choices'])}")
    if kind in (int, float) and not about["low"] <= value <= about["high"]:
        raise TrainError(f"{flag(field.name)}: {value} is not in the range {bounds(field)}")

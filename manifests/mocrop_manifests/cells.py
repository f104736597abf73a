"""One cell: what a value looks like in a table, and what a text may say there."""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# int() and float() also take underscores, spaces and the digits of every script
_WHOLE = re.compile(r"-?[0-9]+").fullmatch
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?").fullmatch
_BITS = 64
_QUOTED = re.compile('[,"\r\n]').search
_QUOTED_OR_BROKEN = re.compile('["\r\n]').search
_PLAIN: dict[type, Callable[[Any], str]] = {int: str, float: "{:.6f}".format, type(None): lambda _: ""}


def format_cell(value: object) -> str:
    """Return a value as it stands in a CSV: floats with six decimals, None empty, quotes where needed."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    # by hand, because the csv module leaves a lone carriage return unquoted when lines end in LF
    return '"' + text.replace('"', '""') + '"' if _QUOTED(text) else text


def format_row(values: Sequence[object]) -> str:
    """Return the cells of a row, separated by commas."""
    line = ",".join(
        [value if type(value) is str else _PLAIN.get(type(value), format_cell)(value) for value in values]
    )
    # most rows have nothing to quote: then the only commas are ours, and one look at the whole line tells
    if line.count(",") == len(values) - 1 and not _QUOTED_OR_BROKEN(line):
        return line
    return ",".join(map(format_cell, values))


def cell_parser(hint: Any, about: Mapping[str, Any]) -> Callable[[str], Any]:
    """Return the reader of a column's cells, by its type hint and what `column` says about it.

    The reader raises ValueError that says what was found and what is expected.
    """
    optional = isinstance(hint, types.UnionType)
    base = next(a for a in typing.get_args(hint) if a is not type(None)) if optional else hint
    parse = {int: _whole, float: _decimal}.get(base, str)
    choices, low, high = about["choices"], about["low"], about["high"]
    if hint is str and not choices:
        return str

    def read(text: str) -> Any:
        if optional and text == "":
            return None
        if choices and text not in choices:
            raise ValueError(f"{_shown(text)} is not one of {', '.join(choices)}")
        value = parse(text)
        if low is not None and value < low:
            raise ValueError(f"{_shown(text)} is under {low}, the least it can be")
        if high is not None and value > high:
            raise ValueError(f"{_shown(text)} is over {high}, the most it can be")
        return value

    return read


def _whole(text: str) -> int:
    if not _WHOLE(text):
        raise ValueError(f"{_shown(text)} is not a whole number; expected digits only, such as 12")
    # the length first: Python refuses to convert thousands of digits
    if len(text) > 18 and (len(text) > _BITS or not -(2 ** (_BITS - 1)) <= int(text) < 2 ** (_BITS - 1)):
        raise ValueError(f"{_shown(text)} is not a whole number of {_BITS} bits")
    return int(text)


def _decimal(text: str) -> float:
    number = float(text) if _DECIMAL(text) else math.nan
    if not math.isfinite(number):
        raise ValueError(f"{_shown(text)} is not a finite number; expected one such as 0.750000")
    return number


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 60 else f"{text[:60]!r}..."

"""Typed CSV tables: one dataclass per row, one line per clip, every error with its line and column."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

Row = TypeVar("Row")


class ManifestError(ValueError):
    """A table or index that does not hold what its schema promises; the message says where."""


def column(
    meaning: str,
    *,
    unit: str = "",
    choices: tuple[str, ...] = (),
    low: int | None = None,
    default: Any = dataclasses.MISSING,
) -> Any:
    """Declare a column of a row dataclass: what it means, its unit, its closed set of values, its minimum.

    A table may lack a column that has a default.
    """
    about = {"help": meaning, "unit": unit, "choices": choices, "low": low}
    return dataclasses.field(default=default, metadata=about)


def columns(row_type: type[Any]) -> tuple[str, ...]:
    """Return the column names of a row dataclass, in file order."""
    return tuple(field.name for field in dataclasses.fields(row_type))


def format_rows(row_type: type[Row], rows: Iterable[Row]) -> str:
    """Return the table as RFC 4180 text with LF line ends; floats carry six decimals, None is empty."""
    names = columns(row_type)
    lines = [",".join(names)]
    lines += [",".join(_cell(getattr(row, name)) for name in names) for row in rows]
    return "\n".join(lines) + "\n"


def parse_rows(row_type: type[Row], text: str, source: str | Path) -> dict[int, Row]:
    """Return the rows of a table by line; unknown columns are ignored, bad values raise ManifestError."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    hints = typing.get_type_hints(row_type)
    fields = dataclasses.fields(row_type)  # type: ignore[arg-type]
    try:
        header = next(reader, None)
        if header is None:
            raise ManifestError(f"{source}: the file is empty; expected a header line")
        missing = [
            field.name
            for field in fields
            if field.default is dataclasses.MISSING and field.name not in header
        ]
        if missing:
            raise ManifestError(f"{source}:1: missing columns: {', '.join(missing)}")
        parsers = [
            (field.name, header.index(field.name), _parser(hints[field.name], field.metadata))
            for field in fields
            if field.name in header
        ]
        rows: dict[int, Row] = {}
        line = reader.line_num + 1
        for cells in reader:
            if len(cells) != len(header):
                raise ManifestError(f"{source}:{line}: {len(cells)} cells where the header has {len(header)}")
            values = {}
            for name, position, parse in parsers:
                try:
                    values[name] = parse(cells[position])
                except ValueError as error:
                    raise ManifestError(f"{source}:{line}: column {name}: {error}") from None
            rows[line] = row_type(**values)
            line = reader.line_num + 1  # a quoted cell may span lines: a row is known by its first
    except csv.Error as error:
        raise ManifestError(f"{source}:{reader.line_num}: not valid CSV: {error}") from None
    return rows


def read_text(path: Path) -> str:
    """Read a UTF-8 table; a missing or undecodable file raises ManifestError."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ManifestError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not UTF-8 (byte {error.start})") from None


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6f}"
    text = str(value)
    # by hand, because the csv module leaves a lone carriage return unquoted when lines end in LF
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def _parser(hint: Any, about: Mapping[str, Any]) -> Callable[[str], Any]:
    optional = isinstance(hint, types.UnionType)
    choices, low = about["choices"], about["low"]
    base = next(a for a in typing.get_args(hint) if a is not type(None)) if optional else hint

    def parse(text: str) -> Any:
        if optional and text == "":
            return None
        if choices and text not in choices:
            raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
        if base is int:
            if low is not None and int(text) < low:
                raise ValueError(f"{text} is under {low}")
            return int(text)
        if base is float:
            number = float(text)
            if not math.isfinite(number):
                raise ValueError(f"{text!r} is not a finite number")
            return number
        return text

    return parse

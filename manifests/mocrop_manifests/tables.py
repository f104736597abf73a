"""Typed CSV tables: one dataclass per row, one line per clip, every error with its line and column."""

from __future__ import annotations

import dataclasses
import operator
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from mocrop_manifests.cells import cell_parser, format_row
from mocrop_manifests.errors import ManifestError
from mocrop_manifests.extras import Extras
from mocrop_manifests.raw import RawTable, parse_raw, read_raw, read_text
from mocrop_manifests.versions import VERSION, migrate, newest_version, version_of

Row = TypeVar("Row")

__all__ = [
    "column",
    "columns",
    "format_lines",
    "format_rows",
    "may_have_extras",
    "parse_rows",
    "read_extras",
    "read_text",
]


def column(
    meaning: str,
    *,
    unit: str = "",
    choices: tuple[str, ...] = (),
    low: int | None = None,
    high: int | None = None,
    default: Any = dataclasses.MISSING,
) -> Any:
    """Declare a column of a row dataclass: what it means, its unit, its closed set of values, its bounds.

    `default` is that of the constructor. In a table only a migration fills a column that is absent.
    """
    about = {"help": meaning, "unit": unit, "choices": choices, "low": low, "high": high}
    return dataclasses.field(default=default, metadata=about)


def columns(row_type: type[Any]) -> tuple[str, ...]:
    """Return the column names of a row dataclass, in file order."""
    return tuple(field.name for field in dataclasses.fields(row_type))


def format_rows(row_type: type[Row], rows: Iterable[Row], extras: Extras | None = None) -> str:
    """Return the table as one text; see `format_lines`."""
    return "".join(format_lines(row_type, rows, extras))


def format_lines(row_type: type[Row], rows: Iterable[Row], extras: Extras | None = None) -> Iterator[str]:
    """Yield the lines of a table, RFC 4180 with LF ends; floats carry six decimals, None is empty.

    Behind the columns of the dataclass stand the version, for tables that have one, and the extras, by the
    first column. Raises ValueError for extras that are named like a column of ours.
    """
    names = columns(row_type)
    version = newest_version(row_type)
    versions = () if version is None else (version,)
    extras = extras or Extras()
    taken = [name for name in extras.names if name in _known(row_type)]
    if taken:
        raise ValueError(f"columns of the table itself cannot be extras: {', '.join(taken)}")
    yield format_row((*_known(row_type), *extras.names)) + "\n"
    values_of = operator.attrgetter(*names)
    for row in rows:
        values = values_of(row)
        yield format_row((*values, *versions, *extras.of(values[0]))) + "\n"


def parse_rows(row_type: type[Row], text: str, source: str | Path) -> dict[int, Row]:
    """Return the rows of a table by line; older versions are migrated, unknown columns left to `read_extras`.

    Raises ManifestError with file, line and column for what the schema does not allow.
    """
    return dict(_rows(row_type, [parse_raw(text, source)]))


def scan_rows(row_type: type[Row], path: Path) -> Iterator[tuple[int, Row]]:
    """Yield line and row of the table in a file, as `parse_rows` has them, without keeping it."""
    return _rows(row_type, read_raw(path))


def _rows(row_type: type[Row], parts: Iterable[RawTable]) -> Iterator[tuple[int, Row]]:
    above: int | None = None
    for part in parts:
        version = version_of(row_type, part)
        if above not in (None, version):
            problem = f"{version} where the rows above have {above}"
            raise part.fault(next(iter(part.rows)), VERSION, problem)
        above = version
        table = _complete(row_type, migrate(row_type, part))
        parsers = _parsers(row_type, table.header)
        for line, cells in table.rows.items():
            values = {}
            for name, position, parse in parsers:
                try:
                    values[name] = parse(cells[position])
                except ValueError as error:
                    raise table.fault(line, name, str(error)) from None
            yield line, row_type(**values)


def _parsers(
    row_type: type[Any], header: tuple[str, ...]
) -> tuple[tuple[str, int, Callable[[str], Any]], ...]:
    """Return name, position in a row and reader of the columns."""
    hints = typing.get_type_hints(row_type)
    return tuple(
        (field.name, header.index(field.name), cell_parser(hints[field.name], field.metadata))
        for field in dataclasses.fields(row_type)
    )


def may_have_extras(row_type: type[Any], path: Path) -> bool:
    """Say by its header alone whether a table may have columns that its schema does not know."""
    try:
        with path.open("rb") as stream:
            header = stream.readline()
    except FileNotFoundError:
        return False
    return header != ",".join(_known(row_type)).encode() + b"\n"


def read_extras(row_type: type[Any], path: Path) -> Extras:
    """Return the columns of a table that its schema does not know; none for a file that is not there.

    The cells are kept by the first column of the schema, and the other columns are not looked at. Raises
    ManifestError, as reading the rows would, where the table cannot be taken apart, is of a newer release, or
    names a clip twice.
    """
    if not path.exists():
        return Extras()
    table = _complete(row_type, migrate(row_type, parse_raw(read_text(path), path)))
    key = columns(row_type)[0]
    known, place = _known(row_type), table.header.index(key)
    positions = [number for number, name in enumerate(table.header) if name not in known]
    cells: dict[str, tuple[str, ...]] = {}
    for line, row in table.rows.items():
        if row[place] in cells:
            raise table.fault(line, key, f"{row[place][:200]!r} occurs twice")
        cells[row[place]] = tuple(row[position] for position in positions)
    return Extras(tuple(table.header[position] for position in positions), cells)


def _known(row_type: type[Any]) -> tuple[str, ...]:
    version = () if newest_version(row_type) is None else (VERSION,)
    return (*columns(row_type), *version)


def _complete(row_type: type[Any], table: RawTable) -> RawTable:
    """Return the table; raise ManifestError that names the columns which it lacks."""
    missing = [name for name in columns(row_type) if name not in table.header]
    if missing:
        alone = len(table.header) == 1 and any(mark in table.header[0] for mark in ";\t")
        hint = "; cells are separated by commas" if alone else ""
        raise ManifestError(f"{table.source}:1: missing columns: {', '.join(missing)}{hint}")
    return table

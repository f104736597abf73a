"""The version of a table's form, and the steps that lead from an older one to this release's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from mocrop_manifests.cells import cell_parser
from mocrop_manifests.raw import RawTable

VERSION = "version"
"""The column that holds it, the same in every row; a table without the column is version 1."""

Row = TypeVar("Row")
Step = Callable[[RawTable], RawTable]
_STEPS: dict[type[Any], tuple[Step, ...]] = {}
_parse = cell_parser(int, {"choices": (), "low": 1, "high": None})


def versioned(*steps: Step) -> Callable[[type[Row]], type[Row]]:
    """Give the tables of a row dataclass a version: 1, and one more for each step from a version to the next.

    A step takes the raw table as the older release wrote it, and returns what the newer one would have.
    """

    def register(row_type: type[Row]) -> type[Row]:
        _STEPS[row_type] = steps
        return row_type

    return register


def newest_version(row_type: type[Any]) -> int | None:
    """Return the version that this release writes; None for tables without one."""
    return len(_STEPS[row_type]) + 1 if row_type in _STEPS else None


def migrate(row_type: type[Any], table: RawTable) -> RawTable:
    """Return a table in the form of this release.

    Raises ManifestError with line and column for a version that is none, that differs between rows, or that
    only a newer release can read.
    """
    if row_type not in _STEPS:
        return table
    for step in _STEPS[row_type][version_of(row_type, table) - 1 :]:
        table = step(table)
    return table


def add_columns(*names: str) -> Step:
    """Return the step that gives a table the columns of these names it lacks, with empty cells."""

    def step(table: RawTable) -> RawTable:
        absent = tuple(name for name in names if name not in table.header)
        rows = {line: [*cells, *("" for _ in absent)] for line, cells in table.rows.items()}
        return dataclasses.replace(table, header=(*table.header, *absent), rows=rows)

    return step


def version_of(row_type: type[Any], table: RawTable) -> int:
    """Return the version of a table; raises ManifestError as `migrate` does."""
    if row_type not in _STEPS or VERSION not in table.header:
        return 1
    newest = len(_STEPS[row_type]) + 1
    position = table.header.index(VERSION)
    found: tuple[str, int] | None = None
    for line, cells in table.rows.items():
        if found and cells[position] == found[0]:
            continue
        try:
            version = _parse(cells[position])
        except ValueError as error:
            raise table.fault(line, VERSION, f"{error}; this release writes {newest}") from None
        if version > newest:
            raise table.fault(
                line,
                VERSION,
                f"written by a newer release: version {version}; this one reads up to {newest}",
            )
        if found and version != found[1]:
            raise table.fault(line, VERSION, f"{version} where the rows above have {found[1]}")
        found = cells[position], version
    return found[1] if found else newest  # without a row there is nothing to migrate

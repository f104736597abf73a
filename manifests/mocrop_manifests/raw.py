"""A table as it stands in its file: cells of text by line, before any of them means something."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from mocrop_manifests.errors import ManifestError

# a NUL, and what bytes that are not UTF-8 become (PEP 383)
_UNREADABLE = re.compile(r"[\0\udc80-\udcff]")
_CELL = re.compile(r'(?P<cell>"(?:[^"]|"")*+"|(?!")[^,\r\n]*+)(?P<end>,|\r\n|[\r\n]|\Z)')

_ROWS = 4096  # taken apart at a time


@dataclass(frozen=True, slots=True)
class RawTable:
    """`header` names the columns, each once; `rows` are as long, by the line of `source` they begin in."""

    source: str
    header: tuple[str, ...]
    rows: dict[int, list[str]]

    def fault(self, line: int, column: str, problem: str) -> ManifestError:
        """Return the error that names the file, a line and a column."""
        return ManifestError(f"{self.source}:{line}: column {_plain(column)}: {problem}")


def read_text(path: Path) -> str:
    """Read a table's text; bytes that are not UTF-8 become surrogates, which `parse_raw` refuses.

    A file that is missing or cannot be read raises ManifestError.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unread(path, error) from None
    return content.decode("utf-8-sig", "surrogateescape")


def _unread(path: Path, error: OSError) -> ManifestError:
    if isinstance(error, FileNotFoundError):
        return ManifestError(f"{path}: no such file")
    return ManifestError(f"{path}: cannot be read: {error.strerror}")


def parse_raw(
    text: str,
    source: str | Path,
    *,
    named: Callable[[str], str] = str,
    skip_blank: bool = False,
) -> RawTable:
    """Take a CSV (RFC 4180, any line ends) apart; `named` turns a header cell into a column's name.

    Raises ManifestError with line and column for quotes that do not end, a cell with a NUL or with bytes that
    are not UTF-8, and a column name that occurs twice; with the line for a row with too few or too many
    cells, which a blank line is unless `skip_blank`.
    """
    tables = list(_parts(io.StringIO(text, newline=""), source, named, skip_blank, None))
    return tables[0]


def read_raw(path: Path) -> Iterator[RawTable]:
    """Take the table in a file apart, some thousand rows at a time, each time with the header.

    Raises ManifestError as `read_text` and `parse_raw` do.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            yield from _parts(stream, path, str, False, _ROWS)
    except OSError as error:
        raise _unread(path, error) from None


def _parts(
    stream: TextIO, source: str | Path, named: Callable[[str], str], skip_blank: bool, size: int | None
) -> Iterator[RawTable]:
    """Yield the table of a stream in parts of `size` rows; one at least."""
    reader = csv.reader(lines := _Lines(stream), strict=True)
    line = 1
    table: RawTable | None = None
    try:
        for cells in reader:
            if table is None:
                table = RawTable(str(source), _header(map(named, cells), source), {})
            elif cells or not skip_blank:
                _check(table, line, cells, readable=lines.readable)
                if len(table.rows) == size:
                    yield table
                    table = replace(table, rows={})
                table.rows[line] = cells
            line = reader.line_num + 1  # a quoted cell may span lines: a row is known by its first
    except csv.Error as error:
        stream.seek(0)
        raise _broken(stream.read(), table, str(source), line, error) from None
    if table is None:
        raise ManifestError(f"{source}: the file is empty; expected a header line")
    yield table


class _Lines(Iterator[str]):
    """The lines of a stream; `readable` as long as all are text."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.readable = True

    def __next__(self) -> str:
        line = next(self._stream)
        if self.readable and _UNREADABLE.search(line):
            self.readable = False
        return line


def _header(names: Iterable[str], source: str | Path) -> tuple[str, ...]:
    header = tuple(names)
    if not header:
        raise ManifestError(f"{source}:1: a blank line; expected a header line")
    for number, name in enumerate(header, start=1):
        if _UNREADABLE.search(name):
            raise ManifestError(f"{source}:1: column {number}: the name {_unreadable(name)}")
    for name, times in Counter(header).items():
        if times > 1:
            what = f"column {_plain(name)}" if name else "a column without a name"
            raise ManifestError(f"{source}:1: {what} occurs {times} times; each column needs its own name")
    return header


def _check(table: RawTable, line: int, cells: list[str], *, readable: bool) -> None:
    if not readable:
        for name, cell in zip(table.header, cells, strict=False):
            if _UNREADABLE.search(cell):
                raise table.fault(line, name, f"the cell {_unreadable(cell)}")
    wanted = len(table.header)
    if len(cells) < wanted:
        missing = table.header[len(cells)]
        raise ManifestError(
            f"{table.source}:{line}: {len(cells)} cells where the header has {wanted}; "
            f"column {_plain(missing)} and what follows is missing"
        )
    if len(cells) > wanted:
        raise ManifestError(
            f"{table.source}:{line}: {len(cells)} cells where the header has {wanted}; there are more after "
            f"column {_plain(table.header[-1])}: a cell with a comma in it needs quotes"
        )


def _unreadable(text: str) -> str:
    if "\0" in text:
        return "holds a NUL byte; the file is damaged, or is no text"
    byte = next(ord(mark) & 0xFF for mark in text if "\udc80" <= mark <= "\udcff")
    return f"is not UTF-8 (byte 0x{byte:02x}); save the table as UTF-8"


def _broken(text: str, table: RawTable | None, source: str, line: int, error: csv.Error) -> ManifestError:
    """Return the error for a row that the csv module refuses, with the column that it does not name."""
    lines = io.StringIO(text, newline="")
    place = sum(map(len, itertools.islice(lines, line - 1)))
    column = 0
    while (found := _CELL.match(text, place)) and found["end"] == ",":
        if len(found["cell"]) > csv.field_size_limit():
            break
        place, column = found.end(), column + 1
    why = f"not valid CSV: {error}"
    if found is None:
        why = "not valid CSV: a cell that begins with a quote ends with one; quotes inside it are doubled"
    header = table.header if table else ()
    name = _plain(header[column]) if column < len(header) else str(column + 1)
    return ManifestError(f"{source}:{line}: column {name}: {why}")


def _plain(name: str) -> str:
    """Return a column's name as it is where that is a word, else as a literal: it may hold anything."""
    return name if re.fullmatch(r"\w{1,60}", name, re.ASCII) else ascii(name[:60])

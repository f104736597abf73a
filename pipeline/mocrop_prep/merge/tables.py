"""Sorted tables of parts -> one sorted table, row by row: what it takes in memory does not grow with them."""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from mocrop_manifests.files import publish

from mocrop_prep.errors import UsageError
from mocrop_prep.sums import Sums
from mocrop_prep.workdir import Workdir


def join_table(home: Workdir, path: Path, sources: Sequence[Path], *, expected: str = "") -> None:
    """Publish a table with the rows of others, each sorted by its first column, and note its checksum first.

    The rows stay as they stand: the table is what one command would have written. Raises UsageError if it is
    not of the SHA-256 that is expected, if any is.
    """
    digest = hashlib.sha256()
    with publish(path) as temporary:
        with temporary.open("wb") as out, ExitStack() as opened:
            for row in _merged([opened.enter_context(source.open("rb")) for source in sources]):
                digest.update(row)
                out.write(row)
        if expected and digest.hexdigest() != expected:
            raise UsageError(f"{path.name} of the parts do not add up to the whole list: run the parts again")
        Sums(home.sums).note(home.name_of(path), digest.hexdigest(), digest.hexdigest())


def join_reports(path: Path, sources: Sequence[Path]) -> None:
    """Publish a report with the rows of others, as `join_table` does; nobody checks reports."""
    with publish(path) as temporary, temporary.open("wb") as out, ExitStack() as opened:
        out.writelines(_merged([opened.enter_context(source.open("rb")) for source in sources]))


def clip_ids(path: Path) -> set[str]:
    """Return the first cells of a table that is as it was written."""
    with path.open("rb") as stream:
        return {row.partition(b",")[0].decode() for row in itertools.islice(_rows(stream), 1, None)}


def _merged(streams: Sequence[IO[bytes]]) -> Iterator[bytes]:
    """Yield the header, which is that of all, and then the rows in the order of their first cell."""
    tables = [_rows(stream) for stream in streams]
    headers = [next(table, b"") for table in tables]
    yield headers[0]
    yield from heapq.merge(*tables, key=lambda row: row.partition(b",")[0])


def _rows(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the rows of a CSV as they stand; line ends in quoted cells end none."""
    row = b""
    for line in stream:
        row += line
        if row.count(b'"') % 2 == 0:
            yield row
            row = b""

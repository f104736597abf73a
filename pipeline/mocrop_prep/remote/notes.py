"""What a working copy knows of the store: one note a file, in a database beside the copy, never in it."""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mocrop_prep.errors import UsageError
from mocrop_prep.remote.names import Stamp
from mocrop_prep.remote.urls import State, Url

ELSEWHERE: Stamp = (-1, -1)
"""The stamp of no file: what is on disk is not what the note is about."""

_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS notes (
    name TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER,
    sha256 TEXT, state TEXT, whole INTEGER, sending TEXT
);
"""


@dataclass(frozen=True, slots=True)
class Note:
    """A file as it was when store and disk last were one.

    `state` is what the store said of it, None before it was sent for the first time. Without `whole` there is
    only a file of its size on disk. `sending` is the SHA-256 of what was being sent when the note was made.
    """

    stamp: Stamp
    sha256: str
    state: State | None
    whole: bool
    sending: str = ""


class Notes:
    """The notes of one working copy; every change is on disk when its method returns."""

    def __init__(self, path: Path, url: Url) -> None:
        self._lock = threading.Lock()
        self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        try:
            self._base.executescript(_TABLES)
            self._base.execute("PRAGMA journal_mode = WAL")
            self._fact("url", url.text)
            self._fact("owner", uuid.uuid4().hex)
        except sqlite3.DatabaseError as error:
            raise UsageError(
                f"{path} is damaged ({error}): delete it, and the copy beside it is compared with {url}"
            ) from None
        facts = dict(self._do("SELECT name, value FROM facts"))
        self.owner: str = facts["owner"]
        if facts["url"] != url.text:
            raise UsageError(
                f"{path.parent} is the copy of {facts['url']}, not of {url}; take another --local"
            )

    def close(self) -> None:
        """Close the database."""
        self._base.close()

    def all(self) -> dict[str, Note]:
        """Return all notes by the names of their files below WORKDIR."""
        return {name: _note(cells) for name, *cells in self._do("SELECT * FROM notes")}

    def enter(self, name: str, note: Note) -> None:
        """Note a file, in place of what was noted of it before."""
        state = json.dumps(note.state)
        self._do(
            "INSERT OR REPLACE INTO notes VALUES (?, ?, ?, ?, ?, ?, ?)",
            (name, *note.stamp, note.sha256, state, note.whole, note.sending),
        )

    def drop(self, names: Iterable[str]) -> None:
        """Forget files."""
        with self._lock, self._base:
            self._base.execute("BEGIN")
            self._base.executemany("DELETE FROM notes WHERE name = ?", [(name,) for name in names])

    def _fact(self, name: str, value: str) -> None:
        self._do("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, value))

    def _do(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with self._lock:
            return self._base.execute(statement, values).fetchall()


def _note(cells: list[Any]) -> Note:
    size, time, digest, state, whole, sending = cells
    told = json.loads(state)
    return Note((size, time), digest, None if told is None else (told[0], told[1]), bool(whole), sending)

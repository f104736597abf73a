"""Checksums of the tables that the pipeline writes: what was edited since, by hand or by decay, shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mocrop_manifests.files import publish_text, sha256, sha256_of_text

_FORMAT = "mocrop-sums"
_VERSION = 1
_KEPT = 2


@dataclass(frozen=True, slots=True)
class Sum:
    """What a table was when it was written, as hexadecimal SHA-256.

    sha256: of the whole file. plain: of the table without the columns that users added.
    """

    sha256: str
    plain: str


class Sums:
    """The checksums in ``journal/sums.json``; a damaged or missing file means that nothing is known.

    Tables go by their path below WORKDIR, with `/`, such as ``crops/foreground.csv``. A sum is noted before
    its file is published, so two are kept: a kill between the two leaves the old file, which is known still.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def known(self, name: str) -> tuple[Sum, ...]:
        """Return the sums of a table, newest first: two at most, none if it was never noted."""
        return self._read().get(name, ())

    def note(self, name: str, sha256: str, plain: str) -> None:
        """Put a sum in front of the one before; an unchanged file is not written again.

        The one that is kept is the sum of the file as it lies there now, wherever that is known.
        """
        tables = self._read()
        new = Sum(sha256, plain)
        before = [old for old in tables.get(name, ()) if old.sha256 != new.sha256]
        # after two kills in a row, the newest sum but one may be of a file that was never published
        there = self._digest(name)
        before.sort(key=lambda old: old.sha256 != there)
        self._write(tables | {name: (new, *before)[:_KEPT]}, tables)

    def forget(self, name: str) -> None:
        """Drop the sums of a table that is no more."""
        tables = self._read()
        self._write({key: value for key, value in tables.items() if key != name}, tables)

    def names(self) -> list[str]:
        """Return the names of the tables with a sum on record, sorted."""
        return sorted(self._read())

    def is_damaged(self) -> bool:
        """Say whether the file is there but not as it was written."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return content != _format(_parse(content)).encode()

    def _read(self) -> dict[str, tuple[Sum, ...]]:
        try:
            return _parse(self.path.read_bytes())
        except OSError:
            return {}

    def _write(self, tables: Mapping[str, tuple[Sum, ...]], before: Mapping[str, tuple[Sum, ...]]) -> None:
        if tables != before:
            publish_text(self.path, _format(tables))

    def _digest(self, name: str) -> str:
        try:
            return sha256(self.path.parents[1] / name)
        except OSError:
            return ""


def _format(tables: Mapping[str, tuple[Sum, ...]]) -> str:
    body = {name: [asdict(entry) for entry in entries] for name, entries in tables.items()}
    whole = {"format": _FORMAT, "version": _VERSION, "tables": body, "sha256": _digest_of(body)}
    return json.dumps(whole, indent=2, sort_keys=True) + "\n"


def _parse(content: bytes) -> dict[str, tuple[Sum, ...]]:
    """Return the sums of a file's content; empty if anything in it is not as it was written."""
    try:
        whole = json.loads(content)
        body = whole["tables"]
        if (whole["format"], whole["version"], whole["sha256"]) != (_FORMAT, _VERSION, _digest_of(body)):
            return {}
        return {name: tuple(Sum(**entry) for entry in entries) for name, entries in body.items()}
    # RecursionError: damage can look like any depth of nesting
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _digest_of(body: Any) -> str:
    """Return the SHA-256 of the sums themselves: a sum that decayed must not accuse a sound table."""
    return sha256_of_text(json.dumps(body, sort_keys=True))

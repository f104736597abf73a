"""A CSV file as a source: `path,label[,split][,group]`, one row a clip."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from mocrop_manifests import ManifestError
from mocrop_manifests.raw import RawTable, parse_raw, read_text

from mocrop_prep.clips.paths import escape, remark, short, unescape
from mocrop_prep.clips.sources import SPLIT_NAMES, Entry, Source, summary
from mocrop_prep.errors import UsageError
from mocrop_prep.remote import Location, State, Url, is_url, join


def read_table(table: Location) -> Source:
    """Read a CSV of clips; paths may hold the escapes of `paths`.

    They are relative to its folder, absolute, or URLs; those of a table in a store are not of this disk.

    A file that is missing is not an error here: its row fails later, alone. Raises UsageError with the line
    at fault for a missing column, a wrong number of cells, an empty path or label, a path that occurs twice,
    and a split that is none.
    """
    raw = _read(table)
    missing = [name for name in ("path", "label") if name not in raw.header]
    if missing:
        raise UsageError(
            f"{raw.source}:1: missing column {' and '.join(missing)}; "
            "expected a header line with path,label and, if wanted, split,group"
        )
    rows: dict[str, Entry] = {}
    for number, cells in raw.rows.items():
        line = f"{raw.source}:{number}"
        entry = _entry(dict(zip(raw.header, cells, strict=True)), line, table.parent)
        if entry.path in rows:
            raise UsageError(
                f"{line}: column path: {short(entry.path)} occurs twice; each path may have one row"
            )
        rows[entry.path] = entry
    if not rows:
        raise UsageError(f"{raw.source}: no clips; expected one row a clip below the header")
    return _source(table, list(rows.values()))


def _read(table: Location) -> RawTable:
    try:
        text = read_text(table) if isinstance(table, Path) else _read_object(table)
    except ManifestError as error:
        raise UsageError(escape(str(error))) from None
    try:
        return parse_raw(text, escape(str(table)), named=lambda cell: cell.strip().lower(), skip_blank=True)
    except ManifestError as error:
        raise UsageError(str(error)) from None


def _read_object(table: Url) -> str:
    from mocrop_prep.remote.store import read

    try:
        return read(table).decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise UsageError(f"SOURCE {escape(str(table))} cannot be read: {error.strerror}") from None


def _entry(row: dict[str, str], line: str, root: Location) -> Entry:
    path = unescape(row["path"])
    try:
        join(root, path)
    except UsageError as error:
        raise UsageError(f"{line}: column path: {error}") from None
    if not is_url(path):  # the slashes of a URL are part of it
        path = str(PurePosixPath(path))
    label, split = row["label"].strip(), row.get("split", "").strip()
    if not row["path"].strip() or path == "." or "\0" in path:
        raise UsageError(f"{line}: column path: '{escape(row['path'])}' is no path of a file")
    if not label:
        raise UsageError(f"{line}: column label is empty; every clip needs a class")
    if split and split.lower() not in SPLIT_NAMES:
        raise UsageError(f"{line}: column split: '{short(split)}' is not one of train, val, test")
    group = row["group"].strip() if "group" in row else None
    return Entry(path, label, SPLIT_NAMES.get(split.lower(), ""), group)


def _source(table: Location, entries: list[Entry]) -> Source:
    root = table.parent
    places = {entry.path: join(root, entry.path) for entry in entries}
    states = _states({path: place for path, place in places.items() if isinstance(place, Url)})
    absent = [
        path
        for path, place in places.items()
        if (path not in states if isinstance(place, Url) else not os.path.exists(place))
    ]
    notes = [f"table: {summary(entries)}", *remark("rows whose file is not there", absent)]
    has_splits = any(entry.split for entry in entries)
    splits_from = f"the split column of {escape(str(table))}" if has_splits else ""
    return Source(root, entries, notes, splits_from, states)


def _states(urls: Mapping[str, Url]) -> dict[str, State]:
    """Return the states of what is there of some URLs, by the paths that lead to them."""
    if not urls:
        return {}
    from mocrop_prep.remote import store

    try:
        found = store.states(urls.values())
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}") from None
    return {path: state for path, url in urls.items() if (state := found[url]) is not None}

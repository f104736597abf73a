"""A CSV file as a source: `path,label[,split][,group]`, one row a clip."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from mocrop_manifests import ManifestError
from mocrop_manifests.raw import RawTable, parse_raw, read_text

from mocrop_prep.clips.paths import escape, remark, short, unescape
from mocrop_prep.clips.sources import SPLIT_NAMES, Entry, Source, summary
from mocrop_prep.errors import UsageError


def read_table(table: Path) -> Source:
    """Read a CSV of clips; paths are relative to its folder or absolute, and may hold the escapes of `paths`.

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
        entry = _entry(dict(zip(raw.header, cells, strict=True)), line)
        if entry.path in rows:
            raise UsageError(
                f"{line}: column path: {short(entry.path)} occurs twice; each path may have one row"
            )
        rows[entry.path] = entry
    if not rows:
        raise UsageError(f"{raw.source}: no clips; expected one row a clip below the header")
    return _source(table, list(rows.values()))


def _read(table: Path) -> RawTable:
    try:
        text = read_text(table)
    except ManifestError as error:
        raise UsageError(escape(str(error))) from None
    try:
        return parse_raw(text, escape(str(table)), named=lambda cell: cell.strip().lower(), skip_blank=True)
    except ManifestError as error:
        raise UsageError(str(error)) from None


def _entry(row: dict[str, str], line: str) -> Entry:
    path = str(PurePosixPath(unescape(row["path"])))
    label, split = row["label"].strip(), row.get("split", "").strip()
    if not row["path"].strip() or path == "." or "\0" in path:
        raise UsageError(f"{line}: column path: '{escape(row['path'])}' is no path of a file")
    if not label:
        raise UsageError(f"{line}: column label is empty; every clip needs a class")
    if split and split.lower() not in SPLIT_NAMES:
        raise UsageError(f"{line}: column split: '{short(split)}' is not one of train, val, test")
    group = row["group"].strip() if "group" in row else None
    return Entry(path, label, SPLIT_NAMES.get(split.lower(), ""), group)


def _source(table: Path, entries: list[Entry]) -> Source:
    root = table.parent
    absent = [entry.path for entry in entries if not os.path.exists(root / entry.path)]
    notes = [f"table: {summary(entries)}", *remark("rows whose file is not there", absent)]
    has_splits = any(entry.split for entry in entries)
    return Source(root, entries, notes, f"the split column of {escape(str(table))}" if has_splits else "")

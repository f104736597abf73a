"""Publish tables without losing what users wrote into them: their columns are kept, their edits respected."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mocrop_manifests import (
    Clip,
    CropRow,
    ManifestError,
    read_clips,
    read_crops,
    read_extras,
    write_clips,
    write_crops,
)
from mocrop_manifests.files import publish_text, put, sha256, sha256_of_text, temporary_beside
from mocrop_manifests.tables import format_lines, may_have_extras

from mocrop_prep.errors import UsageError
from mocrop_prep.sums import Sums
from mocrop_prep.workdir import Workdir

_LINES = 1000  # written at a time


@dataclass(frozen=True, slots=True)
class TableForm:
    """How one kind of table is read and written, and what to do where ours and the user's collide."""

    row: type[Any]
    read: Callable[[Path], Sequence[Any]]
    write: Callable[..., str]
    way_out: str


CLIP_LIST = TableForm(Clip, read_clips, write_clips, "move it away")
MANIFEST = TableForm(CropRow, read_crops, write_crops, "take another --name, or move it away")


def refuse_edited(workdir: Workdir, path: Path, form: TableForm, *, was_ours: bool) -> None:
    """Raise UsageError if a table that is about to be written anew holds what this pipeline has not written.

    Columns that were added do not count: they are kept. Where no checksum is on record of a table that
    `was_ours`, because it was lost or an older release wrote it, one in our hand is taken for ours.
    """
    if not path.exists():
        return
    known = Sums(workdir.sums).known(workdir.name_of(path))
    if sha256(path) in {each.sha256 for each in known}:
        return
    try:
        rows = form.read(path)
        ours = sha256_of_text(form.write(rows)) in {each.plain for each in known}
        if was_ours and not known:
            ours = form.write(rows, read_extras(form.row, path)).encode() == path.read_bytes()
    except ManifestError:
        ours = False
    if not ours:
        raise UsageError(
            f"{path} was changed since it was written, or another program made it, and this command would "
            f"write it anew: {form.way_out} (if it is deleted, it is made again)"
        )


def publish_table(workdir: Workdir, path: Path, form: TableForm, rows: Iterable[Any]) -> None:
    """Write a table with the columns that users added to it, if it changed, and note its checksum first.

    `rows` come sorted by clip_id, and may be of any number: none is kept.
    """
    sums, name = Sums(workdir.sums), workdir.name_of(path)
    newest = next(iter(sums.known(name)), None)
    with temporary_beside(path) as temporary:
        digest = _write_lines(temporary, format_lines(form.row, rows))
        if newest and newest.plain == digest and path.exists() and sha256(path) == newest.sha256:
            return  # as it was left, and taking a long table apart takes long
        whole = digest
        if may_have_extras(form.row, path):
            extras = read_extras(form.row, path)
            whole = _write_lines(temporary, format_lines(form.row, form.read(temporary), extras))
        sums.note(name, whole, digest)
        if not path.exists() or sha256(path) != whole:
            put(temporary, path)


def _write_lines(path: Path, lines: Iterable[str]) -> str:
    """Write a text line by line; return its SHA-256 in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        lines = iter(lines)
        while content := "".join(islice(lines, _LINES)).encode():
            digest.update(content)
            stream.write(content)
    return digest.hexdigest()


def publish_if_changed(path: Path, text: str) -> None:
    """Write a file, unless it holds just that."""
    if not path.exists() or path.read_bytes() != text.encode():
        publish_text(path, text)

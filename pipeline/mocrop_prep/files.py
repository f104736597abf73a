"""The disk's promises: a file appears whole under its name or not at all, and its checksum is known."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = ".tmp-"


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file in the folder of `path`, which is made; remove it in the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # long names keep their end, where the suffix is; the worker's number keeps two of them apart
    end = os.fsencode(path.name)[-160:].decode("ascii", "replace").replace("\ufffd", "-")
    temporary = path.parent / f"{TEMPORARY}{os.getpid()}-{threading.get_native_id()}-{end}"
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def publish(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it and rename it into place, else remove it."""
    with temporary_beside(path) as temporary:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)


def publish_bytes(path: Path, content: bytes) -> None:
    """Write a whole file atomically."""
    with publish(path) as temporary:
        temporary.write_bytes(content)


def publish_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file atomically, with the text's own line ends."""
    publish_bytes(path, text.encode())


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sweep(folder: Path) -> int:
    """Remove temporaries that a killed run left in `folder`; return how many."""
    stale = [path for path in folder.glob(f"{TEMPORARY}*") if path.is_file()] if folder.is_dir() else []
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

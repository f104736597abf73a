"""Files that appear whole or not at all, and are there after a power cut."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def publish(path: Path, write: Callable[[Path], Any]) -> None:
    """Put what `write` writes to a temporary file in the place of `path`, in one step; makes its folder.

    Temporaries of `path` that killed processes left are removed.
    """
    _make_folder(path.parent)
    _sweep(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        with suppress(OSError):  # what went wrong first is what counts; the next publication sweeps
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Publish a UTF-8 text file with LF line ends."""
    publish(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    """Put a file's content, or a folder's names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(path: Path) -> None:
    """Remove the temporaries of a file whose processes are gone.

    In a container a new process often has the number of a dead one: what bears its own is stale too.
    """
    for stale in path.parent.iterdir():
        name, _, number = stale.name.rpartition(".")
        if name == f".{path.name}" and number.isascii() and number.isdigit() and not _lives(int(number)):
            stale.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    """Say whether another process with this number is alive."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is somebody else's
        return True
    return True

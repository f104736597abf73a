"""The disk's promises: a file appears whole under its name or not at all, and its checksum is known.

What has been published is there after a power cut too: the file is synced before its name is, and so is every
folder that was made for it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY = ".tmp-"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP})


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file in the folder of `path`, which is made; remove it in the end.

    An OSError that says that there is no room names `path`.
    """
    make_folder(path.parent)
    # long names keep their end, where the suffix is; the worker's number keeps two of them apart
    end = os.fsencode(path.name)[-160:].decode("ascii", "replace").replace("\ufffd", "-")
    temporary = path.parent / f"{TEMPORARY}{os.getpid()}-{threading.get_native_id()}-{end}"
    try:
        yield temporary
    except OSError as error:
        if error.filename is None and error.errno in _NO_ROOM:  # the system does not say where
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # what went wrong first is what counts; the next start sweeps
            temporary.unlink()


@contextmanager
def publish(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success sync it and rename it into place, else remove it.

    The body closes the file before it ends; whoever wrote it, the sync covers all of its content.
    """
    with temporary_beside(path) as temporary:
        yield temporary
        put(temporary, path)


def put(temporary: Path, path: Path) -> None:
    """Give a finished file its name, on the disk too; both are in one folder."""
    _sync_file(temporary)
    os.replace(temporary, path)
    sync_folder(path.parent)


def publish_bytes(path: Path, content: bytes) -> None:
    """Write a whole file atomically."""
    with publish(path) as temporary:
        temporary.write_bytes(content)


def publish_text(path: Path, text: str) -> None:
    """Write a whole UTF-8 file atomically, with the text's own line ends."""
    publish_bytes(path, text.encode())


@contextmanager
def publish_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success sync and rename it into place, else remove it.

    It is to hold files only. `path` must not be there, or be an empty folder: else FileExistsError is raised,
    before the body and after it. What a killed process left under the same name is removed.
    """
    _refuse_full(path)
    make_folder(path.parent)
    for name in list(_names(path.parent)):
        number, _, of = name.removeprefix(TEMPORARY).partition("-")
        if name.startswith(TEMPORARY) and of.endswith(f"-{path.name}") and not _lives(number):
            remove_files(path.parent / name)
    temporary = path.parent / f"{TEMPORARY}{os.getpid()}-{threading.get_native_id()}-{path.name}"
    temporary.mkdir()
    try:
        yield temporary
        for name in _names(temporary):
            _sync_file(temporary / name)
        sync_folder(temporary)
        _refuse_full(path)
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            remove_files(temporary)


def _refuse_full(path: Path) -> None:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FileExistsError(errno.EEXIST, "there is something already", str(path))


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of_text(text: str) -> str:
    """Return the hexadecimal SHA-256 of the UTF-8 file that a text would be."""
    return hashlib.sha256(text.encode()).hexdigest()


def sweep(folder: Path, *, spare_living: bool = False) -> int:
    """Remove temporaries that a killed run left in `folder`; return how many.

    With `spare_living` those of other processes that are alive stay. In a container a new process often has
    the number of a dead one: what bears its own is stale too.
    """
    stale = [folder / name for name in _names(folder) if name.startswith(TEMPORARY)]
    stale = [path for path in stale if path.is_file()]
    if spare_living:
        stale = [path for path in stale if not _lives(path.name.removeprefix(TEMPORARY).partition("-")[0])]
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def remove_files(folder: Path) -> None:
    """Remove a folder and the files in it, one after the other, so that their number takes no memory."""
    for name in _names(folder):
        (folder / name).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        folder.rmdir()


def _names(folder: Path) -> Iterator[str]:
    """Yield the names in a folder, however many; none of one that is not there."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield entry.name
    except (FileNotFoundError, NotADirectoryError):
        return


def remove(path: Path) -> None:
    """Remove a file, if it is there, so that a power cut does not bring it back."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, so that a power cut does not undo it; one that is there stays."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk, where its file system can do that for folders."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # a folder may be open for writing and closed for reading
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)


def _sync_file(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _lives(number: str) -> bool:
    """Say whether another process with this number is alive."""
    if number == str(os.getpid()):
        return False
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except (PermissionError, ValueError):  # it is somebody else's, or no number
        return True
    return True

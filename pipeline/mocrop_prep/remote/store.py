"""The only door to fsspec: objects of a store are listed, read and written whole, with another try on faults.

Whatever a store's library raises leaves here as an OSError with a line of text: FileNotFoundError,
PermissionError, FileExistsError, and StoreError for what may pass, such as a network that is down.
"""

from __future__ import annotations

import errno
import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, TypeVar

from mocrop_manifests.files import sha256

from mocrop_prep.errors import DISK_ERRORS, UsageError
from mocrop_prep.remote.urls import Location, State, Url

T = TypeVar("T")

HANDS = 8
"""Requests at a time: a store answers many as fast as one."""
_WAITS = (0.5, 2.0)  # seconds before another try; the stores' libraries have tries of their own
_CHUNK = 1 << 20
_S3 = ("s3", "s3a")
_WITH_BUCKETS = (*_S3, "gs", "gcs")
_FEW = 20  # up to so many files of a folder are asked for one by one
_LASTING = {
    FileNotFoundError: (errno.ENOENT, "no such file"),
    NotADirectoryError: (errno.ENOENT, "no such file"),
    IsADirectoryError: (errno.EISDIR, "is a folder"),
    PermissionError: (errno.EACCES, "permission denied"),
    FileExistsError: (errno.EEXIST, "is there already"),
}
_TAGS = ("ETag", "md5Hash", "etag", "blob_id", "content_hash", "checksum")
_TIMES = ("LastModified", "last_modified", "mtime", "modified", "updated", "created")


class StoreError(OSError):
    """A store did not answer, or not with what was asked for, in several tries."""


def listing(folder: Url) -> dict[str, State]:
    """Return the state of every object below a folder, by its name there with `/`; empty if there is none.

    The folders right below it are listed side by side.
    """
    path, top = _entries(folder)
    if top is None:  # stores have no empty folders
        _check_bucket(folder)
        return {}
    found = _states(path, top)
    parts = [info["name"].removeprefix(path).strip("/") for info in top if info["type"] == "directory"]
    with ThreadPoolExecutor(HANDS) as hands:
        for part in hands.map(lambda part: _below(folder, part), [part for part in parts if part]):
            found |= part
        # web servers list names alone
        unknown = [name for name, (size, tag) in found.items() if size == 0 and not tag]
        asked = hands.map(lambda name: state(folder / name), unknown)
        found |= {name: known for name, known in zip(unknown, asked, strict=True) if known is not None}
    return found


def states(urls: Iterable[Url]) -> dict[Url, State | None]:
    """Return the state of each of these files, or None if it is not there or not for us to read.

    Many files of one folder are looked up in a listing of it. Raises StoreError.
    """
    folders: dict[Url, list[Url]] = defaultdict(list)
    for url in urls:
        folders[url.parent].append(url)
    found: dict[Url, State | None] = {}
    with ThreadPoolExecutor(HANDS) as hands:
        for part in hands.map(_inside, folders, folders.values()):
            found |= part
    return found


def _inside(folder: Url, urls: Sequence[Url]) -> dict[Url, State | None]:
    if len(urls) <= _FEW:
        return {url: _state_or_none(url) for url in urls}
    path, top = _entries(folder)
    there = _states(path, top or [])
    return {url: there.get(url.name) for url in urls}


def state(url: Url) -> State | None:
    """Return the state of a file, or None if there is none; raises OSError."""
    system, path = _system(url)
    try:
        info = _asked(url, lambda: system.info(path))
    except (FileNotFoundError, IsADirectoryError):
        return None
    return _state(info) if info["type"] == "file" else None


def _state_or_none(url: Url) -> State | None:
    try:
        return state(url)
    except PermissionError:
        return None


def read(place: Location) -> bytes:
    """Return the content of a file; raises OSError."""
    if isinstance(place, Path):
        return place.read_bytes()
    system, path = _system(place)
    content: bytes = _asked(place, lambda: system.cat_file(path))
    return content


def digest(place: Location) -> str:
    """Return the hexadecimal SHA-256 of a file, read in chunks; raises OSError."""
    if isinstance(place, Path):
        return sha256(place)

    def stream() -> str:
        sha = hashlib.sha256()
        with opened(place) as file:
            while chunk := file.read(_CHUNK):
                sha.update(chunk)
        return sha.hexdigest()

    return _asked(place, stream)


def opened(place: Url) -> AbstractContextManager[IO[bytes]]:
    """Return a file to read from, which fetches what is read of it and little more."""
    system, path = _system(place)
    stream: AbstractContextManager[IO[bytes]] = system.open(path, "rb", block_size=_CHUNK)
    return stream


def download(url: Url, target: Path) -> str:
    """Stream an object to a file on disk; return its hexadecimal SHA-256. Raises OSError."""
    system, path = _system(url)

    def stream() -> str:
        system.get_file(path, str(target))
        return sha256(target)  # from the memory that the file was just written to

    return _asked(url, stream)


def upload(source: Path, url: Url) -> State:
    """Publish a file whole, in place of what is there; return the state that it then has. Raises OSError."""
    system, path = _system(url)

    def send() -> State:
        system.put_file(str(source), path)
        return _state(system.info(path))

    return _asked(url, send)


def write(url: Url, content: bytes, *, new: bool = False) -> None:
    """Publish bytes; with `new` FileExistsError is raised if something is there, where the store can tell."""
    system, path = _system(url)
    _asked(url, lambda: system.pipe_file(path, content, mode="create" if new else "overwrite"))


def delete(url: Url) -> None:
    """Remove an object; one that is not there is no error."""
    system, path = _system(url)
    try:
        _asked(url, lambda: system.rm_file(path))
    except FileNotFoundError:
        return


def _system(url: Url) -> tuple[Any, str]:
    """Return the file system of a URL, one for each thread, and the path there; raises UsageError."""
    try:
        from fsspec.core import url_to_fs

        # what is listed is kept by us, in a fraction of the memory; some others need theirs
        options = {"use_listings_cache": False} if url.scheme in _S3 else {}
        system, path = url_to_fs(url.text, **options)
    except ImportError as error:
        extra = "urls" if error.name == "fsspec" else "s3" if url.scheme in _S3 else ""
        how = f": `pip install 'mocrop[{extra}]'`" if extra else ""
        raise UsageError(f"{url}: {error}{how}") from None
    except ValueError as error:
        raise UsageError(f"{url}: {error}; expected a URL such as s3://bucket/folder, or a path") from None
    return system, path.rstrip("/")


def _asked(url: Url, call: Callable[[], T]) -> T:
    """Return what a store answers, with more tries on whatever may pass; raises OSError."""
    for wait in (*_WAITS, None):
        try:
            return call()
        except MemoryError:
            raise
        except tuple(_LASTING) as error:
            number, text = next(words for kind, words in _LASTING.items() if isinstance(error, kind))
            raise OSError(number, text, str(url)) from error
        except Exception as error:  # each store's library has exceptions of its own
            if isinstance(error, OSError) and error.errno in DISK_ERRORS:  # of the file that it goes to
                raise
            if wait is None:
                line = next(iter(str(error).splitlines()), "")
                raise StoreError(errno.ECONNABORTED, f"{type(error).__name__}: {line}", str(url)) from error
            time.sleep(wait)
    raise ValueError("no try was made")


def _check_bucket(folder: Url) -> None:
    """Raise FileNotFoundError if not even the bucket of a folder is there, where the store has buckets."""
    system, path = _system(folder)
    bucket = path.partition("/")[0]
    if folder.scheme in _WITH_BUCKETS and not _asked(folder, lambda: system.exists(bucket)):
        raise FileNotFoundError(errno.ENOENT, f"there is no {bucket}", str(folder))


def _entries(folder: Url) -> tuple[str, list[Mapping[str, Any]] | None]:
    """Return the path of a folder in its store, and what is right below it; None if there is nothing."""
    system, path = _system(folder)
    system.invalidate_cache()
    try:
        return path, _asked(folder, lambda: list(system.ls(path, detail=True)))
    except FileNotFoundError:
        return path, None


def _below(folder: Url, part: str) -> dict[str, State]:
    """Return the states of all files in one of the folders in a folder."""
    system, path = _system(folder)
    found = _asked(folder / part, lambda: system.find(f"{path}/{part}", detail=True))
    system.invalidate_cache()
    return _states(path, found.values())


def _states(folder: str, infos: Iterable[Mapping[str, Any]]) -> dict[str, State]:
    """Return the states of the files among what a listing found, by their names below the folder."""
    found = {}
    for info in infos:
        name = info["name"]
        below = name.removeprefix(f"{folder}/")
        # an object whose name ends with / stands for a folder
        if info["type"] == "file" and below != name and not name.endswith("/"):
            found[below] = _state(info)
    return found


def _state(info: Mapping[str, Any]) -> State:
    tag = next((info[key] for key in _TAGS if info.get(key)), None)
    if tag is None:
        tag = next((info[key] for key in _TIMES if info.get(key)), "")
    if isinstance(tag, datetime):
        tag = tag.timestamp()
    if isinstance(tag, float):
        return int(info["size"] or 0), int(tag * 1e9)
    return int(info["size"] or 0), str(tag).strip('"')

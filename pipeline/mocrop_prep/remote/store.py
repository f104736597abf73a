"""The only door to fsspec: objects of a store are listed, read and written whole, with another try on faults.

Whatever a store's library raises leaves here as an OSError with a line of text: FileNotFoundError,
PermissionError, FileExistsError, and StoreError for what may pass, such as a network that is down.
"""

from __future__ import annotations

import errno
import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
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
    files, system, path = _system(folder)
    try:
        top = _asked(folder, lambda: system.ls(path, detail=True))
    except FileNotFoundError:  # stores have no empty folders
        _check_bucket(folder, system, path)
        return {}
    parts = [info["name"] for info in top if info["type"] == "directory" and info["name"].strip("/") != path]
    found = _states(path, {info["name"]: info for info in top})
    with ThreadPoolExecutor(HANDS) as hands:
        calls = [
            hands.submit(_asked, files / part, lambda part=part: system.find(part, detail=True))
            for part in parts
        ]
        for call in calls:
            found |= _states(path, call.result())
    return found


def states(urls: Iterable[Url]) -> dict[Url, State | None]:
    """Return the state of each of these files, or None if it is not there or not for us to read.

    Many files of one folder are looked up in a listing of it. Raises StoreError.
    """
    folders: dict[Url, list[Url]] = defaultdict(list)
    for url in urls:
        folders[url.parent].append(url)
    with ThreadPoolExecutor(HANDS) as hands:
        found: dict[Url, State | None] = {}
        single: list[Url] = []
        for folder, inside in folders.items():
            if len(inside) > _FEW:
                there = _folder_states(folder)
                found |= {url: there.get(url.name) for url in inside}
            else:
                single += inside
        found |= dict(zip(single, hands.map(_state_or_none, single), strict=True))
    return found


def state(url: Url) -> State | None:
    """Return the state of a file, or None if there is none; raises OSError."""
    _, system, path = _system(url)
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
    _, system, path = _system(place)
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
    _, system, path = _system(place)
    stream: AbstractContextManager[IO[bytes]] = system.open(path, "rb", block_size=_CHUNK)
    return stream


def download(url: Url, target: Path) -> str:
    """Stream an object to a file on disk; return its hexadecimal SHA-256. Raises OSError."""
    _, system, path = _system(url)

    def stream() -> str:
        system.get_file(path, str(target))
        return sha256(target)  # from the memory that the file was just written to

    return _asked(url, stream)


def upload(source: Path, url: Url) -> State:
    """Publish a file whole, in place of what is there; return the state that it then has. Raises OSError."""
    _, system, path = _system(url)

    def send() -> State:
        system.put_file(str(source), path)
        return _state(system.info(path))

    return _asked(url, send)


def write(url: Url, content: bytes, *, new: bool = False) -> None:
    """Publish bytes; with `new` FileExistsError is raised if something is there, where the store can tell."""
    _, system, path = _system(url)
    _asked(url, lambda: system.pipe_file(path, content, mode="create" if new else "overwrite"))


def delete(url: Url) -> None:
    """Remove an object; one that is not there is no error."""
    _, system, path = _system(url)
    try:
        _asked(url, lambda: system.rm_file(path))
    except FileNotFoundError:
        return


def _system(url: Url) -> tuple[Url, Any, str]:
    """Return the root of a URL's store as a URL, its file system, and the path there; raises UsageError."""
    try:
        from fsspec.core import url_to_fs

        # listings are kept here, in a fraction of the memory, and nothing may be seen as it once was
        system, path = url_to_fs(url.text, use_listings_cache=False)
    except ImportError as error:
        extra = "s3" if url.scheme in ("s3", "s3a") else "urls"
        raise UsageError(f"{url}: {error}; try `pip install 'mocrop[{extra}]'`") from None
    except ValueError as error:
        raise UsageError(f"{url}: {error}; expected a URL such as s3://bucket/folder, or a path") from None
    return Url(f"{url.scheme}:/"), system, path.rstrip("/")


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


def _check_bucket(folder: Url, system: Any, path: str) -> None:
    """Raise FileNotFoundError if not even the bucket of a folder is there, where the store has buckets."""
    bucket = path.strip("/").partition("/")[0]
    if folder.scheme != "memory" and not _asked(folder, lambda: system.exists(bucket)):
        raise FileNotFoundError(errno.ENOENT, f"there is no {bucket}", str(folder))


def _folder_states(folder: Url) -> dict[str, State]:
    _, system, path = _system(folder)
    try:
        return _states(path, {info["name"]: info for info in _asked(folder, lambda: system.ls(path))})
    except (FileNotFoundError, PermissionError):
        return {}


def _states(folder: str, infos: Mapping[str, Mapping[str, Any]]) -> dict[str, State]:
    """Return the states of the files among what a listing found, by their names below the folder."""
    found = {}
    for name, info in infos.items():
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
        return int(info["size"]), int(tag.timestamp() * 1e9)
    return int(info["size"] or 0), str(tag).strip('"')

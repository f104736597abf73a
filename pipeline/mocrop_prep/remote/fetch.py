"""A clip's video where libav can read it: in place, or as a copy that lasts as long as the work on it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mocrop_manifests.files import sha256, temporary_beside

from mocrop_prep.errors import DISK_ERRORS, ClipError
from mocrop_prep.remote import store
from mocrop_prep.remote.urls import Location, Url


@contextmanager
def at_hand(source: Location, folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield a file with a video's content, and what the video is: bytes, mtime_ns or tag, and sha256.

    What is on disk is read in place. What is in a store is streamed once to a temporary file in `folder`:
    libav reads a source two or three times. The state is that of before, so that a change while it is read
    shows. Nothing is known of a file on disk that cannot be read: the stage says what is wrong with it.
    Raises ClipError for one in a store; other ClipErrors are told of the source, not of the copy.
    """
    if isinstance(source, Path):
        yield source, _state(source)
        return
    with temporary_beside(folder / source.name) as copy:
        known = _fetch(source, copy)
        try:
            yield copy, known
        except ClipError as error:
            error.detail = error.detail.replace(str(copy), str(source))
            raise


@contextmanager
def readable(source: Location, folder: Path) -> Iterator[Path]:
    """Yield a file with a video's content, as `at_hand` does, where nobody asks what the video is."""
    if isinstance(source, Path):
        yield source
        return
    with at_hand(source, folder) as (copy, _):
        yield copy


def _state(source: Path) -> dict[str, Any]:
    try:
        status = source.stat()
        if not stat.S_ISREG(status.st_mode):
            return {}
        return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256(source)}
    except OSError:
        return {}


def _fetch(source: Url, copy: Path) -> dict[str, Any]:
    try:
        state = store.state(source)
        if state is None:
            raise ClipError("missing-file", f"{source} is not there")
        return {"bytes": state[0], "tag": state[1], "sha256": store.download(source, copy)}
    except FileNotFoundError:
        raise ClipError("missing-file", f"{source} is not there") from None
    except OSError as error:
        if error.errno in DISK_ERRORS:  # the copy could not be written
            raise
        raise ClipError("unreadable", f"{source}: {error.strerror}") from None

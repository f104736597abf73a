"""Names of places: a path on disk, or the URL of a file or folder in a store. Nothing here is opened."""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mocrop_prep.errors import UsageError

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<path>.*)", re.DOTALL)
_ON_DISK = frozenset({"file", "local"})

State = tuple[int, int | str]
"""What tells that a file has changed: its size in bytes, and the time of its last change in nanoseconds.

Where a store names the content, as S3 does with its ETag, that name takes the place of the time.
"""


@dataclass(frozen=True, slots=True, order=True)
class Url:
    """A file or a folder in a store: `text` is its URL, without a `/` at the end.

    What follows the scheme is a name as the store has it: nothing in it is quoted or made shorter.
    """

    text: str

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, below: str) -> Url:
        return Url(f"{self.text}/{below}")

    @property
    def scheme(self) -> str:
        """Return the name of the kind of store, such as `s3`."""
        return self.text.partition("://")[0]

    @property
    def name(self) -> str:
        """Return the last part; of a whole bucket, the bucket."""
        return self.text.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """Return the extension of the name, with its dot, or an empty text."""
        return os.path.splitext(self.name)[1]

    @property
    def parent(self) -> Url:
        """Return the folder that it lies in; a bucket lies in none but itself."""
        above = self.text.rpartition("/")[0]
        return self if above.endswith("/") else Url(above)

    def is_below(self, folder: Url) -> bool:
        """Say whether it lies in a folder, or is that folder."""
        return f"{self.text}/".startswith(f"{folder.text}/")


Location = Path | Url
"""Where a file or a folder is: on disk or in a store."""


def location(text: str) -> Location:
    """Return the place that a text names; `file://` and what has no scheme are paths on disk.

    Raises UsageError for URLs in URLs, and for one without a name behind its scheme.
    """
    match = _URL.fullmatch(text)
    if match is None:
        return Path(text)
    scheme = match["scheme"].lower()
    if scheme in _ON_DISK:
        return Path(match["path"])
    if "::" in text:
        raise UsageError(f"{text}: URLs in URLs are not read; expected one, such as s3://bucket/folder")
    path = match["path"].rstrip("/")
    if not path.strip("/"):
        raise UsageError(f"{text} names no folder; expected a URL such as s3://bucket/folder")
    return Url(f"{scheme}://{path}")


def is_url(text: str) -> bool:
    """Say whether a text is a URL, of whatever scheme."""
    return _URL.fullmatch(text) is not None


def join(root: Location, path: str) -> Location:
    """Return the place of a path that is relative to `root`, absolute on disk, or a URL of its own.

    Raises UsageError for a path that leads out of a bucket, or from a store to this machine's disk.
    """
    if is_url(path):
        return location(path)
    if isinstance(root, Path):
        return root / path
    if path.startswith("/"):
        raise UsageError(f"{path} is a path on disk; expected a path below {root}, or a URL")
    if ".." not in path.split("/"):
        return root / path
    bucket, _, folder = root.text.partition("://")[2].partition("/")
    steps = posixpath.normpath(posixpath.join(folder, path))
    if ".." in PurePosixPath(steps).parts:
        raise UsageError(f"{path} leads out of {root}; expected a path in the same bucket, or a URL")
    return Url(f"{root.scheme}://{bucket}/{steps}")

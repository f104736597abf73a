"""The files of a WORKDIR by their names: which belong to it, which are large, which go to a store when."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from mocrop_manifests.files import TEMPORARY

LARGE = ("transcoded/", "motion/", "shards/")
"""Folders whose files are fetched only for a command that reads them; for others their sizes are enough."""
_OURS = re.compile(
    r"clips\.csv|(?:transcoded|motion|crops|shards|reports)/.+|journal/(?!lock\Z|inflight/).+", re.DOTALL
)
_SMALL = re.compile(r"shards/[^/]+/(?:dataset\.json|README\.md)")
MARKER = "journal/workdir.json"
"""The file that says that a place is a WORKDIR."""
INDEX = "dataset.json"
"""The file that says that a shard set is whole."""
_CHUNK = 1 << 20
# in this order, each when all before it are there: the rest of the journal tells of the others
_ORDER = (
    re.compile(re.escape(MARKER)),
    re.compile(r"(?:transcoded|motion)/.+|journal/samples-.+", re.DOTALL),
    re.compile(rf"clips\.csv|(?:crops|reports)/.+|shards/.+(?<!/{re.escape(INDEX)})", re.DOTALL),
    re.compile(r"shards/.+", re.DOTALL),
    re.compile(r".+", re.DOTALL),
)

Stamp = tuple[int, int]
"""Size in bytes and time of the last change in nanoseconds, of a file on disk."""


def is_ours(name: str) -> bool:
    """Say whether a file of this name belongs to a WORKDIR, and to no machine alone."""
    return _OURS.fullmatch(name) is not None


def phases(names: Iterable[str]) -> Iterator[list[str]]:
    """Yield names in the order in which they are sent, those together that may be sent side by side."""
    left = set(names)
    for form in _ORDER:
        phase = sorted(name for name in left if form.fullmatch(name))
        left.difference_update(phase)
        yield phase


def is_hollow(name: str, path: Path) -> bool:
    """Say whether a file of a large folder has a size and nothing else, which none that was made has."""
    if not name.startswith(LARGE):
        return False
    with path.open("rb") as stream:
        return all(chunk.count(0) == len(chunk) for chunk in iter(lambda: stream.read(_CHUNK), b""))


def is_wanted(name: str, whole: tuple[str, ...]) -> bool:
    """Say whether a command that reads the large files whose names begin with `whole` reads this one."""
    return not name.startswith(LARGE) or name.startswith(whole) or _SMALL.fullmatch(name) is not None


def is_safe(name: str) -> bool:
    """Say whether a file can have this name, below WORKDIR and nowhere else."""
    parts = name.split("/")
    return "\0" not in name and not any(
        part in ("", ".", "..") or part.startswith(TEMPORARY) or len(os.fsencode(part)) > 255
        for part in parts
    )


def scan(root: Path, prefix: str = "") -> dict[str, Stamp]:
    """Return the stamps of the files below a folder that belong to a WORKDIR, by their names there."""
    found = {}
    for path in _walk(root):
        name = prefix + os.path.relpath(path, root)
        if is_ours(name):
            try:
                found[name] = stamp_of(Path(path))
            except FileNotFoundError:  # it was of use for a moment only
                continue
    return found


def _walk(root: Path) -> Iterator[str]:
    for folder, _, names in os.walk(root, followlinks=True):
        yield from (os.path.join(folder, name) for name in names if not name.startswith(TEMPORARY))


def stamp_of(path: Path) -> Stamp:
    """Return the stamp of a file; raises OSError."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns

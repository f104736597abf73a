"""Walk a folder and find the video files below it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mocrop_prep.clips.paths import escape
from mocrop_prep.errors import UsageError
from mocrop_prep.probe import is_video, kind_of

_SKIPPED = frozenset({"__macosx", "thumbs.db"})


@dataclass(slots=True)
class Tree:
    """The videos below a folder, as sorted paths with `/`; its own folders; and what was passed over.

    `ignored` counts the other files by extension, `loops` the symlinks that led back to a folder above them.
    """

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    loops: int = 0

    def notes(self) -> list[str]:
        """Return one line for people on each kind of thing that was passed over."""
        notes = []
        if self.ignored:
            most = sorted(self.ignored.items(), key=lambda item: (-item[1], item[0]))[:5]
            kinds = ", ".join(f"{escape(kind) or 'no extension'} {number}" for kind, number in most)
            notes.append(f"files that are not video, ignored: {self.ignored.total()} ({kinds})")
        if self.loops:
            notes.append(f"symlinks back to a folder above them, cut: {self.loops}")
        return notes


def scan(root: Path) -> Tree:
    """Find the videos below a folder.

    Files with a media extension count unopened, broken or not; other known kinds are ignored; the rest is
    probed. Hidden files and folders are skipped. Symlinks are followed, and loops of them cut.
    Raises UsageError for a folder that cannot be read, and if there is no video at all.
    """
    tree = Tree()
    pending: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while pending:
        below, ancestors = pending.pop()
        folder = os.path.join(root, below)
        try:
            status = os.stat(folder)
            identity = (status.st_dev, status.st_ino)
            if identity in ancestors:
                tree.loops += 1
                continue
            for entry in _visible(folder):
                path = f"{below}/{entry.name}" if below else entry.name
                if _is_folder(entry):
                    pending.append((path, ancestors | {identity}))
                    if not below:
                        tree.folders.append(entry.name)
                elif _is_clip(entry):
                    tree.files.append(path)
                else:
                    tree.ignored[os.path.splitext(entry.name)[1].lower()] += 1
        except OSError as error:
            raise UsageError(f"cannot read the folder {escape(folder)}: {error.strerror}") from None
    if not tree.files:
        raise UsageError(
            f"no video files below {escape(str(root))}: expected one folder per class, "
            "as in SOURCE/<class>/<video>"
        )
    tree.files.sort()
    tree.folders.sort()
    return tree


def _visible(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.name.lower() not in _SKIPPED:
                yield entry


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a symlink to itself, or into a folder that is closed to us: as good as dangling
        return False


def _is_clip(entry: os.DirEntry[str]) -> bool:
    kind = kind_of(entry.name)
    if kind == "other":
        return False
    try:
        # Pipes, sockets and devices would block or never end; a dangling symlink is none of them.
        if not entry.is_file():
            return kind == "media" and entry.is_symlink() and not os.path.exists(entry.path)
    except OSError:
        return kind == "media"
    return kind == "media" or is_video(Path(entry.path))

"""Walk a folder and find the video files below it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from mocrop_prep.clips.paths import escape, remark
from mocrop_prep.errors import UsageError
from mocrop_prep.probe import is_video, kind_of
from mocrop_prep.remote import Location, State, Url

_SKIPPED = frozenset({"__macosx", "thumbs.db"})


@dataclass(slots=True)
class Tree:
    """The videos below a folder, as sorted paths with `/`; its own folders; and what was passed over.

    `ignored` counts the other files by extension, `loops` the symlinks that led back to a folder above them.
    `odd` are names in a store that no file could have. `states` holds those of the videos in a store.
    """

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    loops: int = 0
    odd: list[str] = field(default_factory=list)
    states: dict[str, State] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """Return one line for people on each kind of thing that was passed over."""
        notes = []
        if self.ignored:
            most = sorted(self.ignored.items(), key=lambda item: (-item[1], item[0]))[:5]
            kinds = ", ".join(f"{escape(kind) or 'no extension'} {number}" for kind, number in most)
            notes.append(f"files that are not video, ignored: {self.ignored.total()} ({kinds})")
        if self.loops:
            notes.append(f"symlinks back to a folder above them, cut: {self.loops}")
        return notes + remark("objects whose names are no paths, left out", self.odd)


def scan(root: Location) -> Tree:
    """Find the videos below a folder.

    Files with a media extension count unopened, broken or not; other known kinds are ignored; the rest is
    probed. Hidden files and folders are skipped. Symlinks are followed, and loops of them cut.
    Raises UsageError for a folder that cannot be read, and if there is no video at all.
    """
    tree = _scan_store(root) if isinstance(root, Url) else _scan_disk(root)
    if not tree.files:
        raise UsageError(
            f"no video files below {escape(str(root))}: expected one folder per class, "
            "as in SOURCE/<class>/<video>"
        )
    tree.files.sort()
    tree.folders.sort()
    return tree


def _scan_disk(root: Path) -> Tree:
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
                    tree.ignored[_extension(entry.name)] += 1
        except OSError as error:
            raise UsageError(f"cannot read the folder {escape(folder)}: {error.strerror}") from None
    return tree


def _scan_store(root: Url) -> Tree:
    """Find the videos by one listing; the few whose names say nothing are probed side by side."""
    from mocrop_prep.remote import store

    try:
        there = store.listing(root)
    except OSError as error:
        raise UsageError(f"cannot read the folder {escape(str(root))}: {error.strerror}") from None
    tree = Tree()
    with ThreadPoolExecutor(store.HANDS) as hands:
        films = dict(_films(root, there, tree, hands))
    tree.files = [path for path, is_film in films.items() if is_film]
    tree.ignored.update(_extension(path) for path, is_film in films.items() if not is_film)
    tree.states = {path: there[path] for path in tree.files}
    return tree


def _films(
    root: Url, there: Mapping[str, State], tree: Tree, hands: ThreadPoolExecutor
) -> Iterator[tuple[str, bool]]:
    """Yield the objects that are not hidden, and whether each is a video; enter folders and odd names."""
    probed = {}
    folders = set()
    for path in there:
        *above, name = parts = path.split("/")
        if "" in parts or "." in parts or ".." in parts or "\0" in path:
            tree.odd.append(path)
            continue
        if above and _is_visible(above[0]):
            folders.add(above[0])
        if all(map(_is_visible, parts)):
            kind = kind_of(name)
            if kind == "unknown":
                probed[path] = hands.submit(is_video, root / path)
            else:
                yield path, kind == "media"
    tree.folders = list(folders)
    yield from ((path, call.result()) for path, call in probed.items())


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in _SKIPPED


def _extension(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _visible(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is_visible(entry.name):
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

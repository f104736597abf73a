"""A folder and list files as a source: find the file that each list entry means."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mocrop_prep.clips.discover import scan
from mocrop_prep.clips.folders import class_name
from mocrop_prep.clips.lists import ListEntry, Reading, read_lists
from mocrop_prep.clips.paths import remark, short, shown
from mocrop_prep.clips.sources import SPLIT_NAMES, Entry, Source, summary
from mocrop_prep.errors import UsageError
from mocrop_prep.probe import AUDIO_EXTENSIONS, kind_of
from mocrop_prep.remote import Location


@dataclass(frozen=True, slots=True)
class _Match:
    entry: ListEntry
    reading: Reading
    file: str


def read_listed(root: Location, lists: Mapping[str, Sequence[Location]], list_split: int) -> Source:
    """Read the videos below a folder that list files name, with the labels and splits of the lists.

    Paths match below the root or by their last folders, with any case and extension if there is no closer
    file; files in no list are left out. Raises UsageError for a list that cannot be read, an entry that fits
    several files, a file with two splits or two labels, and if no entry has a file.
    """
    tree = scan(root)
    listed = read_lists(lists, list_split)
    if not listed:
        raise UsageError("the list files are empty; expected one clip a line")
    index = _Index(tree.files)
    matches: dict[str, _Match] = {}
    missing: list[str] = []
    unused: set[str] = set()
    for entry in listed:
        match = _match(entry, index)
        if match is None:
            missing.append(entry.readings[0].path)
        elif not entry.split:
            unused.add(match.file)
        else:
            _check(matches.setdefault(match.file, match), match)
    if not matches:
        raise UsageError(
            f"the lists choose no file below {short(str(root))}: {listed[0].where} has "
            f"{short(listed[0].readings[0].path)}, a file found is {short(tree.files[0])}"
        )
    entries = _entries(list(matches.values()), root)
    left_out = [file for file in tree.files if file not in matches]
    notes = [
        f"lists: {summary(entries)}",
        *remark("list entries without a file", missing),
        *remark("videos marked as unused, left out", [file for file in left_out if file in unused]),
        *remark("videos in no list, left out", [file for file in left_out if file not in unused]),
        *tree.notes(),
    ]
    # Lists for train alone choose the clips but leave the splits open.
    decided = lists["val"] or lists["test"] or any(entry.split != "train" for entry in entries)
    return Source(root, entries, notes, "the list files" if decided else "", tree.states)


class _Index:
    """The files below a folder by their names, without regard to case, extension and Unicode form."""

    def __init__(self, files: Sequence[str]) -> None:
        self._files = frozenset(files)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for file in files:
            name = _fold(file.rsplit("/", 1)[-1])
            for key in {name, os.path.splitext(name)[0]}:
                self._by_name[key].append(file)

    def closest(self, path: str, *, exact: bool) -> list[str]:
        """Return the files that fit a path best, more than one if they fit alike; `exact` minds the case."""
        if path in self._files:
            return [path]
        *folders, name = _parts(path) or [""]
        names = {_fold(name)}
        if kind_of(name) == "media":
            names.add(os.path.splitext(_fold(name))[0])
        ranked = defaultdict(list)
        for file in {file for key in names for file in self._by_name.get(key, ())}:
            *its_folders, its_name = file.split("/")
            if exact and os.path.splitext(its_name)[0] != name:
                continue
            ours, theirs = [_fold(part) for part in folders], [_fold(part) for part in its_folders]
            shared = min(len(ours), len(theirs))
            if ours[len(ours) - shared :] != theirs[len(theirs) - shared :]:
                continue
            audio = os.path.splitext(_fold(its_name))[1][1:] in AUDIO_EXTENSIONS
            rank = (ours == theirs, shared, _fold(its_name) == _fold(name), its_name == name, not audio)
            ranked[rank].append(file)
        return sorted(ranked[max(ranked)]) if ranked else []


def _fold(name: str) -> str:
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".", "..")]


def _match(entry: ListEntry, index: _Index) -> _Match | None:
    for reading in entry.readings:
        files = index.closest(reading.path, exact=entry.exact)
        if len(files) > 1:
            raise UsageError(
                f"{entry.where}: {short(reading.path)} fits several files: {shown(files)}; "
                "remove the copies, or write the folder and the extension"
            )
        if files:
            return _Match(entry, reading, files[0])
    if not entry.sure:
        raise UsageError(
            f"{entry.where}: unrecognised list line '{short(entry.readings[0].path[:80])}'; "
            "expected <path>, <path> <label> or <path>,<label>"
        )
    return None


def _check(first: _Match, again: _Match) -> None:
    for what, one, other in (
        ("splits", first.entry.split, again.entry.split),
        ("classes", first.reading.label or first.reading.number, again.reading.label or again.reading.number),
    ):
        if one != other:
            raise UsageError(
                f"{short(first.file)} has two {what}: {short(one) or 'none'} in {first.entry.where} and "
                f"{short(other) or 'none'} in {again.entry.where}"
            )


def _entries(matches: list[_Match], root: Location) -> list[Entry]:
    """Name the classes as the list does, or after the folders where class numbers stand for those."""
    folders = [_class_folder(match) for match in matches]
    pairs = {
        (m.reading.number, folder) for m, folder in zip(matches, folders, strict=True) if m.reading.number
    }
    numbers, names = {number for number, _ in pairs}, {folder for _, folder in pairs}
    numbers_are_folders = len(pairs) == len(numbers) == len(names) and "" not in names
    entries = []
    for match, folder in zip(matches, folders, strict=True):
        reading = match.reading
        label = reading.label or (folder if numbers_are_folders or not reading.number else reading.number)
        if pairs and not numbers_are_folders and not reading.label and not reading.number:
            raise UsageError(
                f"{match.entry.where}: {short(reading.path)} has no class, and the class numbers of "
                "other entries do not stand for folders; give it a class"
            )
        entries.append(Entry(match.file, label or class_name(root), match.entry.split))
    return entries


def _class_folder(match: _Match) -> str:
    """Return the first folder that entry and file share, spelled as on disk, but no folder of a split."""
    listed, found = _parts(match.reading.path), match.file.split("/")
    shared = min(len(listed), len(found))
    parts = found[-shared:] if shared > 1 else max(found, listed, key=len)
    if len(parts) > 2 and parts[0].lower() in SPLIT_NAMES:
        return parts[1]
    return parts[0] if len(parts) > 1 else ""

"""A folder as a source: one folder per class, perhaps below one folder per split."""

from __future__ import annotations

import os

from mocrop_prep.clips.discover import scan
from mocrop_prep.clips.paths import escape, remark
from mocrop_prep.clips.sources import SPLIT_NAMES, Entry, Source, summary
from mocrop_prep.remote import Location, Url


def read_folder(root: Location) -> Source:
    """Read labels, and splits where there are any, from the folders that the videos lie in.

    The label is the first folder below the root. Where every folder with videos is named after a split, it is
    the second. Videos that lie in no class folder make up one class, named after the root, unless there are
    class folders beside them; then they are left out. Raises UsageError if no video is found.
    """
    tree = scan(root)
    tops = sorted({path.split("/", 1)[0] for path in tree.files if "/" in path})
    split_of = {top: SPLIT_NAMES.get(top.lower(), "") for top in tops}
    has_splits = bool(tops) and all(split_of.values())
    depth = 1 if has_splits else 0
    inside = [path for path in tree.files if path.count("/") > depth]
    flat = not inside
    if flat:  # no class folder anywhere: the root is the class
        inside = [path for path in tree.files if path.count("/") == depth]
    entries = []
    for path in inside:
        parts = path.split("/")
        label = class_name(root) if flat else parts[depth]
        entries.append(Entry(path, label, split_of[parts[0]] if has_splits else ""))

    notes = [_layout(root, entries, tops if has_splits else [], flat)]
    kept = set(inside)
    beside = [path for path in tree.files if path not in kept]
    empty = [folder for folder in tree.folders if folder not in split_of]
    notes += remark("videos beside the class folders, left out", beside)
    notes += remark("folders without videos", empty)
    splits_from = f"the split folders {', '.join(tops)}" if has_splits else ""
    return Source(root, entries, notes + tree.notes(), splits_from, tree.states)


def class_name(root: Location) -> str:
    """Return the class of videos that lie in no class folder: the name of the root."""
    return root.name if isinstance(root, Url) else os.path.basename(os.path.abspath(root)) or "videos"


def _layout(root: Location, entries: list[Entry], splits: list[str], flat: bool) -> str:
    layout = f"one class, {escape(class_name(root))}" if flat else "one folder per class"
    if splits:
        layout = f"split folders {', '.join(splits)}, with {layout} below"
    return f"layout: {layout}: {summary(entries)}"

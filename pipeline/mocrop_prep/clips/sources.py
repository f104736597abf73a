"""What every form of source comes down to: a root, and one entry a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mocrop_prep.remote import Location, State

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""The names people give to splits, in lower case, and ours."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One clip as its source states it.

    `path` is as the operating system has it, below the root or absolute; `split` is empty where the source
    says nothing; `group` is None where the source has no groups.
    """

    path: str
    label: str
    split: str = ""
    group: str | None = None


def summary(entries: Sequence[Entry]) -> str:
    """Return the numbers of clips and classes, for a note."""
    return f"clips {len(entries)}, classes {len({entry.label for entry in entries})}"


@dataclass(frozen=True, slots=True)
class Source:
    """The clips of a source; `splits_from` names what has decided their splits, or is empty.

    `states` holds, by the entries' paths, what a listing of a store has told of them.
    """

    root: Location
    entries: list[Entry]
    notes: list[str]
    splits_from: str = ""
    states: Mapping[str, State] = field(default_factory=dict)

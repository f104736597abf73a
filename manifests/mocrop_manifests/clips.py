"""The clip list, ``clips.csv``: which clips there are, and what is known of them before any is opened."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mocrop_manifests.errors import ManifestError
from mocrop_manifests.extras import Extras
from mocrop_manifests.tables import column, format_rows, scan_rows
from mocrop_manifests.versions import add_columns, versioned

CLIP_ID = re.compile(r"[A-Za-z0-9_-]+")
SPLITS = ("train", "val", "test")
MOST_CLASSES = 1_000_000
"""No data set has more, and a list of class names is made as long as the greatest label."""


@versioned(add_columns())  # version 2 only says that it is
@dataclass(frozen=True, slots=True)
class Clip:
    """One labelled clip of the source."""

    clip_id: str = column("name of the clip in every output; letters, digits, `_` and `-` only")
    path: str = column("the video's path below SOURCE, with `/`")
    label: int = column(
        "class index, from 0, in the order of the sorted class names", low=0, high=MOST_CLASSES - 1
    )
    label_name: str = column("class name")
    split: str = column("part of the data set", choices=SPLITS)
    group: str = column("clips that must stay in one split share it; empty if unknown")


def write_clips(clips: Iterable[Clip], extras: Extras | None = None) -> str:
    """Return the text of a clip list, sorted by clip_id, with the columns of others that are kept."""
    return format_rows(Clip, sorted(clips, key=lambda clip: clip.clip_id), extras)


def read_clips(path: Path) -> list[Clip]:
    """Read and validate a clip list of any version; raises ManifestError with line and column at fault."""
    ids = Ids(path)
    clips = []
    for line, clip in scan_rows(Clip, path):
        ids.check(line, clip.clip_id)
        clips.append(clip)
    return clips


class Ids:
    """The clip ids of a table so far: each is well formed and occurs once."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._lines: dict[str, int] = {}

    def check(self, line: int, clip_id: str) -> None:
        """Take in the id in a line; raises ManifestError if it is not one, or was there before."""
        where = f"{self._source}:{line}: column clip_id"
        if not CLIP_ID.fullmatch(clip_id):
            raise ManifestError(
                f"{where}: {clip_id[:200]!r} is not a valid clip id; expected letters, digits, _ and - only"
            )
        if self._lines.setdefault(clip_id, line) != line:
            raise ManifestError(
                f"{where}: {clip_id[:200]} occurs twice, first in line {self._lines[clip_id]}"
            )

"""The clip list, ``clips.csv``: which clips there are, and what is known of them before any is opened."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mocrop_manifests.tables import ManifestError, column, format_rows, parse_rows, read_text

CLIP_ID = re.compile(r"[A-Za-z0-9_-]+")
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Clip:
    """One labelled clip of the source."""

    clip_id: str = column("name of the clip in every output; letters, digits, `_` and `-` only")
    path: str = column("the video's path below SOURCE, with `/`")
    label: int = column("class index, from 0, in the order of the sorted class names", low=0)
    label_name: str = column("class name")
    split: str = column("part of the data set", choices=SPLITS)
    group: str = column("clips that must stay in one split share it; empty if unknown")


def write_clips(clips: Iterable[Clip]) -> str:
    """Return the text of a clip list, sorted by clip_id."""
    return format_rows(Clip, sorted(clips, key=lambda clip: clip.clip_id))


def read_clips(path: Path) -> list[Clip]:
    """Read and validate a clip list; raises ManifestError with the line at fault."""
    clips = parse_rows(Clip, read_text(path), path)
    check_ids({line: clip.clip_id for line, clip in clips.items()}, path)
    return list(clips.values())


def check_ids(clip_ids: Mapping[int, str], source: str | Path) -> None:
    """Raise ManifestError unless every clip_id, given by its line, is well formed and occurs once."""
    seen = set()
    for line, clip_id in clip_ids.items():
        if not CLIP_ID.fullmatch(clip_id):
            raise ManifestError(f"{source}:{line}: column clip_id: {clip_id!r} is not a valid clip id")
        if clip_id in seen:
            raise ManifestError(f"{source}:{line}: column clip_id: {clip_id} occurs twice")
        seen.add(clip_id)

"""Which clips a page shows: the ones asked for, the worst, and a fair draw over the classes."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mocrop_manifests import CropRow

from mocrop_prep.errors import UsageError

MOST_CLIPS = 1000
"""As many cards as the page was tried with: Chromium on two cores opens them in a second."""
_DEFAULT = 6

Manifests = Mapping[str, Mapping[str, CropRow]]
"""Manifest name -> clip id -> row."""


@dataclass(frozen=True, slots=True)
class Pick:
    """A clip to show, and why: `named`, `worst 1` (the very worst), `random`, or empty if all are shown."""

    clip_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which clips a page shows: `everything`, or some of each kind.

    With nothing asked for it is six of the worst and six random ones.
    """

    worst: int = 0
    random: int = 0
    clip_ids: Sequence[str] = ()
    seed: int = 0
    everything: bool = False


def choose_clips(manifests: Manifests, wanted: Wanted) -> list[Pick]:
    """Return the clips to show: named, then worst, then random ones, each clip once.

    With `everything` all clips with a crop are shown, the worst first. A failed clip is shown only if it is
    named. Raises UsageError for an unknown clip id and too many clips.
    """
    everyone = {clip_id for rows in manifests.values() for clip_id in rows}
    for clip_id in wanted.clip_ids:
        if clip_id not in everyone:
            raise UsageError(f"--clip {clip_id}: no such clip; {_close_to(clip_id, everyone)}")
    named = dict.fromkeys(wanted.clip_ids)
    rated = {clip_id: rows for clip_id, rows in _croppable(manifests).items() if clip_id not in named}
    worst, random = _numbers(wanted, len(rated))
    _check_size(worst + random + len(wanted.clip_ids), wanted)
    ranking = sorted(rated, key=lambda clip_id: (worth(rated[clip_id]), clip_id))[:worst]
    taken = set(ranking)
    left = [rows[0] for clip_id, rows in rated.items() if clip_id not in taken]
    return [
        *(Pick(clip_id, "named") for clip_id in named),
        *(
            Pick(clip_id, "" if wanted.everything else f"worst {place}")
            for place, clip_id in enumerate(ranking, start=1)
        ),
        *(Pick(clip_id, "random") for clip_id in _draw(left, random, wanted.seed)),
    ]


def gain(row: CropRow) -> float | None:
    """Return the motion inside a crop over its share of the frame: 1 is what chance gives; None unknown."""
    return None if row.motion_inside is None or not row.area else row.motion_inside / row.area


def worth(rows: Iterable[CropRow]) -> tuple[int, float]:
    """Return a clip's place in the order from worst to best by its worst crop.

    Fallbacks come before all, then crops by the confidence of their method; where no method says it, crops
    by their gain.
    """
    rows = list(rows)
    if any(row.status == "fallback" for row in rows):
        return 0, 0.0
    sure = [row.confidence for row in rows if row.confidence is not None]
    return (1, min(sure)) if sure else (2, min(gain(row) or 0.0 for row in rows))


def _numbers(wanted: Wanted, clips: int) -> tuple[int, int]:
    """Return how many of the worst and how many random clips are asked for, out of `clips`."""
    if wanted.worst < 0 or wanted.random < 0:
        raise UsageError(f"--worst {wanted.worst} --random {wanted.random}: must be at least 0")
    if wanted.everything:
        if wanted.worst or wanted.random:
            raise UsageError("--all shows every clip: leave out --worst and --random")
        return clips, 0
    if not (wanted.worst or wanted.random or wanted.clip_ids):
        return _DEFAULT, _DEFAULT
    return wanted.worst, wanted.random


def _check_size(clips: int, wanted: Wanted) -> None:
    if clips <= MOST_CLIPS:
        return
    way_out = (
        f"take the worst and some others, as with --worst {MOST_CLIPS // 2} --random {MOST_CLIPS // 2}"
        if wanted.everything
        else "make several with --out"
    )
    raise UsageError(f"{clips} clips asked for: a page shows at most {MOST_CLIPS}; {way_out}")


def _croppable(manifests: Manifests) -> dict[str, list[CropRow]]:
    """Return the rows with a crop of each clip that has one."""
    found: dict[str, list[CropRow]] = {}
    for rows in manifests.values():
        for row in rows.values():
            if row.status != "failed":
                found.setdefault(row.clip_id, []).append(row)
    return found


def _draw(rows: Iterable[CropRow], count: int, seed: int) -> list[str]:
    """Draw clips so that classes take turns; who comes first depends on the seed and the names alone."""

    def place(text: str) -> str:
        return hashlib.sha256(f"{seed}:preview:{text}".encode()).hexdigest()

    turns: Counter[int] = Counter()
    order = []
    for row in sorted(rows, key=lambda row: place(row.clip_id)):
        order.append((turns[row.label], place(row.label_name), row.clip_id))
        turns[row.label] += 1
    return [clip_id for *_, clip_id in sorted(order)[:count]]


def _close_to(clip_id: str, everyone: Iterable[str]) -> str:
    known = sorted(everyone)
    close = [other for other in known if clip_id.lower() in other.lower()][:3]
    close = close or difflib.get_close_matches(clip_id, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"ids look like {known[0]}" if known else "the manifest is empty"

"""Containers that claim what is not so: sizes, counts and places that lead nowhere."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

from tests.corpus.bases import base
from tests.corpus.case import ANYTHING, Case, rotten
from tests.corpus.parts import Part, parts

_SIZES = {"none": 0, "one": 1, "huge": 0xFFFFFFFF, "half": 0x7FFFFFFF, "big": 0x00A00000}
_TABLES = ("stts", "stsz", "stsc", "stco", "ctts", "stss", "elst")
_COUNTS = {"none": 0, "million": 1_000_000, "huge": 0xFFFFFFFF}


def sizes() -> Iterator[Case]:
    """Let parts of every kind claim to be empty, tiny, of gigabytes, or longer than the file."""
    for name in ("web.mp4", "sound.mov", "web.mkv", "vp9.webm", "xvid.avi", "old.flv"):
        kinds = {part.name: part for part in parts(name, base(name))}
        for number, (kind, part) in enumerate(kinds.items()):
            what = list(_SIZES)[number % len(_SIZES)]
            change = partial(_lie, part, _SIZES[what])
            label = "".join(c if c.isalnum() else "-" for c in kind)
            yield rotten("size", f"{what}-{label}-{name}", partial(base, name), change)


def _lie(part: Part, value: int, content: bytearray, rng: random.Random) -> None:
    part.lie(content, value)


def counts() -> Iterator[Case]:
    """Let the tables of an MP4 claim none, a million and four billion entries, and fill one with noise."""
    for name in ("web.mp4", "plain.mp4"):
        tables = {part.name: part for part in parts(name, base(name)) if part.name in _TABLES}
        for kind, part in tables.items():
            place = part.body + (8 if kind == "stsz" else 4)
            for what, value in _COUNTS.items():
                change = partial(_write, place, value.to_bytes(4))
                # libav refuses at once what would take more memory than it ever asks for
                huge = ANYTHING | {"out-of-memory"} if what == "huge" else ANYTHING
                yield rotten("count", f"{what}-{kind}-{name}", partial(base, name), change, huge)
            change = partial(_noise, place + 4, part.end)
            yield rotten("count", f"noise-{kind}-{name}", partial(base, name), change)


def _write(place: int, value: bytes, content: bytearray, rng: random.Random) -> None:
    content[place : place + len(value)] = value


def _noise(start: int, stop: int, content: bytearray, rng: random.Random) -> None:
    content[start:stop] = rng.randbytes(stop - start)

"""All cases of the corpus, a sample of them, and those that are made of real odd files."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from tests.corpus import bytewise, lies, oddities, packets
from tests.corpus.case import Case, rotten

_SMALL_ENOUGH = 700_000


def corpus() -> list[Case]:
    """Return every case that is made from nothing: the same ones, with the same bytes, each time."""
    return list(
        chain(
            oddities.cases(),
            bytewise.disguises(),
            bytewise.cuts(),
            bytewise.flips(),
            bytewise.zeros(),
            bytewise.splices(),
            lies.sizes(),
            lies.counts(),
            packets.cases(),
        )
    )


def sample(count: int) -> list[Case]:
    """Return `count` cases, spread evenly over the corpus, without those that take seconds."""
    quick = [case for case in corpus() if case.name not in ("8k.avi", "10000-packets.mkv")]
    return [quick[number * len(quick) // count] for number in range(count)]


def real_cases(folder: Path) -> Iterator[Case]:
    """Cut the real files of a folder in three places each, and flip bits of them in two."""
    for path in sorted(folder.iterdir()):
        if not path.is_file() or not 0 < path.stat().st_size < _SMALL_ENOUGH:
            continue
        for share in (0.1, 0.5, 0.97):
            yield rotten("real-cut", f"{share:g}-{path.name}", path.read_bytes, bytewise.cut(share))
        for where in ("header-1", "payload-40"):
            low, high, count = bytewise.FLIPS[where]
            change = bytewise.flip(low, high, count)
            yield rotten("real-flip", f"{where}-{path.name}", path.read_bytes, change)

"""Files whose bytes were lost, changed or mixed up: what disks, networks and people do to them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial

from tests.corpus.bases import FILMS, base, other
from tests.corpus.case import ANYTHING, OK, Case, Change, rotten
from tests.corpus.parts import borders

_HEADER = 0.06
"""The share of a file that counts as its header: in small files headers are a greater part."""


def unchanged(content: bytearray, rng: random.Random) -> None:
    """Leave the bytes as they are."""


def cut(start: float) -> Change:
    """Return the change that keeps the first bytes; a share of the length if it is below 1."""

    def change(content: bytearray, rng: random.Random) -> None:
        del content[int(start if start >= 1 else start * len(content)) :]

    return change


def flip(low: float, high: float, count: int) -> Change:
    """Return the change that flips single bits at random places between two shares of the length."""

    def change(content: bytearray, rng: random.Random) -> None:
        for _ in range(count):
            place = rng.randrange(int(low * len(content)), max(1, int(high * len(content))))
            content[place] ^= 1 << rng.randrange(8)

    return change


def zero(low: float, high: float) -> Change:
    """Return the change that zeros what lies between two shares of the length: a hole in a download."""

    def change(content: bytearray, rng: random.Random) -> None:
        first, last = int(low * len(content)), int(high * len(content))
        content[first:last] = bytes(last - first)

    return change


def cuts() -> Iterator[Case]:
    """Cut every base at its borders, right behind them, inside packets, and before its last byte."""
    for name in FILMS:
        content = base(name)
        found = borders(name, content)
        rng = random.Random(name)
        places = {1, 7, len(content) - 1, len(content) // 2, len(content) * 9 // 10}
        places |= set(rng.sample(found, min(6, len(found))))
        places |= {place + 3 for place in rng.sample(found, min(3, len(found)))}
        for place in sorted(place for place in places if place < len(content)):
            yield rotten("cut", f"{place}-{name}", partial(base, name), cut(place))


FLIPS: dict[str, tuple[float, float, int]] = {
    "header-1": (0, _HEADER, 1),
    "header-9": (0, _HEADER, 9),
    "payload-1": (0.3, 0.8, 1),
    "payload-1b": (0.3, 0.8, 1),
    "payload-40": (0.3, 0.8, 40),
    "index-2": (0.9, 1, 2),
    "all-300": (0, 1, 300),
}


def flips() -> Iterator[Case]:
    """Flip few and many bits of every base in its header, its payload, its end and everywhere."""
    for name in FILMS:
        for where, (low, high, count) in FLIPS.items():
            yield rotten("flip", f"{where}-{name}", partial(base, name), flip(low, high, count))


def zeros() -> Iterator[Case]:
    """Zero the start, the middle and the end of every base."""
    for name in FILMS:
        for where, (low, high) in {"start": (0, 0.1), "middle": (0.4, 0.6), "end": (0.8, 1)}.items():
            yield rotten("zero", f"{where}-{name}", partial(base, name), zero(low, high))


def splices() -> Iterator[Case]:
    """Join films: one behind the other, one in the middle of another, the header of one on another."""
    names = list(FILMS)
    for number, name in enumerate(names):
        follower = names[(number + 3) % len(names)]
        yield _joined("behind", name, lambda a, b: a + b, other)
        yield _joined("behind-other", name, lambda a, b: a + b, partial(_another, follower))
        yield _joined("inside", name, lambda a, b: a[: len(a) // 2] + b + a[len(a) // 2 :], other)
        yield _joined("header", name, _swap_header, partial(_another, follower))
        yield _joined("tail", name, lambda a, b: a[: len(a) // 2] + b[len(b) // 2 :], other)


def _another(follower: str, name: str) -> bytes:
    return base(follower)


def _swap_header(body: bytes, header: bytes) -> bytes:
    return header[:400] + body[400:]


def _joined(
    how: str, name: str, join: Callable[[bytes, bytes], bytes], second: Callable[[str], bytes]
) -> Case:
    def make() -> bytes:
        return join(base(name), second(name))

    return rotten("splice", f"{how}-{name}", make, unchanged)


def disguises() -> Iterator[Case]:
    """Put every base under the name of another container: only the content counts."""
    names = list(FILMS)
    for number, name in enumerate(names):
        suffix = names[(number + 1) % len(names)].rpartition(".")[2]
        bare = name.endswith((".h264", ".mpg"))  # streams without a header are known by their name, at times
        yield rotten(
            "disguise",
            f"{name.replace('.', '-')}.{suffix}",
            partial(base, name),
            unchanged,
            ANYTHING if bare else OK,
        )

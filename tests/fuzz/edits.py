"""Edits of a tree of lists and dicts, told by bytes: files that are well formed and say what they should not.

Four bytes are one edit: the place (two, little-endian), the deed, and the value. A fuzzer that changes one
byte changes one edit, and never the syntax around it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

MOST = 8
_SIZE = 4
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1,
    2**31,
    2**63,
    10**30,
    0.5,
    math.nan,
    math.inf,
    "",
    "x",
    "train",
    "two\nlines",
    "\ud800",
    "\0",
    "../up",
    "x" * 5000,
    b"",
    b"\xff\xd8",
    [],
    [[]],
    {},
    {"": None},
    [0] * 300,
)


def edited(tree: Any, program: bytes) -> Any:
    """Return a copy of a tree with at most MOST edits; the root stays what it is."""
    tree = copy.deepcopy(tree)
    for start in range(0, min(len(program), MOST * _SIZE), _SIZE):
        step = program[start : start + _SIZE].ljust(_SIZE, b"\0")
        places = list(_places(tree))
        if places:
            _edit(places, int.from_bytes(step[:2], "little"), step[2], step[3])
    return tree


def programs(tree: Any) -> list[bytes]:
    """Return programs to begin with: none, and a few edits all over the tree."""
    count = len(list(_places(tree)))
    places = sorted({count * part // 12 for part in range(12)})
    steps = [place.to_bytes(2, "little") + bytes((place % 4, place % 25)) for place in places]
    return [b"", *steps, b"".join(steps[:MOST])]


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(node, dict | list):
        for key in node if isinstance(node, dict) else range(len(node)):
            yield node, key
            yield from _places(node[key])


def _edit(places: list[tuple[Any, Any]], place: int, deed: int, value: int) -> None:
    holder, key = places[place % len(places)]
    match deed % 4:
        case 0:
            holder[key] = copy.deepcopy(VALUES[value % len(VALUES)])
        case 1:
            del holder[key]
        case 2 if isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        case 2:
            holder[f"{key}-"] = holder.pop(key)
        case 3:
            other, where = next(islice(places, value % len(places), None))
            holder[key] = copy.deepcopy(other[where])

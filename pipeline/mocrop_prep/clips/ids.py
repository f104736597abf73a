"""Clip ids: short, safe, unique names of clips that depend on their paths alone."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence

LONGEST = 160
"""Greatest length of a clip id; file systems take 255 bytes, and outputs add suffixes."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_DIGITS = 8


def clip_ids(paths: Sequence[str]) -> list[str]:
    """Return one clip id for each path below the source, in the order given.

    An id is the path without its extension, `/` as `__` and every other character outside `[A-Za-z0-9_-]` as
    `-`. Eight hex digits of the path's sha256 follow where a character was replaced, where the id is too long
    (then it is cut), and where ids would be equal but for case: file systems may not tell those apart. The
    order of the paths plays no part. Raises ValueError if a path occurs twice.
    """
    if len(set(paths)) != len(paths):
        raise ValueError("paths must be unique")
    plain = [os.path.splitext(path)[0].replace("/", "__") for path in paths]
    digits = [_DIGITS if _UNSAFE.search(text) or len(text) > LONGEST else 0 for text in plain]
    while True:
        ids = [_clip_id(*parts) for parts in zip(paths, plain, digits, strict=True)]
        counts = Counter(clip_id.lower() for clip_id in ids)
        clashes = [position for position, clip_id in enumerate(ids) if counts[clip_id.lower()] > 1]
        if not clashes:
            return ids
        # Digits can clash in turn with a file that is named like an id; more of them end that.
        for position in clashes:
            digits[position] += _DIGITS


def _clip_id(path: str, plain: str, digits: int) -> str:
    if not digits:
        return plain
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:digits]
    return f"{_UNSAFE.sub('-', plain)[: LONGEST - 1 - digits]}-{digest}"

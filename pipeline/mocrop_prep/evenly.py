"""Which of many, when only some are wanted."""

from __future__ import annotations


def evenly_spread(count: int, total: int) -> list[int]:
    """Return `count` positions out of `total`, each in the middle of its equal part; all if fewer."""
    if count >= total:
        return list(range(total))
    return [(2 * part + 1) * total // (2 * count) for part in range(count)]

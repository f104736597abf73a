"""Values by clip id that are made when they are asked for: those of a million clips never exist together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

V = TypeVar("V")


class Lazy(Mapping[str, V]):
    """The clip ids of `ids`, in its order, with the value that `make` returns for each."""

    def __init__(self, ids: Mapping[str, object], make: Callable[[str], V]) -> None:
        self._ids, self._make = ids, make

    def __getitem__(self, clip_id: str) -> V:
        if clip_id not in self._ids:
            raise KeyError(clip_id)
        return self._make(clip_id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, clip_id: object) -> bool:
        return clip_id in self._ids

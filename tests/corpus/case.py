"""One case of the corpus: how it is made, and how it may end."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

OK = frozenset({"ok"})
REFUSED = frozenset(
    {
        "corrupt",
        "empty-file",
        "no-frames",
        "no-video-stream",
        "not-video",
        "too-large",
        "too-small",
        "unreadable",
        "unsupported-codec",
    }
)
"""The codes with which a file itself may be refused; every other one would be a fault of the pipeline."""
ANYTHING = OK | REFUSED

Make = Callable[[Path], object]
Change = Callable[[bytearray, random.Random], object]


@dataclass(frozen=True)
class Case:
    """A file: `kind` and `name` make its path, `make` writes it, `expected` holds `ok` or codes of errors."""

    kind: str
    name: str
    make: Make
    expected: frozenset[str] = ANYTHING

    @property
    def path(self) -> str:
        return f"{self.kind}/{self.name}"

    def write(self, root: Path) -> Path:
        """Write the file below `root`, and return its path."""
        path = root / self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.make(path)
        return path


def rotten(
    kind: str,
    name: str,
    base: Callable[[], bytes],
    change: Change,
    expected: frozenset[str] = ANYTHING,
) -> Case:
    """Return the case of a base whose bytes are changed in place, at random by the case's own name."""

    def make(path: Path) -> None:
        content = bytearray(base())
        change(content, random.Random(f"{kind}/{name}"))
        path.write_bytes(content)

    return Case(kind, name, make, expected)


def batches(cases: Sequence[Case], size: int) -> Iterator[Sequence[Case]]:
    """Yield the cases in runs of `size`, so that few lie on the disk at once."""
    for start in range(0, len(cases), size):
        yield cases[start : start + size]

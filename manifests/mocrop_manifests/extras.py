"""Columns that people or other tools added to a table: not ours, and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Extras:
    """The columns of a table that its schema does not know.

    `names` are in file order; `cells` hold their texts by clip_id. A clip that is not there has empty cells.
    """

    names: tuple[str, ...] = ()
    cells: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, clip_id: str) -> tuple[str, ...]:
        """Return the cells of a clip, one for each name."""
        return self.cells.get(clip_id, ("",) * len(self.names))

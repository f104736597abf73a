"""Numbers and codes as text for people."""

from __future__ import annotations

from mocrop_manifests import CropRow

from mocrop_prep.errors import CODES, FALLBACKS

UNKNOWN = "–"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share as text, such as `74.8 %`."""
    return UNKNOWN if share is None else f"{share * 100:.{digits}f}\N{NO-BREAK SPACE}%"


def times(factor: float | None) -> str:
    """Return a factor as text, such as `1.24×`."""
    return UNKNOWN if factor is None else f"{factor:.2f}×"


def count(number: int | None) -> str:
    """Return a count as text, such as `12,345`."""
    return UNKNOWN if number is None else f"{number:,}"


def meaning(row: CropRow) -> str:
    """Say what the reason of a row that is not ok means."""
    codes = CODES if row.status == "failed" else FALLBACKS
    return codes.get(row.reason, "a code of another release")

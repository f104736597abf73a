"""A crop in numbers: the few that a card shows at once, and all that the manifest holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mocrop_manifests import CropRow

from mocrop_prep.preview.select import gain
from mocrop_prep.preview.words import UNKNOWN, count, percent, times

# the head of a card says it, or another line of the table
_SAID = {"clip_id", "path", "label", "label_name", "split", "group", "width", "height", "fps", "frames"} | {
    *("key_frames", "x", "y", "w", "h", "status", "reason")
}
# to be read first, in this order; the others follow in the order of the manifest
_FIRST = ("confidence", "motion_inside", "area")
_SHARES = frozenset(("area", "motion_inside"))


def short_numbers(row: CropRow, actor: float | None) -> list[tuple[str, str, str]]:
    """Return (what, value, explanation) of the numbers to judge a crop by; `actor` is the share inside."""
    found = [
        ("inside", percent(row.motion_inside, digits=0), "share of the motion inside the crop"),
        ("area", percent(row.area, digits=0), "share of the frame inside the crop"),
        ("gain", times(gain(row)), "motion inside ÷ area: 1 is what chance gives"),
    ]
    if row.confidence is not None:
        found.insert(0, ("conf", f"{row.confidence:.2f}", "how sure the method is of its crop, 0 to 1"))
    if actor is not None:
        found.append(("actor", percent(actor, digits=0), "share of the actor boxes inside the crop"))
    return found


def all_numbers(row: CropRow, actor: float | None) -> dict[str, str]:
    """Return everything the manifest says of a crop, by name; columns of later releases too."""
    found = {"status": f"{row.status}: {row.reason}" if row.reason else row.status}
    if actor is not None:
        found["actor inside"] = percent(actor)
    found |= {name.replace("_", " "): _text(name, getattr(row, name)) for name in _FIRST}
    found |= {
        "inside ÷ area": times(gain(row)),
        "crop w×h": UNKNOWN if row.w is None else f"{row.w}×{row.h}",
        "at x, y": UNKNOWN if row.x is None else f"{row.x}, {row.y}",
    }
    others = [field.name for field in dataclasses.fields(row) if field.name not in _SAID.union(_FIRST)]
    return found | {name.replace("_", " "): _text(name, getattr(row, name)) for name in others}


def sortable(row: CropRow, actor: float | None) -> Mapping[str, Any]:
    """Return what the page filters and sorts by."""
    return {
        "status": row.status,
        "confidence": row.confidence,
        "inside": row.motion_inside,
        "area": row.area,
        "gain": gain(row),
        "actor": actor,
    }


def _text(name: str, value: Any) -> str:
    if value is None or value == "":
        return UNKNOWN
    if name in _SHARES:
        return percent(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return count(value) if isinstance(value, int) and name != "seed" else str(value)

"""Which actor boxes to draw into a frame, and how much of the actors a crop holds."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from mocrop_prep.boxes import ActorBox
from mocrop_prep.evaluation.shares import share_inside
from mocrop_prep.geometry import Box


def nearest_boxes(boxes: Collection[ActorBox], frame: int, width: int, height: int) -> list[ActorBox]:
    """Return each actor's box nearest to a frame; boxes that leave the picture are not of it."""
    nearest: dict[str, ActorBox] = {}
    for box in boxes:
        known = nearest.get(box.actor)
        if known is None or abs(box.frame - frame) < abs(known.frame - frame):
            nearest[box.actor] = box
    return [box for _, box in sorted(nearest.items()) if _fits(box, width, height)]


def inside_share(boxes: Collection[ActorBox], crop: Box, width: int, height: int) -> float | None:
    """Return the mean share of the boxes' areas inside a crop, over all frames; None without boxes."""
    sides = [(box.x, box.y, box.w, box.h) for box in boxes if _fits(box, width, height)]
    return float(share_inside(np.array(sides, np.float64), crop).mean()) if sides else None


def _fits(box: ActorBox, width: int, height: int) -> bool:
    return (
        box.x >= 0
        and box.y >= 0
        and box.w > 0
        and box.h > 0
        and box.x + box.w <= width
        and box.y + box.h <= height
    )

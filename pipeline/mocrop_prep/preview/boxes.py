"""Boxes of the actors, drawn by people: the ground truth beside a crop."""

from __future__ import annotations

import csv
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mocrop_prep.errors import UsageError

COLUMNS = ("clip", "actor", "frame", "x", "y", "w", "h")


@dataclass(frozen=True, slots=True)
class ActorBox:
    """A box around one actor in one frame of the source, in pixels: left, top, width, height."""

    actor: str
    frame: int
    x: float
    y: float
    w: float
    h: float


def read_boxes(path: Path, stems: Collection[str]) -> dict[str, list[ActorBox]]:
    """Read the boxes of the clips named in `stems` from a CSV with COLUMNS; raises UsageError with the line.

    `clip` is the name of the clip's file without folder and extension.
    """
    found: dict[str, list[ActorBox]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise UsageError(
                    f"--boxes {path}: missing columns {', '.join(missing)}; expected {','.join(COLUMNS)}"
                )
            for row in reader:
                if row["clip"] in stems:
                    sides = (float(row[name]) for name in ("x", "y", "w", "h"))
                    found.setdefault(row["clip"], []).append(
                        ActorBox(row["actor"], int(row["frame"]), *sides)
                    )
    except (ValueError, TypeError, csv.Error) as error:
        raise UsageError(f"--boxes {path}:{reader.line_num}: {error}") from None
    except OSError as error:
        raise UsageError(f"--boxes {path}: {error.strerror}") from None
    return found


def nearest_boxes(boxes: Collection[ActorBox], frame: int, width: int, height: int) -> list[ActorBox]:
    """Return each actor's box nearest to a frame; boxes that leave the picture are not of it."""
    nearest: dict[str, ActorBox] = {}
    for box in boxes:
        known = nearest.get(box.actor)
        if known is None or abs(box.frame - frame) < abs(known.frame - frame):
            nearest[box.actor] = box
    return [
        box
        for _, box in sorted(nearest.items())
        if box.x >= 0
        and box.y >= 0
        and box.w > 0
        and box.h > 0
        and box.x + box.w <= width
        and box.y + box.h <= height
    ]

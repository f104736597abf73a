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


def read_boxes(path: Path, names: Collection[str] | None = None) -> dict[str, list[ActorBox]]:
    """Read actor boxes by clip from a CSV with COLUMNS; raises UsageError with the line.

    `clip` is the name of the clip's file without folder and extension. `names` are the clips to read; None
    reads all.
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
                if names is None or row["clip"] in names:
                    sides = (float(row[name]) for name in ("x", "y", "w", "h"))
                    found.setdefault(row["clip"], []).append(
                        ActorBox(row["actor"], int(row["frame"]), *sides)
                    )
    except (ValueError, TypeError, csv.Error) as error:
        raise UsageError(f"--boxes {path}:{reader.line_num}: {error}") from None
    except OSError as error:
        raise UsageError(f"--boxes {path}: {error.strerror}") from None
    return found

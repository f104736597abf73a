"""Stage 2: one decode of a transcoded clip; every motion vector of every P-frame goes to Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mocrop_prep.appearance import AppearanceGauge
from mocrop_prep.vectors import VectorWriter
from mocrop_prep.video import open_clip


def extract_clip(video: Path, target: Path) -> dict[str, Any]:
    """Write `target`, the clip's motion vectors; return frames, key_frames, vectors; raises ClipError."""
    with open_clip(video) as film:
        info = film.index.info
        with VectorWriter(target, info) as writer:
            gauge = AppearanceGauge(info.width, info.height, info.key_frames)
            film.decode(sink=writer.add, gauge=gauge)
            writer.describe(gauge.result())
    return {"frames": info.frames, "key_frames": len(info.key_frames), "vectors": writer.rows}

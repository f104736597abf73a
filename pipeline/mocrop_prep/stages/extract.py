"""Stage 2: one decode of a clip; every motion vector of every P-frame goes to Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mocrop_prep.appearance import AppearanceGauge
from mocrop_prep.vectors import VectorWriter
from mocrop_prep.video import Film, inspect_source, read_clip


def extract_clip(video: Path, target: Path, *, direct: bool = False) -> dict[str, Any]:
    """Write `target`, the clip's motion vectors; return frames, key_frames, vectors; raises ClipError.

    `direct` says that `video` is a source, read in place.
    """

    def extract(film: Film) -> int:
        info = film.index.info
        with VectorWriter(target, info) as writer:
            gauge = AppearanceGauge(info.width, info.height, film.index.exact)
            film.decode(sink=writer.add, gauge=gauge)
            writer.describe(gauge.result())
        return writer.rows

    index, vectors = read_clip(video, extract, source=inspect_source(video) if direct else None)
    return {"frames": index.info.frames, "key_frames": len(index.info.key_frames), "vectors": vectors}

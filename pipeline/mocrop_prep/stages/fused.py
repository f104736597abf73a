"""All four stages on one clip: each decoded once, nothing written that was not asked for.

The bytes are those of the four stages one after the other: the same functions see the same frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mocrop_manifests import Clip, CropRow

from mocrop_prep.appearance import AppearanceGauge
from mocrop_prep.config import CropSettings, ShardSettings
from mocrop_prep.methods import Choice
from mocrop_prep.pictures import Planes
from mocrop_prep.stages.crop import clip_chooser, crop_row, needs_appearance
from mocrop_prep.stages.shard import frames_to_keep, needs_loop_filter, write_sample
from mocrop_prep.vectors import Vectors, VectorWriter
from mocrop_prep.video import Film, SourceInfo, read_clip


def fuse_clip(
    video: Path,
    clip: Clip,
    target: Path,
    crop: CropSettings,
    shard: ShardSettings,
    *,
    motion: Path | None = None,
    source: SourceInfo | None = None,
) -> tuple[CropRow, dict[str, Any]]:
    """Extract, crop and shard a clip in one decode; raises ClipError.

    Vectors go to the crop as they come and, if `motion` is given, to that file; pictures wait as planes until
    the crop is known. `source` is what is known of `video` if that is a source, read in place. Returns the
    manifest row, and the frames of the sample written to `target`.
    """

    def watch(film: Film) -> tuple[Choice, dict[int, Planes]]:
        index, gauge = film.index, None
        if motion is not None or needs_appearance(crop):
            gauge = AppearanceGauge(index.info.width, index.info.height, index.exact)
        chooser = clip_chooser(clip, index.info, crop)
        with ExitStack() as stack:
            sinks: list[Callable[[Vectors], None]] = [chooser.add]
            if motion is not None:
                writer = stack.enter_context(VectorWriter(motion, index.info))
                sinks.append(writer.add)
            pictures = film.decode(
                sink=_each(sinks),
                keep=set(frames_to_keep(index, shard)),
                loop_filter=needs_loop_filter(shard),
                gauge=gauge,
            )
            appearance = gauge.result() if gauge is not None else None
            if motion is not None and appearance is not None:
                writer.describe(appearance)
        return chooser.choose(appearance), pictures

    index, (choice, pictures) = read_clip(video, watch, source=source)
    row = crop_row(clip, index.info, choice, crop)
    numbers = frames_to_keep(index, shard)
    return row, write_sample(row, index, numbers, [pictures[n] for n in numbers], target, shard)


def _each(sinks: Sequence[Callable[[Vectors], None]]) -> Callable[[Vectors], None]:
    def deliver(vectors: Vectors) -> None:
        for sink in sinks:
            sink(vectors)

    return deliver

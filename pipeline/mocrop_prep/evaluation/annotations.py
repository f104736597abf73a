"""Actor boxes as arrays, by clip: whose they are, at which scale, and which of them can be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mocrop_manifests import Clip
from numpy.typing import NDArray

from mocrop_prep.boxes import ActorBox
from mocrop_prep.clips.paths import remark, unescape

_NO_FRAME = 1 << 40  # later than any clip lasts: a frame number that would not fit an array


@dataclass(frozen=True, slots=True)
class Annotation:
    """The boxes of one clip: `frames` (boxes,) int64, from 0; `boxes` (boxes, 4) float64 left, top, width,
    height in pixels.
    """

    frames: NDArray[np.int64]
    boxes: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What of an annotation lies in its clip, and how many boxes were odd.

    late: in no frame of the clip; outside: with no part in the picture, or no size; cut: over the picture's
    edge, of which the part inside was taken.
    """

    annotation: Annotation
    late: int
    outside: int
    cut: int


def by_clip(
    clips: Sequence[Clip], boxes: Mapping[str, Sequence[ActorBox]]
) -> tuple[dict[str, Annotation], list[str]]:
    """Return the annotations by clip_id, and notes on boxes and clips that do not find each other.

    A name in `boxes` is a clip_id, or the name of the video's file without folder and extension; one that
    several clips share says nothing and is left out.
    """
    owners: dict[str, list[str]] = {}
    for clip in clips:
        for name in {clip.clip_id, Path(unescape(clip.path)).stem}:
            owners.setdefault(name, []).append(clip.clip_id)
    found: dict[str, list[ActorBox]] = {}
    shared: list[str] = []
    unknown: list[str] = []
    for name, some in boxes.items():
        clip_ids = owners.get(name, [])
        if len(clip_ids) == 1:
            found.setdefault(clip_ids[0], []).extend(some)
        else:
            (shared if clip_ids else unknown).append(name)
    bare = [clip.clip_id for clip in clips if clip.clip_id not in found]
    notes = [
        *remark("names in the boxes that several clips share, left out; name them by clip_id", shared),
        *remark("names in the boxes that are none of the clips", unknown),
        *remark("clips without boxes, left out", bare),
    ]
    return {clip_id: _as_arrays(some) for clip_id, some in sorted(found.items())}, notes


def fit(
    annotation: Annotation, *, width: int, height: int, frames: int, scale: tuple[float, float] = (1.0, 1.0)
) -> Fitted:
    """Bring boxes to the size of their clip and cut them at its edges; what is then left of none is dropped.

    `width`, `height` and `frames` are the clip's; `scale` is its size over that of the annotated pictures.
    """
    lasts = (annotation.frames >= 0) & (annotation.frames < frames)
    left, top, wide, high = (annotation.boxes * (*scale, *scale)).T
    edges = np.stack([left, top, left + wide, top + high], axis=1)
    inside = np.clip(edges, 0, (width, height, width, height))
    sizes = inside[:, 2:] - inside[:, :2]
    # not a number compares false: a box without numbers is none
    visible = np.isfinite(edges).all(axis=1) & (sizes > 0).all(axis=1)
    kept = lasts & visible
    cut = kept & (inside != edges).any(axis=1)
    boxes = np.concatenate([inside[:, :2], sizes], axis=1)[kept]
    fitted = Annotation(annotation.frames[kept], boxes)
    return Fitted(fitted, int((~lasts).sum()), int((lasts & ~visible).sum()), int(cut.sum()))


def _as_arrays(boxes: Sequence[ActorBox]) -> Annotation:
    frames = [min(max(box.frame, -1), _NO_FRAME) for box in boxes]
    sides = [(box.x, box.y, box.w, box.h) for box in boxes]
    return Annotation(np.array(frames, np.int64), np.array(sides, np.float64))

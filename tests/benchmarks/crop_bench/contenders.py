"""The crops that contend, of every clip of a set: all methods, smaller squares, and the default's twin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import joblib
from mocrop_manifests import Clip
from mocrop_prep.config import METHODS, CropSettings, RunSettings
from mocrop_prep.evaluation.candidates import DEFAULT_METHOD, MATCHED, matched_center, sizes_itself
from mocrop_prep.evaluation.judge import clip_crops
from mocrop_prep.geometry import Box
from mocrop_prep.runner import worker_count

from tests.benchmarks.crop_bench.sets import ClipSet

AREAS = (0.75, 0.5, 0.44, 0.35)


@dataclass(frozen=True, slots=True)
class Contender:
    """A crop of every clip of a set, in the set's order; `covers` is the mean share of the frame."""

    name: str
    boxes: tuple[Box, ...]
    covers: float


def contenders(clips: ClipSet, run: RunSettings) -> list[Contender]:
    """Return every method as it is by default, squares at other areas, and the default method's twin.

    The twin is the centred square of the same size, clip by clip: whatever it does not reach was won by
    where the crop lies.
    """
    named = {method: CropSettings(method=method) for method in METHODS}
    squares = ("center-square", DEFAULT_METHOD) if sizes_itself(DEFAULT_METHOD) else ("center-square",)
    for method in squares:
        at = AREAS if sizes_itself(method) else AREAS[1:]
        named |= {f"{method} {area:g}": CropSettings(method=method, area=area) for area in at}
    calls = (joblib.delayed(_chosen)(clips, clip, list(named.values())) for clip in clips.clips)
    found = joblib.Parallel(n_jobs=worker_count(run))(calls)
    boxes = {name: [crops[number] for _, crops in found] for number, name in enumerate(named)}
    sizes = [size for size, _ in found]
    boxes[MATCHED] = [
        matched_center(box, *size) for box, size in zip(boxes[DEFAULT_METHOD], sizes, strict=True)
    ]
    return [_contender(name, some, sizes) for name, some in boxes.items()]


def _chosen(
    clips: ClipSet, clip: Clip, settings: Sequence[CropSettings]
) -> tuple[tuple[int, int], list[Box]]:
    extent, boxes = clip_crops(clip, clips.workdir.motion(clip.clip_id), settings)
    return (extent.width, extent.height), boxes


def _contender(name: str, boxes: Sequence[Box], sizes: Sequence[tuple[int, int]]) -> Contender:
    shares = [box.w * box.h / (width * height) for box, (width, height) in zip(boxes, sizes, strict=True)]
    return Contender(name, tuple(boxes), sum(shares) / len(shares))

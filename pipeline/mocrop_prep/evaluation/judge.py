"""One clip's work: its crops by every candidate, and how much of the actor each of them holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from mocrop_manifests import Clip, CropRow
from numpy.typing import NDArray

from mocrop_prep.config import CropSettings
from mocrop_prep.errors import ClipError
from mocrop_prep.evaluation.annotations import Annotation, fit
from mocrop_prep.evaluation.candidates import DEFAULT_METHOD, Candidate, matched_center, row_box
from mocrop_prep.evaluation.shares import frame_shares
from mocrop_prep.geometry import Box
from mocrop_prep.remote import Location
from mocrop_prep.remote.fetch import readable
from mocrop_prep.stages.crop import clip_chooser
from mocrop_prep.vectors import read_vectors
from mocrop_prep.video import inspect_source
from mocrop_prep.video.encode import output_size


@dataclass(frozen=True, slots=True)
class ClipJob:
    """What one clip's judgement needs.

    `rows` are its rows by manifest. `source` is the video that the boxes were drawn on if its transcoded clip
    may be smaller, else None.
    """

    clip: Clip
    annotation: Annotation
    motion: Path
    rows: dict[str, CropRow]
    source: Location | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the candidates did on one clip, in their order.

    `shares` (candidates, frames) float64 of each annotated frame; `areas` (candidates,) of the frame. `boxes`
    counts those used; `late`, `outside` and `cut` are the odd ones (see annotations.Fitted).
    """

    clip_id: str
    crops: tuple[Box, ...]
    areas: NDArray[np.float64]
    shares: NDArray[np.float64]
    boxes: int
    late: int
    outside: int
    cut: int


@dataclass(frozen=True, slots=True)
class Extent:
    """A clip's width and height in pixels, and its frames."""

    width: int
    height: int
    frames: int


def judge_clip(job: ClipJob, candidates: Sequence[Candidate]) -> Verdict:
    """Crop a clip by every candidate, reading its vectors once; raises ClipError."""
    frame, crops = _crops(job, candidates)
    scale = (1.0, 1.0) if job.source is None else _scale(job.source, frame)
    fitted = fit(job.annotation, width=frame.width, height=frame.height, frames=frame.frames, scale=scale)
    shares = [frame_shares(fitted.annotation, crop) for crop in crops]
    areas = np.array([crop.w * crop.h for crop in crops]) / (frame.width * frame.height)
    counts = (len(fitted.annotation.frames), fitted.late, fitted.outside, fitted.cut)
    return Verdict(job.clip.clip_id, tuple(crops), areas, np.stack(shares), *counts)


def clip_crops(clip: Clip, motion: Path, settings: Sequence[CropSettings]) -> tuple[Extent, list[Box]]:
    """Return a clip's size and its crop by each of the settings, from one pass over its vectors."""
    info, batches = read_vectors(motion)
    choosers = [clip_chooser(clip, info, one) for one in settings]
    for vectors in batches:
        for chooser in choosers:
            chooser.add(vectors)
    return Extent(info.width, info.height, info.frames), [chooser.choose().box for chooser in choosers]


def _crops(job: ClipJob, candidates: Sequence[Candidate]) -> tuple[Extent, list[Box]]:
    """Return the clip's size and one crop for each candidate."""
    found: dict[Candidate, Box] = {}
    frames = {_row_frame(row) for row in job.rows.values()}
    chosen = [(candidate, candidate.settings) for candidate in candidates if candidate.settings is not None]
    if chosen:
        frame, boxes = clip_crops(job.clip, job.motion, [settings for _, settings in chosen])
        frames.add(frame)
        found |= {candidate: box for (candidate, _), box in zip(chosen, boxes, strict=True)}
    if len(frames) != 1:
        raise ClipError("bad-intermediate", "its crops are of clips of different sizes; run crop again")
    frame = frames.pop()
    for candidate in candidates:
        if candidate.manifest:
            found[candidate] = _manifest_crop(job, candidate.name)
        elif candidate.settings is None:
            own = next(one for one in found if (one.name, one.area) == (DEFAULT_METHOD, None))
            found[candidate] = matched_center(found[own], frame.width, frame.height)
    return frame, [found[candidate] for candidate in candidates]


def _manifest_crop(job: ClipJob, name: str) -> Box:
    row = job.rows.get(name)
    box = row_box(row) if row is not None else None
    if box is None:
        raise ClipError("bad-intermediate", f"it has no crop in crops/{name}.csv")
    return box


def _row_frame(row: CropRow) -> Extent:
    if row.width is None or row.height is None or row.frames is None:
        raise ClipError("bad-intermediate", f"it failed in a manifest ({row.reason})")
    return Extent(row.width, row.height, row.frames)


def _scale(source: Location, frame: Extent) -> tuple[float, float]:
    """Return the clip's size over that of its upright source with square pixels, across and down."""
    try:
        with TemporaryDirectory(prefix="mocrop-") as folder, readable(source, Path(folder)) as video:
            info = inspect_source(video)
    except ClipError as error:
        raise ClipError(
            error.code, f"its boxes are of the source, which --short-side scaled, and {error.detail}"
        ) from None
    size = output_size(info, None)
    width, height = size if info.rotation % 2 == 0 else size[::-1]
    return frame.width / width, frame.height / height

"""What every variant keeps of the actors, and how far that is from the whole method, on the same frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from mocrop_manifests import Clip
from mocrop_prep.boxes import read_boxes
from mocrop_prep.config import RunSettings
from mocrop_prep.errors import UsageError
from mocrop_prep.evaluation import AREAS
from mocrop_prep.evaluation.annotations import Annotation, by_clip, fit
from mocrop_prep.evaluation.bootstrap import Estimate, clip_draws, estimate, pooled_mean
from mocrop_prep.evaluation.measures import SEED
from mocrop_prep.evaluation.shares import frame_shares
from mocrop_prep.progress import Progress
from mocrop_prep.runner import worker_count
from mocrop_prep.vectors import read_vectors
from mocrop_prep.workdir import Workdir
from numpy.typing import NDArray

from tests.benchmarks.ablation.variants import FAMILIES, Build

Cell = tuple[Build, float]
"""A variant at an area."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A variant at an area: its crops' mean share of the frame, and the mean share of the actor inside.

    `apart` is that share less the whole method's, None for the method itself.
    """

    covers: float
    inside: Estimate
    apart: Estimate | None


Table = Mapping[str, Mapping[float, Kept]]
"""What is kept by variant and area; the whole method first."""


@dataclass(frozen=True, slots=True)
class Retention:
    """The tables of one set of clips by method, and what they are made of."""

    clips: int
    frames: int
    tables: Mapping[str, Table]
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Seen:
    """One clip: `areas` (cells,) of the frame, and `shares` (cells, frames) of the actor inside."""

    areas: NDArray[np.float64]
    shares: NDArray[np.float64]


def retention(workdir: Workdir, clips: Sequence[Clip], boxes: Path, run: RunSettings) -> Retention:
    """Crop every clip with boxes by all variants at AREAS and measure what stays inside; raises UsageError.

    `boxes` are in pixels of the transcoded clips: a WORKDIR made with --short-side is not for this.
    """
    annotations, notes = by_clip(clips, read_boxes(boxes))
    jobs = [clip for clip in clips if clip.clip_id in annotations]
    builds = dict.fromkeys(build for family in FAMILIES.values() for build in family.values())
    cells = [(build, area) for build in builds for area in AREAS]
    calls = (
        joblib.delayed(_look)(clip, annotations[clip.clip_id], workdir.motion(clip.clip_id), cells)
        for clip in jobs
    )
    parallel = joblib.Parallel(n_jobs=worker_count(run), return_as="generator")
    seen = []
    with Progress("ablate", len(jobs), quiet=False) as progress:
        for one in parallel(calls):
            seen.append(one)
            progress.advance()
    seen = [one for one in seen if one.shares.size]
    if not seen:
        raise UsageError(f"{boxes}: no box is of a frame of the {len(clips)} clips of {workdir.root}")
    frames = sum(one.shares.shape[1] for one in seen)
    return Retention(len(seen), frames, _tables(seen, cells), notes)


def _look(clip: Clip, annotation: Annotation, motion: Path, cells: Sequence[Cell]) -> _Seen:
    """Crop one clip by all variants, from one pass over its vectors."""
    info, batches = read_vectors(motion)
    choosers = [build(clip, info, area) for build, area in cells]
    for vectors in batches:
        for chooser in choosers:
            chooser.add(vectors)
    crops = [chooser.choose().box for chooser in choosers]
    fitted = fit(annotation, width=info.width, height=info.height, frames=info.frames).annotation
    areas = np.array([crop.w * crop.h for crop in crops]) / (info.width * info.height)
    return _Seen(areas, np.stack([frame_shares(fitted, crop) for crop in crops]))


def _tables(seen: Sequence[_Seen], cells: Sequence[Cell]) -> dict[str, Table]:
    frames = np.array([one.shares.shape[1] for one in seen], np.int64)
    owners = np.repeat(np.arange(len(seen)), frames)
    draws = clip_draws(len(seen), seed=SEED)
    shares = dict(zip(cells, np.concatenate([one.shares for one in seen], axis=1), strict=True))
    covers = dict(zip(cells, np.mean([one.areas for one in seen], axis=0).tolist(), strict=True))

    def mean(values: NDArray[np.float64]) -> Estimate:
        drawn = pooled_mean(values, owners, frames, draws)
        return estimate(float(values.mean()), drawn, clips=len(seen))

    def kept(build: Build, whole: Build, area: float) -> Kept:
        values = shares[build, area]
        apart = None if build is whole else mean(values - shares[whole, area])
        return Kept(covers[build, area], mean(values), apart)

    tables: dict[str, Table] = {}
    for title, family in FAMILIES.items():
        whole = next(iter(family.values()))
        tables[title] = {
            name: {area: kept(build, whole, area) for area in AREAS} for name, build in family.items()
        }
    return tables

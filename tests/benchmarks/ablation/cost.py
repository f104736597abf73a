"""What the methods and their parts cost, beside the extraction of the vectors that they use."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mocrop_manifests import Clip
from mocrop_prep.appearance import AppearanceGauge
from mocrop_prep.clips import spread
from mocrop_prep.progress import Progress
from mocrop_prep.stages.extract import extract_clip
from mocrop_prep.vectors import ClipInfo, Vectors, read_vectors
from mocrop_prep.video import open_clip
from mocrop_prep.workdir import Workdir
from numpy.typing import NDArray

from tests.benchmarks.ablation.variants import FAMILIES, OURS, TIMED, Build

EXTRACTION, READING, LOOKING = "extraction", "reading the vectors", "looking at the pictures"
"""What is timed beside the variants; LOOKING, which texture and border need, is a part of EXTRACTION."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds for 1000 frames of `clips` clips with `frames` frames, by what is done."""

    clips: int
    frames: int
    seconds: Mapping[str, float]

    def share(self, name: str) -> float:
        """Return a time as a share of extraction's."""
        return self.seconds[name] / self.seconds[EXTRACTION]


def costs(workdir: Workdir, clips: Sequence[Clip], *, most: int, rounds: int) -> Costs:
    """Time everything on up to `most` clips in this process: clip by clip in turns, the least of `rounds`."""
    some = spread(clips, most)
    wholes = dict(next(iter(family.items())) for family in FAMILIES.values())
    builds = wholes | {name: OURS[name] for name in TIMED}
    totals: dict[str, float] = {}
    frames = 0
    with tempfile.TemporaryDirectory() as scratch, Progress("time", len(some), quiet=False) as progress:
        for clip in some:
            info, vectors = _read(workdir.motion(clip.clip_id))
            work = _extraction(workdir, clip, info, Path(scratch) / "vectors.parquet")
            work |= {name: _choice(build, clip, info, vectors) for name, build in builds.items()}
            for name, seconds in _least(work, rounds).items():
                totals[name] = totals.get(name, 0.0) + seconds
            frames += info.frames
            progress.advance()
    return Costs(len(some), frames, {name: 1000 * total / frames for name, total in totals.items()})


def _least(work: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the least seconds of each.

    Every round does all of it, each in another order: a noisy machine, and what one leaves in the cache for
    the next, hit all alike.
    """
    found = dict.fromkeys(work, float("inf"))
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        for name in rng.permutation(list(work)).tolist():
            started = time.perf_counter()
            work[name]()
            found[name] = min(found[name], time.perf_counter() - started)
    return found


def _extraction(
    workdir: Workdir, clip: Clip, info: ClipInfo, target: Path
) -> dict[str, Callable[[], object]]:
    video, motion = workdir.transcoded(clip.clip_id), workdir.motion(clip.clip_id)
    with open_clip(video) as film:
        pictures = film.decode_exact(AppearanceGauge(info.width, info.height, info.key_frames).numbers)
    lumas = [picture.luma for picture in pictures.values()]
    return {
        EXTRACTION: lambda: extract_clip(video, target),
        READING: lambda: _read(motion),
        LOOKING: lambda: _look(info, lumas),
    }


def _read(motion: Path) -> tuple[ClipInfo, list[Vectors]]:
    info, batches = read_vectors(motion)
    return info, list(batches)


def _look(info: ClipInfo, lumas: Sequence[NDArray[np.uint8]]) -> None:
    gauge = AppearanceGauge(info.width, info.height, info.key_frames)
    for luma in lumas:
        gauge.add(luma)
    gauge.result()


def _choice(build: Build, clip: Clip, info: ClipInfo, vectors: Sequence[Vectors]) -> Callable[[], object]:
    def choose() -> None:
        chooser = build(clip, info, None)
        for batch in vectors:
            chooser.add(batch)
        chooser.choose()

    return choose

"""What one encode of a clip comes to: its bytes, vectors and pictures, and the density maps and crops."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import joblib
import numpy as np
from mocrop_manifests import Clip
from mocrop_manifests.files import sha256
from mocrop_prep.config import CropSettings, RunSettings
from mocrop_prep.geometry import Box
from mocrop_prep.progress import Progress
from mocrop_prep.runner import worker_count
from mocrop_prep.stages.crop import clip_chooser
from mocrop_prep.stages.extract import extract_clip
from mocrop_prep.vectors import read_vectors
from mocrop_prep.video import encode_clip, inspect_source, library_versions, open_clip
from numpy.typing import NDArray

from tests.benchmarks.preset_bench.candidates import LOSSLESS, Candidate
from tests.benchmarks.preset_bench.likeness import psnr, ssim
from tests.benchmarks.preset_bench.samples import Sample

METHODS = ("foreground", "mocrop-v1", "mocrop-v2")
AREAS = (None, 0.35)
"""The method's own size, and a small one, where a wrong place shows."""


@dataclass(frozen=True, slots=True)
class Look:
    """One encode of one clip.

    `size` in bytes of the MP4; `psnr` in dB and `ssim` of the key frames' luma, means; `densities` by method,
    (rows, columns); `crops` by method and area, in the order of METHODS and AREAS.
    """

    width: int
    height: int
    frames: int
    size: int
    vectors: int
    psnr: float
    ssim: float
    densities: dict[str, NDArray[np.int64]]
    crops: dict[tuple[str, float | None], Box]

    def same_as(self, other: Look) -> bool:
        """Say whether nothing but the file's size differs, in which x264 writes down its options."""
        alike = (self.vectors, self.psnr, self.ssim, self.crops)
        return alike == (other.vectors, other.psnr, other.ssim, other.crops) and all(
            np.array_equal(self.densities[name], other.densities[name]) for name in METHODS
        )


def all_looks(
    sample: Sample, candidates: Sequence[Candidate], folder: Path, run: RunSettings
) -> dict[str, list[Look]]:
    """Return the looks of every candidate, clip by clip; what is kept below `folder` is not made again."""
    calls = (
        joblib.delayed(_clip_looks)(clip, sample.source(clip), candidates, folder) for clip in sample.clips
    )
    parallel = joblib.Parallel(n_jobs=worker_count(run), return_as="generator")
    found: list[list[Look]] = []
    with Progress(sample.name, len(sample.clips), quiet=False) as progress:
        for looks in parallel(calls):
            found.append(looks)
            progress.advance()
    return {one.name: list(looks) for one, looks in zip(candidates, zip(*found, strict=True), strict=True)}


def _clip_looks(clip: Clip, source: Path, candidates: Sequence[Candidate], folder: Path) -> list[Look]:
    cached = joblib.Memory(folder, verbose=0).cache(_look, ignore=["source", "originals"])
    key = {"content": sha256(source), **library_versions()}
    originals = functools.cache(functools.partial(_key_frames, source))
    return [cached(clip, one, key, source=source, originals=originals) for one in candidates]


def _look(
    clip: Clip,
    candidate: Candidate,
    key: dict[str, str],
    *,
    source: Path,
    originals: Callable[[], list[NDArray[np.uint8]]],
) -> Look:
    """Encode a clip and look at it; `key` says what else the result depends on."""
    del key
    with TemporaryDirectory() as scratch:
        video, motion = Path(scratch) / "clip.mp4", Path(scratch) / "clip.parquet"
        encode_clip(source, video, inspect_source(source), candidate.settings, tuning=candidate.tuning)
        extract_clip(video, motion)
        pairs = list(zip(_lumas(video), originals(), strict=True))
        return Look(
            **_crops(clip, motion, candidate.seed),
            size=video.stat().st_size,
            psnr=float(np.mean([psnr(a, b) for a, b in pairs])),
            ssim=float(np.mean([ssim(a, b) for a, b in pairs])),
        )


def _crops(clip: Clip, motion: Path, seed: int) -> dict[str, Any]:
    """Return what a look says of the clip, its density maps and its crops, from one pass over its vectors."""
    info, batches = read_vectors(motion)
    choosers = {
        (method, area): clip_chooser(clip, info, CropSettings(method=method, area=area, seed=seed))
        for method in METHODS
        for area in AREAS
    }
    for vectors in batches:
        for chooser in choosers.values():
            chooser.add(vectors)
    choices = {what: chooser.choose() for what, chooser in choosers.items()}
    return {
        "width": info.width,
        "height": info.height,
        "frames": info.frames,
        "vectors": choices[METHODS[0], None].density.vectors,
        "densities": {method: choices[method, None].density.cells for method in METHODS},
        "crops": {what: choice.box for what, choice in choices.items()},
    }


def _key_frames(source: Path) -> list[NDArray[np.uint8]]:
    """Return the luma of a source's pictures where a transcoded clip has its key frames, without any loss."""
    with TemporaryDirectory() as scratch:
        video = Path(scratch) / "clip.mp4"
        encode_clip(source, video, inspect_source(source), LOSSLESS.settings, tuning=LOSSLESS.tuning)
        return _lumas(video)


def _lumas(video: Path) -> list[NDArray[np.uint8]]:
    """Return the luma of all key frames of a transcoded clip."""
    with open_clip(video) as clip:
        return [picture.luma for picture in clip.decode_exact(clip.index.info.key_frames).values()]

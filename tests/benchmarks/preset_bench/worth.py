"""What the vectors and pictures of settings are worth, and how far that is from the default."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from mocrop_prep.evaluation.annotations import fit
from mocrop_prep.evaluation.bootstrap import Estimate, clip_draws, estimate, pooled_mean
from mocrop_prep.evaluation.measures import SEED
from mocrop_prep.evaluation.shares import frame_shares
from numpy.typing import NDArray

from tests.benchmarks.preset_bench.candidates import BASE, REFERENCE
from tests.benchmarks.preset_bench.looks import AREAS, METHODS, Look
from tests.benchmarks.preset_bench.samples import Sample

Looks = Mapping[str, Sequence[Look]]
"""The looks of every candidate by name, clip by clip."""
_PerClip = list[NDArray[np.float64]]
"""A value for each frame that counts, clip by clip; or one for each clip."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A mean over clips, or over the annotated frames of all clips; and the same less the default's."""

    value: Estimate
    apart: Estimate


@dataclass(frozen=True, slots=True)
class Worth:
    """What a candidate's encodes are worth.

    `likeness`, by method: Pearson's correlation, over cells, of the density map with that of the exhaustive
    search. `kept`, by method and area: the share of the actor inside the crop; without boxes empty.
    `overlap`: intersection over union of the default crop with that of the exhaustive search. `psnr` in dB
    and `ssim`: of key frames with the source. `size`: bytes over those of the default's files. `vectors`: of
    a frame. `same_as` names an earlier candidate whose encodes are the same, or is empty.
    """

    likeness: dict[str, Measure]
    kept: dict[tuple[str, float | None], Measure]
    overlap: Measure
    psnr: Measure
    ssim: Measure
    size: float
    vectors: float
    same_as: str


def worths(parts: Sequence[tuple[Sample, Looks]]) -> dict[str, Worth]:
    """Return the worth of every candidate on the clips of all the sets together."""
    found: dict[str, Worth] = {}
    looks = {name: [look for _, some in parts for look in some[name]] for name in parts[0][1]}
    boxed = [(sample, some) for sample, some in parts if sample.boxes]
    for name, own in looks.items():
        frames = sum(look.frames for look in own)
        found[name] = Worth(
            {method: _likeness(looks, name, method) for method in METHODS},
            {(m, area): _kept(boxed, name, m, area) for m in METHODS for area in AREAS if boxed},
            _each(
                looks,
                name,
                lambda look, best: look.crops[METHODS[0], None].overlap(best.crops[METHODS[0], None]),
            ),
            _each(looks, name, lambda look, _: look.psnr),
            _each(looks, name, lambda look, _: look.ssim),
            sum(look.size for look in own) / sum(look.size for look in looks[BASE]),
            sum(look.vectors for look in own) / frames,
            next((n for n in found if all(a.same_as(b) for a, b in zip(own, looks[n], strict=True))), ""),
        )
    return found


def correlation(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Return Pearson's correlation of two maps, 0 where the first is flat and so says nothing."""
    return 0.0 if a.min() == a.max() else float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def _likeness(looks: Looks, name: str, method: str) -> Measure:
    """Measure over the clips whose map the exhaustive search does not leave flat."""
    maps = [look.densities[method] for look in looks[REFERENCE.name]]
    use = [number for number, best in enumerate(maps) if best.min() < best.max()]

    def values(of: str) -> _PerClip:
        return [np.array([correlation(looks[of][n].densities[method], maps[n])]) for n in use]

    return _measure(values(name), values(BASE))


def _kept(boxed: Sequence[tuple[Sample, Looks]], name: str, method: str, area: float | None) -> Measure:
    def values(of: str) -> _PerClip:
        return [
            frame_shares(
                fit(
                    sample.boxes[clip.clip_id], width=look.width, height=look.height, frames=look.frames
                ).annotation,
                look.crops[method, area],
            )
            for sample, looks in boxed
            for clip, look in zip(sample.clips, looks[of], strict=True)
        ]

    return _measure(values(name), values(BASE))


def _each(looks: Looks, name: str, value: Callable[[Look, Look], float]) -> Measure:
    def values(of: str) -> _PerClip:
        pairs = zip(looks[of], looks[REFERENCE.name], strict=True)
        return [np.array([value(look, best)]) for look, best in pairs]

    return _measure(values(name), values(BASE))


def _measure(own: _PerClip, base: _PerClip) -> Measure:
    counts = np.array([len(one) for one in own], np.int64)
    owners = np.repeat(np.arange(len(own)), counts)
    draws = clip_draws(len(own), seed=SEED)

    def mean(values: NDArray[np.float64]) -> Estimate:
        return estimate(float(values.mean()), pooled_mean(values, owners, counts, draws), clips=len(own))

    ours, others = np.concatenate(own), np.concatenate(base)
    return Measure(mean(ours), mean(ours - others))

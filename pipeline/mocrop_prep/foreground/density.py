"""Motion vectors -> density of foreground motion: what moves on its own, against what the camera does.

Every part answers something that misleads a count of long vectors; `tests/benchmarks/ablate.py` measures
each. Vectors are first averaged on a coarse lattice (cells of a macroblock in a frame of 320x240) over slots
of 80 ms, weighted by the area of their blocks. Then, for each slot:

- camera: a robust affine motion is subtracted (`camera`), so that a pan is not action;
- overlay: what never changes and stays in place while the camera moves is a logo, and does not move;
- noise: a cell moves if what is left exceeds both 0.75 units and three times the slot's median, so that what
  the model cannot explain (parallax, rolling shutter) does not;
- coherence: the strength of a cell is the length of the mean residual over 3 x 3 cells and 3 slots, not the
  mean length: limbs agree with their neighbours for a while, flicker and noise do not;
- turbulence: where neighbours disagree most of the time (water, leaves, crowds) strength must stand out
  from that disagreement;
- balance: no slot weighs more than all that moves in it, so that a cut or a flash is not the clip: what moves
  more than a twentieth of the frame by a unit is scaled down to that;
- texture: blocks without texture match anywhere, so their vectors count little (`appearance`).

The sum over all slots is smoothed. A unit is 1/240 of the short side in 1/25 s: a pixel a frame in a clip of
320x240. Pure numpy, no I/O.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocrop_prep.appearance import Appearance, coarse_lattice
from mocrop_prep.foreground.camera import camera_motion, fit_camera
from mocrop_prep.foreground.cells import (
    CHUNK,
    TINY,
    Cells,
    less_turbulent,
    lower_median,
    smoothing_kernel,
    summed_around,
)
from mocrop_prep.geometry import Lattice
from mocrop_prep.motion import DensityMap
from mocrop_prep.vectors import ClipInfo, Vectors

MOST_FRAMES = 4096
"""Of longer clips evenly spread groups of pictures are used: memory and time stay bounded."""
_LONGEST_GROUP = 48  # frames, on the mean: of groups that are longer too few would be used
_UNITS = 240  # in the short side: a unit is a pixel of the frames that this was measured on
_FINE = 2  # cells of the density along one of the coarse lattice
_RATE = 25  # frames per second: lengths are those of 1/25 s, whatever the rate
_SLOT = 0.08  # seconds: two frames at that rate
_HALF_PURE = 0.005  # of all motion that the camera does not explain, standing out as foreground: half trusted
_HALF_COVERED = 0.05  # of the frame covered by blocks with vectors: half trusted
_HALF_ACTIVE = 0.005  # of the motion above which more weighs no more, as a mean over the slots: half trusted
_FULL_TEXTURE = 16.0  # grey levels per pixel at which a cell has half its weight
_STILL = 0.05  # of the frame's area, moving by one unit: what moves more than that weighs no more
_STUCK = 0.25  # units under which a cell stays where it is
_APART = 2.0**34  # more than any cell's area times motion: 8 bits and more are left for an exact sum
_STEPS = 24  # bits of the greatest density: what is below is the order in which a processor adds


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the estimate, each of which can be left out to see what it is worth.

    `camera` is a model of `camera`; `noise` the multiple of a slot's median residual that motion must
    exceed; `least` and `most` the lengths in units under which nothing moves and above which more means
    no more; `blur` the smoothing's standard deviation in coarse cells.
    """

    camera: str = "affine"
    least: float = 0.75
    most: float = 8.0
    noise: float = 3.0
    coherence: bool = True
    turbulence: bool = True
    texture: bool = True
    overlay: bool = True
    balance: bool = True
    blur: float = 1.2


PARTS = Parts()


@dataclass(frozen=True, slots=True)
class _Frames:
    """Frames on the coarse lattice, (frames, cells): covered area in px^2, residual in px, vectors.

    `stuck` cells stay where they are while the camera moves.
    """

    area: NDArray[np.float32]
    u: NDArray[np.float32]
    v: NDArray[np.float32]
    count: NDArray[np.int32]
    stuck: NDArray[np.bool_]


class ForegroundDensity:
    """Estimates the density of foreground motion of one clip: `add` its vectors in order, then `result`.

    `grid` is the (rows, columns) of the result, None for twice the coarse lattice's.
    """

    def __init__(self, info: ClipInfo, grid: tuple[int, int] | None = None, parts: Parts = PARTS) -> None:
        self._coarse = coarse_lattice(info.width, info.height)
        self._unit = min(info.width, info.height) / _UNITS
        rows, columns = grid or (_FINE * self._coarse.rows, _FINE * self._coarse.columns)
        self.lattice = Lattice(rows, columns, info.width, info.height)
        self._parts = parts
        self._key_frames = np.array(_group_starts(info), np.int64)
        self._stride = -(-info.frames // MOST_FRAMES)
        self._slot = max(1, round(info.fps * _SLOT))
        self._pace = info.fps / _RATE
        self._centres = _centres(self._coarse)
        self._fitted = _every_other(self._coarse)
        self._number = -1  # of the frame that may go on in the next batch
        self._sums: Cells = np.zeros((4, 1, self._cells), np.float64)
        self._frames: list[_Frames] = []
        self._vectors = 0

    @property
    def _cells(self) -> int:
        return self._coarse.rows * self._coarse.columns

    def add(self, vectors: Vectors) -> None:
        """Take in the next vectors; frames must come in order, and may be split between calls."""
        self._vectors += len(vectors)
        numbers = vectors.frame // self._slot
        if self._stride > 1:
            group = np.searchsorted(self._key_frames, vectors.frame, side="right")
            numbers = np.where((group - 1) % self._stride == 0, numbers, -1)
        used = numbers >= 0
        if not used.all():
            vectors, numbers = vectors.select(used), numbers[used]
        if not len(numbers):
            return
        starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
        sums = self._summed(vectors, starts)
        if numbers[0] == self._number:
            sums[:, 0] += self._sums[:, 0]
        elif self._number >= 0:
            sums = np.concatenate([self._sums, sums], axis=1)
        self._number, self._sums = int(numbers[-1]), sums[:, -1:].copy()
        self._settle(sums[:, :-1])

    def result(self, appearance: Appearance | None = None) -> tuple[DensityMap, float]:
        """Return the density of everything added and how far it can be trusted, 0 to 1.

        Little trust has what is faint; what is a few outliers of noise: hardly any of the motion that the
        camera does not explain then counts as foreground, where in real clips it is a hundredth or more; and
        what a few blocks say of frames that could not be predicted.
        Without `appearance` all of the frame has texture. `kept` counts the vectors of moving cells. Slots
        without vectors do not count.
        """
        if self._number >= 0:
            self._settle(self._sums)
            self._number = -1
        if not self._frames:
            shape = (self.lattice.rows, self.lattice.columns)
            return DensityMap(np.zeros(shape, np.int64), self._vectors, 0, 0), 0.0
        weights, left, kept = self._weights(appearance)
        purity = float(weights.sum()) / max(left, float(TINY))
        still = _STILL * self._coarse.width * self._coarse.height / self._unit**2
        weights /= still
        activity = weights.sum(axis=(1, 2))
        active = float(np.minimum(activity, 1).mean())
        if self._parts.texture and appearance is not None:
            texture = appearance.texture_map() ** 2
            weights *= texture / (texture + _FULL_TEXTURE**2)
        if self._parts.balance:
            weights /= np.maximum(activity, 1)[:, np.newaxis, np.newaxis]
        density = self._smoothed(weights.sum(axis=0) / len(weights))
        area = sum(float(frames.area.sum(dtype=np.float64)) for frames in self._frames)
        covered = area / (self._slot * len(weights) * self._coarse.width * self._coarse.height)
        trust = purity / (purity + _HALF_PURE)
        trust *= active / (active + _HALF_ACTIVE)
        trust *= covered / (covered + _HALF_COVERED)
        return DensityMap(_in_whole_steps(density), self._vectors, kept, kept), trust

    def _summed(self, vectors: Vectors, starts: NDArray[np.int64]) -> Cells:
        """Return area, area times motion (u, v) and count by frame and cell: exact, in any order."""
        cell = self._coarse.cell_of(vectors.dst_x, vectors.dst_y)
        cell += np.repeat(np.arange(len(starts)) * self._cells, np.diff(starts, append=len(vectors)))
        area = vectors.w.astype(np.float64) * vectors.h
        scaled = area / vectors.scale
        later = vectors.source > 0
        if later.any():
            np.negative(scaled, out=scaled, where=later)
        size = len(starts) * self._cells
        # two sums in one number, far enough apart: counting by cell is most of the work
        horizontal = np.bincount(cell, area * _APART + scaled * vectors.motion_x, size)
        vertical = np.bincount(cell, scaled * vectors.motion_y + _APART, size)
        areas, counts = np.rint(horizontal / _APART), np.rint(vertical / _APART)
        # libavcodec's vectors point to where a block comes from: the content moves the other way, unless that
        # is in a later frame, as B-frames have it
        sums = np.stack([areas, areas * _APART - horizontal, counts * _APART - vertical, counts])
        return sums.reshape(4, len(starts), self._cells)

    def _settle(self, sums: Cells) -> None:
        """Subtract the camera's motion from whole frames, and keep what is left."""
        for first in range(0, sums.shape[1], CHUNK):
            area, u, v, count = sums[:, first : first + CHUNK]
            pace = self._pace / np.maximum(area, 1)
            u, v = u * pace, v * pace
            model = fit_camera(
                *(values[:, self._fitted] for values in (area, u, v)),
                *(centre[self._fitted] for centre in self._centres),
                unit=self._unit,
                kind=self._parts.camera,
            )
            camera_u, camera_v = camera_motion(model, *self._centres)
            there = area > 0
            still = u * u + v * v < (_STUCK * self._unit) ** 2
            stuck = still & (camera_u * camera_u + camera_v * camera_v >= self._unit**2)
            u, v = (u - camera_u) * there, (v - camera_v) * there
            small = np.float32
            self._frames.append(
                _Frames(area.astype(small), u.astype(small), v.astype(small), count.astype(np.int32), stuck)
            )

    def _weights(self, appearance: Appearance | None) -> tuple[Cells, float, int]:
        """Return how much moves in every slot and cell, how much is left of all motion without the camera's,
        both in px^2 * units, and the number of vectors in moving cells."""
        frames = self._joined()
        weights, strength, turbulence, motion = (np.empty(frames.area.shape, np.float32) for _ in range(4))
        for first in range(0, len(weights), CHUNK):
            inner = slice(first, first + CHUNK)
            # coherence looks one slot back and one ahead
            outer = slice(max(0, first - 1), first + CHUNK + 1)
            fields = self._fields(frames, outer, appearance)
            start = first - outer.start
            found = (part[start : start + CHUNK] for part in self._strengths(*fields))
            for whole, part in zip((weights, strength, turbulence, motion), found, strict=True):
                whole[inner] = part
        if self._parts.turbulence:
            less_turbulent(weights, strength, turbulence)
        left = float(motion.sum(dtype=np.float64))
        return weights.astype(np.float64), left, int(frames.count[weights > 0].sum())

    def _joined(self) -> _Frames:
        """Return everything added as one, each (frames, rows, columns)."""
        shape = (-1, self._coarse.rows, self._coarse.columns)
        names = _Frames.__dataclass_fields__
        joined = (np.concatenate([getattr(frames, name) for frames in self._frames]) for name in names)
        whole = _Frames(*(values.reshape(shape) for values in joined))
        self._frames = [_Frames(*(getattr(whole, name).reshape(-1, self._cells) for name in names))]
        return whole

    def _fields(
        self, frames: _Frames, slots: slice, appearance: Appearance | None
    ) -> tuple[Cells, Cells, Cells]:
        """Return covered area as a share of a slot in units^2, and motion u and v in units, of some slots."""
        area, u, v = frames.area[slots], frames.u[slots], frames.v[slots]
        if self._parts.overlay and appearance is not None:
            seen = ~(frames.stuck[slots] & appearance.steady_map())
            u, v = u * seen, v * seen
        unit = np.float32(self._unit)
        return area / (self._slot * unit**2), u / unit, v / unit

    def _strengths(self, area: Cells, u: Cells, v: Cells) -> tuple[Cells, Cells, Cells, Cells]:
        """Return the weight, strength, turbulence and all motion of every cell of slots in a row."""
        parts = self._parts
        length = np.sqrt(u * u + v * v)
        moving = length > np.maximum(np.float32(parts.least), parts.noise * lower_median(length, area))
        strength, turbulence = length, np.zeros_like(length)
        if parts.coherence:
            around, along, across, lengths = summed_around(
                np.stack([area, area * u, area * v, area * length])
            )
            around = np.maximum(around, TINY)
            strength = np.sqrt(along * along + across * across) / around
            turbulence = lengths / around - strength
        weights = area * moving * np.minimum(strength, np.float32(parts.most))
        return weights, strength, turbulence, area * length

    def _smoothed(self, density: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the density on the fine lattice, smoothed, with nothing beyond the frame's edge."""
        down = smoothing_kernel(self.lattice.rows, self._coarse.rows, self._parts.blur)
        across = smoothing_kernel(self.lattice.columns, self._coarse.columns, self._parts.blur)
        smoothed: NDArray[np.float64] = down @ density @ across.T
        return smoothed


def _group_starts(info: ClipInfo) -> Sequence[int]:
    """Return where groups of pictures start; where these are long, as in sources, short runs of frames."""
    is_long = len(info.key_frames) * _LONGEST_GROUP < info.frames
    return range(0, info.frames, _LONGEST_GROUP) if is_long else info.key_frames


def _centres(lattice: Lattice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the centre (x, y) of every cell, from the frame's centre, in halves of its height."""
    columns, rows = np.arange(lattice.columns), np.arange(lattice.rows)
    x = (2 * (columns + 0.5) / lattice.columns - 1) * lattice.width / lattice.height
    y = 2 * (rows + 0.5) / lattice.rows - 1
    return np.tile(x, lattice.rows), np.repeat(y, lattice.columns)


def _every_other(lattice: Lattice) -> NDArray[np.int64]:
    """Return the cells of one colour of a chessboard: enough for a fit, at half the cost."""
    rows, columns = np.divmod(np.arange(lattice.rows * lattice.columns), lattice.columns)
    return np.flatnonzero((rows + columns) % 2 == 0)


def _in_whole_steps(density: NDArray[np.float64]) -> NDArray[np.int64]:
    _, exponent = np.frexp(density.max(initial=0))
    steps: NDArray[np.int64] = np.rint(np.ldexp(density, _STEPS - exponent)).astype(np.int64)
    return steps

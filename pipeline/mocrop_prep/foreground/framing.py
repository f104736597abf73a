"""Density of foreground motion -> crop: how large, where, and how sure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mocrop_prep.appearance import Appearance
from mocrop_prep.config import CropSettings, parse_grid, parse_shape
from mocrop_prep.foreground.density import PARTS, ForegroundDensity, Parts
from mocrop_prep.geometry import Box
from mocrop_prep.methods import Choice
from mocrop_prep.motion import DensityMap
from mocrop_prep.placement import (
    DensityIntegral,
    Size,
    best_placement,
    sizes,
    sizes_of_area,
    smallest_placement,
)
from mocrop_prep.vectors import ClipInfo, Vectors

SHARPNESS = 2
"""Power of the density in the search: where motion is concentrated it outweighs the prior, where it is
spread out the prior decides. So the prior's weight follows how sure the motion is."""
PRIOR = 0.16
"""Standard deviation of the prior for the centre, in shares of each side: cameras point at the action."""
LEAST_CONFIDENCE = 0.1
"""Below it the motion says nothing about a place, and the crop falls back to the centre."""
_LEAST_SIDE = 16  # pixels; in a smaller frame there is nothing to choose
_STEPS_ALONG_THE_SHORT_SIDE = 60


class Framing(NamedTuple):
    """How a density becomes a place.

    The power it is raised to; the prior's width, 0 for no prior; and the confidence that it takes.
    """

    sharpness: float = SHARPNESS
    prior: float = PRIOR
    least_confidence: float = LEAST_CONFIDENCE


FRAMING = Framing()


class ForegroundChooser:
    """Chooses the crop of one clip from its foreground motion: `add` its vectors in order, then `choose`.

    Without an area in `settings` the crop is as large as the smallest that holds `settings.share` of the
    density.
    """

    def __init__(
        self, settings: CropSettings, info: ClipInfo, *, parts: Parts = PARTS, framing: Framing = FRAMING
    ) -> None:
        self._settings = settings
        self._info = info
        self._framing = framing
        grid = parse_grid(settings.grid) if settings.grid else None
        self._density = ForegroundDensity(info, grid, parts)
        self._step = max(1, min(info.width, info.height) // _STEPS_ALONG_THE_SHORT_SIDE)

    def add(self, vectors: Vectors) -> None:
        """Take in the next vectors of the clip."""
        self._density.add(vectors)

    def choose(self, appearance: Appearance | None = None) -> Choice:
        """Return the crop for all vectors added; a map that supports no choice falls back to the centre.

        `appearance` is that of the clip, by default what its description says.
        """
        appearance = appearance or self._info.appearance
        density, trust = self._density.result(appearance)
        frame = (0, 0, self._info.width, self._info.height)
        content = Box(*(appearance.content if appearance else frame))
        confidence = round(_concentration(density.cells) * trust, 6)
        integral = DensityIntegral(density.cells, self._density.lattice)
        reason = self._doubt(density, confidence)
        candidates = self._sizes(content, integral, sure=not reason)
        if reason:
            # of a range of shapes the squarest
            box, score = content.central(*max(candidates, key=lambda size: (min(size), max(size)))), None
        else:
            weighted = self._weighted(density.cells, content)
            place = best_placement(
                DensityIntegral(weighted, self._density.lattice), candidates, self._step, content
            )
            box, score = Box(place.x, place.y, place.w, place.h), place.share
        return Choice(box, reason, density, integral.share_inside(box), score, confidence)

    def _doubt(self, density: DensityMap, confidence: float) -> str:
        if min(self._info.width, self._info.height) < _LEAST_SIDE:
            return "too-small"
        if not density.vectors:
            return "no-vectors"
        if not density.sampled:
            return "no-motion"
        return "unsure-motion" if confidence < self._framing.least_confidence else ""

    def _sizes(self, content: Box, integral: DensityIntegral, *, sure: bool) -> list[Size]:
        """Return the sizes that the crop may have inside `content`."""
        low, high = parse_shape(self._settings.shape, self._info.width, self._info.height)
        if self._settings.area is not None:
            area = self._settings.area * self._info.width * self._info.height / (content.w * content.h)
            return sizes_of_area(content.w, content.h, min(1.0, area), step=self._step, low=low, high=high)
        short = min(content.w, content.h)
        least, most = round(self._settings.least_side * short), round(self._settings.most_side * short)
        least = min(least, most - most % self._step)  # a narrow range may hold no multiple of the step
        every = sizes(content.w, content.h, step=self._step, low=low, high=high)
        fitting = [size for size in every if least <= min(size) <= most]
        fitting = fitting or every[-1:]  # a shape too long for such sides is as large as the content allows
        fitting = fitting or sizes_of_area(content.w, content.h, 1.0, step=self._step, low=low, high=high)
        if not sure:
            return fitting
        place = smallest_placement(integral, fitting, self._settings.share, self._step, content)
        return [(place.w, place.h)]

    def _weighted(self, cells: NDArray[np.int64], content: Box) -> NDArray[np.float64]:
        """Return the density as the search sees it: sharpened, and with the prior for the centre."""
        density = (cells / cells.max()) ** self._framing.sharpness
        if not self._framing.prior:
            return np.asarray(density, np.float64)
        lattice = self._density.lattice
        down = _prior(lattice.row_edges(), content.y, content.h, self._framing.prior)
        across = _prior(lattice.column_edges(), content.x, content.w, self._framing.prior)
        return np.asarray(density * down[:, np.newaxis] * across, np.float64)


def _concentration(cells: NDArray[np.int64]) -> float:
    """Return 1 less the share of the frame that the density covers: 0 if it is everywhere the same."""
    total, squares = int(cells.sum()), float((cells.astype(np.float64) ** 2).sum())
    return 1 - total * total / (squares * cells.size) if squares else 0.0


def _prior(edges: NDArray[np.int64], start: int, length: int, width: float) -> NDArray[np.float64]:
    """Return the prior of each cell between `edges` along one side, 1 in the middle of the content."""
    centres = (edges[:-1] + edges[1:]) / 2
    away = (centres - start) / length - 0.5
    prior: NDArray[np.float64] = np.rint(np.exp(-0.5 * (away / width) ** 2) * 2**20) / 2**20
    return prior

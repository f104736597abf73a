"""Values by slot and cell: what is around, in the middle and above the ground. Pure numpy, no I/O."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[np.floating[Any]]
"""A value for each frame and cell: (frames, rows, columns)."""
CHUNK = 128
"""Frames worked on at a time: their arrays stay in the cache."""
TINY = np.float32(1e-20)
"""Against division by nothing."""
_TURBULENT = 0.75  # of the frames: the disagreement that a cell stays under for so long is its turbulence


def lower_median(length: Cells, area: Cells) -> Cells:
    """Return the lower median length of each frame over the cells with blocks: (frames, 1, 1)."""
    there = area.reshape(len(area), -1) > 0
    ordered = np.sort(np.where(there, length.reshape(there.shape), np.inf), axis=1)
    middle = np.maximum(there.sum(axis=1) - 1, 0) // 2
    return np.take_along_axis(ordered, middle[:, np.newaxis], axis=1)[:, :, np.newaxis]


def summed_around(fields: Cells) -> Cells:
    """Return (fields, frames, rows, columns) summed over the 3 frames, rows and columns around every cell."""
    count, frames, rows, columns = fields.shape
    padded = np.zeros((count, frames + 2, rows + 2, columns + 2), fields.dtype)
    padded[:, 1:-1, 1:-1, 1:-1] = fields
    by_column = padded[..., :-2] + padded[..., 1:-1]
    by_column += padded[..., 2:]
    by_row = by_column[:, :, :-2] + by_column[:, :, 1:-1]
    by_row += by_column[:, :, 2:]
    summed: Cells = by_row[:, :-2] + by_row[:, 1:-1]
    summed += by_row[:, 2:]
    return summed


def smoothing_kernel(fine: int, coarse: int, blur: float) -> NDArray[np.float64]:
    """Return the weights (fine, coarse) with which coarse cells add to fine ones: Gaussians that sum to 1."""
    blur = max(blur, coarse / fine / 2)  # no coarse cell may fall between the fine ones
    places = (np.arange(fine) + 0.5) * coarse / fine
    distance = places[:, np.newaxis] - (np.arange(coarse) + 0.5)
    weights = np.exp(-0.5 * (distance / blur) ** 2)
    # whole steps, so that no processor's last bit of exp() shows; sums to 1 far from the edge
    rounded: NDArray[np.float64] = np.rint(weights / (blur * np.sqrt(2 * np.pi)) * 2**20) / 2**20
    return rounded


def less_turbulent(weights: Cells, strength: Cells, turbulence: Cells) -> None:
    """Scale weights down where strength does not stand out from what neighbours disagree most of the time."""
    rank = int(_TURBULENT * (len(turbulence) - 1))
    floor = np.partition(turbulence, rank, axis=0)[rank]
    floor *= floor
    for first in range(0, len(weights), CHUNK):
        square = strength[first : first + CHUNK] ** 2
        weights[first : first + CHUNK] *= square / np.maximum(square + floor, TINY)

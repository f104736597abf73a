"""How the camera moved: an affine motion, fitted to the blocks that agree. Pure numpy, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]
"""A value for each frame and cell: (frames, cells)."""
Model = NDArray[np.float64]
"""The motion, u and v, of each frame: a constant, its change along x, and along y; (2, 3, frames, 1)."""
KINDS = ("affine", "translation", "none")

_SCALES = (8.0, 2.0, 1.0)
"""Distances from the model, in units, at which a cell loses three quarters of its weight, in turn: a wide one
first finds what the majority does, a narrow one then ignores what moves on its own."""
_PUSHED, _TURNED = (8.0, 2.0), (4.0, 1.0)
"""The same for the second start: a translation first, then the affine model from there."""
_RIDGE = 1e-3  # of the weight: keeps the slopes of a few blocks in one corner finite
_FAINT = 1e-100  # weight of a frame without blocks in these cells: what is divided by stays above zero
_STEPS = 1024  # of a pixel: rounding hides in which order a processor adds


def fit_camera(
    weights: Field, u: Field, v: Field, x: Field, y: Field, *, unit: float, kind: str = "affine"
) -> Model:
    """Return the camera's motion in each frame, in pixels, as a function of place.

    `weights` are how much of a cell is covered by blocks, `u`, `v` its mean motion in pixels, all (frames,
    cells); `x`, `y`, (cells,), its centre. `unit` scales pixels to the size of the frame. The model is fitted
    by least squares, and re-weighted by how far each cell is from the model before (with Geman and McClure's
    weights). It starts twice, and the better end is taken for each frame: from an affine model, which finds
    a zoom behind a large actor, and from a translation, which has no slopes for one at the edge to pull.
    """
    if kind == "none":
        return np.zeros((2, 3, len(u), 1))
    seen = _Seen(weights, np.stack([u, v]), x, y)
    pushed = _fit_translation(seen, weights)
    for scale in _PUSHED:
        pushed = _fit_translation(seen, _trusted(seen, pushed, scale * unit))
    if kind == "translation":
        return pushed
    model, other = _turned(seen, _fit(seen, weights), _SCALES, unit), _turned(seen, pushed, _TURNED, unit)
    better = _loss(seen, other, unit) < _loss(seen, model, unit)
    return np.where(better[:, np.newaxis], other, model)


def camera_motion(model: Model, x: Field, y: Field) -> tuple[Field, Field]:
    """Return the camera's motion (u, v) in pixels at the places `x`, `y`: (frames, places)."""
    u, v = _at(model, x, y)
    return u, v


class _Seen:
    """What is seen of the motion: weights (frames, cells), motion (2, frames, cells), places of the cells.

    `basis` (cells, 3) and `products` (cells, 6) are the terms of the model and those of its normal equations.
    """

    def __init__(self, weights: Field, motion: Field, x: Field, y: Field) -> None:
        self.weights, self.motion, self.x, self.y = weights, motion, x, y
        self.basis = np.stack([np.ones_like(x), x, y], axis=1)
        self.products = np.stack([self.basis[:, 0], x, y, x * x, x * y, y * y], axis=1)


def _at(model: Model, x: Field, y: Field) -> Model:
    """Return the motion (2, frames, places) of a model."""
    motion: Model = model[:, 1] * x
    motion += model[:, 2] * y
    motion += model[:, 0]
    return motion


def _squared_distance(seen: _Seen, model: Model) -> Field:
    away = _at(model, seen.x, seen.y)
    away -= seen.motion
    away *= away
    far: Field = away[0]
    far += away[1]
    return far


def _trusted(seen: _Seen, model: Model, scale: float) -> Field:
    """Return the weights less what is far from a model."""
    far = _squared_distance(seen, model)
    far += scale * scale
    trust = np.divide(scale * scale, far, out=far)
    trust *= trust
    trust *= seen.weights
    return trust


def _loss(seen: _Seen, model: Model, scale: float) -> Field:
    """Return how much of each frame a model leaves unexplained: (frames,), rounded as the models are."""
    far = _squared_distance(seen, model)
    total = np.maximum(seen.weights.sum(axis=1), _FAINT)
    unexplained: Field = np.rint((seen.weights * far / (far + scale * scale)).sum(axis=1) / total * 2**20)
    return unexplained


def _turned(seen: _Seen, model: Model, scales: Sequence[float], unit: float) -> Model:
    for scale in scales:
        model = _fit(seen, _trusted(seen, model, scale * unit))
    return model


def _fit_translation(seen: _Seen, weights: Field) -> Model:
    """Return the weighted mean of the motion."""
    n = np.maximum(weights.sum(axis=1), _FAINT)
    model = np.zeros((2, 3, len(weights), 1))
    model[:, 0, :, 0] = np.rint((weights * seen.motion).sum(axis=2) / n * _STEPS) / _STEPS
    return model


def _fit(seen: _Seen, weights: Field) -> Model:
    """Return the weighted least squares fit of the motion."""
    n, sx, sy, sxx, sxy, syy = (weights @ seen.products).T
    n = np.maximum(n, _FAINT)
    mx, my = sx / n, sy / n
    ridge = _RIDGE * n
    xx, xy, yy = sxx - sx * mx + ridge, sxy - sx * my, syy - sy * my + ridge
    determinant = xx * yy - xy * xy
    total, along_x, along_y = np.moveaxis((weights * seen.motion) @ seen.basis, 2, 0)  # each (2, frames)
    mean = total / n
    px, py = along_x - mean * sx, along_y - mean * sy
    slope_x = (yy * px - xy * py) / determinant
    slope_y = (xx * py - xy * px) / determinant
    terms = np.stack([mean - slope_x * mx - slope_y * my, slope_x, slope_y], axis=1)
    model: Model = np.rint(terms * _STEPS)[..., np.newaxis] / _STEPS
    return model

"""How the camera moved: an affine motion, fitted to the blocks that agree. Pure numpy, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]
"""A value for each frame and cell: (frames, cells)."""
Model = tuple[tuple[Field, Field, Field], tuple[Field, Field, Field]]
"""The motion (u, v) of each frame: a constant, its change along x, and along y; each (frames, 1)."""
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
    still = np.zeros((len(u), 1))
    model: Model = ((still, still, still), (still, still, still))
    if kind == "none":
        return model
    pushed = _fit_translation(weights, u, v)
    for scale in _PUSHED:
        pushed = _fit_translation(_trusted(weights, u, v, x, y, pushed, scale * unit), u, v)
    if kind == "translation":
        return pushed
    basis = np.stack([np.ones_like(x), x, y], axis=1)
    products = np.stack([basis[:, 0], x, y, x * x, x * y, y * y], axis=1)

    def turned(model: Model, scales: Sequence[float]) -> Model:
        for scale in scales:
            model = _fit(_trusted(weights, u, v, x, y, model, scale * unit), u, v, basis, products)
        return model

    model = turned(_fit(weights, u, v, basis, products), _SCALES)
    other = turned(pushed, _TURNED)
    better = _loss(weights, u, v, x, y, other, unit) < _loss(weights, u, v, x, y, model, unit)
    return _chosen(better[:, np.newaxis], other, model)


def camera_motion(model: Model, x: Field, y: Field) -> tuple[Field, Field]:
    """Return the camera's motion (u, v) in pixels at the places `x`, `y`: (frames, places)."""
    motions = []
    for constant, along_x, along_y in model:
        motion = along_x * x
        motion += along_y * y
        motion += constant
        motions.append(motion)
    return motions[0], motions[1]


def _squared_distance(u: Field, v: Field, x: Field, y: Field, model: Model) -> Field:
    far, away = camera_motion(model, x, y)
    far -= u
    away -= v
    far *= far
    away *= away
    far += away
    return far


def _trusted(weights: Field, u: Field, v: Field, x: Field, y: Field, model: Model, scale: float) -> Field:
    """Return the weights less what is far from a model."""
    far = _squared_distance(u, v, x, y, model)
    far += scale * scale
    trust = np.divide(scale * scale, far, out=far)
    trust *= trust
    trust *= weights
    return trust


def _loss(weights: Field, u: Field, v: Field, x: Field, y: Field, model: Model, scale: float) -> Field:
    """Return how much of each frame a model leaves unexplained: (frames,), rounded as the models are."""
    far = _squared_distance(u, v, x, y, model)
    total = np.maximum(weights.sum(axis=1), _FAINT)
    unexplained: Field = np.rint((weights * far / (far + scale * scale)).sum(axis=1) / total * 2**20)
    return unexplained


def _chosen(where: NDArray[np.bool_], first: Model, second: Model) -> Model:
    u, v = (
        tuple(np.where(where, ours, theirs) for ours, theirs in zip(*axes, strict=True))
        for axes in zip(first, second, strict=True)
    )
    return (u[0], u[1], u[2]), (v[0], v[1], v[2])


def _fit_translation(weights: Field, u: Field, v: Field) -> Model:
    """Return the weighted mean of u and v."""
    n = np.maximum(weights.sum(axis=1), _FAINT)
    models = []
    for motion in (u, v):
        mean = np.rint((weights * motion).sum(axis=1) / n * _STEPS)[:, np.newaxis] / _STEPS
        models.append((mean, np.zeros_like(mean), np.zeros_like(mean)))
    return models[0], models[1]


def _fit(weights: Field, u: Field, v: Field, basis: Field, products: Field) -> Model:
    """Return the weighted least squares fit of u and v."""
    n, sx, sy, sxx, sxy, syy = (weights @ products).T
    n = np.maximum(n, _FAINT)
    mx, my = sx / n, sy / n
    ridge = _RIDGE * n
    xx, xy, yy = sxx - sx * mx + ridge, sxy - sx * my, syy - sy * my + ridge
    determinant = xx * yy - xy * xy
    models = []
    for motion in (u, v):
        total, along_x, along_y = ((weights * motion) @ basis).T
        mean = total / n
        px, py = along_x - mean * sx, along_y - mean * sy
        slope_x = (yy * px - xy * py) / determinant
        slope_y = (xx * py - xy * px) / determinant
        terms = (mean - slope_x * mx - slope_y * my, slope_x, slope_y)
        constant, by_x, by_y = (np.rint(term * _STEPS)[:, np.newaxis] / _STEPS for term in terms)
        models.append((constant, by_x, by_y))
    return models[0], models[1]

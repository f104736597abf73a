"""Surfaces to paint scenes with: noise, gradients, bricks, planks, foliage. Pure numpy and OpenCV.

Pictures are uint8 arrays (height, width, 3), RGB; masks are float32 arrays (height, width), 0 to 1.
"""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Mask = NDArray[np.float32]
Colour = tuple[float, float, float]
"""Red, green, blue, 0 to 255."""


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Return the colour of a hue in degrees, with saturation and value from 0 to 1."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 360 / 360, saturation, value)
    return 255 * red, 255 * green, 255 * blue


def shade(colour: Colour, factor: float) -> Colour:
    """Return a colour made darker (below 1) or lighter (above 1)."""
    red, green, blue = (min(255.0, channel * factor) for channel in colour)
    return red, green, blue


def blend(below: Picture | Colour, above: Picture | Colour, mask: Mask) -> Picture:
    """Lay `above` over `below` where the mask is 1; either may be a plain colour."""
    base, cover = np.asarray(below, np.float32), np.asarray(above, np.float32)
    return np.asarray(base + (cover - base) * mask[..., None] + 0.5, np.uint8)


def fractal(
    rng: np.random.Generator, size: tuple[int, int], cell: float, *, octaves: int = 4, stretch: float = 1.0
) -> Mask:
    """Return smooth noise of several octaves, spread over 0 to 1.

    `cell` is the size of the largest blobs in pixels; `stretch` makes them that many times wider.
    """
    height, width = size
    total = np.zeros(size, np.float32)
    for octave in range(octaves):
        rows = int(height / cell * 2**octave) + 2
        columns = int(width / (cell * stretch) * 2**octave) + 2
        grid = rng.standard_normal((rows, columns), np.float32)
        total += 0.55**octave * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    low, high = float(total.min()), float(total.max())
    return np.asarray((total - low) / (high - low), np.float32)


def ramp(size: tuple[int, int], start: float, stop: float) -> Mask:
    """Return a mask that rises from 0 at row `start` to 1 at row `stop`."""
    rows = (np.arange(size[0], dtype=np.float32) - start) / (stop - start)
    return np.repeat(np.clip(rows, 0, 1)[:, None], size[1], axis=1)


def below(size: tuple[int, int], edge: NDArray[np.float32] | float) -> Mask:
    """Return a mask of what lies below an edge: a row, or one row for each column; smooth by a pixel."""
    rows = np.arange(size[0], dtype=np.float32)[:, None]
    return np.broadcast_to(np.clip(rows - edge + 0.5, 0, 1), size).astype(np.float32)


def ridge(rng: np.random.Generator, width: int, cell: float, octaves: int = 5) -> NDArray[np.float32]:
    """Return a jagged line, one value from 0 to 1 for each column."""
    return np.asarray(fractal(rng, (2, width), cell, octaves=octaves)[0], np.float32)


def mottle(
    rng: np.random.Generator, size: tuple[int, int], dark: Colour, light: Colour, cell: float
) -> Picture:
    """Return a surface that wavers between two colours."""
    return blend(dark, light, fractal(rng, size, cell))


def grain(rng: np.random.Generator, picture: Picture, strength: float) -> Picture:
    """Return a picture with fine light and dark specks, `strength` of its brightness."""
    specks = fractal(rng, (picture.shape[0], picture.shape[1]), 3, octaves=2) - 0.5
    return np.clip(picture * (1 + strength * specks)[..., None], 0, 255).astype(np.uint8)


def bricks(
    rng: np.random.Generator, size: tuple[int, int], brick: tuple[int, int], colour: Colour, joint: Colour
) -> Picture:
    """Return a wall of bricks of (height, width) pixels, every second row shifted by half a brick."""
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    row = rows // brick[0]
    along = columns + (row % 2) * (brick[1] // 2)
    tint = rng.uniform(0.75, 1.1, (size[0] // brick[0] + 1, size[1] // brick[1] + 2))[row, along // brick[1]]
    rough = 0.88 + 0.24 * fractal(rng, size, 6, octaves=2)
    wall = np.asarray(colour) * (tint * rough)[..., None]
    mortar = ((rows % brick[0] == 0) | (along % brick[1] == 0)).astype(np.float32)
    return blend(np.clip(wall, 0, 255).astype(np.uint8), joint, 0.8 * mortar)


def planks(rng: np.random.Generator, size: tuple[int, int], plank: int, colour: Colour) -> Picture:
    """Return boards that run from top to bottom, `plank` pixels wide, with grain."""
    columns = np.arange(size[1])
    tint = rng.uniform(0.82, 1.08, size[1] // plank + 1)[columns // plank]
    tint[columns % plank == 0] *= 0.6
    fibre = 0.85 + 0.3 * fractal(rng, (size[1], size[0]), 5, octaves=2, stretch=12).T
    return np.asarray(np.clip(np.asarray(colour) * (tint[None] * fibre)[..., None], 0, 255), np.uint8)


def foliage(
    rng: np.random.Generator, canvas: Picture, mask: Mask, dark: Colour, light: Colour, leaf: float
) -> Picture:
    """Cover the masked part of a picture with leaves about `leaf` pixels large, lit from above left."""
    size = mask.shape
    lit = np.asarray(fractal(rng, (size[0], size[1]), 9 * leaf, octaves=3))
    out = blend(canvas, shade(dark, 0.75), mask)
    count = int(mask.sum() / (leaf * leaf) * 1.3)
    rows, columns = rng.integers(0, size[0], 4 * count), rng.integers(0, size[1], 4 * count)
    inside = np.flatnonzero(mask[rows, columns] > 0.5)[:count]
    picked = rng.uniform(-0.25, 0.25, len(inside)) + lit[rows[inside], columns[inside]]
    radii = rng.uniform(0.4, 0.75, len(inside)) * leaf
    for row, column, light_here, radius in zip(rows[inside], columns[inside], picked, radii, strict=True):
        share = min(1.0, max(0.0, float(light_here)))
        colour = [a + (b - a) * share for a, b in zip(dark, light, strict=True)]
        cv2.circle(out, (int(column) * 8, int(row) * 8), int(radius * 8), colour, -1, cv2.LINE_AA, 3)
    return out


def perspective_floor(texture: Picture, size: tuple[int, int], horizon: int) -> Picture:
    """Lay a texture seen from above down as a floor that runs to the horizon; rows above it are undefined.

    The texture keeps its size in the lowest row and fades to its mean colour in the distance, where it
    would alias.
    """
    height, width = size
    depth = np.maximum(np.arange(height, dtype=np.float32) - horizon, 1.0)
    nearest = float(height - horizon)
    scale = nearest / depth
    columns = (np.arange(width, dtype=np.float32)[None] - width / 2) * scale[:, None] + texture.shape[1] / 2
    rows = np.broadcast_to((0.6 * nearest * scale)[:, None], size)
    floor = cv2.remap(
        texture, columns, np.ascontiguousarray(rows), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    mean = tuple(float(channel) for channel in texture.mean(axis=(0, 1)))
    fade = np.exp(-depth / (0.2 * nearest))[:, None]
    return blend(
        np.asarray(floor, np.uint8),
        (mean[0], mean[1], mean[2]),
        np.broadcast_to(fade, size).astype(np.float32),
    )

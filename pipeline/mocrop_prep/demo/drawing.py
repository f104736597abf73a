"""Draw shapes into a picture: supersampled, with outline, shading and a shadow on the ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mocrop_prep.demo.figure import Blob, Box, Part, Point, Shape, Stroke, extent
from mocrop_prep.demo.textures import Colour, Picture, shade

SUPERSAMPLE = 4
OUTLINE = 0.013
"""Width of the dark outline in body heights."""
LIGHT: Point = (-0.4, 0.55)
"""Where the highlight of a limb lies, in its radii."""

CIRCLE = np.stack([np.cos(np.arange(16) * np.pi / 8), np.sin(np.arange(16) * np.pi / 8)], axis=1)


def draw(
    picture: Picture, shapes: Sequence[Shape], colours: Mapping[str, Colour], origin: Point, scale: float
) -> None:
    """Draw shapes in place, back to front; `origin` is the pixel of (0, 0), `scale` pixels for one length."""
    left, low, right, high = extent(shapes)
    margin = 2 + OUTLINE * scale
    x0, x1 = int(origin[0] + left * scale - margin), int(origin[0] + right * scale + margin) + 1
    y0, y1 = int(origin[1] - high * scale - margin), int(origin[1] - low * scale + margin) + 1
    patch = np.zeros(((y1 - y0) * SUPERSAMPLE, (x1 - x0) * SUPERSAMPLE, 4), np.uint8)
    zoom = scale * SUPERSAMPLE
    shift = np.array([origin[0] - x0, origin[1] - y0]) * SUPERSAMPLE
    for shape in shapes:
        if isinstance(shape, Stroke):
            _stroke(patch, shape, colours, shift, zoom)
        else:
            _part(patch, shape, colours, shift, zoom)
    composite(picture, reduce(patch), x0, y0)


def reduce(patch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a supersampled RGBA patch, black where nothing is drawn, at the size of the picture.

    The mean with the black around it leaves the colours multiplied by their coverage.
    """
    size = patch.shape[1] // SUPERSAMPLE, patch.shape[0] // SUPERSAMPLE
    return np.asarray(cv2.resize(patch, size, interpolation=cv2.INTER_AREA), np.uint8)


def composite(picture: Picture, patch: NDArray[np.uint8], x: int, y: int) -> None:
    """Lay an RGBA patch with premultiplied colours over a picture in place, clipped to it."""
    height, width = picture.shape[:2]
    top, left = max(0, -y), max(0, -x)
    bottom, right = min(patch.shape[0], height - y), min(patch.shape[1], width - x)
    if top >= bottom or left >= right:
        return
    cover = patch[top:bottom, left:right]
    view = picture[y + top : y + bottom, x + left : x + right]
    clear = 255 - cover[..., 3:].astype(np.uint16)
    view[:] = np.minimum(cover[..., :3] + (view * clear + 127) // 255, 255)


def shadow(picture: Picture, box: Box, origin: Point, scale: float) -> None:
    """Darken the ground under a box of shapes in place; fainter the higher the box floats."""
    left, low, right, _ = box
    strength = 0.42 / (1 + 6 * max(low, 0.0))
    radius = max((right - left) / 2, 0.1) * scale * 0.9
    centre_x, height = origin[0] + (left + right) / 2 * scale, max(2.0, 0.22 * radius)
    x0, y0 = int(centre_x - 1.5 * radius), int(origin[1] - 1.6 * height)
    rows, columns = np.mgrid[y0 : int(origin[1] + 1.6 * height) + 1, x0 : int(centre_x + 1.5 * radius) + 1]
    distance = np.hypot((columns - centre_x) / radius, (rows - origin[1]) / height)
    alpha = 255 * strength * np.clip(1.5 - distance, 0, 1) ** 1.2
    patch = np.zeros((*alpha.shape, 4), np.uint8)
    patch[..., 3] = alpha.astype(np.uint8)
    composite(picture, patch, x0, y0)


def _stroke(
    patch: Picture, stroke: Stroke, colours: Mapping[str, Colour], shift: NDArray[np.float64], zoom: float
) -> None:
    points = _pixels(stroke.points, shift, zoom)
    width = max(1, round(stroke.width * zoom))
    cv2.polylines(patch, [points], False, (*colours[stroke.ink], 255), width)


def _part(
    patch: Picture, part: Part, colours: Mapping[str, Colour], shift: NDArray[np.float64], zoom: float
) -> None:
    for blob in part.blobs:
        _fill(patch, blob, shade(colours[blob.ink], 0.42), shift, zoom, grow=OUTLINE)
    for blob in part.blobs:
        _fill(patch, blob, shade(colours[blob.ink], 0.8), shift, zoom)
    for blob in part.blobs:
        _fill(patch, blob, shade(colours[blob.ink], 1.12), shift, zoom, inner=0.66)


def _fill(
    patch: Picture,
    blob: Blob,
    colour: Colour,
    shift: NDArray[np.float64],
    zoom: float,
    *,
    grow: float = 0.0,
    inner: float = 1.0,
) -> None:
    """Fill the hull of a blob's discs, grown by a length, or shrunk to `inner` towards the light."""
    radii = np.array(blob.radii)[:, None, None]
    offset = np.array(LIGHT) * (1 - inner)
    rims = np.array(blob.centres)[:, None] + CIRCLE * (radii * inner + grow) + offset * radii
    outline = cv2.convexHull(_pixels(rims.reshape(-1, 2), shift, zoom))
    cv2.fillConvexPoly(patch, outline, (*colour, 255))


def _pixels(
    points: Sequence[Point] | NDArray[np.float64], shift: NDArray[np.float64], zoom: float
) -> NDArray[np.int32]:
    pixels = np.asarray(points, np.float64) * (zoom, -zoom) + shift
    return np.rint(pixels).astype(np.int32)

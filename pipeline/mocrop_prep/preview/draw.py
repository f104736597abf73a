"""Pictures for the page, as data that it carries in itself: frames, density maps, stored frames, coverage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from cv2.typing import MatLike
from mocrop_manifests import CropRow
from mocrop_manifests.markup import data_uri
from numpy.typing import NDArray

from mocrop_prep.pictures import scale

Bgr = NDArray[np.uint8]

_LONG_SIDE = 480
_STORED_SIZE = (192, 96)  # at most: width, height
_QUALITY = 75
_STRONG = 0.9  # opacity of the fullest cell
_MOST_CELLS = 96  # a side: finer maps are averaged, a card shows no more
_COVERAGE_CELLS = (36, 48)


def frame_webp(picture: Bgr) -> str:
    """Return a frame, (height, width, 3), as a WebP with a long side of at most 480 pixels."""
    return _webp(_fitted(picture, _LONG_SIDE / max(picture.shape[:2])))


def density_png(cells: NDArray[np.int64]) -> str:
    """Return a density map as a PNG of one pixel a cell, to be laid over a frame.

    The brightest and least transparent colour is the fullest cell; an empty one is clear.
    """
    rows, columns = (min(side, _MOST_CELLS) for side in cells.shape)
    levels = cells / max(int(cells.max()), 1)
    if (rows, columns) != cells.shape:
        levels = np.asarray(cv2.resize(levels, (columns, rows), interpolation=cv2.INTER_AREA), np.float64)
    colours = cv2.applyColorMap(np.rint(levels * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    opacity = np.rint(_STRONG * 255 * levels).astype(np.uint8)
    return _png(np.dstack([colours, opacity]))


def strip_webp(jpegs: Iterable[bytes]) -> str:
    """Return stored frames side by side as one small WebP; empty if one cannot be read."""
    pictures = []
    for jpeg in jpegs:
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            return ""
        height, width = picture.shape[:2]
        factor = min(_STORED_SIZE[0] / width, _STORED_SIZE[1] / height)
        pictures.append(_fitted(np.asarray(picture, np.uint8), factor))
    return _webp(np.hstack(pictures)) if pictures else ""


def coverage(rows: Sequence[CropRow]) -> NDArray[np.float64] | None:
    """Return how often each place of the frame lies inside the crop: shares (36, 48), None without a crop.

    Frames of all sizes are laid over each other.
    """
    boxes = np.array([(row.x, row.y, row.w, row.h) for row in rows if row.status != "failed"], np.float64)
    frames = np.array([(row.width, row.height) for row in rows if row.status != "failed"], np.float64)
    if not len(boxes):
        return None
    start, size = boxes[:, :2] / frames, boxes[:, 2:] / frames
    across, down = (
        _covered(cells, start[:, side], start[:, side] + size[:, side])
        for side, cells in enumerate(reversed(_COVERAGE_CELLS))
    )
    return np.asarray(down.T @ across / len(boxes), np.float64)


def coverage_png(shares: NDArray[np.float64]) -> str:
    """Return shares of 0 to 1 as colours."""
    return _png(cv2.applyColorMap(np.rint(shares * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS))


def _covered(cells: int, start: NDArray[np.float64], stop: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much of each of `cells` parts of 0 to 1 lies between start and stop: (crops, cells)."""
    edges = np.linspace(0, 1, cells + 1)
    overlap = np.minimum(edges[1:], stop[:, None]) - np.maximum(edges[:-1], start[:, None])
    return np.asarray(np.maximum(overlap, 0) * cells, np.float64)


def _fitted(picture: Bgr, factor: float) -> Bgr:
    """Return the picture scaled down by a factor; one that is small enough stays as it is."""
    height, width = picture.shape[:2]
    if factor >= 1:
        return picture
    return scale(picture, max(1, round(width * factor)), max(1, round(height * factor)))


def _webp(picture: Bgr) -> str:
    return data_uri("webp", cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1].tobytes())


def _png(picture: MatLike) -> str:
    return data_uri("png", cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes())

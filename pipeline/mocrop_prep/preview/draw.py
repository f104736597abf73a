"""Pictures for the page: a frame, a density map over it, thumbnails, and where the crops lie on average."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from mocrop_manifests import CropRow
from numpy.typing import NDArray

from mocrop_prep.motion import DensityMap, Lattice

Bgr = NDArray[np.uint8]

_LONG_SIDE = 480
_THUMBNAIL_HEIGHT = 112
_QUALITY = 80
_DIMMED = 0.55  # brightness left of the frame under the map
_STRONG = 0.72  # opacity of the fullest cell
_BACKDROP = 96  # grey where the frame is not known
_COVERAGE_CELLS = (36, 48)


def frame_jpeg(picture: Bgr) -> bytes:
    """Return a frame as a JPEG with a long side of at most 480 pixels."""
    return _jpeg(_resized(picture, min(1, _LONG_SIDE / max(picture.shape[:2]))))


def density_jpeg(density: DensityMap, picture: Bgr | None, width: int, height: int) -> bytes:
    """Return the density map as colour over the dimmed, grey frame of width x height pixels.

    The brightest colour is the fullest cell.
    """
    cells = density.cells.astype(np.float64)
    scale = _LONG_SIDE / max(width, height)
    canvas = _grey(picture, width, height, scale) * _DIMMED
    level = cells / max(cells.max(), 1)
    lattice = Lattice(cells.shape[0], cells.shape[1], canvas.shape[1], canvas.shape[0])
    columns, rows = lattice.column_edges(), lattice.row_edges()
    level = level.repeat(np.diff(rows), axis=0).repeat(np.diff(columns), axis=1)
    colour = cv2.applyColorMap(np.rint(level * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    opacity = (_STRONG * np.sqrt(level))[..., None]
    canvas = canvas * (1 - opacity) + colour * opacity
    return _jpeg(np.rint(canvas).astype(np.uint8))


def thumbnail_jpeg(jpeg: bytes) -> bytes:
    """Return a stored frame as a small JPEG; empty if it is none that can be read."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        return b""
    scale = _THUMBNAIL_HEIGHT / picture.shape[0]
    return _jpeg(_resized(np.asarray(picture, np.uint8), min(scale, 1)))


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


def coverage_png(shares: NDArray[np.float64]) -> bytes:
    """Return shares of 0 to 1 as colours."""
    colours = cv2.applyColorMap(np.rint(shares * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    return cv2.imencode(".png", colours)[1].tobytes()


def _covered(cells: int, start: NDArray[np.float64], stop: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much of each of `cells` parts of 0 to 1 lies between start and stop: (crops, cells)."""
    edges = np.linspace(0, 1, cells + 1)
    overlap = np.minimum(edges[1:], stop[:, None]) - np.maximum(edges[:-1], start[:, None])
    return np.asarray(np.maximum(overlap, 0) * cells, np.float64)


def _grey(picture: Bgr | None, width: int, height: int, scale: float) -> NDArray[np.float64]:
    if picture is None:
        return np.full(
            (max(1, round(height * scale)), max(1, round(width * scale)), 3), _BACKDROP, np.float64
        )
    grey = cv2.cvtColor(_resized(picture, scale), cv2.COLOR_BGR2GRAY)
    return np.repeat(grey[..., None].astype(np.float64), 3, axis=2)


def _resized(picture: Bgr, scale: float) -> Bgr:
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    # averaging is right for shrinking, and only there
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=method), np.uint8)


def _jpeg(picture: Bgr) -> bytes:
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()

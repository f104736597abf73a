"""What a clip's pictures say that its vectors cannot: what has texture, what is border, what is overlay.

A block without texture matches anywhere, so its vector means little, however long it is. Black bars hold
nothing that a crop should show. A logo stays where it is while the camera moves, and so looks like an actor
whom the camera follows; but it never changes. All three are measured on the luma of a few key frames, which
are decoded exactly and anyway. All sums are of whole numbers: the same on every processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mocrop_prep.evenly import evenly_spread
from mocrop_prep.geometry import Lattice

LOOKS = 4
"""Key frames that are looked at: more say nothing new of where a clip has texture."""
CELLS_ALONG_THE_SHORT_SIDE = 15
"""The coarse lattice: cells of 16 pixels, a macroblock, where the short side has 240."""
_LEAST_CELL = 4  # pixels, the smallest block that a codec moves
_REDUCED = 120  # short side in pixels at which texture is measured: what is finer is noise and grain
_FRACTION = 16  # texture is kept in sixteenths of a grey level per pixel
_BAND = 32  # rows measured at a time: memory of this size is not given back and asked for again
_STEADY = 3  # grey levels, the mean change within a cell that coding alone may cause
_BLACK = 40  # of luma, which has black at 16: coding and noise leave that much
_LEAST_CONTENT = 0.25  # of each side; what is smaller is no picture in a border


@dataclass(frozen=True, slots=True)
class Appearance:
    """What some key frames of a clip look like.

    `grid` is (rows, columns) of the coarse lattice; `texture`, row by row, the weaker of the gradients in any
    two directions at right angles (root mean square, in 1/16 grey level per pixel of the picture reduced to a
    short side of 120); `steady`, row by row, is 1 for a cell that looks the same in all of them (of two at
    least), else 0; `content` the left, top, width and height in pixels of the picture inside its border.
    """

    grid: tuple[int, int]
    texture: tuple[int, ...]
    steady: tuple[int, ...]
    content: tuple[int, int, int, int]

    def texture_map(self) -> NDArray[np.float64]:
        """Return the texture by cell, (rows, columns), in grey levels per pixel."""
        return np.array(self.texture, np.float64).reshape(self.grid) / _FRACTION

    def steady_map(self) -> NDArray[np.bool_]:
        """Return which cells never change, (rows, columns)."""
        return np.array(self.steady, np.bool_).reshape(self.grid)


def coarse_lattice(width: int, height: int) -> Lattice:
    """Return the lattice on which motion and texture are measured: nearly square cells, never under 4 px."""
    cell = max(_LEAST_CELL, min(width, height) / CELLS_ALONG_THE_SHORT_SIDE)
    return Lattice(max(1, round(height / cell)), max(1, round(width / cell)), width, height)


def frames_to_look_at(key_frames: Sequence[int]) -> frozenset[int]:
    """Return the numbers of up to LOOKS key frames, evenly spread."""
    return frozenset(key_frames[place] for place in evenly_spread(LOOKS, len(key_frames)))


class AppearanceGauge:
    """Measures the appearance of a clip: `add` the luma of the frames in `numbers`, then `result`."""

    def __init__(self, width: int, height: int, key_frames: Sequence[int]) -> None:
        self.numbers = frames_to_look_at(key_frames)
        self._lattice = coarse_lattice(width, height)
        self._strength = np.zeros((self._lattice.rows, self._lattice.columns), np.int64)
        self._pixels = np.zeros_like(self._strength)
        self._first: NDArray[np.uint8] | None = None
        self._steady: NDArray[np.bool_] | None = None  # known from the second look on
        self._rows, self._columns = np.zeros(height, np.uint8), np.zeros(width, np.uint8)  # greatest luma

    def add(self, luma: NDArray[np.uint8]) -> None:
        """Take in the luma of one of the frames in `numbers`, (height, width)."""
        cv2.ipp.setUseIPP(False)  # it rounds differently on other processors; a thread's own switch
        for greatest, axis in ((self._rows, 1), (self._columns, 0)):
            np.maximum(greatest, luma.max(axis=axis), out=greatest)
        picture = _reduced(luma)
        cells = Lattice(self._lattice.rows, self._lattice.columns, picture.shape[1], picture.shape[0])
        rows, columns = cells.row_edges(), cells.column_edges()
        pixels = np.diff(rows)[:, np.newaxis] * np.diff(columns)
        self._strength += _sums(_weaker_gradient(picture), rows, columns)
        self._pixels += pixels
        if self._first is None:
            self._first = picture.copy()
            return
        change = cv2.absdiff(picture, self._first).astype(np.int32)
        same = _sums(change, rows, columns) <= _STEADY * pixels
        self._steady = same if self._steady is None else self._steady & same

    def result(self) -> Appearance:
        """Return the appearance of the key frames added; without any there is no texture and no border.

        Cells at the edge of the picture have none: what a camera brings into view there has no past to be
        matched with, and the line along a border is not its content.
        """
        content = self._content()
        mean = self._strength / np.maximum(self._pixels, 1)
        texture = np.rint(_FRACTION * np.sqrt(mean / _FRACTION)).astype(np.int64)
        texture[~_within(self._lattice.row_edges(), content[1], content[3])] = 0
        texture[:, ~_within(self._lattice.column_edges(), content[0], content[2])] = 0
        grid = (self._lattice.rows, self._lattice.columns)
        steady = np.zeros(grid, np.bool_) if self._steady is None else self._steady
        same = tuple(steady.ravel().astype(int).tolist())
        return Appearance(grid, tuple(texture.ravel().tolist()), same, content)

    def _content(self) -> tuple[int, int, int, int]:
        (left, right), (top, bottom) = _inside(self._columns), _inside(self._rows)
        width, height = self._lattice.width, self._lattice.height
        if right - left < _LEAST_CONTENT * width or bottom - top < _LEAST_CONTENT * height:
            return 0, 0, width, height
        return left, top, right - left, bottom - top


def _sums(
    values: NDArray[np.int32], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the sum in every cell between the edges of rows and columns."""
    by_row = np.add.reduceat(values, rows[:-1], axis=0, dtype=np.int64)
    sums: NDArray[np.int64] = np.add.reduceat(by_row, columns[:-1], axis=1)
    return sums


def _reduced(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    factor = max(1, round(min(luma.shape) / _REDUCED))
    if factor == 1:
        return luma
    size = (max(1, luma.shape[1] // factor), max(1, luma.shape[0] // factor))
    return np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.uint8)


def _weaker_gradient(picture: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return the smaller eigenvalue of the structure tensor over 3x3 pixels, in 1/16 (grey level/pixel)^2.

    Source: Shi and Tomasi, Good Features to Track (1994).
    """
    levels = picture.astype(np.float32)
    across, down = np.zeros_like(levels), np.zeros_like(levels)
    # twice the gradient: whole numbers
    np.subtract(levels[:, 2:], levels[:, :-2], out=across[:, 1:-1])
    np.subtract(levels[2:], levels[:-2], out=down[1:-1])
    tensor = [
        np.asarray(cv2.boxFilter(product, -1, (3, 3), normalize=False), np.float32)
        for product in (across * across, down * down, across * down)
    ]
    weaker = np.empty(picture.shape, np.int32)
    for top in range(0, len(picture), _BAND):
        band = slice(top, top + _BAND)
        weaker[band] = _smaller_eigenvalue(*(term[band] for term in tensor))
    return weaker


def _smaller_eigenvalue(
    xx: NDArray[np.float32], yy: NDArray[np.float32], xy: NDArray[np.float32]
) -> NDArray[np.float64]:
    apart = np.subtract(xx, yy, dtype=np.float64)
    apart *= apart
    mixed = np.multiply(xy, xy, dtype=np.float64)
    mixed *= 4
    apart += mixed
    np.sqrt(apart, out=apart)
    np.subtract(xx + yy, apart, out=apart)
    apart *= _FRACTION / 72
    return np.rint(apart, out=apart)


def _inside(greatest: NDArray[np.uint8]) -> tuple[int, int]:
    """Return where the picture starts and ends between two black strips: bars come in pairs."""
    lit = np.flatnonzero(greatest > _BLACK)
    if not len(lit) or lit[0] == 0 or lit[-1] == len(greatest) - 1:
        return 0, len(greatest)
    return int(lit[0]), int(lit[-1]) + 1


def _within(edges: NDArray[np.int64], start: int, length: int) -> NDArray[np.bool_]:
    within = (edges[:-1] > start) & (edges[1:] < start + length)
    return within if within.any() else np.ones_like(within)

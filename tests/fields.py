"""Fields of motion vectors, made without a video: what moves how, in pixels, block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from mocrop_prep.appearance import Appearance, coarse_lattice
from mocrop_prep.geometry import Box
from mocrop_prep.vectors import SCHEMA, ClipInfo, Vectors
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Motion = Callable[[int, Floats, Floats], tuple[Floats, Floats]]
"""How the picture moves from the frame before to this one at places x, y: (u, v) in pixels."""
SCALE = 4


class Block(NamedTuple):
    """One block: its frame, centre, size, where its content moved (in 1/scale px), and that scale."""

    frame: int
    x: int
    y: int
    w: int = 16
    h: int = 16
    u: int = 0
    v: int = 0
    scale: int = SCALE


def clip(width: int = 320, height: int = 240, *, frames: int = 25, fps: float = 25.0) -> ClipInfo:
    """Describe a clip with a key frame in every twelve."""
    return ClipInfo(width, height, fps, frames, tuple(range(0, frames, 12)))


def looks(
    info: ClipInfo,
    texture: float | Floats = 40.0,
    *,
    steady: bool | NDArray[np.bool_] = False,
    content: Box | None = None,
) -> Appearance:
    """Say what a clip looks like: texture in grey levels per pixel, everywhere or by coarse cell."""
    lattice = coarse_lattice(info.width, info.height)
    grid = lattice.rows, lattice.columns
    sixteenths = np.rint(np.broadcast_to(16 * np.asarray(texture), grid)).astype(int)
    same = np.broadcast_to(np.asarray(steady, int), grid)
    box = content or Box(0, 0, info.width, info.height)
    picture = box.x, box.y, box.w, box.h
    return Appearance(grid, tuple(sixteenths.ravel().tolist()), tuple(same.ravel().tolist()), picture)


def vectors_of(blocks: Sequence[Block]) -> Vectors:
    """Make vectors as libavcodec exports them: they point to where a block's content was before."""
    table = np.array(blocks, np.int64).reshape(-1, len(Block._fields))
    frame, x, y, w, h, u, v, scale = table.T
    columns = (frame, np.full_like(frame, -1), w, h, x, y, -u, -v, scale)
    types = [field.type.to_pandas_dtype() for field in SCHEMA]
    return Vectors(*(column.astype(kind) for column, kind in zip(columns, types, strict=True)))


def field(info: ClipInfo, motion: Motion, *, block: int = 16) -> Vectors:
    """Cover every frame but the key frames with square blocks that move."""
    half = block // 2
    x, y = (
        grid.ravel()
        for grid in np.meshgrid(*(np.arange(half, side, block) for side in (info.width, info.height)))
    )
    numbers = [n for n in range(info.frames) if n not in info.key_frames]
    parts = []
    for n in numbers:
        u, v = (np.rint(np.broadcast_to(part, x.shape) * SCALE) for part in motion(n, x + 0.0, y + 0.0))
        parts.append(np.stack([np.full_like(x, n), x, y, *[np.full_like(x, block)] * 2, u, v], axis=1))
    table = np.concatenate(parts).astype(np.int64)
    return vectors_of([Block(*row) for row in table.tolist()])


def still(n: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Nothing moves."""
    return np.zeros_like(x), np.zeros_like(y)


def acting(*places: Box, stride: float = 4.0, camera: Motion = still) -> Motion:
    """Let the content of some boxes swing to and fro, on top of what the camera does."""

    def motion(n: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        u, v = camera(n, x, y)
        inside = np.zeros(x.shape, bool)
        for box in places:
            inside |= (box.x <= x) & (x < box.x + box.w) & (box.y <= y) & (y < box.y + box.h)
        swing = stride if n // 12 % 2 else -stride
        return u + swing * inside, v + swing / 2 * inside

    return motion


def panning(u: float, v: float = 0.0) -> Motion:
    """The picture moves evenly."""
    return lambda n, x, y: (np.full_like(x, u), np.full_like(y, v))


def stuck(place: Box, motion: Motion) -> Motion:
    """Keep a box in place while the rest moves: a logo, or an actor whom the camera follows."""

    def stays(n: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        inside = (place.x <= x) & (x < place.x + place.w) & (place.y <= y) & (y < place.y + place.h)
        u, v = motion(n, x, y)
        return np.where(inside, 0, u), np.where(inside, 0, v)

    return stays


def join(parts: Sequence[Vectors]) -> Vectors:
    """Put vectors behind one another."""
    return Vectors(*(np.concatenate([getattr(part, name) for part in parts]) for name in SCHEMA.names))

"""Films under a known camera: a textured world, an actor whose place in every frame is known, and no cut."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from mocrop_manifests import Clip, CropRow
from mocrop_prep.config import CropSettings, TranscodeSettings
from mocrop_prep.geometry import Box
from mocrop_prep.stages.crop import crop_clip
from mocrop_prep.stages.extract import extract_clip
from mocrop_prep.stages.transcode import transcode_clip
from numpy.typing import NDArray

from tests.films import XVID, Film, Picture, encode, texture

WIDTH, HEIGHT, FRAMES = 320, 240, 37
MIDDLE = (FRAMES - 1) / 2
BODY, ARM = (34, 70), (12, 34)
"""Width and height of the actor's body and of each of his arms in pixels."""
_STROKE = 14  # frames from one beat of the arms to the next
_WORLD = (1000, 800)


class View(NamedTuple):
    """Where the camera looks: the pixel of the world in its centre, and how large a pixel appears."""

    x: float
    y: float
    zoom: float = 1.0


class Stand(NamedTuple):
    """The centre of the actor's body in pixels of the frame, and how large he appears."""

    x: float
    y: float
    scale: float = 1.0


Camera = Callable[[int], View]
Way = Callable[[int], Stand]


@dataclass(frozen=True)
class Shot:
    """The pictures of a film and the actor's box in each, arms and all, as far as it is in the frame."""

    pictures: list[Picture]
    boxes: list[Box]


def pan(across: float, down: float = 0.0, zoom: float = 0.0) -> Camera:
    """Turn by so many pixels a frame, and enlarge by that share a frame."""
    return lambda n: View(across * (n - MIDDLE), down * (n - MIDDLE), (1 + zoom) ** (n - MIDDLE))


def shake(strength: float, seed: int = 0) -> Camera:
    """Hold the camera in the hand: about so many pixels a frame, to and fro."""
    rng = np.random.default_rng(seed)
    periods, phases = np.array([21.0, 11.0, 6.0]), rng.uniform(0, 2 * np.pi, (2, 3))

    def view(n: int) -> View:
        x, y = (strength * periods / 9 * np.sin(2 * np.pi * n / periods + phases)).sum(axis=1)
        return View(float(x), float(y))

    return view


STILL = pan(0)


def beside(x: float, y: float) -> Way:
    """Keep the actor where he is in the picture, as a camera does that follows him."""
    return lambda n: Stand(x, y)


def walk(start: tuple[float, float], end: tuple[float, float]) -> Way:
    """Move the actor evenly from place to place of the picture."""
    (x, y), (to_x, to_y) = start, end
    return lambda n: Stand(x + (to_x - x) * n / (FRAMES - 1), y + (to_y - y) * n / (FRAMES - 1))


def stay(camera: Camera, x: float, y: float) -> Way:
    """Keep the actor at a place of the world: the one that is seen at x, y in the middle of the film."""
    middle = camera(FRAMES // 2)
    at = middle.x + (x - WIDTH / 2) / middle.zoom, middle.y + (y - HEIGHT / 2) / middle.zoom

    def stand(n: int) -> Stand:
        view = camera(n)
        scale = view.zoom
        return Stand((at[0] - view.x) * scale + WIDTH / 2, (at[1] - view.y) * scale + HEIGHT / 2, scale)

    return stand


def shot(camera: Camera, way: Way | None = None, *, arms: bool = True, place: Picture | None = None) -> Shot:
    """Film the world, and the actor on his way; his arms beat unless they hang down.

    `place` is a picture of the frame's size before which he is instead, whatever the camera does.
    """
    pictures, boxes = [], []
    for number in range(FRAMES):
        picture = place.copy() if place is not None else _seen(camera(number))
        if way is not None:
            mask = _draw_actor(picture, way(number), number if arms else 0)
            boxes.append(Box(*cv2.boundingRect(mask)))
        pictures.append(picture)
    return Shot(pictures, boxes)


def _seen(view: View) -> Picture:
    # from the frame's pixels to the world's: their centres lie on halves
    x, y = (
        at + world / 2 - 0.5 - (side / 2 - 0.5) / view.zoom
        for at, world, side in zip(view[:2], _WORLD, (WIDTH, HEIGHT), strict=True)
    )
    return _warped(_world(), np.array([[1 / view.zoom, 0, x], [0, 1 / view.zoom, y]]))


@cache
def _world() -> Picture:
    return texture(*_WORLD, seed=0)


@cache
def _cloth(size: tuple[int, int], seed: int) -> Picture:
    return texture(*size, seed, contrast=90)


def _warped(source: Picture, move: NDArray[np.float64]) -> Picture:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(source, move, (WIDTH, HEIGHT), flags=flags), np.uint8)


def _draw_actor(picture: Picture, stand: Stand, beat: int) -> NDArray[np.uint8]:
    """Draw the actor into the picture and return the mask of his pixels."""
    seen = np.zeros((HEIGHT, WIDTH), np.uint8)
    angle = math.pi / 2 * (1 - math.cos(2 * math.pi * beat / _STROKE)) * 0.8
    parts = [(BODY, 500, (0.0, 0.0), (0.5, 0.5), 0.0)]
    for side in (-1, 1):
        shoulder = (side * (BODY[0] - ARM[0]) / 2, -BODY[1] / 2 + 8)
        parts.append((ARM, 501 + side, shoulder, (0.5, 0.1), -side * angle))
    for size, seed, (x, y), hinge, turn in parts:
        cos, sin = math.cos(turn) / stand.scale, math.sin(turn) / stand.scale
        to_x, to_y = stand.x + x * stand.scale, stand.y + y * stand.scale
        move = np.array(
            [
                [cos, sin, hinge[0] * size[0] - cos * to_x - sin * to_y],
                [-sin, cos, hinge[1] * size[1] + sin * to_x - cos * to_y],
            ]
        )
        cloth = _warped(_cloth(size, seed), move)
        mask = _warped(np.full((size[1], size[0], 3), 255, np.uint8), move)[..., 0]
        np.copyto(picture, cloth, where=(mask > 127)[..., np.newaxis])
        seen |= np.where(mask > 127, 255, 0).astype(np.uint8)
    return seen


def motion_of(folder: Path, pictures: Sequence[Picture], film: Film = XVID, *, gop: int = 12) -> Path:
    """Take a film through the first two stages; return its vectors file."""
    folder.mkdir(parents=True, exist_ok=True)
    source = encode(folder / "clip.avi", pictures, film)
    transcode_clip(source, folder / "clip.mp4", TranscodeSettings(gop=gop))
    extract_clip(folder / "clip.mp4", folder / "clip.parquet")
    return folder / "clip.parquet"


def crop(motion: Path, method: str = "foreground", **settings: object) -> CropRow:
    """Take vectors through the third stage."""
    clip = Clip("clip", "walk/clip.avi", 0, "walk", "train", "")
    return crop_clip(motion, clip, CropSettings(method=method, **settings))  # type: ignore[arg-type]


def box_of(row: CropRow) -> Box:
    """Return the crop of a row, which must have one."""
    assert row.x is not None
    assert row.y is not None
    assert row.w is not None
    assert row.h is not None
    return Box(row.x, row.y, row.w, row.h)


def share_inside(boxes: Sequence[Box], crop: Box) -> float:
    """Return the mean share of the actor's box that lies in the crop, over the frames in which he is seen."""
    shares = []
    for box in boxes:
        if box.w * box.h:
            w = min(box.x + box.w, crop.x + crop.w) - max(box.x, crop.x)
            h = min(box.y + box.h, crop.y + crop.h) - max(box.y, crop.y)
            shares.append(max(w, 0) * max(h, 0) / (box.w * box.h))
    return sum(shares) / len(shares)


def best_share(boxes: Sequence[Box], size: Box) -> float:
    """Return the share that the best place of a crop of that size would have, found by trying them all."""
    places = product(range(0, WIDTH - size.w + 1, 4), range(0, HEIGHT - size.h + 1, 4))
    return max(share_inside(boxes, Box(x, y, size.w, size.h)) for x, y in places)

"""What else moves in a scene: less than the actor, and chosen without regard to the action."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from mocrop_prep.demo.actions import Moment, walk
from mocrop_prep.demo.drawing import SUPERSAMPLE, composite, draw, reduce, shadow
from mocrop_prep.demo.figure import Body, Outfit, Point, Shape, extent, figure, mirrored
from mocrop_prep.demo.textures import Picture, foliage, fractal, hsv


class Distractor(Protocol):
    """Draws itself into a frame: `seconds` into the clip, with the camera's corner at `view`."""

    def __call__(self, frame: Picture, seconds: float, view: Point) -> None:
        """Draw into the frame in place."""


Maker = Callable[[np.random.Generator, Point], Distractor]
"""Makes a distractor that stands at a point of the canvas."""


def bush(rng: np.random.Generator, foot: Point) -> Distractor:
    """Return a bush that sways in the wind."""
    width, height = int(rng.integers(26, 46)), int(rng.integers(24, 42))
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    crown = np.hypot((columns - width / 2) / (width / 2 - 3), (rows - height * 0.55) / (height * 0.5))
    mask = (crown + 0.35 * fractal(rng, (height, width), 9) < 1.12).astype(np.float32)
    hue = rng.uniform(80, 135)
    leaves = foliage(
        rng, np.zeros((height, width, 3), np.uint8), mask, hsv(hue, 0.6, 0.22), hsv(hue - 20, 0.5, 0.6), 3.0
    )
    cover = cv2.GaussianBlur(mask, (0, 0), 0.7)
    patch = np.dstack([leaves * cover[..., None], 255 * cover]).astype(np.uint8)
    pace, sway, phase = rng.uniform(0.35, 0.7), rng.uniform(1.0, 2.2), rng.uniform()

    def at(frame: Picture, seconds: float, view: Point) -> None:
        lean = sway * np.sin(2 * np.pi * (pace * seconds + phase))
        x, y = foot[0] - width / 2 - view[0], foot[1] - height - view[1]
        # The foot stays, the top leans: a shear, with the fraction of the position in the same step.
        matrix = np.array([[1, -lean / height, lean + x % 1 + 4], [0, 1, y % 1]], np.float64)
        moved = cv2.warpAffine(patch, matrix, (width + 8, height + 1), flags=cv2.INTER_LINEAR)
        composite(frame, np.asarray(moved, np.uint8), int(x // 1) - 4, int(y // 1))

    return at


def flag(rng: np.random.Generator, foot: Point) -> Distractor:
    """Return a small flag that flutters on a pole."""
    pole, width, height = rng.uniform(40, 60), rng.uniform(13, 19), rng.uniform(8, 12)
    colours = [hsv(rng.uniform(0, 360), rng.uniform(0.3, 0.8), rng.uniform(0.5, 0.9)) for _ in range(2)]
    pace, phase = rng.uniform(0.8, 1.4), rng.uniform()
    along = np.linspace(0, 1, 9)

    def at(frame: Picture, seconds: float, view: Point) -> None:
        patch = np.zeros((int(pole + 8) * SUPERSAMPLE, 26 * SUPERSAMPLE, 4), np.uint8)
        x, y = foot[0] - view[0], foot[1] - view[1] - pole - 6
        top = np.array([2 + x % 1, 4 + y % 1])
        ripple = 1.3 * along * np.sin(2 * np.pi * (1.1 * along - pace * seconds - phase))
        for half, colour in enumerate(colours):
            upper, lower = (
                np.stack([along * width, ripple + edge * height / 2], axis=1) for edge in (half, half + 1)
            )
            outline = (np.concatenate([upper, lower[::-1]]) + top) * SUPERSAMPLE
            cv2.fillPoly(patch, [np.rint(outline).astype(np.int32)], (*colour, 255))
        column, row = (round(float(value) * SUPERSAMPLE) for value in top)
        cv2.line(patch, (column, row), (column, patch.shape[0] - 1), (120, 118, 112, 255), SUPERSAMPLE)
        composite(frame, reduce(patch), int(x // 1) - 2, int(y // 1))

    return at


def sign(rng: np.random.Generator, foot: Point) -> Distractor:
    """Return a sign on a post whose lamps blink in turn."""
    hue, pace, phase = rng.uniform(0, 360), rng.uniform(0.7, 1.3), rng.uniform()
    height = rng.uniform(26, 40)
    box = np.array([[-10, -height - 12], [10, -height]])

    def at(frame: Picture, seconds: float, view: Point) -> None:
        origin = np.array([foot[0] - view[0], foot[1] - view[1]])

        def rectangle(corners: NDArray[np.float64], colour: tuple[float, ...]) -> None:
            start, stop = np.rint((corners + origin) * 8).astype(int).tolist()
            points = np.array([start, (stop[0], start[1]), stop, (start[0], stop[1])], np.int32)
            cv2.fillConvexPoly(frame, points, colour, cv2.LINE_AA, 3)

        rectangle(np.array([[-1.2, -height], [1.2, 0.0]]), (96, 98, 102))
        rectangle(box, (42, 44, 50))
        for lamp in range(2):
            lit = (pace * seconds + phase + lamp / 2) % 1 < 0.5
            lens = box[0] + np.array([[2, 2], [9, 10]]) + np.array([9 * lamp, 0])
            rectangle(lens, hsv(hue + 40 * lamp, 0.65, 0.95 if lit else 0.35))

    return at


def passer_by(rng: np.random.Generator, foot: Point) -> Distractor:
    """Return a person far off who walks by slowly."""
    scale, speed = rng.uniform(19, 27), rng.choice([-1, 1]) * rng.uniform(0.25, 0.4)
    colours = {
        "skin": hsv(24, 0.4, rng.uniform(0.5, 0.9)),
        "hair": hsv(28, 0.5, rng.uniform(0.15, 0.5)),
        "shirt": hsv(rng.uniform(0, 360), 0.35, rng.uniform(0.4, 0.8)),
        "trousers": hsv(rng.uniform(0, 360), 0.25, rng.uniform(0.25, 0.6)),
        "shoes": hsv(30, 0.3, 0.3),
    }
    outfit = Outfit(colours, True, True)
    body, phase = Body(), rng.uniform()

    def at(frame: Picture, seconds: float, view: Point) -> None:
        shapes: tuple[Shape, ...] = figure(walk(Moment(phase + 0.75 * seconds, body, 0.8)), body, outfit)
        if speed < 0:
            shapes = tuple(mirrored(shape) for shape in shapes)
        origin = foot[0] + speed * scale * (seconds - 1.2) - view[0], foot[1] - view[1]
        shadow(frame, extent(shapes), origin, scale)
        draw(frame, shapes, colours, origin, scale)

    return at


def cloud(rng: np.random.Generator, foot: Point) -> Distractor:
    """Return a cloud that drifts; only the column of `foot` counts."""
    height, width = 34, 110
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    distance = np.hypot((columns - width / 2) / (width / 2), (rows - height / 2) / (height / 2))
    cover = np.clip(fractal(rng, (height, width), 22) * 1.6 - distance * 1.1, 0, 1) * 0.9
    patch = np.repeat((255 * cover)[..., None], 4, axis=2).astype(np.uint8)
    top, speed = rng.uniform(4, 40), rng.choice([-1, 1]) * rng.uniform(3, 7)

    def at(frame: Picture, seconds: float, view: Point) -> None:
        x, y = foot[0] - width / 2 + speed * seconds - view[0], top - view[1]
        matrix = np.array([[1, 0, x % 1], [0, 1, y % 1]], np.float64)
        moved = cv2.warpAffine(patch, matrix, (width + 1, height + 1), flags=cv2.INTER_LINEAR)
        composite(frame, np.asarray(moved, np.uint8), int(x // 1), int(y // 1))

    return at


ANYWHERE: tuple[Maker, ...] = (bush, flag, sign, passer_by)
UNDER_A_SKY: tuple[Maker, ...] = (*ANYWHERE, cloud)

"""One clip as a scene: place, camera, actor and distractors, and the frames and boxes they give. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from mocrop_prep.demo.actions import Action, Moment
from mocrop_prep.demo.backgrounds import PLACES, Place
from mocrop_prep.demo.distractors import ANYWHERE, UNDER_A_SKY, Distractor
from mocrop_prep.demo.drawing import draw, shadow
from mocrop_prep.demo.figure import Body, Outfit, Shape, extent, figure, mirrored
from mocrop_prep.demo.textures import Colour, Picture, hsv

WIDTH, HEIGHT = 320, 240
FPS = Fraction(25)
CANVAS = (272, 640)
"""Rows and columns of the painted background, over which the camera moves."""
FAR, NEAR = 58.0, 86.0
"""Pixels for one body height at the back and at the front of the stage."""
BLUR = 1.3
"""Standard deviation in pixels of the blur of the background, which is a little out of focus."""
MARGIN = 4
"""Pixels between the actor with props and the border of the frame."""

Path = NDArray[np.float64]
"""One (x, y) for each frame, in pixels unless said otherwise."""
Layer = list[tuple[Shape, ...]]
"""The shapes of each frame."""


def still(_rng: np.random.Generator, frames: int) -> Path:
    """Return the path of a camera on a tripod."""
    return np.zeros((frames, 2))


def pan(rng: np.random.Generator, frames: int) -> Path:
    """Return the path of a camera that turns to one side, by up to 2.5 pixels a frame."""
    distance = rng.choice([-1, 1]) * rng.uniform(50, 130)
    return np.stack([np.linspace(-0.5, 0.5, frames) * distance, np.zeros(frames)], axis=1)


def shake(rng: np.random.Generator, frames: int) -> Path:
    """Return the path of a camera held in the hand."""
    seconds = np.arange(frames)[:, None] / float(FPS)
    path = np.zeros((frames, 2))
    for amplitude, low, high in ((3.0, 0.3, 0.7), (1.4, 1.0, 1.8), (0.5, 2.5, 4.0)):
        path += amplitude * np.sin(2 * np.pi * (rng.uniform(low, high, 2) * seconds + rng.uniform(size=2)))
    return path


CAMERAS: tuple[Callable[[np.random.Generator, int], Path], ...] = (still, pan, shake)


@dataclass(frozen=True, slots=True)
class Setting:
    """What all clips of a group share: the place with its picture, clothes, and the kind of camera."""

    place: Place
    canvas: Picture
    horizon: int
    outfit: Outfit
    camera: Callable[[np.random.Generator, int], Path]


@dataclass(frozen=True, slots=True)
class Scene:
    """A clip ready to be drawn: for each frame the shapes, where they stand, and where the camera looks.

    `behind`, `body` and `front` hold one tuple of shapes a frame, `roots` the pixel of the canvas on which
    the actor stands, `corners` the pixel of the canvas in the frame's top left corner.
    """

    setting: Setting
    behind: Layer
    body: Layer
    front: Layer
    roots: Path
    corners: Path
    scale: float
    distractors: tuple[Distractor, ...]
    grain: NDArray[np.int16]
    grain_offsets: NDArray[np.int64]

    def frames(self) -> Iterator[Picture]:
        """Yield the clip's RGB frames, uint8 (240, 320, 3)."""
        vignette = _vignette()
        for index, (x, y) in enumerate(self.corners):
            look = np.array([[1, 0, x], [0, 1, y]])
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            frame = np.asarray(
                cv2.warpAffine(self.setting.canvas, look, (WIDTH, HEIGHT), flags=flags), np.uint8
            )
            for distractor in self.distractors:
                distractor(frame, index / float(FPS), (x, y))
            origin = (self.roots[index, 0] - x, self.roots[index, 1] - y)
            shadow(frame, extent(self.body[index]), origin, self.scale)
            shapes = (*self.behind[index], *self.body[index], *self.front[index])
            draw(frame, shapes, self.setting.outfit.colours, origin, self.scale)
            row, column = self.grain_offsets[index]
            grain = self.grain[row : row + HEIGHT, column : column + WIDTH]
            lit = cv2.multiply(frame, vignette, scale=1 / 255)
            yield np.asarray(cv2.add(lit, grain, dtype=cv2.CV_8U), np.uint8)

    def boxes(self) -> list[tuple[int, int, int, int]]:
        """Return the box (x, y, width, height) of the body in each frame, whole pixels inside the frame."""
        boxes = []
        for shapes, (root_x, root_y), (x, y) in zip(self.body, self.roots, self.corners, strict=True):
            left, low, right, high = extent(shapes)
            x0 = max(0, int(np.floor(root_x - x + left * self.scale)))
            x1 = min(WIDTH, int(np.ceil(root_x - x + right * self.scale)))
            y0 = max(0, int(np.floor(root_y - y - high * self.scale)))
            y1 = min(HEIGHT, int(np.ceil(root_y - y - low * self.scale)))
            boxes.append((x0, y0, x1 - x0, y1 - y0))
        return boxes


def make_setting(seed: int, group: int) -> Setting:
    """Return the setting of a group; every class is seen in it, so it tells nothing about the action."""
    order = np.random.default_rng([seed]).permutation(len(PLACES))
    rng = np.random.default_rng([seed, group])
    place = PLACES[order[group % len(PLACES)]]
    horizon = int(rng.integers(134, 152))
    canvas = cv2.GaussianBlur(place.paint(rng, CANVAS, horizon), (0, 0), BLUR)
    stage = canvas[horizon - 40 : horizon + 90].reshape(-1, 3).mean(axis=0)
    outfit = _dress(rng, (float(stage[0]), float(stage[1]), float(stage[2])), place.light)
    return Setting(place, np.asarray(canvas, np.uint8), horizon, outfit, CAMERAS[group % len(CAMERAS)])


def make_scene(setting: Setting, action: Action, rng: np.random.Generator) -> Scene:
    """Return a clip of an action in a setting; position, size, speed, limbs and distractors are drawn."""
    count = int(rng.integers(50, 63))
    near = rng.uniform()
    scale = (FAR + (NEAR - FAR) * near) * rng.uniform(0.95, 1.05)
    (behind, body, front), path = _perform(rng, action, setting.outfit, count)
    path = path * (scale, -scale)
    corners = np.array([rng.uniform(40, CANVAS[1] - WIDTH - 40), rng.uniform(8, CANVAS[0] - HEIGHT - 8)])
    corners = corners + setting.camera(rng, count)
    reach = np.array([extent((*a, *b, *c)) for a, b, c in zip(behind, body, front, strict=True)])
    start = _place(rng, reach * scale, path - (corners - corners[0]), 166 + 64 * near)
    roots = start + corners[0] + path
    return Scene(
        setting=setting,
        behind=behind,
        body=body,
        front=front,
        roots=roots,
        corners=corners,
        scale=scale,
        distractors=_distract(rng, setting, roots.mean(axis=0), corners.mean(axis=0)),
        grain=_grain(rng),
        grain_offsets=rng.integers(0, 32, (count, 2)),
    )


def _perform(
    rng: np.random.Generator, action: Action, outfit: Outfit, count: int
) -> tuple[tuple[Layer, Layer, Layer], Path]:
    """Return what stands behind the body, the body, and what is in front of it, and the path on the ground.

    Each layer has one tuple of shapes a frame, the path one (x, y); all in body heights.
    """
    mirror = bool(rng.integers(2))
    pace, phase = rng.uniform(0.85, 1.2), rng.uniform()
    body, effort = _grow(rng), rng.uniform(0.88, 1.0)
    layers: tuple[Layer, Layer, Layer] = ([], [], [])
    path = np.zeros((count, 2))
    for frame in range(count):
        seconds = pace * frame / float(FPS)
        moment = Moment(phase + seconds / action.period, body, effort)
        behind, front = action.props(moment)
        person = figure(action.pose(moment), body, outfit)
        for layer, shapes in zip(layers, (behind, person, front), strict=True):
            layer.append(tuple(mirrored(shape) for shape in shapes) if mirror else shapes)
        path[frame] = action.path(seconds)
    return layers, path * (-1 if mirror else 1, 1)


def _place(rng: np.random.Generator, boxes: NDArray[np.float64], shifts: Path, ground: float) -> Path:
    """Return where in the first frame the actor stands: whole in every frame, mostly near one side.

    `boxes` are (left, low, right, high) in pixels around the standing point, which moves by `shifts`.
    """
    left, right = (boxes[:, 0] + shifts[:, 0]).min(), (boxes[:, 2] + shifts[:, 0]).max()
    top, bottom = (shifts[:, 1] - boxes[:, 3]).min(), (shifts[:, 1] - boxes[:, 1]).max()
    to_the_side = rng.uniform(4, 44)
    centre = rng.choice([to_the_side, WIDTH - to_the_side]) if rng.uniform() < 0.93 else rng.uniform(100, 220)
    x = np.clip(centre - (left + right) / 2, MARGIN - left, WIDTH - MARGIN - right)
    y = np.clip(ground, MARGIN - top, HEIGHT - MARGIN - bottom)
    return np.array([x, y])


def _distract(
    rng: np.random.Generator, setting: Setting, actor: NDArray[np.float64], corner: NDArray[np.float64]
) -> tuple[Distractor, ...]:
    """Return one or two distractors behind the actor, beside it."""
    makers = UNDER_A_SKY if setting.place.open_sky else ANYWHERE
    chosen = rng.choice(len(makers), size=int(rng.integers(1, 3)), replace=False)
    made = []
    for maker in (makers[index] for index in chosen):
        free = [x for x in rng.uniform(15, WIDTH - 15, 12) + corner[0] if abs(x - actor[0]) > 45]
        row = rng.uniform(setting.horizon + 5, min(setting.horizon + 34, actor[1] - 6))
        made.append((float(row), maker(rng, (float(free[0] if free else corner[0]), float(row)))))
    return tuple(distractor for _, distractor in sorted(made, key=lambda pair: pair[0]))


def _dress(rng: np.random.Generator, stage: Colour, light: Colour) -> Outfit:
    """Return clothes that stand out from the mean colour of the stage, in the light of the place."""

    def pick(saturation: tuple[float, float], value: tuple[float, float]) -> Colour:
        offers = [hsv(rng.uniform(0, 360), rng.uniform(*saturation), rng.uniform(*value)) for _ in range(5)]
        return max(offers, key=lambda colour: float(np.linalg.norm(np.subtract(colour, stage))))

    colours = {
        "skin": hsv(rng.uniform(16, 28), rng.uniform(0.3, 0.52), rng.uniform(0.5, 0.95)),
        "hair": hsv(rng.uniform(15, 40), rng.uniform(0.2, 0.6), rng.uniform(0.12, 0.6)),
        "shirt": pick((0.15, 0.8), (0.45, 0.98)),
        "trousers": pick((0.1, 0.6), (0.2, 0.8)),
        "shoes": hsv(rng.uniform(0, 360), 0.15, rng.uniform(0.2, 0.95)),
        "gear": pick((0.4, 0.9), (0.5, 0.95)),
        "metal": pick((0.02, 0.12), (0.3, 0.9)),
        "dark": hsv(220, 0.1, 0.2),
    }
    lit = {
        ink: (colour[0] * light[0], colour[1] * light[1], colour[2] * light[2])
        for ink, colour in colours.items()
    }
    return Outfit(lit, bool(rng.integers(2)), bool(rng.integers(2)))


def _grow(rng: np.random.Generator) -> Body:
    """Return a body whose limbs differ a little from the average."""
    legs, arms = rng.uniform(0.95, 1.05), rng.uniform(0.95, 1.06)
    return Body(
        thigh=0.25 * legs,
        shin=0.24 * legs,
        torso=0.29 * rng.uniform(0.95, 1.05),
        upper_arm=0.165 * arms,
        forearm=0.165 * arms,
        girth=rng.uniform(0.88, 1.1),
    )


def _grain(rng: np.random.Generator) -> NDArray[np.int16]:
    """Return a sheet of sensor noise, larger than the frame, to be moved about under it."""
    sheet = np.rint(rng.normal(0, 1.6, (HEIGHT + 32, WIDTH + 32, 1))).astype(np.int16)
    return np.repeat(sheet, 3, axis=2)


def _vignette() -> Picture:
    """Return the lens's fall-off towards the corners; 255 leaves a pixel as it is."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    radius = np.hypot((columns - WIDTH / 2) / WIDTH, (rows - HEIGHT / 2) / HEIGHT)
    fall = np.asarray(255 * (1 - 0.3 * radius**2.5), np.uint8)
    return np.repeat(fall[..., None], 3, axis=2)

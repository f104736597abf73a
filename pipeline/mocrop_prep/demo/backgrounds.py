"""The places where the demo clips are set: one painter for each, different for each seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from mocrop_prep.demo.textures import (
    Colour,
    Mask,
    Picture,
    below,
    blend,
    bricks,
    foliage,
    fractal,
    grain,
    hsv,
    mottle,
    perspective_floor,
    planks,
    ramp,
    ridge,
    shade,
)

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of place: its painter, whether clouds may drift over it, and the tint of its light."""

    paint: Callable[[np.random.Generator, Size, int], Picture]
    open_sky: bool
    light: Colour = (1.0, 1.0, 1.0)


def sky(
    rng: np.random.Generator, size: Size, horizon: int, top: Colour, low: Colour, cover: float = 0.5
) -> Picture:
    """Return a sky that brightens towards the horizon, with clouds over about `cover` of it."""
    picture = blend(top, low, ramp(size, 0, horizon))
    clouds = fractal(rng, size, 60, octaves=5, stretch=2.6)
    mask = np.clip((clouds - (1 - cover)) * 3.0, 0, 0.85) * (1 - 0.6 * ramp(size, 0, horizon))
    return blend(picture, (250, 250, 250), np.asarray(mask, np.float32))


def lawn(rng: np.random.Generator, size: Size, horizon: int, hue: float) -> Picture:
    """Return grass that runs to the horizon."""
    texture = blend(hsv(hue, 0.55, 0.30), hsv(hue - 14, 0.5, 0.62), fractal(rng, (420, 420), 30, octaves=6))
    return grain(rng, perspective_floor(texture, size, horizon), 0.5)


def tiles(
    rng: np.random.Generator, size: Size, horizon: int, pitch: int, colour: Colour, joint: Colour
) -> Picture:
    """Return a tiled floor in perspective."""
    return perspective_floor(bricks(rng, (420, 420), (pitch, 2 * pitch), colour, joint), size, horizon)


def hills(rng: np.random.Generator, picture: Picture, base: int, height: float, colour: Colour) -> Picture:
    """Draw one range of hills whose feet stand on row `base`."""
    size = (picture.shape[0], picture.shape[1])
    edge = base - height * ridge(rng, size[1], 120)
    texture = blend(shade(colour, 0.8), shade(colour, 1.1), fractal(rng, size, 26, octaves=4))
    return blend(picture, texture, below(size, edge))


def tree_line(
    rng: np.random.Generator, picture: Picture, base: int, height: float, hue: float, leaf: float
) -> Picture:
    """Draw a row of bushy crowns that stand on row `base`."""
    size = (picture.shape[0], picture.shape[1])
    edge = base - height * (0.35 + 0.65 * ridge(rng, size[1], 46, octaves=4))
    mask = below(size, edge) * (1 - below(size, float(base)))
    return foliage(rng, picture, mask, hsv(hue, 0.6, 0.22), hsv(hue - 22, 0.55, 0.62), leaf)


def trunk(rng: np.random.Generator, picture: Picture, x: int, foot: int, width: int, colour: Colour) -> None:
    """Draw a tree trunk in place, from the top of the picture down to row `foot`."""
    bark = planks(rng, (foot, width), max(3, width // 4), colour)
    round_light = (1.1 - 0.6 * np.linspace(-0.35, 1, width, dtype=np.float32) ** 2)[None, :, None]
    lit = np.clip(bark * round_light, 0, 255).astype(np.uint8)
    view = picture[:foot, max(0, x) : x + width]
    view[:] = lit[:, : view.shape[1]]


def pane(picture: Picture, box: tuple[int, int, int, int], frame: Colour, top: Colour, low: Colour) -> None:
    """Draw a window in place at (x, y, width, height): a bright gradient behind a crossed frame."""
    x, y, width, height = box
    view = picture[max(0, y) : y + height, max(0, x) : x + width]
    if view.size == 0:
        return
    size = (view.shape[0], view.shape[1])
    view[:] = blend(top, low, ramp(size, 0, size[0]))
    for start, stop in (
        ((x, y), (x + width, y + height)),
        ((x + width // 2, y), (x + width // 2, y + height)),
        ((x, y + height // 2), (x + width, y + height // 2)),
    ):
        cv2.rectangle(picture, start, stop, frame, 2)


def meadow(rng: np.random.Generator, size: Size, horizon: int) -> Picture:
    """Hills and trees behind grass."""
    picture = sky(rng, size, horizon, hsv(212, 0.55, 0.85), hsv(205, 0.18, 0.96))
    picture = hills(rng, picture, horizon, 60, hsv(rng.uniform(190, 215), 0.25, 0.66))
    picture = hills(rng, picture, horizon, 34, hsv(rng.uniform(95, 130), 0.32, 0.55))
    picture = tree_line(rng, picture, horizon + 4, 38, rng.uniform(100, 130), 3.0)
    return blend(picture, lawn(rng, size, horizon, rng.uniform(88, 108)), below(size, float(horizon)))


def brick_wall(rng: np.random.Generator, size: Size, horizon: int) -> Picture:
    """A brick wall with a few windows behind a pavement."""
    colour = hsv(rng.uniform(8, 28), rng.uniform(0.35, 0.55), rng.uniform(0.55, 0.7))
    picture = bricks(rng, size, (8, 20), colour, hsv(30, 0.1, 0.75))
    for x in range(int(rng.integers(10, 80)), size[1], int(rng.integers(120, 170))):
        pane(picture, (x, horizon - 92, 46, 50), (225, 220, 210), hsv(210, 0.35, 0.4), hsv(205, 0.2, 0.65))
        cv2.rectangle(picture, (x - 4, horizon - 41), (x + 50, horizon - 37), (190, 185, 175), -1)
    cv2.rectangle(picture, (0, horizon - 8), (size[1], horizon), shade(colour, 0.55), -1)
    floor = tiles(rng, size, horizon, 30, (150, 146, 140), (105, 102, 98))
    return blend(picture, floor, below(size, float(horizon)))


def gym(rng: np.random.Generator, size: Size, horizon: int) -> Picture:
    """A painted hall with high windows and a wooden floor."""
    hue = rng.uniform(0, 360)
    picture = mottle(rng, size, hsv(hue, 0.12, 0.74), hsv(hue, 0.1, 0.84), 90)
    for x in range(int(rng.integers(-20, 30)), size[1], 92):
        pane(picture, (x, 8, 66, 54), hsv(hue, 0.2, 0.45), hsv(205, 0.2, 0.98), hsv(200, 0.08, 0.92))
    dado = mottle(rng, size, hsv(hue, 0.38, 0.46), hsv(hue, 0.35, 0.54), 70)
    picture = blend(picture, dado, below(size, horizon - 44.0))
    cv2.line(picture, (0, horizon - 45), (size[1], horizon - 45), hsv(hue, 0.1, 0.92), 2)
    floor = perspective_floor(planks(rng, (420, 420), 22, hsv(31, 0.45, 0.72)), size, horizon)
    picture = blend(picture, floor, below(size, float(horizon)))
    cv2.line(picture, (0, horizon), (size[1], horizon), hsv(30, 0.4, 0.4), 3)
    return picture


def beach(rng: np.random.Generator, size: Size, horizon: int) -> Picture:
    """Sea and sand under a wide sky."""
    shore = horizon - 34
    picture = sky(rng, size, shore, hsv(208, 0.5, 0.88), hsv(200, 0.12, 0.97), 0.4)
    waves = fractal(rng, size, 9, octaves=3, stretch=9)
    sea = blend(hsv(204, 0.62, 0.5), hsv(186, 0.35, 0.78), waves)
    picture = blend(picture, sea, below(size, float(shore)))
    surf = horizon + 5 * ridge(rng, size[1], 90)
    picture = blend(picture, (244, 246, 244), below(size, surf - 5))
    sand = perspective_floor(
        mottle(rng, (420, 420), hsv(38, 0.36, 0.66), hsv(42, 0.26, 0.9), 30), size, horizon
    )
    return blend(picture, grain(rng, sand, 0.22), below(size, surf))


def street(rng: np.random.Generator, size: Size, horizon: int) -> Picture:
    """A row of houses behind a paved square."""
    picture = sky(rng, size, horizon, hsv(215, 0.35, 0.85), hsv(210, 0.1, 0.95))
    left = int(rng.integers(-60, 0))
    while left < size[1]:
        width, roof = int(rng.integers(70, 130)), int(rng.integers(0, 44))
        dark, light = (hsv(rng.uniform(10, 60), rng.uniform(0.08, 0.45), value) for value in (0.58, 0.78))
        house = mottle(rng, (horizon - roof, width), dark, light, 40)
        view = picture[roof:horizon, max(0, left) : left + width]
        view[:] = house[:, house.shape[1] - view.shape[1] :]
        cv2.rectangle(picture, (left, roof), (left + width, roof + 5), (110, 84, 76), -1)
        for x in range(left + 9, left + width - 16, 25):
            for y in range(roof + 14, horizon - 26, 33):
                pane(picture, (x, y, 13, 20), (214, 208, 200), hsv(215, 0.3, 0.3), hsv(210, 0.2, 0.5))
        left += width
    floor = tiles(rng, size, horizon, 36, hsv(35, 0.08, 0.66), hsv(35, 0.08, 0.46))
    return blend(picture, floor, below(size, float(horizon)))


def forest(rng: np.random.Generator, size: Size, horizon: int) -> Picture:
    """Trunks before a wall of leaves, on a mossy floor."""
    hue = rng.uniform(85, 120)
    everything: Mask = np.ones(size, np.float32)
    picture: Picture = np.zeros((*size, 3), np.uint8)
    picture = foliage(rng, picture, everything, hsv(hue, 0.6, 0.18), hsv(hue - 30, 0.5, 0.6), 4.0)
    picture = cv2.GaussianBlur(picture, (0, 0), 1.6).astype(np.uint8)
    texture = blend(
        hsv(hue - 45, 0.5, 0.28), hsv(hue - 10, 0.45, 0.52), fractal(rng, (420, 420), 36, octaves=6)
    )
    moss = grain(rng, perspective_floor(texture, size, horizon), 0.5)
    picture = blend(picture, moss, below(size, float(horizon)))
    for x in range(int(rng.integers(-10, 40)), size[1], 64):
        offset, width = int(rng.integers(0, 40)), int(rng.integers(9, 22))
        trunk(rng, picture, x + offset, horizon + width // 3, width, hsv(28, 0.3, rng.uniform(0.32, 0.5)))
    return picture


def desert(rng: np.random.Generator, size: Size, horizon: int) -> Picture:
    """Table mountains at dusk over dry ground."""
    picture = sky(rng, size, horizon, hsv(232, 0.4, 0.62), hsv(26, 0.5, 0.98), 0.45)
    for height, value in ((74, 0.62), (40, 0.5)):
        cliff = np.clip(ridge(rng, size[1], 150) * 2.4 - 0.7, 0, 1)
        strata = np.repeat(fractal(rng, (size[0], 2), 12, octaves=2)[:, :1], size[1], axis=1)
        rock = blend(hsv(14, 0.5, value * 0.85), hsv(22, 0.45, value * 1.2), strata)
        edge = horizon - height * cliff - 5 * ridge(rng, size[1], 20)
        picture = blend(picture, rock, below(size, edge))
    ground = mottle(rng, (420, 420), hsv(20, 0.45, 0.5), hsv(30, 0.42, 0.8), 44)
    floor = grain(rng, perspective_floor(ground, size, horizon), 0.3)
    return blend(picture, floor, below(size, float(horizon)))


def garden(rng: np.random.Generator, size: Size, horizon: int) -> Picture:
    """A clipped hedge with blossoms behind a white fence and a lawn."""
    picture = sky(rng, size, horizon, hsv(208, 0.45, 0.9), hsv(200, 0.15, 0.97), 0.55)
    hedge = below(size, horizon - 78 + 6 * ridge(rng, size[1], 40)) * (1 - below(size, float(horizon)))
    hue = rng.uniform(105, 140)
    picture = foliage(rng, picture, hedge, hsv(hue, 0.55, 0.2), hsv(hue - 20, 0.5, 0.52), 3.2)
    blossom = hsv(rng.choice([0, 45, 300, 330]), 0.45, 0.95)
    for x, y in zip(rng.integers(0, size[1], 130), rng.integers(horizon - 66, horizon - 4, 130), strict=True):
        cv2.circle(picture, (int(x), int(y)), 1, blossom, -1, cv2.LINE_AA)
    picture = blend(picture, lawn(rng, size, horizon, rng.uniform(92, 112)), below(size, float(horizon)))
    for x in range(0, size[1], 13):
        cv2.rectangle(picture, (x, horizon - 26), (x + 5, horizon + 3), (226, 224, 216), -1)
    for y in (horizon - 20, horizon - 6):
        cv2.rectangle(picture, (0, y), (size[1], y + 3), (206, 204, 196), -1)
    return picture


def living_room(rng: np.random.Generator, size: Size, horizon: int) -> Picture:
    """Striped wallpaper with pictures, over a carpet."""
    hue = rng.uniform(0, 360)
    stripes = ((np.arange(size[1]) // 14) % 2).astype(np.float32)[None].repeat(size[0], axis=0)
    picture = blend(hsv(hue, 0.2, 0.72), hsv(hue, 0.14, 0.8), stripes)
    for x in range(int(rng.integers(20, 60)), size[1], 116):
        width, height = int(rng.integers(34, 56)), int(rng.integers(28, 44))
        top = int(rng.integers(26, 50))
        cv2.rectangle(picture, (x - 4, top - 4), (x + width + 4, top + height + 4), hsv(32, 0.5, 0.38), -1)
        art = mottle(
            rng, (height, width), hsv(hue + rng.uniform(60, 300), 0.5, 0.4), hsv(hue + 40, 0.3, 0.9), 14
        )
        view = picture[top : top + height, x : x + width]
        view[:] = art[:, : view.shape[1]]
    cv2.rectangle(picture, (0, horizon - 12), (size[1], horizon), (232, 228, 220), -1)
    carpet = tiles(rng, size, horizon, 46, hsv(hue + 150, 0.28, 0.56), hsv(hue + 160, 0.3, 0.42))
    return blend(picture, carpet, below(size, float(horizon)))


def snow(rng: np.random.Generator, size: Size, horizon: int) -> Picture:
    """White mountains and firs behind a snow field."""
    picture = sky(rng, size, horizon, hsv(214, 0.45, 0.8), hsv(210, 0.1, 0.95), 0.4)
    peaks = horizon - 20 - 92 * ridge(rng, size[1], 110, octaves=6)
    faces = np.clip(fractal(rng, size, 34, octaves=5) * 1.8 - 0.4, 0, 1)
    picture = blend(picture, blend(hsv(216, 0.3, 0.55), (240, 243, 248), faces), below(size, peaks))
    fir = (ridge(rng, size[1], 60) * 0.5 + 0.5) * np.abs((np.arange(size[1]) % 17) / 8.5 - 1)
    forest_mask = below(size, np.asarray(horizon - 8 - 34 * fir, np.float32))
    firs = mottle(rng, size, hsv(160, 0.4, 0.2), hsv(150, 0.3, 0.42), 8)
    picture = blend(picture, firs, forest_mask)
    field = mottle(rng, (420, 420), hsv(214, 0.14, 0.78), (246, 247, 250), 60)
    return blend(picture, perspective_floor(field, size, horizon), below(size, float(horizon)))


def sports_hall(rng: np.random.Generator, size: Size, horizon: int) -> Picture:
    """Rows of empty seats behind a court with lines."""
    hue = rng.uniform(0, 360)
    picture = mottle(rng, size, hsv(220, 0.1, 0.32), hsv(220, 0.1, 0.42), 60)
    for row, y in enumerate(range(14, horizon - 30, 15)):
        cv2.rectangle(picture, (0, y + 9), (size[1], y + 12), (128, 130, 136), -1)
        for x in range((row % 2) * 6 - 6, size[1], 13):
            seat = hsv(hue, 0.4, rng.uniform(0.45, 0.68))
            cv2.rectangle(picture, (x, y), (x + 9, y + 8), seat, -1)
    board = mottle(rng, size, hsv(hue + 30, 0.3, 0.62), hsv(hue + 30, 0.25, 0.74), 50)
    picture = blend(picture, board, below(size, horizon - 24.0))
    court = mottle(rng, (420, 420), hsv(hue + 180, 0.3, 0.52), hsv(hue + 180, 0.26, 0.6), 80)
    for column in range(30, 420, 180):
        cv2.line(court, (column, 0), (column, 420), (236, 236, 230), 4)
    for line in (96, 240):
        cv2.line(court, (0, line), (420, line), (236, 236, 230), 3)
    return blend(picture, perspective_floor(court, size, horizon), below(size, float(horizon)))


def lakeside(rng: np.random.Generator, size: Size, horizon: int) -> Picture:
    """A lake under autumn trees, with a wooden deck in front."""
    shore = horizon - 40
    picture = sky(rng, size, shore, hsv(220, 0.25, 0.78), hsv(40, 0.12, 0.95), 0.6)
    picture = hills(rng, picture, shore, 44, hsv(215, 0.2, 0.6))
    picture = tree_line(rng, picture, shore + 2, 40, rng.uniform(38, 62), 2.8)
    mirror = np.ascontiguousarray(picture[2 * shore - horizon : shore][::-1])
    ripple = fractal(rng, (mirror.shape[0], size[1]), 5, octaves=2, stretch=10)
    picture[shore:horizon] = blend(mirror, hsv(210, 0.25, 0.5), 0.25 + 0.4 * ripple)
    deck = perspective_floor(planks(rng, (420, 420), 34, hsv(28, 0.25, 0.56)), size, horizon)
    return blend(picture, deck, below(size, float(horizon)))


PLACES = (
    Place(meadow, True),
    Place(brick_wall, False),
    Place(gym, False),
    Place(beach, True, (1.06, 1.04, 1.0)),
    Place(street, False),
    Place(forest, False, (0.92, 0.96, 0.88)),
    Place(desert, True, (1.04, 0.94, 0.86)),
    Place(garden, True),
    Place(living_room, False, (1.0, 0.97, 0.92)),
    Place(snow, True, (1.0, 1.02, 1.06)),
    Place(sports_hall, False),
    Place(lakeside, True, (0.98, 0.95, 0.9)),
)

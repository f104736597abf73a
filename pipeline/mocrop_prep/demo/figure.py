"""A jointed figure: limb lengths, poses, and the shapes that a pose is drawn with.

Lengths are in body heights; points are (x, y), x to the front or right, y up from the ground.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mocrop_prep.demo.textures import Colour

Point = tuple[float, float]

HEAD, NECK = 0.078, 0.115
"""Radius of the head, and how far its centre lies beyond the shoulders."""


@dataclass(frozen=True, slots=True)
class Body:
    """Limb lengths and girth of one person."""

    thigh: float = 0.25
    shin: float = 0.24
    torso: float = 0.29
    upper_arm: float = 0.165
    forearm: float = 0.165
    girth: float = 1.0

    @property
    def leg(self) -> float:
        """Length of the stretched leg."""
        return self.thigh + self.shin

    @property
    def arm(self) -> float:
        """Length of the stretched arm."""
        return self.upper_arm + self.forearm


@dataclass(frozen=True, slots=True)
class Pose:
    """Where the ends of a body are; elbows and knees follow from the limb lengths.

    Limbs are given far side first. `lean` is the torso's angle in degrees from upright towards +x (180 is
    upside down), `turn` is 1 for a body seen from the front and 0 from the side, `elbows` and `knees` say
    to which side each joint bends (+1 or -1), `toes` are the directions of the feet.
    """

    hip: Point
    lean: float
    turn: float
    hands: tuple[Point, Point]
    feet: tuple[Point, Point]
    elbows: tuple[float, float]
    knees: tuple[float, float]
    toes: tuple[Point, Point]
    nod: float = 0.0


@dataclass(frozen=True, slots=True)
class Blob:
    """A filled shape: the convex hull of discs, in one ink."""

    centres: tuple[Point, ...]
    radii: tuple[float, ...]
    ink: str


@dataclass(frozen=True, slots=True)
class Part:
    """Blobs that share an outline: one limb, or the torso."""

    blobs: tuple[Blob, ...]


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line through points: a rope, a bar, a rim."""

    points: tuple[Point, ...]
    width: float
    ink: str


Shape = Part | Stroke
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Outfit:
    """The colours of a person and of what they handle, by ink."""

    colours: dict[str, Colour]
    long_sleeves: bool
    long_trousers: bool


def polar(origin: Point, degrees: float, length: float) -> Point:
    """Return the point `length` away from `origin`, at an angle from straight up towards +x."""
    angle = math.radians(degrees)
    return origin[0] + length * math.sin(angle), origin[1] + length * math.cos(angle)


def bend(root: Point, end: Point, upper: float, lower: float, side: float) -> tuple[Point, Point]:
    """Return the middle joint and the end of a two-bone limb that reaches from `root` for `end`.

    An end out of reach is pulled back to the stretched limb. `side` is +1 or -1: the joint lies to the left
    or to the right of the line from root to end.
    """
    dx, dy = end[0] - root[0], end[1] - root[1]
    distance = max(math.hypot(dx, dy), 1e-6)
    reach = min(max(distance, abs(upper - lower) + 1e-3), upper + lower - 1e-4)
    dx, dy = dx / distance, dy / distance
    along = (upper**2 - lower**2 + reach**2) / (2 * reach)
    across = side * math.sqrt(max(upper**2 - along**2, 0.0))
    middle = (root[0] + dx * along - dy * across, root[1] + dy * along + dx * across)
    return middle, (root[0] + dx * reach, root[1] + dy * reach)


def shoulders(pose: Pose, body: Body) -> tuple[Point, Point]:
    """Return the shoulder joints of a pose, far side first."""
    neck = polar(pose.hip, pose.lean, body.torso)
    half = pose.turn * 0.1 * body.girth
    return polar(neck, pose.lean - 90, half), polar(neck, pose.lean + 90, half)


def limb(joints: Sequence[Point], radii: Sequence[float], inks: Sequence[str]) -> tuple[Blob, ...]:
    """Return a chain of tapered bones through joints."""
    return tuple(
        Blob((joints[i], joints[i + 1]), (radii[i], radii[i + 1]), ink) for i, ink in enumerate(inks)
    )


def head(pose: Pose, body: Body) -> Part:
    """Return the head with hair at the back (from the side) or on top (from the front)."""
    neck = polar(pose.hip, pose.lean, body.torso)
    up = pose.lean + pose.nod
    centre = polar(neck, up, NECK)
    face = polar(polar(centre, up, -0.014), up + 90, 0.016 * (1 - pose.turn))
    return Part(
        (
            Blob((neck, centre), (0.036, 0.036), "skin"),
            Blob((polar(centre, up, 0.006),), (HEAD,), "hair"),
            Blob((face, polar(face, up, -0.02)), (HEAD * 0.83, HEAD * 0.6), "skin"),
        )
    )


def arm(pose: Pose, body: Body, outfit: Outfit, side: int) -> Part:
    """Return one arm with its hand."""
    shoulder = shoulders(pose, body)[side]
    elbow, hand = bend(shoulder, pose.hands[side], body.upper_arm, body.forearm, pose.elbows[side])
    g = body.girth
    sleeve = "shirt" if outfit.long_sleeves else "skin"
    bones = limb((shoulder, elbow, hand), (0.036 * g, 0.029 * g, 0.022 * g), ("shirt", sleeve))
    return Part((*bones, Blob((hand,), (0.029,), "skin")))


def leg(pose: Pose, body: Body, outfit: Outfit, side: int) -> Part:
    """Return one leg with its shoe."""
    half = pose.turn * 0.052 * body.girth * (1 if side else -1)
    hip = polar(pose.hip, pose.lean + 90, half)
    knee, ankle = bend(hip, pose.feet[side], body.thigh, body.shin, pose.knees[side])
    g = body.girth
    lower = "trousers" if outfit.long_trousers else "skin"
    bones = limb((hip, knee, ankle), (0.058 * g, 0.043 * g, 0.03 * g), ("trousers", lower))
    toe = (ankle[0] + 0.062 * pose.toes[side][0], ankle[1] + 0.062 * pose.toes[side][1])
    return Part((*bones, Blob((ankle, toe), (0.031, 0.024), "shoes")))


def trunk(pose: Pose, body: Body) -> Part:
    """Return shirt and hips."""
    left, right = shoulders(pose, body)
    g = body.girth
    waist = polar(pose.hip, pose.lean, 0.03)
    half = pose.turn * 0.045 * g
    hips = polar(waist, pose.lean - 90, half), polar(waist, pose.lean + 90, half)
    side = 0.05 if pose.turn > 0.5 else 0.06
    return Part(
        (
            Blob((*hips, polar(pose.hip, pose.lean, -0.01)), (0.056 * g, 0.056 * g, 0.06 * g), "trousers"),
            Blob(
                (polar(left, pose.lean, -0.02), polar(right, pose.lean, -0.02), *hips),
                (side * g, side * g, 0.055 * g, 0.055 * g),
                "shirt",
            ),
        )
    )


def figure(pose: Pose, body: Body, outfit: Outfit) -> tuple[Part, ...]:
    """Return a person's parts from back to front."""
    return (
        arm(pose, body, outfit, 0),
        leg(pose, body, outfit, 0),
        leg(pose, body, outfit, 1),
        trunk(pose, body),
        head(pose, body),
        arm(pose, body, outfit, 1),
    )


def mirrored(shape: Shape) -> Shape:
    """Return a shape as seen in a mirror at x = 0."""
    if isinstance(shape, Stroke):
        return replace(shape, points=tuple((-x, y) for x, y in shape.points))
    blobs = (replace(blob, centres=tuple((-x, y) for x, y in blob.centres)) for blob in shape.blobs)
    return Part(tuple(blobs))


def extent(shapes: Sequence[Shape]) -> Box:
    """Return the box (left, low, right, high) around shapes."""
    discs = [disc for shape in shapes for disc in _discs(shape)]
    return (
        min(x - radius for x, _, radius in discs),
        min(y - radius for _, y, radius in discs),
        max(x + radius for x, _, radius in discs),
        max(y + radius for _, y, radius in discs),
    )


def _discs(shape: Shape) -> Iterator[tuple[float, float, float]]:
    if isinstance(shape, Stroke):
        yield from ((x, y, shape.width / 2) for x, y in shape.points)
        return
    for blob in shape.blobs:
        yield from ((x, y, radius) for (x, y), radius in zip(blob.centres, blob.radii, strict=True))

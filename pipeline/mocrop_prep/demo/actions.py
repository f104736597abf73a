"""The classes of the demo set: for each action a pose for every phase, the props, and the path it takes.

A phase of 0.25 is a quarter through the first cycle. Lengths are in body heights (see `figure`).
The classes differ by pose and prop; one that differs by motion alone shares its pose with another and has a
path or a period of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from mocrop_prep.demo.figure import Blob, Body, Part, Point, Pose, Shape, Stroke, polar

Props = tuple[tuple[Shape, ...], tuple[Shape, ...]]
"""Shapes behind the body and shapes in front of it."""

TO_THE_SIDES: tuple[Point, Point] = ((-0.55, -0.3), (0.55, -0.3))
FORWARD: tuple[Point, Point] = ((1.0, -0.1), (1.0, -0.1))
ANKLE = 0.045
"""Height of the ankle above the sole."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Where a movement is: its phase in cycles, whose it is, and what share of it is carried out."""

    phase: float
    body: Body
    effort: float


def no_props(_moment: Moment) -> Props:
    """Return nothing to draw beside the body."""
    return (), ()


def on_the_spot(_seconds: float) -> Point:
    """Return the path of an action that stays where it is."""
    return 0.0, 0.0


@dataclass(frozen=True, slots=True)
class Action:
    """One class: poses and props through a cycle of `period` seconds, and the way covered after some."""

    name: str
    period: float
    pose: Callable[[Moment], Pose]
    props: Callable[[Moment], Props] = no_props
    path: Callable[[float], Point] = on_the_spot


def swing(phase: float) -> float:
    """Return a smooth movement from 0 at phase 0 to 1 at phase 0.5 and back."""
    return 0.5 - 0.5 * math.cos(2 * math.pi * phase)


def wave(phase: float, shift: float = 0.0) -> float:
    """Return the sine of a phase shifted by a share of the cycle."""
    return math.sin(2 * math.pi * (phase + shift))


def lerp(start: float, stop: float, share: float) -> float:
    """Return the value between two others."""
    return start + (stop - start) * share


def jumping_jack(moment: Moment) -> Pose:
    """Arms and legs together, then spread, seen from the front."""
    body = moment.body
    open_ = swing(moment.phase) ** 0.6 * moment.effort
    spread = lerp(0.07, 0.3, open_)
    hop = 0.05 * abs(wave(moment.phase))
    hip = (0.0, ANKLE + hop + math.sqrt((0.99 * body.leg) ** 2 - (spread - 0.05) ** 2))
    neck = polar(hip, 0, body.torso)
    angle = lerp(162, 18, open_)
    left, right = ((neck[0] + side * 0.1 * body.girth, neck[1]) for side in (-1, 1))
    return Pose(
        hip=hip,
        lean=0,
        turn=1,
        hands=(polar(left, -angle, 0.97 * body.arm), polar(right, angle, 0.97 * body.arm)),
        feet=((-spread, ANKLE + hop), (spread, ANKLE + hop)),
        elbows=(-1, 1),
        knees=(-1, 1),
        toes=TO_THE_SIDES,
    )


def push_up(moment: Moment) -> Pose:
    """A straight body on hands and toes that sinks and rises, seen from the side."""
    body = moment.body
    down = swing(moment.phase) * moment.effort
    straight = body.leg + body.torso
    high = math.degrees(math.asin((0.97 * body.arm + 0.03 - ANKLE) / straight))
    slope = lerp(high, 0.18 * high, down)
    start = -0.5 * straight
    feet = (start, ANKLE + 0.015)
    hip = polar(feet, 90 - slope, 0.995 * body.leg)
    reach = start + straight * math.cos(math.radians(0.6 * high))
    return Pose(
        hip=hip,
        lean=90 - slope,
        turn=0.12,
        hands=((reach + 0.02, 0.03), (reach, 0.03)),
        feet=(feet, (feet[0] - 0.015, feet[1])),
        elbows=(-1, -1),
        knees=(-1, -1),
        toes=((0.3, -1.0), (0.3, -1.0)),
        nod=-22,
    )


def handstand(moment: Moment) -> Pose:
    """Upside down on the hands, with legs that scissor, seen from the side."""
    body = moment.body
    sway = wave(moment.phase) * moment.effort
    shoulder = 0.98 * body.arm + 0.04
    hip = polar((0.02 * sway, shoulder), 5 * sway, body.torso)
    split = 14 + 34 * sway
    steps = tuple(max(0.0, wave(moment.phase, shift)) * 0.05 for shift in (0.0, 0.5))
    return Pose(
        hip=hip,
        lean=180 + 5 * sway,
        turn=0.35,
        hands=((0.09, 0.03 + steps[0]), (-0.07, 0.03 + steps[1])),
        feet=(polar(hip, split, 0.95 * body.leg), polar(hip, 8 - split, 0.93 * body.leg)),
        elbows=(1, 1),
        knees=(-1, -1),
        toes=((0.25, 1.0), (0.25, 1.0)),
        nod=-12,
    )


CRANK: Point = (0.03, 0.19)
SADDLE: Point = (-0.12, 0.54)
BARS: Point = (0.33, 0.58)
WHEEL = 0.185
AXLES: tuple[Point, Point] = ((-0.29, WHEEL), (0.36, WHEEL))
RIDE = 0.5
"""Speed of the bicycle in body heights per second."""


def crank_ends(phase: float) -> tuple[Point, Point]:
    """Return where the two pedals are."""
    return polar(CRANK, 360 * phase, 0.09), polar(CRANK, 360 * phase + 180, 0.09)


def ride(moment: Moment) -> Pose:
    """Sitting on a bicycle, legs turning the pedals, seen from the side."""
    pedals = [(x, y + 0.035) for x, y in crank_ends(moment.phase)]
    hip = (SADDLE[0], SADDLE[1] + 0.035 + 0.008 * wave(2 * moment.phase))
    return Pose(
        hip=hip,
        lean=36 * moment.effort,
        turn=0.12,
        hands=(BARS, BARS),
        feet=(pedals[0], pedals[1]),
        elbows=(-1, -1),
        knees=(1, 1),
        toes=FORWARD,
        nod=-24,
    )


def bicycle(moment: Moment) -> Props:
    """Return wheels with spokes, frame, and the crank that turns with the pedals."""
    wheels: list[Shape] = []
    for axle in AXLES:
        wheels.append(Stroke(ring(axle, WHEEL, WHEEL), 0.03, "dark"))
        for spoke in range(4):
            angle = 45 * spoke + 150 * moment.phase
            wheels.append(
                Stroke((polar(axle, angle, WHEEL), polar(axle, angle + 180, WHEEL)), 0.008, "metal")
            )
    head_tube = (0.27, 0.49)
    frame = (
        Stroke((AXLES[0], CRANK, SADDLE, AXLES[0]), 0.028, "gear"),
        Stroke((CRANK, head_tube, (-0.09, 0.46)), 0.028, "gear"),
        Stroke((AXLES[1], head_tube, (0.25, 0.57), BARS), 0.028, "metal"),
        Stroke(((-0.19, 0.545), (-0.05, 0.545)), 0.04, "dark"),
    )
    return (*wheels, *frame), (Stroke(crank_ends(moment.phase), 0.025, "metal"),)


BAR = 1.34
"""Height of the bar for pull-ups."""


def pull_up(moment: Moment) -> Pose:
    """Hanging from a bar with both hands, pulled up and let down, seen from the front."""
    body = moment.body
    up = swing(moment.phase) * moment.effort
    shoulder = BAR - lerp(0.985 * body.arm, 0.1, up)
    hip = (0.0, shoulder - body.torso)
    foot = hip[1] - 0.94 * body.leg
    return Pose(
        hip=hip,
        lean=0,
        turn=1,
        hands=((-0.19, BAR), (0.19, BAR)),
        feet=((-0.05, foot), (0.05, foot + 0.03)),
        elbows=(1, -1),
        knees=(-1, 1),
        toes=((-0.25, -1.0), (0.25, -1.0)),
    )


def bar(_moment: Moment) -> Props:
    """Return a bar on two posts."""
    posts = tuple(Stroke(((x, 0.0), (x, BAR + 0.03)), 0.045, "metal") for x in (-0.46, 0.46))
    return (*posts, Stroke(((-0.46, BAR), (0.46, BAR)), 0.035, "metal")), ()


MAT = 0.27
"""Height of the trampoline's mat."""


def bounce(moment: Moment) -> Pose:
    """Jumping high on a trampoline: stretched on the way, knees drawn up at the top, from the front."""
    body = moment.body
    flight = 4 * (moment.phase % 1) * (1 - moment.phase % 1) * moment.effort
    tuck = flight**3
    foot = MAT + ANKLE + 0.42 * flight + 0.16 * tuck
    hip = (0.0, MAT + ANKLE + lerp(0.86, 0.97, flight) * body.leg + 0.42 * flight)
    neck = polar(hip, 0, body.torso)
    angle = lerp(140, 60, flight)
    apart = lerp(0.07, 0.17, tuck)
    return Pose(
        hip=hip,
        lean=0,
        turn=1,
        hands=(polar(neck, -angle, 1.2 * body.arm), polar(neck, angle, 1.2 * body.arm)),
        feet=((-apart, foot), (apart, foot)),
        elbows=(-1, 1),
        knees=(-1, 1),
        toes=TO_THE_SIDES,
    )


def trampoline(_moment: Moment) -> Props:
    """Return a round trampoline: legs, the mat, and its rim, which hides nothing of the jumper."""
    legs = tuple(Stroke(((0.9 * x, 0.0), (x, MAT)), 0.035, "metal") for x in (-0.5, -0.2, 0.2, 0.5))
    rim = ring((0.0, MAT), 0.58, 0.085)
    mat = Part((Blob(rim, (0.001,) * len(rim), "dark"),))
    return (*legs, mat, Stroke(rim, 0.05, "gear")), ()


def ring(centre: Point, across: float, high: float) -> tuple[Point, ...]:
    """Return 25 points around an ellipse, the first and the last on its right."""
    return tuple(
        (centre[0] + across * math.cos(math.pi * k / 12), centre[1] + high * math.sin(math.pi * k / 12))
        for k in range(25)
    )


def walk(moment: Moment) -> Pose:
    """Walking, seen from the side: not a class, but what passers-by do."""
    body = moment.body
    hip = (0.0, ANKLE + 0.97 * body.leg)
    stride = [26 * moment.effort * wave(moment.phase, shift) for shift in (0.0, 0.5)]
    neck = polar(hip, 3, body.torso)
    lifts = [max(0.0, wave(moment.phase, shift)) for shift in (0.25, 0.75)]
    feet = [
        polar(hip, 180 - angle, (0.97 - 0.08 * lift) * body.leg)
        for angle, lift in zip(stride, lifts, strict=True)
    ]
    hands = [polar(neck, 180 + 0.8 * angle, 0.95 * body.arm) for angle in stride]
    return Pose(
        hip=hip,
        lean=3,
        turn=0.15,
        hands=(hands[0], hands[1]),
        feet=(feet[0], feet[1]),
        elbows=(1, 1),
        knees=(1, 1),
        toes=FORWARD,
    )


ACTIONS = (
    Action("Biking", 0.9, ride, bicycle, lambda seconds: (RIDE * seconds, 0.0)),
    Action("HandstandWalking", 0.9, handstand, path=lambda seconds: (0.12 * seconds, 0.0)),
    Action("JumpingJack", 1.0, jumping_jack),
    Action("PullUps", 1.15, pull_up, bar),
    Action("PushUps", 1.05, push_up),
    Action("TrampolineJumping", 0.95, bounce, trampoline),
)

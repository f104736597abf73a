"""Motion as arrows: where the content goes from one frame to the next, few enough to be looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocrop_prep.vectors import Vectors

MOST_ARROWS = 400
"""More than this many arrows on a picture the size of a card are a carpet."""
STRETCH = 2
"""Arrows are this much longer than the motion: from one frame to the next it is a few pixels."""
_STILL = 1.0  # pixels: shorter moves are the coder's noise as often as motion, and too short to see
_HEAD = 0.014  # of the picture's long side
_BARB = math.radians(152)


@dataclass(frozen=True, slots=True)
class Flow:
    """Motion at some places of a picture.

    `points` (n, 2) are x, y in pixels, `moves` (n, 2) the displacement of the content there, to the next
    frame, in pixels; both float64.
    """

    points: NDArray[np.float64]
    moves: NDArray[np.float64]

    def joined(self, other: Flow) -> Flow:
        """Return the motion at the places of both."""
        return Flow(np.concatenate([self.points, other.points]), np.concatenate([self.moves, other.moves]))


NO_FLOW = Flow(np.zeros((0, 2)), np.zeros((0, 2)))


def flow_of(vectors: Vectors, frame: int) -> Flow:
    """Return the motion into a frame, at the centres of its blocks.

    libavcodec's vectors point from a block to where its content comes from: it goes the other way, unless
    that is in a later frame.
    """
    of = vectors.frame == frame
    points = np.stack([vectors.dst_x[of], vectors.dst_y[of]], axis=1).astype(np.float64)
    back = np.stack([vectors.motion_x[of], vectors.motion_y[of]], axis=1) / vectors.scale[of][:, None]
    return Flow(points, np.where(vectors.source[of] > 0, 1, -1)[:, None] * back)


def moving(flow: Flow) -> NDArray[np.bool_]:
    """Say which moves are a pixel or longer: of these there are arrows."""
    longer: NDArray[np.bool_] = np.hypot(*flow.moves.T) >= _STILL
    return longer


def thinned(flow: Flow, width: int, height: int, most: int = MOST_ARROWS) -> Flow:
    """Return at most `most` of the moves that are no noise, spread over a picture of width x height pixels.

    Each cell of a lattice keeps the one move that is nearest to the mean of the cell: no outlier, and none
    that the video does not hold.
    """
    chosen = moving(flow)
    points, moves = flow.points[chosen], flow.moves[chosen]
    if len(points) <= most:
        return Flow(points, moves)
    columns = min(most, max(1, int(math.sqrt(most * width / height))))
    rows = max(1, most // columns)
    places = np.clip(points / (width, height) * (columns, rows), 0, (columns - 1, rows - 1)).astype(np.int64)
    cells = places[:, 1] * columns + places[:, 0]
    counts = np.maximum(np.bincount(cells), 1)
    means = np.stack([np.bincount(cells, weights=moves[:, side]) / counts for side in (0, 1)], axis=1)
    order = np.lexsort((((moves - means[cells]) ** 2).sum(axis=1), cells))
    first = order[np.unique(cells[order], return_index=True)[1]]
    return Flow(points[first], moves[first])


def arrow_path(flow: Flow, width: int, height: int) -> str:
    """Return the arrows as one SVG path in the pixels of the picture: shafts and heads, to be stroked."""
    shafts = flow.moves * STRETCH
    lengths = np.hypot(*shafts.T)
    heads = np.minimum(_HEAD * max(width, height), 0.6 * lengths)
    angles = np.arctan2(shafts[:, 1], shafts[:, 0])
    barbs = [
        np.stack([heads * np.cos(angles + turn), heads * np.sin(angles + turn)], axis=1)
        for turn in (_BARB, -_BARB)
    ]
    # from the tail to the tip, out to one barb, and over the tip to the other
    lines = np.concatenate([flow.points, shafts, barbs[0], -barbs[0], barbs[1]], axis=1)
    lines = np.round(lines, 1) + 0.0  # no negative zeros
    return "".join(
        f"M{x} {y}l{' '.join(steps)}"
        for x, y, *steps in ([f"{number:g}" for number in line] for line in lines)
    )

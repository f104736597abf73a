"""How much of an actor is inside a crop, box by box and frame by frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mocrop_prep.evaluation.annotations import Annotation
from mocrop_prep.geometry import Box


def share_inside(boxes: NDArray[np.float64], crop: Box) -> NDArray[np.float64]:
    """Return the share, 0 to 1, of each box's area that lies inside the crop.

    `boxes` is (boxes, 4): left, top, width, height in pixels, of sizes above 0.
    """
    left, top, width, height = boxes.T
    across = np.minimum(left + width, crop.x + crop.w) - np.maximum(left, crop.x)
    down = np.minimum(top + height, crop.y + crop.h) - np.maximum(top, crop.y)
    shares: NDArray[np.float64] = np.clip(across, 0, width) * np.clip(down, 0, height) / (width * height)
    return shares


def frame_shares(annotation: Annotation, crop: Box) -> NDArray[np.float64]:
    """Return one share for each annotated frame, in the order of time: the mean over the frame's boxes."""
    _, places, actors = np.unique(annotation.frames, return_inverse=True, return_counts=True)
    shares: NDArray[np.float64] = (
        np.bincount(places, weights=share_inside(annotation.boxes, crop), minlength=len(actors)) / actors
    )
    return shares

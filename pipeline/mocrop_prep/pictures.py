"""A planar picture and a crop -> JPEG: cut before the colour conversion, then scale and encode."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mocrop_prep.geometry import Box


class Planes(NamedTuple):
    """A picture as yuv420p, BT.601 limited range: uint8 arrays (height, width) and two of half the sides."""

    luma: NDArray[np.uint8]
    blue: NDArray[np.uint8]
    red: NDArray[np.uint8]


def crop_bgr(picture: Planes, box: Box) -> NDArray[np.uint8]:
    """Return the box of a picture as (h, w, 3) BGR uint8.

    Equal to converting the whole picture and then cutting: the planes are cut on even pixels around the box,
    since a chroma sample belongs to two pixels each way.
    """
    height, width = picture.luma.shape
    left, top = box.x // 2, box.y // 2  # in chroma samples, as all here
    right, bottom = min(width // 2, (box.x + box.w + 1) // 2), min(height // 2, (box.y + box.h + 1) // 2)
    wide, high = right - left, bottom - top
    packed = np.empty((high * 3, wide * 2), np.uint8)
    packed[: high * 2] = picture.luma[top * 2 : bottom * 2, left * 2 : right * 2]
    chroma = packed[high * 2 :].reshape(2, high, wide)
    for place, plane in zip(chroma, (picture.blue, picture.red), strict=True):
        place[:] = plane[top:bottom, left:right]
    bgr = cv2.cvtColor(packed, cv2.COLOR_YUV2BGR_I420)
    return np.asarray(bgr[box.y - top * 2 :, box.x - left * 2 :][: box.h, : box.w], np.uint8)


def target_size(box: Box, size: int, aspect: str) -> tuple[int, int]:
    """Return (width, height) of the stored frame: a square, or the crop's shape with short side `size`."""
    if aspect == "squash":
        return size, size
    scale = size / min(box.w, box.h)
    return max(size, round(box.w * scale)), max(size, round(box.h * scale))


def render_jpeg(picture: Planes, box: Box, *, size: int, aspect: str, quality: int) -> bytes:
    """Return the crop of a picture as a JPEG file."""
    # Intel's IPP, where OpenCV has it, rounds differently from one processor to the next; the switch is a
    # thread's own
    cv2.ipp.setUseIPP(False)
    scaled = scale(crop_bgr(picture, box), *target_size(box, size, aspect))
    return cv2.imencode(".jpg", scaled, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def scale(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return a (h, w, 3) uint8 picture in another size: sides that shrink are averaged, the others cubic."""
    shrunk = (min(width, picture.shape[1]), min(height, picture.shape[0]))
    for size, interpolation in ((shrunk, cv2.INTER_AREA), ((width, height), cv2.INTER_CUBIC)):
        if size != (picture.shape[1], picture.shape[0]):
            picture = np.asarray(cv2.resize(picture, size, interpolation=interpolation), np.uint8)
    return picture

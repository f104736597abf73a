"""Crops of planar pictures: the same pixels as a conversion of the whole, the same bytes on every machine."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mocrop_prep.geometry import Box
from mocrop_prep.pictures import Planes, crop_bgr, render_jpeg, target_size
from numpy.typing import NDArray
from PIL import Image


def noise(width: int, height: int, seed: int = 0) -> Planes:
    rng = np.random.default_rng(seed)
    half = (height // 2, width // 2)
    return Planes(*(rng.integers(0, 256, size, dtype=np.uint8) for size in ((height, width), half, half)))


def whole_bgr(picture: Planes) -> NDArray[np.uint8]:
    packed = np.concatenate([plane.reshape(-1) for plane in picture])
    planar = packed.reshape(-1, picture.luma.shape[1])
    return np.asarray(cv2.cvtColor(planar, cv2.COLOR_YUV2BGR_I420), np.uint8)


def scene(width: int, height: int) -> Planes:
    """Slow waves: brightness and colour change over the picture as they do in a photograph."""
    y, x = np.mgrid[0:height, 0:width]
    luma = 125 + 60 * np.sin(x / 19) * np.cos(y / 23)
    cy, cx = np.mgrid[0 : height // 2, 0 : width // 2]
    chroma = [128 + 30 * np.sin(cx / 31 + 1), 128 + 30 * np.cos(cy / 17)]
    return Planes(*(np.rint(plane).astype(np.uint8) for plane in (luma, *chroma)))


def flat(width: int, height: int, yuv: tuple[int, int, int]) -> Planes:
    sizes = ((height, width), (height // 2, width // 2), (height // 2, width // 2))
    return Planes(*(np.full(size, value, np.uint8) for size, value in zip(sizes, yuv, strict=True)))


def decoded(jpeg: bytes) -> NDArray[np.int64]:
    image = Image.open(io.BytesIO(jpeg))
    assert (image.format, image.mode) == ("JPEG", "RGB")
    return np.asarray(image, np.int64)


@settings(max_examples=300)
@given(st.data(), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_a_crop_equals_converting_the_whole_picture_and_cutting(
    data: st.DataObject, half_width: int, half_height: int, seed: int
) -> None:
    width, height = 2 * half_width, 2 * half_height
    picture = noise(width, height, seed)
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    box = Box(x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    whole = whole_bgr(picture)
    cut = crop_bgr(picture, box)
    assert cut.dtype == np.uint8
    assert np.array_equal(cut, whole[box.y : box.y + box.h, box.x : box.x + box.w])


@pytest.mark.parametrize("box", [Box(0, 0, 1280, 720), Box(107, 33, 1101, 601), Box(200, 100, 640, 480)])
def test_large_crops_are_exact_too(box: Box) -> None:
    picture = noise(1280, 720)
    whole = whole_bgr(picture)
    assert np.array_equal(crop_bgr(picture, box), whole[box.y :, box.x :][: box.h, : box.w])


@pytest.mark.parametrize(
    ("yuv", "rgb"),
    [
        ((81, 90, 240), (255, 0, 0)),
        ((145, 54, 34), (0, 255, 0)),
        ((41, 240, 110), (0, 0, 255)),
        ((16, 128, 128), (0, 0, 0)),
        ((235, 128, 128), (255, 255, 255)),
    ],
)
def test_colours_are_those_of_bt601_in_limited_range(
    yuv: tuple[int, int, int], rgb: tuple[int, int, int]
) -> None:
    jpeg = render_jpeg(flat(64, 48, yuv), Box(3, 5, 41, 31), size=32, aspect="squash", quality=95)
    assert np.abs(decoded(jpeg) - rgb).max() <= 4


@settings(max_examples=200)
@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(8, 4096))
def test_keep_makes_the_short_side_the_size_and_keeps_the_shape(w: int, h: int, size: int) -> None:
    box = Box(0, 0, w, h)
    assert target_size(box, size, "squash") == (size, size)
    width, height = target_size(box, size, "keep")
    assert min(width, height) == size
    assert abs(max(width, height) - max(w, h) * size / min(w, h)) <= 0.5 + 1e-6


@pytest.mark.parametrize("aspect", ["squash", "keep"])
@pytest.mark.parametrize(
    "box", [Box(0, 0, 320, 240), Box(40, 0, 240, 240), Box(33, 21, 201, 177), Box(7, 9, 50, 91)]
)
@pytest.mark.parametrize("size", [48, 192, 224])
def test_a_frame_is_stored_in_its_size_and_close_to_its_source(aspect: str, box: Box, size: int) -> None:
    picture = scene(320, 240)
    stored = decoded(render_jpeg(picture, box, size=size, aspect=aspect, quality=95))
    assert (stored.shape[1], stored.shape[0]) == target_size(box, size, aspect)
    # PIL's resampling is not OpenCV's: it says where every part of the picture has to be
    rgb = whole_bgr(picture)[box.y : box.y + box.h, box.x : box.x + box.w, ::-1]
    wanted = np.asarray(
        Image.fromarray(rgb).resize((stored.shape[1], stored.shape[0]), Image.Resampling.BICUBIC), np.int64
    )
    mean_square = float(np.mean((stored - wanted) ** 2))
    assert 10 * np.log10(255**2 / max(mean_square, 1e-9)) > 38  # dB


def test_shrinking_averages_over_all_pixels() -> None:
    picture = noise(256, 256)
    picture.blue[:] = picture.red[:] = 128  # no colour
    box = Box(0, 0, 256, 256)
    whole = decoded(render_jpeg(picture, box, size=256, aspect="squash", quality=100))
    small = decoded(render_jpeg(picture, box, size=64, aspect="squash", quality=100))
    # the mean of 16 independent pixels; bicubic sampling would leave 0.7 of the deviation, not 0.25
    assert float(small.std() / whole.std()) == pytest.approx(0.25, abs=0.03)


def test_enlarging_makes_no_steps() -> None:
    picture = flat(64, 64, (0, 128, 128))
    picture.luma[:] = 16 + 3 * np.arange(64, dtype=np.uint8)
    stored = decoded(render_jpeg(picture, Box(0, 0, 64, 64), size=448, aspect="squash", quality=100))
    assert np.abs(np.diff(stored[:, 20:-20, 1], axis=1)).max() <= 2  # a pixel of the source is 3.5 levels


def test_quality_decides_the_size_of_the_file() -> None:
    picture, box = scene(320, 240), Box(0, 0, 320, 240)
    sizes = [len(render_jpeg(picture, box, size=224, aspect="squash", quality=q)) for q in (1, 50, 95, 100)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 4


RENDERED = """
import hashlib
import cv2, numpy as np
from mocrop_prep.geometry import Box
from mocrop_prep.pictures import Planes, render_jpeg
for seed in range(3):
    rng = np.random.default_rng(seed)
    sizes = (240, 320), (120, 160), (120, 160)
    picture = Planes(*(rng.integers(0, 256, size, dtype=np.uint8) for size in sizes))
    for box in (Box(0, 0, 320, 240), Box(40, 0, 240, 240), Box(33, 21, 201, 177)):
        for size in (100, 192, 224):
            for aspect in ("squash", "keep"):
                jpeg = render_jpeg(picture, box, size=size, aspect=aspect, quality=95)
                print(hashlib.sha256(jpeg).hexdigest())
"""


def rendered(environment: dict[str, str]) -> list[str]:
    """Checksums of JPEGs that a new process makes."""
    done = subprocess.run(
        [sys.executable, "-c", RENDERED],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.fixture(scope="module")
def bytes_here() -> list[str]:
    return rendered({})


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,FMA3"},
        {"OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,FMA3,FP16,AVX,SSE4.2,SSE4.1", "JSIMD_FORCENONE": "1"},
        {"OPENCV_IPP": "avx2"},
        {"OPENCV_IPP": "disabled"},
    ],
    ids=["the same machine", "no AVX2", "no SIMD beyond SSE3", "IPP for AVX2", "no IPP"],
)
def test_the_bytes_do_not_depend_on_the_processor(bytes_here: list[str], environment: dict[str, str]) -> None:
    assert rendered(environment) == bytes_here


def test_the_bytes_do_not_depend_on_the_number_of_threads() -> None:
    picture, box = noise(1280, 720), Box(101, 33, 1001, 601)
    before = cv2.getNumThreads()
    try:
        jpegs = set()
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            jpegs.add(render_jpeg(picture, box, size=500, aspect="keep", quality=95))
    finally:
        cv2.setNumThreads(before)
    assert len(jpegs) == 1

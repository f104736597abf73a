"""Whatever comes in, plain H.264 goes out: upright, whole, in the right colours, at the right times."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import av.logging
import cv2
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.video.frame import PictureType, VideoFrame
from mocrop_prep.config import TranscodeSettings
from mocrop_prep.stages.transcode import transcode_clip
from mocrop_prep.video import index_stream
from numpy.typing import NDArray

from tests.films import (
    DVD,
    HEIGHT,
    VP9,
    WEB,
    WIDTH,
    XVID,
    Film,
    Picture,
    corner_mark,
    decode,
    encode,
    moving_square,
    packets,
    restamp,
    upright_rgb,
)

BT709, BT601 = 1, 6
LIMITED, FULL = 1, 2
COUNT = 30

SOURCES = {
    "mpeg4-b.avi": XVID,
    "mpeg4-b.mp4": XVID,
    "h264-b-gop250.mp4": WEB,
    "h264-b.mkv": WEB,
    "h264-cavlc.mov": Film(gop=30, options={"profile": "baseline", "x264-params": "cabac=0:ref=1"}),
    "h264-sound.mp4": Film(b_frames=2, sound="aac"),
    "h264.ts": WEB,
    "mpeg2-b.mpg": DVD,
    "mpeg2-sound.mpg": Film(codec="mpeg2video", b_frames=2, sound="mp2"),
    "vp9.webm": VP9,
    "hevc.mp4": Film(codec="libx265", options={"preset": "ultrafast", "x265-params": "log-level=none"}),
    "av1.mkv": Film(codec="libsvtav1", options={"preset": "12"}),
    "mjpeg.avi": Film(codec="mjpeg", pix_fmt="yuvj422p", options={"qmin": "2", "qmax": "3"}),
    "ffv1-rgb.mkv": Film(codec="ffv1", pix_fmt="bgr0"),
    "yuv444.mp4": Film(pix_fmt="yuv444p", options={"crf": "12"}),
    "full-range.mp4": Film(pix_fmt="yuvj420p", options={"crf": "12"}),
    "ten-bit.mp4": Film(pix_fmt="yuv420p10le", options={"crf": "12"}),
    "grey.mkv": Film(codec="ffv1", pix_fmt="gray"),
    "sar-2x1.mp4": Film(aspect=Fraction(2, 1)),
    "rotated.mp4": Film(rotation=90, b_frames=2),
}


@pytest.fixture(scope="module")
def transcoded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Every kind of source beside what it was transcoded to."""
    root = tmp_path_factory.mktemp("sources")
    pairs = {}
    for name, film in SOURCES.items():
        made = encode(root / name, moving_square(COUNT), film)
        pairs[name] = made, transcode(made)
    for name, film in {"odd.mkv": Film(codec="ffv1"), "odd.webm": VP9}.items():
        made = encode(root / name, moving_square(COUNT, size=(97, 81)), film)
        pairs[name] = made, transcode(made)
    cuts = [moving_square(COUNT, seed=n // 7)[n] for n in range(COUNT)]
    made = encode(root / "cuts.mp4", cuts, WEB)
    return {**pairs, "cuts.mp4": (made, transcode(made))}


def transcode(source: Path, **settings: object) -> Path:
    target = source.with_name(f"out-{source.name}.mp4")
    transcode_clip(source, target, TranscodeSettings(**settings))  # type: ignore[arg-type]
    return target


def header_fields(path: Path, field: str) -> list[int]:
    """Return the values of a field wherever it stands in the stream's headers, as FFmpeg reads them."""
    av.logging.set_level(av.logging.VERBOSE)
    try:
        with av.open(str(path)) as container, av.logging.Capture() as lines:
            stream = container.streams.video[0]
            tracer = BitStreamFilterContext("trace_headers", stream)
            for packet in container.demux(stream):
                tracer.filter(packet)
    finally:
        av.logging.set_level(None)
    words = [line.split() for _, module, line in lines if module == "trace_headers"]
    return [int(parts[-1]) for parts in words if parts[1:2] == [field]]


def error(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return the mean absolute difference of two pictures in grey levels."""
    return float(np.abs(a.astype(np.float64) - b).mean())


EVERY = [*SOURCES, "odd.mkv", "odd.webm", "cuts.mp4"]


@pytest.mark.parametrize("name", EVERY)
def test_the_output_meets_the_contract(transcoded: dict[str, tuple[Path, Path]], name: str) -> None:
    _, target = transcoded[name]
    found = packets(target)
    assert [packet["pts"] for packet in found] == [packet["dts"] for packet in found]
    assert all(a["pts"] < b["pts"] for a, b in pairwise(found))
    assert found[0]["pts"] == 0
    assert [n for n, packet in enumerate(found) if packet["key"]] == list(range(0, len(found), 12))
    with av.open(str(target)) as container:
        assert container.format.name.startswith("mov")
        assert [stream.type for stream in container.streams] == ["video"]
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert context.width % 2 == context.height % 2 == 0
        assert (stream.sample_aspect_ratio or 1) == 1
        types = []
        for frame in container.decode(stream):
            types.append(frame.pict_type)
            assert frame.rotation == 0
            assert not frame.is_corrupt
    expected = [PictureType.I if n % 12 == 0 else PictureType.P for n in range(len(found))]
    assert types == expected
    assert set(header_fields(target, "max_num_ref_frames")) == {1}
    assert len(header_fields(target, "idr_pic_id")) == len(found[::12])


@pytest.mark.parametrize("name", EVERY)
def test_no_frame_is_lost_or_made_up(transcoded: dict[str, tuple[Path, Path]], name: str) -> None:
    source, target = transcoded[name]
    assert len(packets(target)) == len(decode(target)) == len(decode(source)) == COUNT


SAME_SHAPE = sorted(set(SOURCES) - {"sar-2x1.mp4", "rotated.mp4"})


@pytest.mark.parametrize("name", SAME_SHAPE)
def test_the_picture_looks_as_the_source_decodes(transcoded: dict[str, tuple[Path, Path]], name: str) -> None:
    source, target = transcoded[name]
    for before, after in zip(decode(source), upright_rgb(target), strict=True):
        assert error(before, after) < 6
        assert np.abs(before.mean((0, 1)) - after.mean((0, 1))).max() < 3


@pytest.mark.parametrize("name", ["odd.mkv", "odd.webm"])
def test_an_odd_row_and_column_are_cut_and_the_rest_keeps_its_place(
    transcoded: dict[str, tuple[Path, Path]], name: str
) -> None:
    source, target = transcoded[name]
    for before, after in zip(decode(source), upright_rgb(target), strict=True):
        assert (before.shape, after.shape) == ((81, 97, 3), (80, 96, 3))
        assert error(before[:80, :96], after) < 6


def test_wide_pixels_become_square_ones(transcoded: dict[str, tuple[Path, Path]]) -> None:
    source, target = transcoded["sar-2x1.mp4"]
    for before, after in zip(decode(source), upright_rgb(target), strict=True):
        assert after.shape == (HEIGHT, 2 * WIDTH, 3)
        assert error(cv2.resize(before, (2 * WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), after) < 6


def viewed(picture: Picture, rotation: int, *, flipped: bool) -> Picture:
    turned = np.rot90(picture, rotation // 90)
    return np.ascontiguousarray(turned[:, ::-1] if flipped else turned)


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (97, 81)])
@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_output_stands_as_a_viewer_sees_the_source(
    tmp_path: Path, rotation: int, flipped: bool, size: tuple[int, int]
) -> None:
    pictures = corner_mark(size=size)
    film = Film(codec="mpeg4", rotation=rotation, flipped=flipped, options={"qmin": "2", "qmax": "2"})
    source = encode(tmp_path / "turned.mov", pictures, film)
    shown = viewed(pictures[0], rotation, flipped=flipped)
    if not flipped:
        player = cv2.VideoCapture(str(source))
        assert error(player.read()[1][:, :, ::-1], shown) < 4
        player.release()
    after = upright_rgb(transcode(source))
    even = viewed(pictures[0][: size[1] // 2 * 2, : size[0] // 2 * 2], rotation, flipped=flipped)
    assert len(after) == len(pictures)
    assert after[0].shape == even.shape
    assert error(after[0], even) < 4


@pytest.mark.parametrize("name", ["turned.mp4", "turned.mkv"])
def test_other_containers_turn_their_pictures_too(tmp_path: Path, name: str) -> None:
    source = encode(tmp_path / name, corner_mark(), Film(rotation=90, options={"crf": "8"}))
    assert error(upright_rgb(transcode(source))[0], np.rot90(corner_mark(1)[0])) < 4


def test_a_turned_clip_with_wide_pixels_is_widened_before_it_is_turned(tmp_path: Path) -> None:
    film = Film(rotation=90, aspect=Fraction(2, 1), options={"crf": "8"})
    source = encode(tmp_path / "both.mp4", corner_mark(), film)
    after = upright_rgb(transcode(source))[0]
    wide = cv2.resize(corner_mark(1)[0], (2 * WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
    assert after.shape == (2 * WIDTH, HEIGHT, 3)
    assert error(after, np.rot90(wide)) < 4


COLOURS = """
220 40 40, 40 200 40, 40 40 220, 220 220 40, 40 210 210, 200 60 200,
235 235 235, 20 20 20, 128 128 128, 230 140 60, 90 60 30, 60 90 150
"""
PATCHES = np.array([colour.split() for colour in COLOURS.split(",")], np.float64)


def patches_as(pix_fmt: str, *, bt709: bool, full: bool) -> VideoFrame:
    """Draw a row of twelve colours, 16 pixels each, with planes by the matrix and range asked for."""
    kr, kb = (0.2126, 0.0722) if bt709 else (0.299, 0.114)
    red, green, blue = (PATCHES / 255).T
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = [(blue - luma) / (1 - kb) / 2, (red - luma) / (1 - kr) / 2]
    depth, kind = (4, "<u2") if "10" in pix_fmt else (1, "u1")
    steps = (255, 255, 0) if full else (219, 224, 16)
    values = [luma * steps[0] + steps[2], *(part * steps[1] + 128 for part in chroma)]
    frame = VideoFrame(16 * len(PATCHES), 32, pix_fmt)
    for plane, value in zip(frame.planes, values, strict=True):
        rows = np.zeros((plane.height, plane.line_size // np.dtype(kind).itemsize), kind)
        rows[:, : plane.width] = np.repeat(np.rint(value * depth), plane.width // len(PATCHES))
        plane.update(rows.tobytes())
    frame.colorspace, frame.color_range = BT709 if bt709 else BT601, FULL if full else LIMITED
    return frame


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("bt709", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_colours_survive_whatever_matrix_and_range_the_source_declares(
    tmp_path: Path, pix_fmt: str, bt709: bool, full: bool, container: str
) -> None:
    frames = [patches_as(pix_fmt, bt709=bt709, full=full) for _ in range(3)]
    space, spread = int(frames[0].colorspace), int(frames[0].color_range)
    film = Film(pix_fmt=pix_fmt, colorspace=space, color_range=spread, options={"crf": "4"})
    source = encode(tmp_path / f"patches.{container}", frames, film)
    with av.open(str(source)) as tagged:
        context = tagged.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (space, spread)
    for after in upright_rgb(transcode(source, crf=4.0)):
        found = np.stack([after[8:24, 16 * n + 4 : 16 * n + 12].mean((0, 1)) for n in range(len(PATCHES))])
        assert np.abs(found - PATCHES).max() < 6


def test_the_output_declares_its_colours(transcoded: dict[str, tuple[Path, Path]]) -> None:
    for name in ("full-range.mp4", "ffv1-rgb.mkv"):
        with av.open(str(transcoded[name][1])) as container:
            context = container.streams.video[0].codec_context
            assert context.color_range == LIMITED
            assert context.colorspace in (5, 6)


UNEVEN = [0, 40, 70, 150, 160, 333, 400, 401, 500, 900, 933, 966, 1000, 1500, 1520]


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("name", ["uneven.mp4", "uneven.mkv", "uneven.mov", "uneven.ts"])
@pytest.mark.parametrize("start", [0, 700])
def test_uneven_timestamps_are_kept_from_zero(tmp_path: Path, name: str, b_frames: int, start: int) -> None:
    times = [start + time for time in UNEVEN]
    film = Film(milliseconds=times, b_frames=b_frames)
    target = transcode(encode(tmp_path / name, moving_square(len(UNEVEN)), film))
    found = packets(target)
    wanted = [time / 1000 for time in UNEVEN]
    tick = found[0]["tick"]
    assert [packet["seconds"] for packet in found] == pytest.approx(wanted, abs=tick + 1e-9)
    assert index_stream(target).times == pytest.approx(wanted, abs=tick + 1e-6)


def test_a_broadcast_rate_does_not_drift(tmp_path: Path) -> None:
    film = Film(rate=Fraction(30000, 1001), b_frames=2)
    found = packets(transcode(encode(tmp_path / "ntsc.mp4", moving_square(90), film)))
    wanted = [n * 1001 / 30000 for n in range(90)]
    assert [packet["seconds"] for packet in found] == pytest.approx(wanted, abs=found[0]["tick"])


@pytest.mark.parametrize("film", [XVID, Film(codec="mjpeg", pix_fmt="yuvj420p"), WEB])
def test_avi_is_numbered_at_its_constant_rate(tmp_path: Path, film: Film) -> None:
    found = packets(transcode(encode(tmp_path / "clip.avi", moving_square(), film)))
    wanted = [n / 25 for n in range(24)]
    assert [packet["seconds"] for packet in found] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    "stamps",
    [[0, 40, 40, 80, 80, 80, 160, 200, 240, 280], [0, 80, 40, 120, 160, 240, 200, 280, 320, 360]],
    ids=["repeated", "out of order"],
)
def test_timestamps_that_cannot_be_right_are_replaced_by_a_constant_rate(
    tmp_path: Path, stamps: list[int]
) -> None:
    film = encode(tmp_path / "film.mkv", moving_square(10), Film(codec="mpeg4"))
    source = restamp(film, tmp_path / "broken.mkv", stamps)
    assert [packet["pts"] for packet in packets(source)] == stamps
    found = packets(transcode(source))
    steps = {round(b["seconds"] - a["seconds"], 6) for a, b in pairwise(found)}
    assert (len(found), len(steps)) == (10, 1)
    assert min(steps) > 0


def test_an_mp4_without_time_between_its_frames_is_given_a_rate(tmp_path: Path) -> None:
    source = encode(tmp_path / "still.mp4", moving_square(10), Film())
    content = bytearray(source.read_bytes())
    table = content.index(b"stts") + 8
    assert int.from_bytes(content[table : table + 4]) == 1
    content[table + 8 : table + 12] = bytes(4)
    source.write_bytes(content)
    assert {packet["pts"] for packet in packets(source)} == {0}
    found = packets(transcode(source))
    assert len(found) == 10
    assert all(b["seconds"] > a["seconds"] for a, b in pairwise(found))


def test_a_hole_of_hours_between_two_frames_is_closed(tmp_path: Path) -> None:
    stamps = [*range(0, 400, 40), 40_000_000, 40_000_040]
    source = encode(tmp_path / "hole.mkv", moving_square(12), Film(milliseconds=stamps))
    assert packets(transcode(source))[-1]["seconds"] < 60


@pytest.mark.parametrize(
    ("short_side", "size"), [(64, (86, 64)), (95, (126, 94)), (96, (128, 96)), (300, (128, 96))]
)
def test_short_side_scales_down_and_never_up(tmp_path: Path, short_side: int, size: tuple[int, int]) -> None:
    source = encode(tmp_path / "clip.mkv", moving_square(13), WEB)
    target = transcode(source, short_side=short_side)
    info = index_stream(target).info
    assert (info.width, info.height) == size
    scaled = cv2.resize(decode(source)[12], size, interpolation=cv2.INTER_AREA)
    assert error(upright_rgb(target)[12], scaled) < 8


def test_short_side_counts_square_pixels_of_the_upright_picture(tmp_path: Path) -> None:
    film = Film(rotation=90, aspect=Fraction(1, 2))
    info = index_stream(transcode(encode(tmp_path / "clip.mov", moving_square(13), film), short_side=32)).info
    assert (info.width, info.height) == (48, 32)

"""Films for tests: pictures with known motion, encoded by real codecs in the ways that sources come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""An RGB picture: (height, width, 3) uint8."""

WIDTH, HEIGHT, SQUARE = 128, 96, 28


@dataclass(frozen=True)
class Film:
    """How pictures become a file; the suffix of the file's name decides the container."""

    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    rate: Fraction = Fraction(25)
    gop: int = 12
    b_frames: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    aspect: Fraction = Fraction(1)
    rotation: int = 0
    """Degrees counter-clockwise by which a viewer turns the picture; then it is flipped if `flipped`."""
    flipped: bool = False
    milliseconds: Sequence[int] | None = None
    """The frames' timestamps; None for the constant rate."""
    colorspace: int | None = None
    color_range: int | None = None
    sound: str = ""
    """Codec of a second stream of silence; empty for none."""


XVID = Film(codec="mpeg4", b_frames=2, options={"qmin": "2", "qmax": "4"})
WEB = Film(b_frames=3, gop=250, options={"preset": "veryfast", "crf": "16"})
DVD = Film(codec="mpeg2video", b_frames=2, options={"qmin": "2", "qmax": "4"})
VP9 = Film(codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "0"})


def square_corner(number: int) -> tuple[int, int]:
    """Return (x, y) of the moving square's top left corner in a frame."""
    return 4 + 2 * number, 6 + number


def moving_square(
    count: int = 24, *, size: tuple[int, int] = (WIDTH, HEIGHT), seed: int = 0, flip: bool = False
) -> list[Picture]:
    """Draw a textured square that moves over a still, textured background; `flip` mirrors its path."""
    width, height = size
    background = texture(width, height, seed)
    square = texture(SQUARE, SQUARE, seed + 1000, contrast=110)
    pictures = []
    for number in range(count):
        picture = background.copy()
        x, y = square_corner(number)
        x, y = min(x, width - SQUARE), min(y, height - SQUARE)
        picture[y : y + SQUARE, x : x + SQUARE] = square
        pictures.append(np.ascontiguousarray(picture[:, ::-1] if flip else picture))
    return pictures


def texture(width: int, height: int, seed: int, contrast: int = 45) -> Picture:
    """Draw smooth noise, fine in brightness and coarse in colour, the same for a seed."""
    rng = np.random.default_rng(seed)
    layers = [
        cv2.resize(
            rng.normal(0, strength, (height // step + 2, width // step + 2, depth)).astype(np.float32),
            (width, height),
            interpolation=cv2.INTER_CUBIC,
        ).reshape(height, width, depth)
        for step, strength, depth in ((5, contrast, 1), (24, contrast / 2, 3))
    ]
    return np.asarray(np.clip(layers[0] + layers[1] + 128, 16, 235), np.uint8)


def corner_mark(count: int = 6, *, size: tuple[int, int] = (WIDTH, HEIGHT)) -> list[Picture]:
    """Draw a dark picture with a bright block in its top left corner and a half-bright one to its right."""
    width, height = size
    picture = np.full((height, width, 3), 40, np.uint8)
    picture[: height // 4, : width // 4] = 230
    picture[: height // 4, width // 2 : width // 2 + width // 4] = 130
    return [picture] * count


def encode(path: Path, pictures: Iterable[Picture | VideoFrame], film: Film, **muxer: str) -> Path:
    """Write a film; pictures that are frames already keep their planes; `muxer` holds its options."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", container_options={"fflags": "+bitexact", **muxer}) as out:
        stream = cast(VideoStream, out.add_stream(film.codec, rate=film.rate, options=dict(film.options)))
        context = stream.codec_context
        context.thread_count = 1
        context.gop_size = film.gop
        context.max_b_frames = film.b_frames
        context.pix_fmt = film.pix_fmt
        if film.colorspace is not None:
            context.colorspace = film.colorspace
        if film.color_range is not None:
            context.color_range = film.color_range
        if film.milliseconds is not None:
            context.time_base = stream.time_base = Fraction(1, 1000)
        if film.rotation or film.flipped:
            stream.set_display_rotation(film.rotation, hflip=film.flipped)
        sound = (
            cast(AudioStream, out.add_stream(film.sound, rate=16000, layout="mono")) if film.sound else None
        )
        for number, picture in enumerate(pictures):
            frame = picture if isinstance(picture, VideoFrame) else VideoFrame.from_ndarray(picture, "rgb24")
            if number == 0:
                context.width, context.height = frame.width, frame.height
                context.sample_aspect_ratio = film.aspect
            frame.pts, frame.time_base = number, 1 / film.rate
            if film.milliseconds is not None:
                frame.pts, frame.time_base = film.milliseconds[number], Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if sound is not None:
            silence = AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
            silence.sample_rate, silence.pts, silence.time_base = 16000, 0, Fraction(1, 16000)
            for packet in [*sound.encode(silence), *sound.encode(None)]:
                out.mux(packet)
    return path


def restamp(source: Path, target: Path, stamps: Sequence[int]) -> Path:
    """Copy the packets of a film without B-frames, with other timestamps in milliseconds."""
    with av.open(str(source)) as film, av.open(str(target), "w") as out:
        stream = film.streams.video[0]
        copied = out.add_stream_from_template(stream)
        packets = [packet for packet in film.demux(stream) if packet.size]
        for number, (packet, stamp) in enumerate(zip(packets, stamps, strict=True)):
            packet.stream, packet.time_base = copied, Fraction(1, 1000)
            packet.pts, packet.dts = stamp, min(stamp, min(stamps[number:]))
            out.mux(packet)
    return target


def prolong(source: Path, target: Path, times: int) -> Path:
    """Copy the packets of a film without B-frames so many times, one showing after the other."""
    with av.open(str(source)) as film, av.open(str(target), "w") as out:
        stream = film.streams.video[0]
        copied = out.add_stream_from_template(stream)
        contents = [(bytes(packet), packet.is_keyframe) for packet in film.demux(stream) if packet.size]
        rate = Fraction(stream.average_rate or 25)
        for number in range(times * len(contents)):
            content, key = contents[number % len(contents)]
            packet = av.Packet(content)
            packet.stream, packet.time_base, packet.is_keyframe = copied, 1 / rate, key
            packet.pts = packet.dts = number
            packet.duration = 1
            out.mux(packet)
    return target


def decode(path: Path) -> list[Picture]:
    """Decode the whole film to RGB in one thread, with nothing skipped and nothing turned."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(stream)]


def upright_rgb(path: Path) -> list[Picture]:
    """Decode BT.601 limited-range yuv420p to RGB by the formula, chroma repeated."""
    pictures = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            planes = np.asarray(frame.to_ndarray(format="yuv420p"), np.float64)
            height, width = frame.height, frame.width
            luma = (planes[:height] - 16) * 255 / 219
            chroma = planes[height:].reshape(2, height // 2, width // 2).repeat(2, 1).repeat(2, 2)
            blue, red = (chroma - 128) * 255 / 224
            kr, kb = 0.299, 0.114
            r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
            g = (luma - kr * r - kb * b) / (1 - kr - kb)
            pictures.append(np.clip(np.rint(np.stack([r, g, b], 2)), 0, 255).astype(np.uint8))
    return pictures


def packets(path: Path) -> list[dict[str, Any]]:
    """Demux a film's video: pts, dts, time base, key and payload of every packet."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [
            {
                "pts": packet.pts,
                "dts": packet.dts,
                "seconds": None if packet.pts is None else float(packet.pts * packet.time_base),
                "tick": float(packet.time_base),
                "key": packet.is_keyframe,
                "payload": bytes(packet),
            }
            for packet in container.demux(stream)
            if packet.size
        ]

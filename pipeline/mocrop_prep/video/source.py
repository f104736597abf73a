"""Open a source file safely, and find out what is in it without decoding it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mocrop_prep.errors import ClipError
from mocrop_prep.video.sps import reference_frames

# PyAV 19 always tolerates metadata that is not UTF-8; earlier releases raise unless told otherwise.
_TOLERANT: dict[str, Any] = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "ignore"}
_FALLBACK_RATE = Fraction(25)
_RATES = (Fraction(1, 10), Fraction(1000))  # a rate outside of this range is a broken header
_SQUARE = Fraction(1, 100)  # sample aspect ratios this close to 1 are rounding of the display size
_LONGEST_HOLE = (
    100  # a clip that lasts this many times its frames at the median distance has broken timestamps
)

# libavutil's values of AVColorSpace and AVColorRange
_UNSPECIFIED_OR_BT601 = (2, 5, 6)
_UNSPECIFIED_OR_LIMITED = (0, 1)


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a demux of the whole file and its first frame tell about a source.

    `packets` counts video packets, `damaged` those the demuxer marks as corrupt. `key_packets` are positions
    in file order. `sound_timestamps` says that every packet has its own timestamp in a believable distance.
    `rotation` is the number of clockwise quarter turns, `mirrored` a horizontal flip before them, that make
    the picture upright. `references` is the number of reference frames that H.264 declares, else None.
    """

    codec: str
    pixel_format: str
    width: int
    height: int
    sample_aspect: Fraction
    rate: Fraction
    packets: int
    damaged: int
    key_packets: tuple[int, ...]
    sound_timestamps: bool
    reordered: bool
    references: int | None
    rotation: int
    mirrored: bool
    colorspace: int
    color_range: int
    interlaced: bool


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and its best video stream for decoding in one thread; any fault is a ClipError."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise ClipError("missing-file", f"{path} is not there") from None
    except OSError as error:
        raise ClipError("unreadable", f"{path}: {error.strerror}") from None
    if size == 0:
        raise ClipError("empty-file", f"{path} has no bytes")
    try:
        container = av.open(str(path), **_TOLERANT)
    except OSError as error:  # libav's own errors are OSErrors too where they have an errno
        if isinstance(error, PermissionError):
            raise ClipError("unreadable", f"{path}: {error.strerror}") from None
        raise ClipError("not-video", f"{path}: {_message(error)}") from None
    except (FFmpegError, ValueError) as error:
        raise ClipError("not-video", f"{path}: {_message(error)}") from None
    with container:
        stream = _best_stream(container, path)
        if stream.codec_context is None:
            raise ClipError("unsupported-codec", f"{path}: no decoder for its video stream")
        stream.codec_context.thread_count = 1
        stream.codec_context.thread_type = "NONE"
        yield container, stream


def side_data(frame: VideoFrame, kind: str) -> memoryview | None:
    """Return a frame's side data of a kind, by libav's name of it, or None; valid as long as the frame is."""
    data: Any = frame.side_data.get(kind)
    return None if data is None else memoryview(data)


def library_versions() -> dict[str, str]:
    """Return the versions of PyAV and FFmpeg, which decide the bytes of every output."""
    return {"av": av.__version__, "ffmpeg": av.ffmpeg_version_info}


def inspect_source(path: Path) -> SourceInfo:
    """Demux a whole source and decode its first frame; raises ClipError if there is no usable video."""
    with open_video(path) as (container, stream):
        pts: list[int | None] = []
        keys: list[int] = []
        damaged = 0
        end = 0.0
        try:
            for packet in container.demux():
                end = max(end, _end(packet))
                if packet.size == 0 or packet.stream is not stream:
                    continue
                if packet.is_keyframe:
                    keys.append(len(pts))
                damaged += packet.is_corrupt
                pts.append(packet.pts)
        except FFmpegError as error:
            if not pts:
                raise ClipError("not-video", f"{path}: {_message(error)}") from None
            damaged += 1
        if not pts:
            raise ClipError("no-frames", f"{path}: the video stream has no packets")
        damaged += _breaks_off(container, end)
        context = stream.codec_context
        first = _first_frame(path)
        rotation, mirrored = _orientation(first)
        return SourceInfo(
            codec=context.codec.canonical_name,
            pixel_format=first.format.name,
            width=first.width,
            height=first.height,
            sample_aspect=_sample_aspect(stream),
            rate=_rate(stream),
            packets=len(pts),
            damaged=damaged,
            key_packets=tuple(keys),
            # AVI has no timestamps of its own, only a constant rate; what libavformat derives breaks with
            # packed B-frames and dropped frames.
            sound_timestamps=container.format.name != "avi" and _sound(pts),
            reordered=any(b is None or a is None or b <= a for a, b in pairwise(pts)),
            references=reference_frames(context.extradata) if context.name == "h264" else None,
            rotation=rotation,
            mirrored=mirrored,
            colorspace=int(first.colorspace),
            color_range=int(first.color_range),
            interlaced=bool(first.interlaced_frame),
        )


def contract_violations(info: SourceInfo, *, gop: int, short_side: int | None) -> list[str]:
    """Say, in words, how a source differs from what ``transcoded/`` promises; empty if it can be copied."""
    rules = [
        (info.codec == "h264", f"the codec is {info.codec}, not h264"),
        (info.pixel_format == "yuv420p", f"the pixel format is {info.pixel_format}, not yuv420p"),
        (not info.reordered, "it has B-frames or timestamps out of order"),
        (
            info.references in (0, 1),
            f"it uses {info.references or 'an unknown number of'} reference frames, not 1",
        ),
        (info.key_packets == tuple(range(0, info.packets, gop)), f"its key frames are not {gop} apart"),
        (info.sample_aspect == 1, f"its pixels are not square ({info.sample_aspect})"),
        (not info.rotation and not info.mirrored, "it is rotated or mirrored"),
        (info.width % 2 == 0 and info.height % 2 == 0, "its size is odd"),
        (
            not short_side or min(info.width, info.height) <= short_side,
            f"its short side exceeds {short_side}",
        ),
        (info.colorspace in _UNSPECIFIED_OR_BT601, "its colours are not BT.601"),
        (info.color_range in _UNSPECIFIED_OR_LIMITED, "its colours use the full range"),
        (not info.interlaced, "it is interlaced"),
        (info.sound_timestamps, "its timestamps are not sound"),
        (info.damaged == 0, f"{info.damaged} of its packets are damaged"),
    ]
    return [text for holds, text in rules if not holds]


def _end(packet: Packet[Any]) -> float:
    """Return when a packet of any stream ends, in seconds; 0 if it does not say."""
    if packet.pts is None or packet.time_base is None:
        return 0.0
    return float((packet.pts + (packet.duration or 0)) * packet.time_base)


def _breaks_off(container: InputContainer, end: float) -> bool:
    """Say whether a Matroska file ends long before the duration in its header: it was cut.

    Its demuxer reports no error then, as that of MP4 does. Only half a second or a twentieth counts: players
    and writers round.
    """
    if "matroska" not in container.format.name or not container.duration:
        return False
    duration = container.duration / 1_000_000  # AV_TIME_BASE
    return duration - end > max(0.5, 0.05 * duration)


def _best_stream(container: InputContainer, path: Path) -> VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise ClipError("no-video-stream", f"{path}: {len(container.streams)} streams, none of them video")
    best = container.streams.best("video")
    return best if best in streams else streams[0]


def _first_frame(path: Path) -> VideoFrame:
    with open_video(path) as (container, stream):
        try:
            for packet in container.demux(stream):
                try:
                    for frame in packet.decode():
                        return frame
                except FFmpegError:
                    continue
        except FFmpegError:
            pass
    raise ClipError("no-frames", f"{path}: no frame of its video stream can be decoded")


def _orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Return (clockwise quarter turns, mirrored first) that make a frame upright, from its display matrix."""
    data = side_data(frame, "DISPLAYMATRIX")
    if data is None:
        return 0, False
    a, b, _, c, d, *_ = struct.unpack("<9i", bytes(data)[:36])
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b  # a point is a row vector: what is applied first stands in the rows
    if abs(a) >= abs(b):
        return (0 if a > 0 else 2), mirrored
    return (1 if b > 0 else 3), mirrored


def _sample_aspect(stream: VideoStream) -> Fraction:
    ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    if not ratio or ratio <= 0 or abs(ratio - 1) < _SQUARE or not Fraction(1, 8) <= ratio <= 8:
        return Fraction(1)
    return Fraction(ratio)


def _rate(stream: VideoStream) -> Fraction:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and _RATES[0] <= rate <= _RATES[1]:
            return Fraction(rate)
    return _FALLBACK_RATE


def _sound(pts: list[int | None]) -> bool:
    known = sorted(p for p in pts if p is not None)
    if len(known) < len(pts):
        return False
    steps = [b - a for a, b in pairwise(known)]
    if not steps:
        return True
    return min(steps) > 0 and known[-1] - known[0] <= _LONGEST_HOLE * median(steps) * len(steps)


def _message(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error).splitlines()[0]

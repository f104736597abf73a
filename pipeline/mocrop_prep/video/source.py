"""Find out what is in a source without decoding it, and how it differs from what is promised."""

from __future__ import annotations

import struct
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
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mocrop_prep.errors import ClipError
from mocrop_prep.video.extent import missing_bytes
from mocrop_prep.video.opening import message, open_video, read_packets, side_data
from mocrop_prep.video.sps import first_sps, reference_frames, sps_in_packet

VECTOR_CODECS = frozenset(
    ["h264", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v2", "msmpeg4v3", "h263", "flv1", "wmv1", "wmv2"]
)
"""The codecs, by libavcodec's names, whose decoders export motion vectors of every moving block."""
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

    `packets` counts video packets, `damaged` those the demuxer marks as corrupt, and one more where the file
    breaks off. `key_packets` are positions in file order. `sound_timestamps` says that every packet has its
    own timestamp in a believable distance; `stamps` are these, in file order and ticks of `time_base`.
    `rotation` is the number of clockwise quarter turns, `mirrored` a horizontal flip before them, that make
    the picture upright. `references` is the number of reference frames that H.264 declares, else None.
    `steady` says that nothing announces another format on the way, and that the header claims the true size.
    `hidden` counts packets that an edit list has decoded but not shown.
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
    stamps: tuple[int | None, ...]
    time_base: Fraction
    sound_timestamps: bool
    reordered: bool
    references: int | None
    steady: bool
    hidden: int
    rotation: int
    mirrored: bool
    colorspace: int
    color_range: int
    interlaced: bool


def library_versions() -> dict[str, str]:
    """Return the versions of PyAV and FFmpeg, which decide the bytes of every output."""
    return {"av": av.__version__, "ffmpeg": av.ffmpeg_version_info}


def inspect_source(path: Path) -> SourceInfo:
    """Demux a whole source and decode its first frame; raises ClipError if there is no usable video."""
    with open_video(path) as (container, stream):
        context = stream.codec_context
        # what the header says is asked before the decoder knows better
        claimed, extradata = (context.width, context.height), context.extradata
        aspect = _sample_aspect(stream)
        survey = _Survey(extradata if context.name == "h264" else None)
        survey.read(container, stream, path)
        cut = missing_bytes(path) > 0 or _breaks_off(container, survey.end(container))
        damaged = survey.damaged + cut
        pts = survey.pts
        first = survey.first
        if first is None:
            raise ClipError("no-frames", f"{path}: no frame of its video stream can be decoded")
        rotation, mirrored = _orientation(first)
        return SourceInfo(
            codec=context.codec.canonical_name,
            pixel_format=first.format.name,
            width=first.width,
            height=first.height,
            sample_aspect=aspect,
            rate=_rate(stream),
            packets=len(pts),
            damaged=damaged,
            key_packets=tuple(survey.keys),
            stamps=tuple(pts),
            time_base=Fraction(stream.time_base or 1),
            # AVI has no timestamps of its own, only a constant rate; what libavformat derives breaks with
            # packed B-frames and dropped frames.
            sound_timestamps=container.format.name != "avi" and _sound(pts),
            reordered=any(b is None or a is None or b <= a for a, b in pairwise(pts)),
            references=reference_frames(extradata) if context.name == "h264" else None,
            steady=len(survey.formats) <= 1 and claimed == (first.width, first.height),
            hidden=survey.hidden,
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
        (not info.reordered, "it has B-frames or timestamps out of order"),
        (
            info.references in (0, 1),
            f"it uses {info.references or 'an unknown number of'} reference frames, not 1",
        ),
        (info.key_packets == tuple(range(0, info.packets, gop)), f"its key frames are not {gop} apart"),
        *_picture_rules(info, short_side),
        (info.sound_timestamps, "its timestamps are not sound"),
    ]
    return [text for holds, text in rules if not holds]


def direct_violations(info: SourceInfo, *, short_side: int | None) -> list[str]:
    """Say, in words, why a source cannot be read in place of a transcoded clip; empty if it can."""
    rules = [
        (info.codec in VECTOR_CODECS, f"libavcodec exports no motion vectors of {info.codec}"),
        (bool(info.key_packets), "it has no key frame"),
        *_picture_rules(info, short_side),
    ]
    return [text for holds, text in rules if not holds]


def _picture_rules(info: SourceInfo, short_side: int | None) -> list[tuple[bool, str]]:
    """Return what is promised of pictures, whatever the codec: whether it holds, and how it does not."""
    return [
        (info.pixel_format == "yuv420p", f"the pixel format is {info.pixel_format}, not yuv420p"),
        (info.sample_aspect == 1, f"its pixels are not square ({info.sample_aspect})"),
        (info.steady, "its picture format changes on the way, or is not the one that its header claims"),
        (not info.hidden, f"its edit list hides {info.hidden} of its packets"),
        (not info.rotation and not info.mirrored, "it is rotated or mirrored"),
        (info.width % 2 == 0 and info.height % 2 == 0, "its size is odd"),
        (
            not short_side or min(info.width, info.height) <= short_side,
            f"its short side exceeds {short_side}",
        ),
        (info.colorspace in _UNSPECIFIED_OR_BT601, "its colours are not BT.601"),
        (info.color_range in _UNSPECIFIED_OR_LIMITED, "its colours use the full range"),
        (not info.interlaced, "it is interlaced"),
        (info.damaged == 0, f"{info.damaged} of its packets are damaged"),
    ]


class _Survey:
    """What the packets of a video stream tell: timestamps, key packets, damage, formats, the end.

    `formats` holds the different H.264 sequence parameter sets, of the header and of the packets; `first` is
    the first frame that can be decoded.
    """

    def __init__(self, extradata: bytes | None) -> None:
        self.pts: list[int | None] = []
        self.keys: list[int] = []
        self.damaged = 0
        self.hidden = 0
        self.first: VideoFrame | None = None
        self.formats = {sps for sps in [first_sps(extradata or b"")] if sps}
        self._extradata = extradata
        self._ends: dict[int, int] = {}  # by stream, in ticks

    def read(self, container: InputContainer, stream: VideoStream, path: Path) -> None:
        """Demux a whole file, its sound too; raises ClipError if there is no packet of video."""
        try:
            for packet in read_packets(container):
                self._note_end(packet)
                if packet.stream is stream:
                    if packet.size:
                        self._add(packet)
                    if self.first is None:
                        self.first = _first_frame(packet)
        except MemoryError:
            raise
        except FFmpegError as error:
            if not self.pts:
                raise ClipError("not-video", f"{path}: {message(error)}") from None
            self.damaged += 1
        if not self.pts:
            raise ClipError("no-frames", f"{path}: the video stream has no packets")
        if len(self.pts) == 1 and container.format.name.endswith("_pipe"):
            raise ClipError("not-video", f"{path} is a still picture ({container.format.name})")

    def _add(self, packet: Packet[Any]) -> None:
        if packet.is_keyframe:
            self.keys.append(len(self.pts))
            if self._extradata is not None:
                sps = sps_in_packet(bytes(packet), self._extradata)
                self.formats |= {sps} if sps else set()
        self.damaged += packet.is_corrupt
        self.hidden += packet.is_discard
        self.pts.append(packet.pts)

    def end(self, container: InputContainer) -> float:
        """Return when the last packet of any stream ends, in seconds; 0 if none says."""
        bases = {stream.index: stream.time_base for stream in container.streams}
        return max(
            (float(ticks * (bases.get(index) or 0)) for index, ticks in self._ends.items()), default=0.0
        )

    def _note_end(self, packet: Packet[Any]) -> None:
        if packet.pts is not None:
            ticks, index = packet.pts + (packet.duration or 0), packet.stream_index
            self._ends[index] = max(ticks, self._ends.get(index, 0))


def _breaks_off(container: InputContainer, end: float) -> bool:
    """Say whether a Matroska file ends long before the duration in its header: it was cut.

    Its demuxer reports no error then, as that of MP4 does. Only half a second or a twentieth counts: players
    and writers round.
    """
    if "matroska" not in container.format.name or not container.duration:
        return False
    duration = container.duration / 1_000_000  # AV_TIME_BASE
    return duration - end > max(0.5, 0.05 * duration)


def _first_frame(packet: Packet[Any]) -> VideoFrame | None:
    """Return the first frame that a packet of video decodes to, if there is any."""
    try:
        return next(iter(packet.decode()), None)
    except MemoryError:
        raise
    except FFmpegError:
        return None


def _orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Return (clockwise quarter turns, mirrored first) that make a frame upright, from its display matrix."""
    data = side_data(frame, Type.DISPLAYMATRIX)
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

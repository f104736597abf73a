"""Write clips that meet the contract: re-encode a source to plain H.264, or copy a stream that does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import ExternalError, FFmpegError
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mocrop_prep.config import TranscodeSettings
from mocrop_prep.errors import NOT_WRITTEN, ClipError
from mocrop_prep.video.damage import STRICT, Damage, count_damage, read_frames
from mocrop_prep.video.opening import open_video, read_packets
from mocrop_prep.video.source import SourceInfo

# One thread, so that the bytes do not depend on the machine. Everything that could move or add a key frame is
# off. weightp=1: smart weighting (2) would add a second, weighted reference. mbtree=0: without B-frames,
# x264's macroblock tree (core 165) reads memory that was never written, and the same clip encodes to other
# bytes in another process.
_X264 = (
    "keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:bframes=0:ref=1:weightp=1:mbtree=0:rc-lookahead=0:"
    "threads=1:lookahead-threads=1:sliced-threads=0"
)
# The presets superfast and ultrafast leave out blocks of 8x8, and mocrop-v1, which counts vectors, then keeps
# less of the actor: `tests/benchmarks/bench_presets.py` measures it. So they get the partitions of veryfast.
_COARSE = ("ultrafast", "superfast")
_PARTITIONS = "partitions=p8x8,i4x4,i8x8"
_BITEXACT = {"fflags": "+bitexact"}
_FINEST_CLOCK = 90_000
_LARGEST_SIDE = 16_384
_SMALLEST_SIDE = 16  # a macroblock; x264 and every motion vector work in these
_EXACT_SCALING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


@dataclass(frozen=True, slots=True)
class TranscodeReport:
    """What was written: `frames` in all, and how many source packets or frames were `damaged`."""

    frames: int
    damaged: int
    constant_rate: bool


class _BrokenTimestampsError(Exception):
    """The decoded frames do not carry the sound timestamps that the packets promised."""


def copy_clip(source: Path, target: Path) -> TranscodeReport:
    """Copy the video stream of a source that meets the contract into an MP4; raises ClipError.

    Its code is corrupt where the MP4 muxer refuses a packet, such as one whose time is beyond its reach.
    """
    with open_video(source) as (container, stream), _output(target) as out:
        copied = out.add_stream_from_template(stream)
        packets = 0
        try:
            for packet in read_packets(container, stream):
                if packet.dts is None:
                    continue
                packet.stream = copied
                out.mux(packet)
                packets += 1
        except MemoryError:
            raise
        except FFmpegError as error:
            code = "disk" if error.errno in NOT_WRITTEN else "corrupt"
            raise ClipError(code, f"{source}: after {packets} packets: {error.strerror}") from None
    return TranscodeReport(packets, 0, False)


def encode_clip(
    source: Path, target: Path, info: SourceInfo, settings: TranscodeSettings, *, tuning: str | None = None
) -> TranscodeReport:
    """Re-encode a source as yuv420p H.264 MP4: upright, square pixels, even sizes, BT.601 limited range.

    The GOP is fixed and closed, with one reference and no B-frames. Sound timestamps are kept, from zero;
    others are replaced by a constant rate. Damage is counted, strictly; frames that libavcodec conceals are
    kept unless `settings` refuse damage. `tuning` is as for `x264_options`. Raises ClipError.
    """
    # what explodes is lost: where damage is to be kept, it is counted in a decode of its own
    damaged = count_damage(source) if settings.on_corrupt == "keep" else 0
    report = _encode_in_time(source, target, info, settings, x264_options(settings, tuning))
    return replace(report, damaged=max(report.damaged, damaged))


def x264_options(settings: TranscodeSettings, tuning: str | None = None) -> dict[str, str]:
    """Return libx264's options under FFmpeg's names.

    `tuning` takes the place of ours, in x264's own words, such as "cabac=0:subme=1", or empty: whoever
    measures settings against each other with it keeps to the contract.
    """
    fixed = _X264.format(gop=settings.gop)
    return {
        "preset": settings.preset,
        "crf": f"{settings.crf:g}",
        "x264-params": ":".join(filter(None, (fixed, _tuning(settings) if tuning is None else tuning))),
    }


def _tuning(settings: TranscodeSettings) -> str:
    parts = [_PARTITIONS] if settings.preset in _COARSE else []
    return ":".join([*parts, *(["cabac=0"] if settings.entropy == "cavlc" else [])])


def _encode_in_time(
    source: Path, target: Path, info: SourceInfo, settings: TranscodeSettings, options: dict[str, str]
) -> TranscodeReport:
    if info.sound_timestamps:
        try:
            return _encode(source, target, info, settings, options, constant_rate=False)
        except _BrokenTimestampsError:
            pass
    return _encode(source, target, info, settings, options, constant_rate=True)


def output_size(info: SourceInfo, short_side: int | None) -> tuple[int, int]:
    """Return (width, height) before rotation: square pixels, short side at most `short_side`, both even."""
    width, height = info.width * info.sample_aspect, Fraction(info.height)
    if short_side and min(width, height) > short_side:
        scale = short_side / min(width, height)
        width, height = width * scale, height * scale
    even = [int(side) // 2 * 2 if side.denominator == 1 else round(side / 2) * 2 for side in (width, height)]
    if min(even) < _SMALLEST_SIDE:
        raise ClipError("too-small", f"{info.width}x{info.height}: a side is under {_SMALLEST_SIDE} pixels")
    if max(even) > _LARGEST_SIDE:
        raise ClipError("too-large", f"{even[0]}x{even[1]}: a side is over {_LARGEST_SIDE} pixels")
    return even[0], even[1]


def _output(target: Path) -> av.container.OutputContainer:
    return av.open(str(target), "w", format="mp4", container_options=_BITEXACT)


def _encode(
    source: Path,
    target: Path,
    info: SourceInfo,
    settings: TranscodeSettings,
    options: dict[str, str],
    *,
    constant_rate: bool,
) -> TranscodeReport:
    size = output_size(info, settings.short_side)
    upright = size if info.rotation % 2 == 0 else size[::-1]
    damage, converter = Damage(), VideoReformatter()
    frames = 0
    strict = STRICT if settings.on_corrupt == "fail" else None
    with open_video(source, strict) as (container, stream), _output(target) as out:
        clock = 1 / info.rate if constant_rate else _clock(stream)
        timeline = _Timeline(clock, constant_rate=constant_rate)
        encoder = _add_encoder(out, info.rate, clock, upright, options)
        try:
            for frame in read_frames(container, stream, damage):
                timeline.stamp(frame)
                out.mux(encoder.encode(_normalise(frame, size, info, converter)))
                frames += 1
            out.mux(encoder.encode(None))
        except MemoryError:
            raise
        except ExternalError:
            # with these settings and sizes libx264 refuses nothing; it has no other word for refused memory
            raise ClipError("out-of-memory", f"{source}: libx264 gave up at frame {frames}") from None
        except FFmpegError as error:
            code = "disk" if error.errno in NOT_WRITTEN else "encode-failed"
            raise ClipError(code, f"{source}: frame {frames}: {error.strerror}") from None
        if not frames:
            raise ClipError("no-frames", f"{source}: no frame of its {info.packets} packets can be decoded")
    return TranscodeReport(frames, damage.count, constant_rate)


class _Timeline:
    """Gives frames their times, in ticks of `clock`: at a constant rate, or the source's from zero."""

    def __init__(self, clock: Fraction, *, constant_rate: bool) -> None:
        self._clock = clock
        self._constant_rate = constant_rate
        self._origin: int | None = None
        self._last = -1

    def stamp(self, frame: VideoFrame) -> None:
        """Stamp the next frame; raises _BrokenTimestampsError where the source's times do not go on."""
        stamp = self._last + 1 if self._constant_rate else self._kept(frame)
        if stamp <= self._last:
            raise _BrokenTimestampsError
        frame.pts, frame.time_base, self._last = stamp, self._clock, stamp

    def _kept(self, frame: VideoFrame) -> int:
        if frame.pts is None or frame.time_base is None:
            raise _BrokenTimestampsError
        self._origin = frame.pts if self._origin is None else self._origin
        return round((frame.pts - self._origin) * frame.time_base / self._clock)


def _clock(stream: VideoStream) -> Fraction:
    base = Fraction(stream.time_base or Fraction(1, _FINEST_CLOCK))
    return max(base, Fraction(1, _FINEST_CLOCK))


def _add_encoder(
    out: av.container.OutputContainer,
    rate: Fraction,
    clock: Fraction,
    size: tuple[int, int],
    options: dict[str, str],
) -> VideoStream:
    encoder = out.add_stream("libx264", rate=rate, options=options)
    encoder.width, encoder.height = size
    encoder.pix_fmt = "yuv420p"
    context = encoder.codec_context
    context.thread_count = 1
    context.time_base = clock
    encoder.time_base = clock
    context.colorspace = int(Colorspace.ITU601)
    context.color_range = int(ColorRange.MPEG)
    return encoder


def _normalise(
    frame: VideoFrame, size: tuple[int, int], info: SourceInfo, converter: VideoReformatter
) -> VideoFrame:
    """Return the frame as upright yuv420p of `size` (before rotation) with the same timestamp."""
    stamp, base = frame.pts, frame.time_base
    width, height = size
    if (
        (frame.width, frame.height) != size
        and frame.width // 2 * 2 == width
        and frame.height // 2 * 2 == height
    ):
        width, height = frame.width, frame.height  # one odd row or column is cut below, not scaled away
    picture = converter.reformat(
        frame,
        width=width,
        height=height,
        format="yuv420p",
        src_colorspace=_colorspace(frame),
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.MPEG,
        interpolation=_EXACT_SCALING,
        threads=1,
    )
    if (width, height) != size or info.rotation or info.mirrored:
        planes = [_plane(picture, index) for index in range(3)]
        picture = _from_planes([_upright(plane, size, info) for plane in planes])
    picture.pts, picture.time_base = stamp, base
    picture.pict_type = PictureType.NONE  # the source's frame types would be forced on the encoder
    return picture


def _colorspace(frame: VideoFrame) -> int:
    known = {int(space) for space in Colorspace}
    return int(frame.colorspace) if int(frame.colorspace) in known else int(Colorspace.ITU601)


def _plane(picture: VideoFrame, index: int) -> NDArray[np.uint8]:
    plane = picture.planes[index]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


def _upright(plane: NDArray[np.uint8], size: tuple[int, int], info: SourceInfo) -> NDArray[np.uint8]:
    chroma = plane.shape[1] < size[0]
    width, height = (size[0] // 2, size[1] // 2) if chroma else size
    cut = plane[:height, :width]
    return np.rot90(cut[:, ::-1] if info.mirrored else cut, -info.rotation)


def _from_planes(planes: list[NDArray[np.uint8]]) -> VideoFrame:
    height, width = planes[0].shape
    packed = np.concatenate([plane.reshape(-1) for plane in planes]).reshape(height * 3 // 2, width)
    return VideoFrame.from_ndarray(packed, format="yuv420p")

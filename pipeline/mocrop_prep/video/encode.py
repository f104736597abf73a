"""Write clips that meet the contract: re-encode a source to plain H.264, or copy a stream that does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mocrop_prep.config import TranscodeSettings
from mocrop_prep.errors import DISK_ERRORS, ClipError
from mocrop_prep.video.source import SourceInfo, open_video

# One thread, so that the bytes do not depend on the machine. Everything that could move or add a key frame is
# off. weightp=1: smart weighting (2) would add a second, weighted reference. mbtree=0: without B-frames,
# x264's macroblock tree (core 165) reads memory that was never written, and the same clip encodes to other
# bytes in another process.
_X264 = (
    "keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:bframes=0:ref=1:weightp=1:mbtree=0:rc-lookahead=0:"
    "threads=1:lookahead-threads=1:sliced-threads=0"
)
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
    """Copy the video stream of a source that meets the contract into an MP4; raises ClipError."""
    with open_video(source) as (container, stream), _output(target) as out:
        copied = out.add_stream_from_template(stream)
        packets = 0
        try:
            for packet in container.demux(stream):
                if packet.dts is None:
                    continue
                packet.stream = copied
                out.mux(packet)
                packets += 1
        except FFmpegError as error:
            code = "disk" if error.errno in DISK_ERRORS else "corrupt"
            raise ClipError(code, f"{source}: after {packets} packets: {error.strerror}") from None
    return TranscodeReport(packets, 0, False)


def encode_clip(source: Path, target: Path, info: SourceInfo, settings: TranscodeSettings) -> TranscodeReport:
    """Re-encode a source as yuv420p H.264 MP4: upright, square pixels, even sizes, BT.601 limited range.

    The GOP is fixed and closed, with one reference and no B-frames. Sound timestamps are kept, from zero;
    others are replaced by a constant rate. Damaged packets are skipped and counted. Raises ClipError.
    """
    if info.sound_timestamps:
        try:
            return _encode(source, target, info, settings, constant_rate=False)
        except _BrokenTimestampsError:
            pass
    return _encode(source, target, info, settings, constant_rate=True)


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
    source: Path, target: Path, info: SourceInfo, settings: TranscodeSettings, *, constant_rate: bool
) -> TranscodeReport:
    size = output_size(info, settings.short_side)
    upright = size if info.rotation % 2 == 0 else size[::-1]
    damage = _Damage()
    frames, last = 0, -1
    with open_video(source) as (container, stream), _output(target) as out:
        clock = 1 / info.rate if constant_rate else _clock(stream)
        encoder = _add_encoder(out, info.rate, clock, upright, settings)
        origin: int | None = None
        try:
            for frame in _decode_all(container, stream, damage):
                if constant_rate:
                    frame.pts, frame.time_base = frames, clock
                else:
                    if frame.pts is None or frame.time_base is None:
                        raise _BrokenTimestampsError
                    origin = frame.pts if origin is None else origin
                    stamp = round((frame.pts - origin) * frame.time_base / clock)
                    if stamp <= last:
                        raise _BrokenTimestampsError
                    frame.pts, frame.time_base, last = stamp, clock, stamp
                out.mux(encoder.encode(_normalise(frame, size, info)))
                frames += 1
            out.mux(encoder.encode(None))
        except FFmpegError as error:
            code = "disk" if error.errno in DISK_ERRORS else "encode-failed"
            raise ClipError(code, f"{source}: frame {frames}: {error.strerror}") from None
        if not frames:
            raise ClipError("no-frames", f"{source}: no frame of its {info.packets} packets can be decoded")
    return TranscodeReport(frames, damage.count, constant_rate)


def _clock(stream: VideoStream) -> Fraction:
    base = Fraction(stream.time_base or Fraction(1, _FINEST_CLOCK))
    return max(base, Fraction(1, _FINEST_CLOCK))


def _add_encoder(
    out: av.container.OutputContainer,
    rate: Fraction,
    clock: Fraction,
    size: tuple[int, int],
    settings: TranscodeSettings,
) -> VideoStream:
    options = {
        "preset": settings.preset,
        "crf": f"{settings.crf:g}",
        "x264-params": _X264.format(gop=settings.gop),
    }
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


class _Damage:
    """Counts damaged packets and frames while a broken stream is read as far as it goes."""

    def __init__(self) -> None:
        self.count = 0


def _decode_all(container: InputContainer, stream: VideoStream, damage: _Damage) -> Iterator[VideoFrame]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except FFmpegError:  # the container breaks off: what was read so far is all there is
            damage.count += 1
            return
        damage.count += packet.is_corrupt
        try:
            frames = packet.decode()
        except FFmpegError:
            damage.count += 1
            continue
        for frame in frames:
            damage.count += bool(frame.is_corrupt)
            yield frame


def _normalise(frame: VideoFrame, size: tuple[int, int], info: SourceInfo) -> VideoFrame:
    """Return the frame as upright yuv420p of `size` (before rotation) with the same timestamp."""
    stamp, base = frame.pts, frame.time_base
    width, height = size
    if (
        (frame.width, frame.height) != size
        and frame.width // 2 * 2 == width
        and frame.height // 2 * 2 == height
    ):
        width, height = frame.width, frame.height  # one odd row or column is cut below, not scaled away
    picture = frame.reformat(
        width=width,
        height=height,
        format="yuv420p",
        src_colorspace=_colorspace(frame),
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.MPEG,
        interpolation=_EXACT_SCALING,
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

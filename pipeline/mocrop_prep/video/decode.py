"""Decode clips that meet the contract: motion vectors, frame numbers and exact pictures in one pass.

One thread always: with frame threads libavcodec exports wrong vectors, differently on each run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from av.codec.context import Flags2
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mocrop_prep.appearance import AppearanceGauge
from mocrop_prep.errors import ClipError
from mocrop_prep.pictures import Planes
from mocrop_prep.vectors import ClipInfo, VectorBatch, Vectors
from mocrop_prep.video.damage import STRICT, Damage, decode_packets, refusal
from mocrop_prep.video.opening import open_video, read_packets, side_data

Watch = Callable[[VideoFrame], None]
"""What is shown every frame of a decode."""

_MOST_WAITING = 16 << 20  # bytes of packets that wait for their decode: those of minutes at 320x240
_ONLY_KEYS_FILTERED = {"skip_loop_filter": "nointra"}
_PACKET = 1024  # bytes that a packet takes beside its content, about


@dataclass(frozen=True, slots=True)
class StreamIndex:
    """A clip's frames, from its packets: `info`, and `times` in seconds, one per frame.

    `direct` says that the clip is a source that is read in place.
    """

    info: ClipInfo
    times: tuple[float, ...]
    direct: bool = False

    @property
    def exact(self) -> Sequence[int]:
        """The frames that come out exactly anyway: key frames; of a source all, which is decoded in full."""
        return range(self.info.frames) if self.direct else self.info.key_frames


class OpenClip:
    """A clip that is open and indexed, to be decoded.

    The packets read for the index wait in memory, so that one demux serves both; where they are too many,
    and for a second decode, the file is opened again.
    """

    def __init__(self, path: Path, container: InputContainer, stream: VideoStream) -> None:
        self._path = path
        self._stream = stream
        self._waiting: list[Packet[Any]] = []
        self.index = self._read(container)

    def decode(
        self,
        *,
        sink: Callable[[Vectors], None] | None,
        keep: Collection[int] = (),
        loop_filter: bool = False,
        gauge: AppearanceGauge | None = None,
    ) -> dict[int, Planes]:
        """Decode all frames, as `decode_clip` does."""
        options = STRICT if loop_filter else STRICT | _ONLY_KEYS_FILTERED
        with self._packets(options) as (stream, packets):
            return _decode(self._path, stream, packets, self.index.info.frames, sink, keep, gauge)

    def decode_exact(self, numbers: Collection[int]) -> dict[int, Planes]:
        """Decode only these key frames, by their numbers."""
        keys = {number: place for place, number in enumerate(self.index.info.key_frames)}
        wanted = sorted(set(numbers))
        with self._packets(STRICT) as (stream, packets):
            found = _decode_key_frames(self._path, stream, packets, {keys[number] for number in wanted})
        return dict(zip(wanted, found, strict=True))

    def _read(self, container: InputContainer) -> StreamIndex:
        path, held = self._path, 0
        pts: list[int] = []
        keys: list[int] = []
        try:
            for packet in read_packets(container, self._stream):
                held += packet.size + _PACKET
                if held <= _MOST_WAITING:
                    self._waiting.append(packet)
                elif self._waiting:
                    self._waiting = []
                if packet.size == 0:
                    continue
                if packet.pts is None or packet.is_corrupt:
                    raise ClipError("corrupt", f"{path}: packet {len(pts)} is damaged")
                if packet.is_keyframe:
                    keys.append(len(pts))
                pts.append(packet.pts)
        except MemoryError:
            raise
        except FFmpegError as error:
            raise ClipError("corrupt", f"{path}: after {len(pts)} packets: {error.strerror}") from None
        if not pts or not keys:
            raise ClipError("no-frames", f"{path}: no key frame among {len(pts)} packets")
        base, context = self._stream.time_base, self._stream.codec_context
        if base is None:
            raise ClipError("corrupt", f"{path}: the stream has no time base")
        ticks, size = [stamp - pts[0] for stamp in pts], (context.width, context.height)
        return timed_index(size, ticks, base, self._stream.average_rate, keys)

    @contextmanager
    def _packets(self, options: Mapping[str, str]) -> Iterator[tuple[VideoStream, Iterator[Packet[Any]]]]:
        """Yield a stream, to be decoded with `options`, and its packets."""
        if self._waiting:
            packets, self._waiting = self._waiting, []
            self._stream.codec_context.options = dict(options)
            yield self._stream, iter(packets)
            return
        with open_video(self._path, options) as (container, stream):
            yield stream, read_packets(container, stream)


@contextmanager
def open_clip(path: Path) -> Iterator[OpenClip]:
    """Open and index a clip without B-frames (packets are frames, in order); raises ClipError."""
    with open_video(path) as (container, stream):
        yield OpenClip(path, container, stream)


def index_stream(path: Path) -> StreamIndex:
    """Demux a clip without B-frames (packets are frames, in order); raises ClipError."""
    with open_clip(path) as clip:
        return clip.index


def decode_clip(
    path: Path,
    *,
    frames: int | None,
    sink: Callable[[Vectors], None] | None,
    keep: Collection[int] = (),
    loop_filter: bool = False,
    gauge: AppearanceGauge | None = None,
    watch: Watch | None = None,
) -> dict[int, Planes]:
    """Decode a clip once: hand its motion vectors to `sink` in batches, return the frames numbered in `keep`.

    `gauge` is shown the frames that it asks for, `watch` all of them. Without `loop_filter` only key frames
    are filtered, which leaves vectors and key frames exact and every other picture not: ask for it when
    `keep` names others. Raises ClipError if the clip does not decode to exactly `frames` whole frames, any
    number if that is None, of the size that its header claims.
    """
    options = STRICT if loop_filter else STRICT | _ONLY_KEYS_FILTERED
    with open_video(path, options) as (container, stream):
        packets = read_packets(container, stream)
        return _decode(path, stream, packets, frames, sink, keep, gauge, watch)


def timed_index(
    size: tuple[int, int],
    ticks: Sequence[int],
    tick: Fraction,
    rate: Fraction | None,
    keys: Sequence[int],
    *,
    direct: bool = False,
) -> StreamIndex:
    """Return the index of frames at these multiples of `tick` seconds, in order, the first at 0.

    `rate` is that of a clip whose frames all have one time; `keys` are the numbers of its key frames.
    """
    # a quotient of whole numbers is rounded once, as a Fraction is
    times = [count * tick.numerator / tick.denominator for count in ticks]
    fps = (len(times) - 1) / times[-1] if times[-1] > 0 else float(rate or 0)
    info = ClipInfo(*size, round(fps, 6), len(times), tuple(keys))
    return StreamIndex(info, tuple(round(time, 6) for time in times), direct)


def _decode(
    path: Path,
    stream: VideoStream,
    packets: Iterator[Packet[Any]],
    frames: int | None,
    sink: Callable[[Vectors], None] | None,
    keep: Collection[int],
    gauge: AppearanceGauge | None,
    watch: Watch | None = None,
) -> dict[int, Planes]:
    pictures: dict[int, Planes] = {}
    damage = Damage()
    context = stream.codec_context
    width, height = context.width, context.height
    batch = None if sink is None else VectorBatch(sink)
    looks = gauge.numbers if gauge is not None else ()
    if batch is not None:
        context.flags2 |= Flags2.export_mvs
    number = 0
    for frame in decode_packets(packets, damage):
        if frame.width != width or frame.height != height:
            raise _another_size(path, frame, width, height)
        if watch is not None:
            watch(frame)
        if batch is not None and (exported := side_data(frame, Type.MOTION_VECTORS)) is not None:
            batch.add(number, exported)
        if gauge is not None and number in looks:
            gauge.add(_plane(frame, 0))
        if number in keep:
            pictures[number] = _planes(frame)
        number += 1
    if batch is not None:
        batch.flush()
    if damage.count:
        raise refusal(path, damage.count, frames or number)
    if frames is not None and number != frames:
        raise ClipError("corrupt", f"{path}: {number} frames decode where the file has {frames}")
    return pictures


def _decode_key_frames(
    path: Path, stream: VideoStream, packets: Iterable[Packet[Any]], wanted: Collection[int]
) -> list[Planes]:
    """Return the key frames with these ordinals (0 is the first key frame), in order."""
    pictures = []
    context = stream.codec_context
    width, height = context.width, context.height
    try:
        keys = (packet for packet in packets if packet.size and packet.is_keyframe)
        chosen = (packet for ordinal, packet in enumerate(keys) if ordinal in wanted)
        for packet in chain(chosen, [None]):
            for frame in context.decode(packet):
                if frame.width != width or frame.height != height:
                    raise _another_size(path, frame, width, height)
                if frame.is_corrupt:
                    raise ClipError("corrupt", f"{path}: the key frame at {frame.time} s is damaged")
                pictures.append(_planes(frame))
    except MemoryError:
        raise
    except FFmpegError as error:
        raise ClipError("corrupt", f"{path}: {error.strerror}") from None
    if len(pictures) != len(wanted):
        raise ClipError("corrupt", f"{path}: {len(pictures)} of {len(wanted)} key frames decode")
    return pictures


def _planes(frame: VideoFrame) -> Planes:
    """Return the planes of a frame, not copied: they keep the frame, and it its memory."""
    return Planes(*(_plane(frame, index) for index in range(3)))


def _plane(frame: VideoFrame, index: int) -> NDArray[np.uint8]:
    plane = frame.planes[index]
    lines: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return lines[: plane.height, : plane.width]


def _another_size(path: Path, frame: VideoFrame, width: int, height: int) -> ClipError:
    found = f"a frame of {frame.width}x{frame.height} in a clip of {width}x{height}"
    return ClipError("corrupt", f"{path}: {found}")

"""Decode clips that meet the contract: motion vectors, frame numbers and exact pictures in one pass.

One thread always: with frame threads libavcodec exports wrong vectors, differently on each run.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from av.codec.context import Flags2
from av.error import FFmpegError
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from mocrop_prep.appearance import AppearanceGauge
from mocrop_prep.errors import ClipError
from mocrop_prep.vectors import AV_MOTION_VECTOR, BATCH, ClipInfo, Vectors
from mocrop_prep.video.damage import STRICT, Damage, read_frames, refusal
from mocrop_prep.video.opening import open_video, read_packets, side_data

Picture = NDArray[np.uint8]
"""A frame as planar I420: (height * 3 // 2, width) uint8, BT.601 limited range."""

# A frame's side data and the frame refer to each other, so only the collector frees them: a frame waits
# for at most this many others.
_COLLECT_EVERY = 16


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


def index_stream(path: Path) -> StreamIndex:
    """Demux a clip without B-frames (packets are frames, in order); raises ClipError."""
    with open_video(path) as (container, stream):
        pts: list[int] = []
        keys: list[int] = []
        try:
            for packet in read_packets(container, stream):
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
        base = stream.time_base
        if base is None:
            raise ClipError("corrupt", f"{path}: the stream has no time base")
        seconds = float((pts[-1] - pts[0]) * base)
        fps = (len(pts) - 1) / seconds if seconds > 0 else float(stream.average_rate or 0)
        context = stream.codec_context
        info = ClipInfo(context.width, context.height, round(fps, 6), len(pts), tuple(keys))
        return StreamIndex(info, tuple(round(float((p - pts[0]) * base), 6) for p in pts))


def decode_clip(
    path: Path,
    *,
    frames: int | None,
    sink: Callable[[Vectors], None] | None,
    keep: Collection[int] = (),
    loop_filter: bool = False,
    gauge: AppearanceGauge | None = None,
    watch: Callable[[VideoFrame], None] | None = None,
) -> dict[int, Picture]:
    """Decode a clip once: hand its motion vectors to `sink` in batches, return the frames numbered in `keep`.

    `gauge` is shown the frames that it asks for, `watch` all of them. Without `loop_filter` only key frames
    are filtered, which leaves vectors and key frames exact and every other picture not: ask for it when
    `keep` names others. Raises ClipError if the clip does not decode to exactly `frames` whole frames, any
    number if that is None, of the size that its header claims.
    """
    pictures: dict[int, Picture] = {}
    batch = _Batch(sink)
    damage = Damage()
    options = STRICT if loop_filter else {**STRICT, "skip_loop_filter": "nointra"}
    with open_video(path, options) as (container, stream):
        context = stream.codec_context
        size = context.width, context.height
        if sink is not None:
            context.flags2 |= Flags2.export_mvs
        number = 0
        for frame in read_frames(container, stream, damage):
            _check_size(frame, size, path)
            if watch is not None:
                watch(frame)
            if sink is not None:
                batch.add(number, frame)
            if gauge is not None and number in gauge.numbers:
                gauge.add(_luma(frame))
            if number in keep:
                pictures[number] = _planes(frame)
            number += 1
            if number % _COLLECT_EVERY == 0:
                gc.collect(0)
    batch.flush()
    if damage.count:
        raise refusal(path, damage.count, frames or number)
    if frames is not None and number != frames:
        raise ClipError("corrupt", f"{path}: {number} frames decode where the file has {frames}")
    return pictures


def decode_key_frames(path: Path, ordinals: Collection[int]) -> list[Picture]:
    """Decode only the key frames with these ordinals (0 is the first key frame), in order."""
    wanted = set(ordinals)
    with open_video(path, STRICT) as (container, stream):
        context = stream.codec_context
        size = context.width, context.height
        pictures = []
        try:
            packets = (p for p in read_packets(container, stream) if p.size and p.is_keyframe)
            chosen = [packet for ordinal, packet in enumerate(packets) if ordinal in wanted]
            for packet in [*chosen, None]:
                for frame in context.decode(packet):
                    _check_size(frame, size, path)
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


def _planes(frame: VideoFrame) -> Picture:
    return np.asarray(frame.to_ndarray(), np.uint8)


def _luma(frame: VideoFrame) -> NDArray[np.uint8]:
    plane = frame.planes[0]
    lines: NDArray[np.uint8] = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return lines[: frame.height, : frame.width]


def _check_size(frame: VideoFrame, size: tuple[int, int], path: Path) -> None:
    if (frame.width, frame.height) != size:
        found = f"a frame of {frame.width}x{frame.height} in a clip of {size[0]}x{size[1]}"
        raise ClipError("corrupt", f"{path}: {found}")


class _Batch:
    """Collect the vectors of frames until there are enough to be worth a call."""

    def __init__(self, sink: Callable[[Vectors], None] | None) -> None:
        self._sink = sink
        self._parts: list[tuple[int, NDArray[Any]]] = []
        self._size = 0

    def add(self, number: int, frame: VideoFrame) -> None:
        data = side_data(frame, "MOTION_VECTORS")
        if data is None:
            return
        # the buffer is the frame's: copied, so that it may go
        array = np.frombuffer(data, AV_MOTION_VECTOR).copy()
        self._parts.append((number, array))
        self._size += len(array)
        if self._size >= BATCH:
            self.flush()

    def flush(self) -> None:
        if self._parts and self._sink is not None:
            self._sink(Vectors.from_frames(self._parts))
        self._parts, self._size = [], 0

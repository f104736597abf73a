"""Read sources in place: streams with B-frames, packed bitstreams and broken times, without transcoding them.

In such streams packets are not frames, so what the packets promise (how many frames, which of them are key
frames, when) is a guess. It is made before the decode, which needs it, and checked by it; where it was wrong
the clip is decoded again, with the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Protocol, TypeVar

from av.error import FFmpegError
from av.video.frame import VideoFrame

from mocrop_prep.appearance import AppearanceGauge
from mocrop_prep.errors import ClipError
from mocrop_prep.vectors import ClipInfo, Vectors
from mocrop_prep.video.decode import Picture, StreamIndex, decode_clip, index_stream
from mocrop_prep.video.opening import message, open_video, read_packets
from mocrop_prep.video.source import frame_rate, sound_times

T = TypeVar("T")


class Decode(Protocol):
    """`decode_clip` of a certain clip."""

    def __call__(
        self,
        *,
        sink: Callable[[Vectors], None] | None,
        keep: Collection[int] = (),
        loop_filter: bool = False,
        gauge: AppearanceGauge | None = None,
    ) -> dict[int, Picture]:
        """Decode the clip once."""


Work = Callable[[StreamIndex, Decode], T]


def read_clip(video: Path, work: Work[T], *, direct: bool) -> tuple[StreamIndex, T]:
    """Call `work` with a clip's index and its decode; return the true index and what `work` made of it.

    `direct` says that the clip is a source, read in place. If its decode shows that the index was a wrong
    guess, it ends `work`, which is called again with the truth and must start afresh. Raises ClipError.
    """
    if not direct:
        index = index_stream(video)
        return index, work(index, partial(decode_clip, video, frames=index.info.frames))
    clock, index = _predict(video)
    try:
        return index, work(index, _Decoder(video, clock, index))
    except _WrongGuessError as error:
        return error.truth, work(error.truth, _Decoder(video, clock, error.truth))


def predict_index(video: Path) -> StreamIndex:
    """Say from its packets what frames a source decodes to, in the order of display; raises ClipError."""
    return _predict(video)[1]


@dataclass(frozen=True, slots=True)
class _Clock:
    """What turns timestamps into seconds; without `keeps_time` a constant rate is all that is known."""

    size: tuple[int, int]
    rate: Fraction
    base: Fraction
    keeps_time: bool

    def index(self, stamps: Sequence[int | None], keys: Sequence[int]) -> StreamIndex:
        """Return the index of frames with these timestamps, in the order of display."""
        known = [stamp for stamp in stamps if stamp is not None]
        if self.keeps_time and sound_times(stamps) and all(a < b for a, b in pairwise(known)):
            ticks, tick = [stamp - known[0] for stamp in known], self.base
        else:
            ticks, tick = list(range(len(stamps))), 1 / self.rate
        times = tuple(round(n * tick.numerator / tick.denominator, 6) for n in ticks)
        fps = (len(times) - 1) / (ticks[-1] * tick) if ticks[-1] else self.rate
        info = ClipInfo(*self.size, round(float(fps), 6), len(times), tuple(keys))
        return StreamIndex(info, times, direct=True)


class _WrongGuessError(Exception):
    """A source decodes to other frames than its packets promised: to those of `truth`."""

    def __init__(self, truth: StreamIndex) -> None:
        super().__init__(truth)
        self.truth = truth


class _Decoder:
    """Decodes a source and holds what comes out against an index; raises _WrongGuessError."""

    def __init__(self, video: Path, clock: _Clock, index: StreamIndex) -> None:
        self._video, self._clock, self._index = video, clock, index
        self._stamps: list[int | None] = []
        self._keys: list[int] = []

    def __call__(
        self,
        *,
        sink: Callable[[Vectors], None] | None,
        keep: Collection[int] = (),
        gauge: AppearanceGauge | None = None,
        loop_filter: bool = True,
    ) -> dict[int, Picture]:
        """Decode in full, with the loop filter: any frame may be wanted."""
        del loop_filter
        pictures = decode_clip(
            self._video, frames=None, sink=sink, keep=keep, loop_filter=True, gauge=gauge, watch=self._see
        )
        if not self._keys:
            found = f"no key frame among {len(self._stamps)} frames"
            raise ClipError("no-frames", f"{self._video}: {found}")
        truth = self._clock.index(self._stamps, self._keys)
        if truth != self._index:
            raise _WrongGuessError(truth)
        return pictures

    def _see(self, frame: VideoFrame) -> None:
        if frame.key_frame:
            self._keys.append(len(self._stamps))
        self._stamps.append(frame.pts)


def _predict(video: Path) -> tuple[_Clock, StreamIndex]:
    with open_video(video) as (container, stream):
        context = stream.codec_context
        base = Fraction(stream.time_base or 1)
        # AVI has a rate and no times: what libavformat derives breaks with packed B-frames and dropped frames
        keeps_time = container.format.name != "avi"
        clock = _Clock((context.width, context.height), frame_rate(stream), base, keeps_time)
        stamps: list[int | None] = []
        keys: list[int] = []
        try:
            for packet in read_packets(container, stream):
                if packet.size:
                    keys += [len(stamps)] if packet.is_keyframe else []
                    stamps.append(packet.pts)
        except MemoryError:
            raise
        except FFmpegError as error:
            raise ClipError("corrupt", f"{video}: after {len(stamps)} packets: {message(error)}") from None
    if not stamps:
        raise ClipError("no-frames", f"{video}: the video stream has no packets")
    known = sorted(stamp for stamp in stamps if stamp is not None)
    if len(set(known)) == len(stamps):  # frames are shown in the order of their times
        place: dict[int | None, int] = {stamp: number for number, stamp in enumerate(known)}
        keys, stamps = sorted(place[stamps[key]] for key in keys), list(known)
    return clock, clock.index(stamps, keys)

"""Read sources in place: streams with B-frames, packed bitstreams and broken times, without transcoding them.

In such streams packets are not frames, so what the packets promise (how many frames, which of them are key
frames, when) is a guess. It is made before the decode, which needs it, and checked by it; where it was wrong
the clip is decoded again, with the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol, TypeVar

from av.video.frame import VideoFrame

from mocrop_prep.appearance import AppearanceGauge
from mocrop_prep.errors import ClipError
from mocrop_prep.pictures import Planes
from mocrop_prep.vectors import Vectors
from mocrop_prep.video.decode import StreamIndex, decode_clip, open_clip, timed_index
from mocrop_prep.video.source import SourceInfo

T = TypeVar("T")


class Film(Protocol):
    """A clip that is open and indexed, to be decoded once."""

    @property
    def index(self) -> StreamIndex:
        """Its frames."""

    def decode(
        self,
        *,
        sink: Callable[[Vectors], None] | None,
        keep: Collection[int] = (),
        loop_filter: bool = False,
        gauge: AppearanceGauge | None = None,
    ) -> dict[int, Planes]:
        """Decode all frames, as `decode_clip` does."""

    def decode_exact(self, numbers: Collection[int]) -> dict[int, Planes]:
        """Return frames that come out exactly anyway, by their numbers, which are in `index.exact`."""


Work = Callable[[Film], T]


def read_clip(video: Path, work: Work[T], *, source: SourceInfo | None) -> tuple[StreamIndex, T]:
    """Call `work` with a clip; return the clip's true index and what `work` made of it.

    `source` is what is known of a clip that is a source, read in place; None for a transcoded one. If the
    decode shows that the index was a wrong guess, it ends `work`, which is called again with the truth and
    must start afresh. Raises ClipError.
    """
    if source is None:
        with open_clip(video) as film:
            return film.index, work(film)
    index = predicted_index(source)
    try:
        return index, work(_Source(video, source, index))
    except _WrongGuessError as error:
        return error.truth, work(_Source(video, source, error.truth))


def predicted_index(source: SourceInfo) -> StreamIndex:
    """Say from its packets what frames a source decodes to, in the order of display."""
    stamps, keys = source.stamps, source.key_packets
    known = sorted(stamp for stamp in stamps if stamp is not None)
    if len(set(known)) == len(stamps):  # frames are shown in the order of their times
        place: dict[int | None, int] = {stamp: number for number, stamp in enumerate(known)}
        keys, stamps = tuple(sorted(place[stamps[key]] for key in keys)), tuple(known)
    return _index(source, stamps, keys)


def _index(source: SourceInfo, stamps: Sequence[int | None], keys: Sequence[int]) -> StreamIndex:
    """Return the index of frames with these timestamps, in the order of display.

    Where these are no times, there is a constant rate.
    """
    known = [stamp for stamp in stamps if stamp is not None]
    ticks, tick = list(range(len(stamps))), 1 / source.rate
    if source.sound_timestamps and len(known) == len(stamps) and all(a < b for a, b in pairwise(known)):
        ticks, tick = [stamp - known[0] for stamp in known], source.time_base
    return timed_index((source.width, source.height), ticks, tick, source.rate, keys, direct=True)


class _WrongGuessError(Exception):
    """A source decodes to other frames than its packets promised: to those of `truth`."""

    def __init__(self, truth: StreamIndex) -> None:
        super().__init__(truth)
        self.truth = truth


class _Source:
    """A source to be decoded, which is then held against its index; raises _WrongGuessError."""

    def __init__(self, video: Path, source: SourceInfo, index: StreamIndex) -> None:
        self.index = index
        self._video, self._source = video, source
        self._stamps: list[int | None] = []
        self._keys: list[int] = []

    def decode(
        self,
        *,
        sink: Callable[[Vectors], None] | None,
        keep: Collection[int] = (),
        loop_filter: bool = True,
        gauge: AppearanceGauge | None = None,
    ) -> dict[int, Planes]:
        """Decode in full, with the loop filter whatever is asked: any frame may be wanted."""
        del loop_filter
        pictures = decode_clip(
            self._video, frames=None, sink=sink, keep=keep, loop_filter=True, gauge=gauge, watch=self._see
        )
        if not self._keys:
            found = f"no key frame among {len(self._stamps)} frames"
            raise ClipError("no-frames", f"{self._video}: {found}")
        truth = _index(self._source, self._stamps, self._keys)
        if truth != self.index:
            raise _WrongGuessError(truth)
        return pictures

    def decode_exact(self, numbers: Collection[int]) -> dict[int, Planes]:
        """Decode all frames, which are all exact, and return these."""
        return self.decode(sink=None, keep=numbers)

    def _see(self, frame: VideoFrame) -> None:
        if frame.key_frame:
            self._keys.append(len(self._stamps))
        self._stamps.append(frame.pts)

"""Batches finished on the GPU that trains: a thread augments, or decodes and augments, one batch ahead."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from mocrop_train.config import TrainConfig
from mocrop_train.data import jpegs, loading
from mocrop_train.data.loading import Batch, Batches, ClipFrames, Clips, TrainClips
from mocrop_train.data.sampling import ShuffledClips
from mocrop_train.run import device

T = TypeVar("T")


def batches(
    clips: Clips[Any],
    config: TrainConfig,
    where: torch.device,
    *,
    workers: int,
    sampler: ShuffledClips | Sequence[int] | None = None,
) -> Batches:
    """Return the batches of a run, decoded and augmented where its config says, if that can be done."""
    # features have been decoded long ago
    if isinstance(clips.source, ClipFrames) and device.decodes(config, where):
        return DecodedThere(clips, clips.source, config.batch_size, workers, where, sampler)
    if (
        isinstance(clips.source, ClipFrames)
        and isinstance(clips, TrainClips)
        and device.augments(config, where)
    ):
        return AugmentedThere(clips, config.batch_size, workers, where, sampler)
    return loading.loader(clips, batch_size=config.batch_size, workers=workers, device=where, sampler=sampler)


class _Encoded(NamedTuple):
    """What was asked for, and the JPEGs it takes."""

    draw: Any
    jpegs: list[bytes]


class _Reading(Dataset[_Encoded]):
    """The part that workers do: they find the JPEGs and pass them on as they are."""

    def __init__(self, clips: Clips[Any], source: ClipFrames) -> None:
        self._clips = clips
        self._source = source

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, draw: Any) -> _Encoded:
        wanted = self._clips.wanted(draw)
        return _Encoded(draw, self._source.encoded(wanted.clip, wanted.positions))


class DecodedThere:
    """The batches of `loading.loader`, decoded and augmented on a device, with frames that are there already.

    The order and all that is drawn are those of `loading.loader`; pixels are those of the device's decoder.
    """

    def __init__(
        self,
        clips: Clips[Any],
        source: ClipFrames,
        batch_size: int,
        workers: int,
        where: torch.device,
        sampler: ShuffledClips | Sequence[int] | None = None,
    ) -> None:
        self._clips = clips
        self._source = source
        self._where = where
        # of its own: nvJPEG may run on no stream on which something is queued
        self._stream = torch.cuda.Stream(where) if where.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._encoded = loading.in_batches(
            _Reading(clips, source), list[_Encoded], batch_size, workers, sampler, pinned=False
        )

    def __len__(self) -> int:
        return len(self._encoded)

    def __iter__(self) -> Iterator[Batch]:
        for batch in one_ahead(self._decode(items) for items in self._encoded):
            if self._stream is not None:
                # else its memory would go back to the decoder's stream while this one still computes on it
                batch.frames.record_stream(torch.cuda.current_stream(self._where))
            yield batch

    def _decode(self, items: list[_Encoded]) -> Batch:
        with self._own_stream():
            try:
                pictures = jpegs.decode_on(self._where, [jpeg for item in items for jpeg in item.jpegs])
            except jpegs.PictureError:
                for item in items:  # this reads them again, and names the one at fault
                    wanted = self._clips.wanted(item.draw)
                    self._source.read(wanted.clip, wanted.positions)
                raise
            return loading.collate(list(self._finished(items, pictures)))

    def _finished(self, items: list[_Encoded], pictures: list[Tensor]) -> Iterator[tuple[Tensor, int]]:
        at = 0
        for item in items:
            wanted = self._clips.wanted(item.draw)
            frames = self._source.stack(wanted.clip, pictures[at : at + len(item.jpegs)])
            at += len(item.jpegs)
            yield self._clips.finish(wanted, frames)

    @contextlib.contextmanager
    def _own_stream(self) -> Iterator[None]:
        """Compute on the stream of the decoder, which is empty before and after."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            yield
        self._stream.synchronize()


class _Decoded(NamedTuple):
    """What was asked for, and the stored frames it takes: uint8 (frames, 3, height, width)."""

    draw: Any
    frames: Tensor


class _Decoding(Dataset[_Decoded]):
    """The part that workers do: they read and decode."""

    def __init__(self, clips: Clips[Any]) -> None:
        self._clips = clips

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, draw: Any) -> _Decoded:
        wanted = self._clips.wanted(draw)
        return _Decoded(draw, self._clips.source.read(wanted.clip, wanted.positions))


class AugmentedThere:
    """The batches of `loading.loader`, decoded by workers, augmented on a device clip by clip.

    The order and all that is drawn are those of `loading.loader`; a GPU rounds pixels in its own way when it
    resizes. Work goes to the stream of the network, behind the step that is under way, so that neither
    memory nor order has to be watched over.
    """

    def __init__(
        self,
        clips: Clips[Any],
        batch_size: int,
        workers: int,
        where: torch.device,
        sampler: ShuffledClips | Sequence[int] | None = None,
    ) -> None:
        self._clips = clips
        self._where = where
        self._decoded = loading.in_batches(
            _Decoding(clips), list[_Decoded], batch_size, workers, sampler, pinned=where.type == "cuda"
        )

    def __len__(self) -> int:
        return len(self._decoded)

    def __iter__(self) -> Iterator[Batch]:
        return one_ahead(self._augment(items) for items in self._decoded)

    def _augment(self, items: list[_Decoded]) -> Batch:
        return loading.collate(
            [
                self._clips.finish(self._clips.wanted(draw), frames.to(self._where, non_blocking=True))
                for draw, frames in items
            ]
        )


def one_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield what an iterator gives; the next item is made in a thread while the caller works on one."""
    end = object()
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item  # type: ignore[misc]  # it is not `end`

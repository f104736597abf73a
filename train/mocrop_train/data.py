"""Clips from shards to batches: temporal segments, a local shuffle, and clips of unequal length.

A batch is the frames of all its clips behind one another and the number of frames of each, in training as
in evaluation, and whether a frame is a picture or a cached feature.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from mocrop_manifests import DatasetIndex
from mocrop_manifests.dataset import shard_problem
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mocrop_train.errors import TrainError
from mocrop_train.shards import CACHED_ROW_GROUPS, ClipEntry, open_shard

Transform = Callable[[Tensor], Tensor]


class Batch(NamedTuple):
    """The frames of some clips.

    frames: uint8 (sum of counts, 3, height, width), or float32 (sum of counts, features).
    counts: int64 (clips,), the frames of each clip. labels: int64 (clips,).
    """

    frames: Tensor
    counts: Tensor
    labels: Tensor


class FrameSource(Protocol):
    """The clips of one split and their frames, as pictures or as features."""

    @property
    def clips(self) -> Sequence[ClipEntry]:
        """The clips, in file order."""
        ...

    @property
    def chunks(self) -> Sequence[Sequence[int]]:
        """Positions in `clips` that are cheap to read together."""
        ...

    def read(self, clip: int, positions: Sequence[int]) -> Tensor:
        """Return the stored frames at `positions` of a clip, stacked."""
        ...


class _Place(NamedTuple):
    shard: int
    chunk: int
    clip: int


class ClipFrames:
    """The pictures of one split of a shard set: uint8 RGB (frames, 3, height, width)."""

    def __init__(self, folder: Path, index: DatasetIndex, split: str, *, limit: int | None = None) -> None:
        """Index the shards of a split; `limit` keeps so many clips, spread evenly.

        Raises TrainError that names the shard which does not match the index.
        """
        self._folder = folder
        self._entries = [entry for entry in index.shards if entry.split == split]
        self._names = [str(folder / entry.file) for entry in self._entries]
        self._stamps = [_stamp(name) for name in self._names]
        self._shards = [open_shard(folder, entry, index) for entry in self._entries]
        places = [
            _Place(shard, chunk, clip)
            for shard, opened in enumerate(self._shards)
            for chunk, clips in enumerate(opened.chunks)
            for clip in clips
        ]
        kept = min(limit or len(places), len(places))
        self._places = [places[i * len(places) // kept] for i in range(kept)]
        self.clips = [self._shards[place.shard].clips[place.clip] for place in self._places]
        _refuse_doubles(self.clips, folder, split)
        by_chunk = itertools.groupby(range(kept), lambda clip: self._places[clip][:2])
        self.chunks = [list(clips) for _, clips in by_chunk]

    def read(self, clip: int, positions: Sequence[int]) -> Tensor:
        """Decode the stored frames at `positions`.

        Raises TrainError that names a frame which fails, or a shard that is no longer the one of the index.
        """
        place = self._places[clip]
        self._refuse_changed(place.shard)
        jpegs = self._shards[place.shard].read(place.clip, positions)
        frames = []
        for position, jpeg in zip(positions, jpegs, strict=True):
            try:
                # Pillow would open many formats, and some with the help of other programs
                frames.append(np.asarray(Image.open(io.BytesIO(jpeg), formats=("JPEG",)).convert("RGB")))
            except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # what Pillow raises
                where = f"{self._names[place.shard]}: clip {self.clips[clip].clip_id}, frame {position}"
                raise TrainError(f"{where}: not a whole JPEG ({error}); make the shards again") from error
        if len({frame.shape for frame in frames}) > 1:
            where = f"{self._names[place.shard]}: clip {self.clips[clip].clip_id}"
            raise TrainError(f"{where}: frames of different sizes; make the shards again")
        return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)

    def _refuse_changed(self, shard: int) -> None:
        """Raise TrainError if a shard was replaced since it was opened, unless by the same bytes."""
        stamp = _stamp(self._names[shard])
        if stamp == self._stamps[shard]:
            return
        problem = shard_problem(self._folder, self._entries[shard], verify=True)
        if problem:
            raise TrainError(f"{problem} (it was changed while in use)")
        self._stamps[shard] = stamp


def stored_size(folder: Path, index: DatasetIndex) -> int:
    """Return the size of the stored frames: the side of squashed ones, else the short side, in px."""
    shard = index.config.get("shard")
    size = shard.get("size") if isinstance(shard, dict) else None
    if type(size) is not int or size < 1:
        raise TrainError(f"{folder / 'dataset.json'}: config.shard.size is {size!r}, not a size in px")
    return size


def open_splits(folder: Path, index: DatasetIndex, *, limit: int | None = None) -> dict[str, FrameSource]:
    """Open every split that holds clips."""
    splits: dict[str, FrameSource] = {}
    for split in index.splits():
        source = ClipFrames(folder, index, split, limit=limit)
        if source.clips:
            splits[split] = source
    return splits


def segment_frames(stored: int, segments: int) -> list[int]:
    """Draw one frame from each of `segments` equal parts of `stored` frames, in order.

    Parts are disjoint and cover all frames; with fewer frames than segments every frame is drawn, some
    more than once. Uses torch's global generator. Wang et al., "Temporal Segment Networks", 2016, sec. 3.1.
    """
    drawn = []
    for part in range(segments):
        start = part * stored // segments
        end = max((part + 1) * stored // segments, start + 1)
        drawn.append(int(torch.randint(start, end, ())))
    return drawn


class TrainClips(Dataset[tuple[Tensor, int]]):
    """Clips as training sees them: a few frames each, augmented alike.

    Items are asked for as (clip, seed), as ShuffledClips draws them: what comes back depends on nothing
    else, so the number of workers and an interruption change nothing.
    """

    def __init__(self, source: FrameSource, segments: int, transform: Transform) -> None:
        self._source = source
        self._segments = segments
        self._transform = transform

    def __len__(self) -> int:
        return len(self._source.clips)

    def __getitem__(self, draw: tuple[int, int]) -> tuple[Tensor, int]:
        clip, seed = draw
        entry = self._source.clips[clip]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            frames = self._source.read(clip, segment_frames(entry.frames, self._segments))
            return self._transform(frames), entry.label


class EvalClips(Dataset[tuple[Tensor, int]]):
    """Clips as evaluation sees them: all stored frames, nothing random."""

    def __init__(self, source: FrameSource, transform: Transform) -> None:
        self._source = source
        self._transform = transform

    def __len__(self) -> int:
        return len(self._source.clips)

    def __getitem__(self, clip: int) -> tuple[Tensor, int]:
        entry = self._source.clips[clip]
        return self._transform(self._source.read(clip, range(entry.frames))), entry.label


class ShuffledClips(Sampler[tuple[int, int]]):
    """Every clip once per epoch, as (clip, seed), in an order that depends on (seed, epoch) alone.

    Chunks (shards, or row groups of Parquet) are shuffled, then the clips within a window of chunks: the
    order is random enough to train, and reads stay within a few places of the disk.
    """

    def __init__(
        self, chunks: Sequence[Sequence[int]], seed: int, *, window: int = CACHED_ROW_GROUPS
    ) -> None:
        self._chunks = chunks
        self._seed = seed
        self._window = window
        self.epoch = 0

    def __len__(self) -> int:
        return sum(len(chunk) for chunk in self._chunks)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        rng = np.random.default_rng([self._seed, self.epoch])
        order = rng.permutation(len(self._chunks)).tolist()
        for start in range(0, len(order), self._window):
            pool = np.concatenate([self._chunks[chunk] for chunk in order[start : start + self._window]])
            seeds = rng.integers(2**63, size=len(pool)).tolist()
            yield from zip(rng.permutation(pool).tolist(), seeds, strict=True)


def collate(samples: list[tuple[Tensor, int]]) -> Batch:
    """Join clips, of any number of frames each, to a batch."""
    frames = [clip for clip, _ in samples]
    counts = torch.tensor([len(clip) for clip in frames])
    return Batch(torch.cat(frames), counts, torch.tensor([label for _, label in samples]))


def loader(
    clips: TrainClips | EvalClips,
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
    sampler: ShuffledClips | None = None,
) -> DataLoader[Batch]:
    """Return batches of clips, in order or as the sampler says."""
    return DataLoader(
        clips,  # type: ignore[arg-type]  # the batches are what collate makes of the items
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
        # without its own generator a loader draws from the global one, on which dropout depends
        generator=torch.Generator(),
    )


def _stamp(path: str) -> tuple[int, int, int] | None:
    """Return what changes whenever a file does; None if it is gone."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _refuse_doubles(clips: Sequence[ClipEntry], folder: Path, split: str) -> None:
    seen = set()
    for clip in clips:
        if clip.clip_id in seen:
            raise TrainError(f"{folder}: clip {clip.clip_id} occurs twice in {split}; make the shards again")
        seen.add(clip.clip_id)

"""Clips from shards to batches, whose clips may be of unequal length.

A batch is the frames of all its clips behind one another and the number of frames of each, in training as
in evaluation, and whether a frame is a picture or a cached feature.
"""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from mocrop_manifests import DatasetIndex
from mocrop_manifests.dataset import shard_problem
from mocrop_manifests.files import sha256_of_text
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mocrop_train.data import jpegs
from mocrop_train.data.sampling import FILLER, ShuffledClips, dealt, segment_frames
from mocrop_train.data.shards import ClipEntry, open_shard
from mocrop_train.errors import TrainError
from mocrop_train.run.stopping import end_readers, left_to_the_parent

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
View = Callable[[Tensor], Tensor]
Draw = TypeVar("Draw")
Item = TypeVar("Item")
Joined = TypeVar("Joined")
# the label of a clip that counts for nothing: cross_entropy leaves it out
NO_LABEL = -100


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

    @property
    def content(self) -> str:
        """A hash of the shards that hold the clips; those of a part of a split are those of the whole."""
        ...

    def read(self, clip: int, positions: Sequence[int]) -> Tensor:
        """Return the stored frames at `positions` of a clip, stacked."""
        ...


class Batches(Protocol):
    """Batches of clips, as often as they are iterated over; the length is their number."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...


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
        self.folder = folder
        self._entries = [entry for entry in index.shards if entry.split == split]
        self.content = sha256_of_text("".join(sorted(entry.sha256 for entry in self._entries)))
        self._names = [str(folder / entry.file) for entry in self._entries]
        self._stamps = [_stamp(name) for name in self._names]
        self._shards = [open_shard(folder, entry, index) for entry in self._entries]
        places = [
            _Place(shard, chunk, clip)
            for shard, opened in enumerate(self._shards)
            for chunk, clips in enumerate(opened.chunks)
            for clip in clips
        ]
        self._keep([places[at] for at in spread(len(places), limit)])
        _refuse_doubles(self.clips, folder, split)

    def part(self, kept: Sequence[int]) -> ClipFrames:
        """Return a source of some of the clips, by ascending position; no shard is opened again."""
        part = copy.copy(self)
        part._keep([self._places[clip] for clip in kept])
        return part

    def _keep(self, places: list[_Place]) -> None:
        self._places = places
        self.clips = [self._shards[place.shard].clips[place.clip] for place in places]
        by_chunk = itertools.groupby(range(len(places)), lambda clip: places[clip][:2])
        self.chunks = [list(clips) for _, clips in by_chunk]

    def read(self, clip: int, positions: Sequence[int]) -> Tensor:
        """Decode the stored frames at `positions`; in memory a frame is height, width, 3.

        Raises TrainError that names a frame which fails, or a shard that is no longer the one of the index.
        """
        frames = []
        for position, jpeg in zip(positions, self.encoded(clip, positions), strict=True):
            try:
                frames.append(jpegs.decode(jpeg))
            except jpegs.PictureError as error:
                where = f"{self._where(clip)}, frame {position}"
                raise TrainError(f"{where}: not a whole JPEG ({error}); make the shards again") from error
        return self.stack(clip, frames)

    def encoded(self, clip: int, positions: Sequence[int]) -> list[bytes]:
        """Return the JPEGs of the stored frames at `positions`; raises TrainError for a changed shard."""
        place = self._places[clip]
        self._refuse_changed(place.shard)
        return self._shards[place.shard].read(place.clip, positions)

    def stack(self, clip: int, frames: Sequence[Tensor]) -> Tensor:
        """Join decoded frames of a clip; raises TrainError if they differ in size."""
        if len({frame.shape for frame in frames}) > 1:
            raise TrainError(f"{self._where(clip)}: frames of different sizes; make the shards again")
        # in the order in which decoders write, which is channels_last: several times faster than across it
        return torch.stack([frame.permute(1, 2, 0) for frame in frames]).permute(0, 3, 1, 2)

    def _where(self, clip: int) -> str:
        return f"{self._names[self._places[clip].shard]}: clip {self.clips[clip].clip_id}"

    def _refuse_changed(self, shard: int) -> None:
        """Raise TrainError if a shard was replaced since it was opened, unless by the same bytes."""
        stamp = _stamp(self._names[shard])
        if stamp == self._stamps[shard]:
            return
        problem = shard_problem(self.folder, self._entries[shard], verify=True)
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


def spread(clips: int, limit: int | None) -> list[int]:
    """Return at most `limit` positions of so many clips, evenly spread; all of them without a limit."""
    kept = min(limit or clips, clips)
    return [at * clips // kept for at in range(kept)]


def open_splits(folder: Path, index: DatasetIndex) -> dict[str, ClipFrames]:
    """Open every split that holds clips."""
    opened = {split: ClipFrames(folder, index, split) for split in index.splits()}
    return {split: source for split, source in opened.items() if source.clips}


class Wanted(NamedTuple):
    """What is wanted of a clip: its frames at `positions`; `rng` is where its augmentation is drawn from.

    label: its class, or NO_LABEL.
    """

    clip: int
    positions: Sequence[int]
    rng: torch.Generator
    label: int


class Clips(Dataset[tuple[Tensor, int]], Generic[Draw]):
    """Clips as a network sees them, with their labels: read, decoded, then finished."""

    def __init__(self, source: FrameSource) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source.clips)

    def __getitem__(self, draw: Draw) -> tuple[Tensor, int]:
        wanted = self.wanted(draw)
        return self.finish(wanted, self.source.read(wanted.clip, wanted.positions))

    def wanted(self, draw: Draw) -> Wanted:
        """Say which frames of which clip a draw of the sampler asks for."""
        raise NotImplementedError

    def finish(self, wanted: Wanted, frames: Tensor) -> tuple[Tensor, int]:
        """Make what the network sees of the frames that were wanted, on the device on which they are."""
        raise NotImplementedError


class TrainClips(Clips[tuple[int, int]]):
    """A few frames of each clip, augmented alike.

    Items are asked for as (clip, seed), as ShuffledClips draws them: what comes back depends on nothing
    else, so the number of workers and an interruption change nothing.
    """

    def __init__(self, source: FrameSource, segments: int, augment: Augmentation) -> None:
        super().__init__(source)
        self._segments = segments
        self._augment = augment

    def wanted(self, draw: tuple[int, int]) -> Wanted:
        """Draw one frame of each segment of a clip."""
        clip, seed = draw
        entry, rng = self.source.clips[clip], torch.Generator().manual_seed(seed)
        label = NO_LABEL if seed == FILLER else entry.label
        return Wanted(clip, segment_frames(entry.frames, self._segments, rng), rng, label)

    def finish(self, wanted: Wanted, frames: Tensor) -> tuple[Tensor, int]:
        """Augment the frames of a clip."""
        return self._augment(frames, wanted.rng), wanted.label


class EvalClips(Clips[int]):
    """All stored frames of each clip, nothing random."""

    def __init__(self, source: FrameSource, view: View) -> None:
        super().__init__(source)
        self._view = view

    def wanted(self, draw: int) -> Wanted:
        """Ask for every stored frame of a clip."""
        entry = self.source.clips[draw]
        return Wanted(draw, range(entry.frames), torch.Generator(), entry.label)

    def finish(self, wanted: Wanted, frames: Tensor) -> tuple[Tensor, int]:
        """Show the frames of a clip."""
        return self._view(frames), wanted.label


def collate(samples: list[tuple[Tensor, int]]) -> Batch:
    """Join clips, of any number of frames each, to a batch."""
    frames = [clip for clip, _ in samples]
    counts = torch.tensor([len(clip) for clip in frames])
    return Batch(torch.cat(frames), counts, torch.tensor([label for _, label in samples]))


def loader(
    clips: Clips[Any],
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
    sampler: ShuffledClips | Sequence[int] | None = None,
) -> DataLoader[Batch]:
    """Return batches of clips, in order or as the sampler says; of several processes each gets its part."""
    return in_batches(clips, collate, batch_size, workers, sampler, pinned=device.type == "cuda")


def in_batches(
    items: Dataset[Item],
    joined: Callable[[list[Item]], Joined],
    batch_size: int,
    workers: int,
    sampler: ShuffledClips | Sequence[int] | None,
    *,
    pinned: bool,
) -> DataLoader[Joined]:
    """Return what `joined` makes of the items of each batch that falls to this process."""
    if workers:
        end_readers()
    return DataLoader(
        items,  # type: ignore[arg-type]  # the batches are what is made of the items
        batch_sampler=dealt(len(items), batch_size, sampler),  # type: ignore[arg-type]  # all of ours have a length
        num_workers=workers,
        collate_fn=joined,
        pin_memory=pinned,
        persistent_workers=workers > 0,
        worker_init_fn=left_to_the_parent,
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

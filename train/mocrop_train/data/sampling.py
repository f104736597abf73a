"""What is drawn of a split: the order of its clips in an epoch, and the frames of each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler

from mocrop_train.data.shards import CACHED_ROW_GROUPS
from mocrop_train.errors import TrainError
from mocrop_train.run import parallel
from mocrop_train.run.parallel import Ranks

# in the place of a seed: a clip that only fills a place, and counts for nothing
FILLER = -1


def segment_frames(stored: int, segments: int, rng: torch.Generator) -> list[int]:
    """Draw one frame from each of `segments` equal parts of `stored` frames, in order.

    Parts are disjoint and cover all frames; with fewer frames than segments every frame is drawn, some
    more than once. Wang et al., "Temporal Segment Networks", 2016, sec. 3.1.
    """
    drawn = []
    for part in range(segments):
        start = part * stored // segments
        end = max((part + 1) * stored // segments, start + 1)
        drawn.append(int(torch.randint(start, end, (), generator=rng)))
    return drawn


class ShuffledClips(Sampler[tuple[int, int]]):
    """Every clip once per epoch, as (clip, seed), in an order that depends on (seed, epoch) alone.

    Chunks (shards, or row groups of Parquet) are shuffled, then the clips within a window of chunks: the
    order is random enough to train, and reads stay within a few places of the disk. With `start` the first
    clips of the epoch are left out, as seen before an interruption; the length is that of a whole epoch.
    """

    def __init__(
        self, chunks: Sequence[Sequence[int]], seed: int, *, window: int = CACHED_ROW_GROUPS
    ) -> None:
        self._chunks = chunks
        self._seed = seed
        self._window = window
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return sum(len(chunk) for chunk in self._chunks)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return itertools.islice(self._whole(), self.start, None)

    def _whole(self) -> Iterator[tuple[int, int]]:
        rng = np.random.default_rng([self._seed, self.epoch])
        order = rng.permutation(len(self._chunks)).tolist()
        for start in range(0, len(order), self._window):
            pool = np.concatenate([self._chunks[chunk] for chunk in order[start : start + self._window]])
            seeds = rng.integers(2**63, size=len(pool)).tolist()
            yield from zip(rng.permutation(pool).tolist(), seeds, strict=True)


class Shares(Sampler[list[tuple[int, int]]]):
    """What one process has of every batch of an epoch.

    Batches are those of one process alone, whatever the number of processes: `size` clips, in the order of
    the epoch. Of a last batch of fewer clips than processes some have none: they get its first clip as a
    filler, as all have to take every step. Raises TrainError if that would be so for every batch.
    """

    def __init__(self, order: ShuffledClips, size: int, ranks: Ranks) -> None:
        if size < ranks.world:
            raise TrainError(f"--batch-size {size} leaves some of {ranks.world} processes without a clip")
        self._order = order
        self._size = size
        self._ranks = ranks

    def __len__(self) -> int:
        return math.ceil(len(self._order) / self._size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        coming = iter(self._order)
        while batch := list(itertools.islice(coming, self._size)):
            yield batch[self._ranks.rank :: self._ranks.world] or [(batch[0][0], FILLER)]


class Stretch(Sampler[list[int]]):
    """The batches of one process where every clip is to be seen once: a stretch of all batches, in order.

    Batches hold the same clips whatever the number of processes, and so give the same results to the bit;
    stretches of neighbouring ranks adjoin, so that each process reads a part of the shards of its own.
    """

    def __init__(self, clips: Sequence[int], size: int, ranks: Ranks) -> None:
        starts = range(0, len(clips), size)
        first, end = (rank * len(starts) // ranks.world for rank in (ranks.rank, ranks.rank + 1))
        self._batches = [list(clips[at : at + size]) for at in starts[first:end]]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches)


def dealt(
    clips: int, size: int, sampler: ShuffledClips | Sequence[int] | None
) -> Sampler[list[tuple[int, int]]] | Sampler[list[int]]:
    """Return the batches of this process: its shares of shuffled clips, its stretch of others or of all."""
    if isinstance(sampler, ShuffledClips):
        return Shares(sampler, size, parallel.current())
    return Stretch(range(clips) if sampler is None else sampler, size, parallel.current())

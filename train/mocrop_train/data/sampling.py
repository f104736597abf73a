"""What is drawn of a split: the order of its clips in an epoch, and the frames of each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler

from mocrop_train.data.shards import CACHED_ROW_GROUPS


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

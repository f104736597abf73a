"""Motion vectors -> density map, in bounded memory for any clip length. Pure numpy, no I/O.

Both estimators keep exact counts only, so that neither the order of the vectors nor the size of the batches
they come in can change a result, and then draw the Monte Carlo sample from the counts: drawing a number of
vectors without replacement and counting them by cell is one multivariate hypergeometric draw.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocrop_prep.geometry import Lattice
from mocrop_prep.vectors import Vectors

TOP_SHARE = 0.01
"""mocrop-v2 keeps this share of the vectors, the longest."""
SAMPLED_SHARE = 0.1
"""mocrop-v2 samples this share of what it keeps."""
EXPONENT = 4
"""mocrop-v2 samples with probability proportional to this power of the length."""
_EXACT_DRAW_LIMIT = 10**9  # numpy's hypergeometric takes no larger population
_COMPACT_AT = 1 << 20


@dataclass(frozen=True, slots=True)
class DensityMap:
    """Sampled vectors by cell, (rows, columns) int64, with the counts before and after each step."""

    cells: NDArray[np.int64]
    vectors: int
    kept: int
    sampled: int


@dataclass(frozen=True, slots=True)
class Importance:
    """The parts of mocrop-v2's estimate, each of which can be left out to see what it is worth.

    `kept` is the share of the vectors that stay, the longest; `sampled` the share of these that is drawn;
    `exponent`, an even number, the power of the length that weighs the draw.
    """

    kept: float = TOP_SHARE
    sampled: float = SAMPLED_SHARE
    exponent: int = EXPONENT


IMPORTANCE = Importance()


class UniformDensity:
    """mocrop-v1: keep |d| > eps px, merge all frames, sample uniformly without replacement, count by cell.

    Source: MoCrop (arXiv 2509.18473), first version.
    """

    def __init__(self, lattice: Lattice, *, eps: float, samples: int) -> None:
        self._lattice = lattice
        self._eps = eps
        self._samples = samples
        self._counts = np.zeros(lattice.rows * lattice.columns, np.int64)
        self._vectors = 0

    def add(self, vectors: Vectors) -> None:
        """Count a batch."""
        x, y = vectors.motion_x.astype(np.int64), vectors.motion_y.astype(np.int64)
        long = x * x + y * y > (self._eps * vectors.scale.astype(np.float64)) ** 2
        cells = self._lattice.cell_of(vectors.dst_x, vectors.dst_y)[long]
        self._counts += np.bincount(cells, minlength=len(self._counts))
        self._vectors += len(vectors)

    def result(self, rng: np.random.Generator) -> DensityMap:
        """Return the map of everything added, sampled with `rng`."""
        kept = int(self._counts.sum())
        cells = _draw(rng, self._counts, self._samples)
        shape = (self._lattice.rows, self._lattice.columns)
        return DensityMap(cells.reshape(shape), self._vectors, kept, int(cells.sum()))


class ImportanceDensity:
    """mocrop-v2: keep the longest 1 %, sample 10 % of them with probability ~ |d|^4, count by cell.

    Ties at the 1 % are drawn at random; vectors of zero length are never kept. Source: MoCrop (arXiv
    2509.18473), second version.
    """

    def __init__(self, lattice: Lattice, parts: Importance = IMPORTANCE) -> None:
        self._lattice = lattice
        self._parts = parts
        self._cells = lattice.rows * lattice.columns
        self._keys = np.zeros(0, np.int64)  # squared length in 1/16 px^2, then cell: one integer, sorted
        self._counts = np.zeros(0, np.int64)
        self._pending: list[NDArray[np.int64]] = []
        self._waiting = 0
        self._vectors = 0

    def add(self, vectors: Vectors) -> None:
        """Count a batch by cell and length."""
        x, y = vectors.motion_x.astype(np.int64), vectors.motion_y.astype(np.int64)
        scale = vectors.scale.astype(np.float64)
        squared = np.rint((x * x + y * y) * 16 / (scale * scale)).astype(np.int64)  # exact for scales 1, 2, 4
        self._pending.append(squared * self._cells + self._lattice.cell_of(vectors.dst_x, vectors.dst_y))
        self._waiting += len(vectors)
        self._vectors += len(vectors)
        if self._waiting >= _COMPACT_AT:
            self._compact()

    def result(self, rng: np.random.Generator) -> DensityMap:
        """Return the map of everything added, sampled with `rng`."""
        self._compact()
        squared, cells = np.divmod(self._keys, self._cells)
        counts = self._longest(squared, rng)
        kept = int(counts.sum())
        weights = np.repeat(squared.astype(np.float64) ** (self._parts.exponent // 2), counts)
        places = np.repeat(cells, counts)
        size = math.ceil(self._parts.sampled * kept)
        # Efraimidis and Spirakis (2006): give each an exponential waiting time of rate w; the first to arrive
        # are a weighted sample without replacement
        arrivals = rng.standard_exponential(kept) / weights
        order = np.argsort(arrivals, kind="stable")[:size]
        density = np.bincount(places[order], minlength=self._cells)
        shape = (self._lattice.rows, self._lattice.columns)
        return DensityMap(density.reshape(shape), self._vectors, kept, size)

    def _longest(self, squared: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Return how many vectors of each (length, cell) belong to the longest share."""
        size = math.ceil(self._parts.kept * self._vectors)
        counts = np.where(squared > 0, self._counts, 0)
        if counts.sum() <= size:
            return counts
        from_the_top = np.cumsum(counts[::-1])[::-1]  # vectors at least as long, this key included
        threshold = squared[np.flatnonzero(from_the_top >= size)[-1]]
        longer = np.where(squared > threshold, counts, 0)
        tied = np.where(squared == threshold, counts, 0)
        return longer + _draw(rng, tied, size - int(longer.sum()))

    def _compact(self) -> None:
        keys = np.concatenate([self._keys, *self._pending])
        weights = np.concatenate([self._counts, np.ones(self._waiting, np.int64)])
        order = np.argsort(keys, kind="stable")
        self._keys, first = np.unique(keys[order], return_index=True)
        self._counts = np.add.reduceat(weights[order], first) if len(first) else weights[:0]
        self._pending, self._waiting = [], 0


def clip_seed(seed: int, clip_id: str) -> int:
    """Return the sampling seed of one clip, 0 to 2**63 - 1, whatever other clips there are."""
    digest = hashlib.sha256(f"{seed}:{clip_id}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


def _draw(rng: np.random.Generator, counts: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Return how many of each kind are in `size` drawn without replacement from `counts`."""
    total = int(counts.sum())
    if total <= size:
        return counts
    if total < _EXACT_DRAW_LIMIT:
        return rng.multivariate_hypergeometric(counts, size, method="marginals")
    return rng.multinomial(size, counts / total)  # of so many, replacement makes no difference

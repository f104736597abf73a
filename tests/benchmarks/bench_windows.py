"""Time of the window search on one core: python tests/benchmarks/bench_windows.py

Prints the milliseconds of each search, listing its candidate sizes included, the best of seven rounds. The
density is five Gaussian spots on a faint floor; its integral, the first line, is made once for all searches.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

import numpy as np
from mocrop_prep.geometry import Lattice
from mocrop_prep.placement import (
    DensityIntegral,
    best_placement,
    sizes,
    sizes_of_area,
    smallest_placement,
)
from numpy.typing import NDArray

FRAMES = ((320, 240, 8), (320, 240, 4), (426, 240, 8), (1920, 1080, 8))
"""Width, height and cell side in pixels."""
SQUARE, ANY = (1.0, 1.0), (1 / 3, 3.0)


def spots(lattice: Lattice, seed: int) -> NDArray[np.float64]:
    """Return a density of five spots on a floor."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: lattice.rows, : lattice.columns] / [[[lattice.rows]], [[lattice.columns]]]
    density = np.full((lattice.rows, lattice.columns), 0.02)
    for _ in range(5):
        height, width = rng.uniform(0.03, 0.15, 2)
        density += np.exp(-(((y - rng.random()) / height) ** 2) - ((x - rng.random()) / width) ** 2)
    return density


def milliseconds(work: Callable[[], object]) -> float:
    """Return the time of one call, the best of seven rounds."""
    timer = timeit.Timer(work)
    calls, _ = timer.autorange()
    return min(timer.repeat(7, max(1, calls // 4))) / max(1, calls // 4) * 1000


def measure(width: int, height: int, cell: int) -> None:
    """Print one table."""
    lattice = Lattice(height // cell, width // cell, width, height)
    density = spots(lattice, seed=1)
    integral = DensityIntegral(density, lattice)
    print(f"{width}x{height}, cells of {cell} px ({lattice.rows}x{lattice.columns})")
    print(f"  {'integral':40} {milliseconds(lambda: DensityIntegral(density, lattice)):8.3f} ms")
    for name, (low, high) in (("square", SQUARE), ("any aspect", ANY)):

        def area(low: float = low, high: float = high) -> object:
            candidates = sizes_of_area(width, height, 0.5, step=cell, low=low, high=high)
            return best_placement(integral, candidates, cell)

        print(f"  {f'{name}, half the area':40} {milliseconds(area):8.3f} ms")
        for share in (0.5, 0.8, 0.95):

            def smallest(low: float = low, high: float = high, share: float = share) -> object:
                candidates = sizes(width, height, step=cell, low=low, high=high)
                return smallest_placement(integral, candidates, share, cell)

            print(f"  {f'{name}, smallest with {share:.0%}':40} {milliseconds(smallest):8.3f} ms")


if __name__ == "__main__":
    for frame in FRAMES:
        measure(*frame)

"""Peak memory of a worker on one long film, each kind of work in a fresh process.

    python -m tests.benchmarks.memory [--minutes N] [--size WIDTHxHEIGHT]

The film is a few seconds, encoded once and repeated packet by packet: twenty minutes of it are made in
seconds. Figures are the largest resident size (VmHWM of /proc/self/status) in MB: Python, all libraries and
all that the work holds at a time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from mocrop_manifests import Clip
from mocrop_prep.allocator import keep_freed_memory
from mocrop_prep.config import CropSettings, ShardSettings, TranscodeSettings
from mocrop_prep.stages.crop import clip_chooser, crop_row
from mocrop_prep.stages.extract import extract_clip
from mocrop_prep.stages.fused import fuse_clip
from mocrop_prep.stages.shard import shard_clip
from mocrop_prep.stages.transcode import transcode_clip
from mocrop_prep.video import index_stream

from tests.benchmarks.spent import peak_memory_mb
from tests.films import Film, Picture, encode, prolong, texture

RATE = 25
"""Frames a second of the films."""
LIMIT_MB = 300
"""What a worker may take for a clip of any length in 1920x1080."""
_CYCLE = 48  # frames: four groups of pictures, there and back
CLIP = Clip("film", "film.mp4", 0, "film", "train", "")
"""What a film is called."""
_PLAIN = "keyint=12:min-keyint=12:scenecut=0:bframes=0:ref=1:weightp=0:partitions=all"


def long_film(folder: Path, frames: int, size: tuple[int, int] = (1920, 1080)) -> Path:
    """Write a film of a moving view with noise, in which most blocks move; `frames` in multiples of 48."""
    film = Film(options={"x264-params": _PLAIN, "crf": "30"}, rate=Fraction(RATE))
    cycle = encode(folder / "cycle.mp4", _views(size), film)
    return prolong(cycle, folder / f"film-{frames}.mp4", -(-frames // _CYCLE))


def _views(size: tuple[int, int]) -> Iterator[Picture]:
    width, height = size
    world = texture(width + 5 * _CYCLE, height + 3 * _CYCLE, seed=3, contrast=60)
    square = texture(height // 3, height // 3, seed=9, contrast=90)
    rng = np.random.default_rng(1)
    for number in range(_CYCLE):
        step = min(number, _CYCLE - 1 - number)
        view = world[3 * step :, 5 * step :][:height, :width].astype(np.int16)
        top, left = height // 4 + 4 * step, (width // 2 - 7 * step) % (width - len(square))
        view[top : top + len(square), left : left + len(square)] = square
        view += rng.normal(0, 2, view.shape).astype(np.int16)
        yield np.clip(view, 0, 255).astype(np.uint8)


def peak_mb(work: str, film: Path) -> float:
    """Return the peak memory of a fresh process that does one kind of `WORK` on a film."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.memory", "--work", work, "--film", film],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def measure(
    folder: Path, frames: int, size: tuple[int, int] = (1920, 1080), works: Collection[str] = ()
) -> dict[str, float]:
    """Return the peak memory in MB of some kinds of work, by default all, on a film of so many frames."""
    film = long_film(folder, frames, size)
    return {work: peak_mb(work, film) for work in works or WORK}


def _transcode(film: Path, out: Path) -> None:
    transcode_clip(film, out, TranscodeSettings(transcode="always"))


def _extract(film: Path, out: Path) -> None:
    extract_clip(film, out)


def _shard(film: Path, out: Path) -> None:
    settings, info = CropSettings(method="center"), index_stream(film).info
    row = crop_row(CLIP, info, clip_chooser(CLIP, info, settings).choose(), settings)
    shard_clip(film, row, out, ShardSettings())


def fuse(film: Path, out: Path) -> None:
    """Extract, crop and shard a film in one decode."""
    fuse_clip(film, CLIP, out, CropSettings(), ShardSettings())


def _fuse_and_keep(film: Path, out: Path) -> None:
    fuse_clip(film, CLIP, out, CropSettings(), ShardSettings(), motion=out.with_suffix(".parquet"))


WORK: dict[str, Callable[[Path, Path], None]] = {
    "transcode": _transcode,
    "extract": _extract,
    "shard": _shard,
    "extract, crop and shard fused": fuse,
    "extract, crop and shard fused, vectors kept": _fuse_and_keep,
}
"""What a worker does with a clip, by name."""


def main() -> None:
    """Measure and print a Markdown table; with --work and --film only do that and print its peak."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--work", choices=WORK)
    parser.add_argument("--film", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.work:
            cv2.setNumThreads(1)  # as every worker does, and the next
            keep_freed_memory()
            WORK[arguments.work](arguments.film, Path(scratch) / "out")
            print(peak_memory_mb())
            return
        width, height = map(int, arguments.size.split("x"))
        frames = round(arguments.minutes * 60 * RATE)
        print(f"{arguments.size}, {arguments.minutes:g} minutes\n\n| work | peak MB |\n|---|---|")
        film = long_film(Path(scratch), frames, (width, height))
        for work in WORK:
            print(f"| {work} | {peak_mb(work, film):.0f} |", flush=True)


if __name__ == "__main__":
    main()

"""What grows with the data: time with the length and number of clips, memory with neither."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from mocrop_prep.config import CropSettings, ShardSettings, TranscodeSettings
from mocrop_prep.stages.fused import fuse_clip
from mocrop_prep.stages.transcode import transcode_clip
from mocrop_prep.video import inspect_source

from tests.benchmarks import memory, million
from tests.benchmarks.spent import spent

LENGTHS = (480, 960, 1920, 3840)
COUNTS = (20_000, 80_000)
SIZES = ((320, 240), (640, 360), (1280, 720), (1920, 1080))
SHORT_FRAMES = 192
LONG_FRAMES = 2_880


def by_length(rounds: int, lengths: Sequence[int] = LENGTHS) -> Iterator[tuple[str, float]]:
    """Yield the processor time of a frame in films of 320x240, in microseconds, by their length."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        films = {frames: memory.long_film(folder, frames, (320, 240)) for frames in lengths}
        times: dict[int, list[float]] = {frames: [] for frames in lengths}
        for number in range(rounds + 1):
            for frames, film in films.items():
                took = spent(partial(memory.fuse, film, folder / "sample.tar")).cpu
                if number:
                    times[frames].append(took / frames * 1e6)
        for frames, taken in times.items():
            yield f"extract, crop and shard, {frames:,} frames", statistics.median(taken)


def by_size(rounds: int, sizes: Sequence[tuple[int, int]] = SIZES) -> Iterator[tuple[str, float]]:
    """Yield the processor time of a frame in microseconds, by the size of the pictures and how they are read.

    It is that of all four stages on one clip.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for width, height in sizes:
            film = memory.long_film(folder, SHORT_FRAMES, (width, height))
            for route, work in {"transcoded": _transcode_and_fuse, "--direct": _read_in_place}.items():
                taken = [spent(partial(work, film, folder)).cpu for _ in range(rounds + 1)][1:]
                yield f"run, {route}, {width}x{height}", statistics.median(taken) / SHORT_FRAMES * 1e6


def _transcode_and_fuse(film: Path, folder: Path) -> None:
    transcode_clip(film, folder / "clip.mp4", TranscodeSettings(transcode="always"))
    memory.fuse(folder / "clip.mp4", folder / "sample.tar")


def _read_in_place(film: Path, folder: Path) -> None:
    sample, source = folder / "sample.tar", inspect_source(film)
    fuse_clip(film, memory.CLIP, sample, CropSettings(), ShardSettings(), source=source)


def by_count(counts: Sequence[int] = COUNTS) -> Iterator[tuple[str, float]]:
    """Yield the parent's processor time for a clip whose work takes none, in us, by their number."""
    for count in counts:
        with tempfile.TemporaryDirectory() as scratch:
            for name, taken in million.simulate(Path(scratch), count, jobs=2):
                yield f"{name}, {count:,} clips", taken["cpu_seconds"] / count * 1e6


def peaks(frames: int = LONG_FRAMES) -> Iterator[tuple[str, float]]:
    """Yield the peak memory of a worker in MB on a film of 1920x1080, by what it does."""
    with tempfile.TemporaryDirectory() as scratch:
        film = memory.long_film(Path(scratch), frames)
        for work in memory.WORK:
            yield f"{work}, {frames:,} frames of 1920x1080", memory.peak_mb(work, film)

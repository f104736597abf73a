"""What encoding and decoding take: processor time of one thread, in rounds that all candidates share."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from mocrop_prep.appearance import AppearanceGauge
from mocrop_prep.clips import spread
from mocrop_prep.progress import Progress
from mocrop_prep.video import decode_clip, encode_clip, index_stream, inspect_source
from numpy.typing import NDArray

from tests.benchmarks.preset_bench.candidates import BASE, Candidate
from tests.benchmarks.preset_bench.samples import Sample


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of processor time, (rounds,) each, for `frames` frames of the timed clips together.

    `encode` has the source's decoding in it, `extract` is one decode with all vectors.
    """

    frames: int
    encode: NDArray[np.float64]
    extract: NDArray[np.float64]

    @property
    def both(self) -> NDArray[np.float64]:
        """Return what a clip costs: it is encoded and decoded."""
        return self.encode + self.extract

    def rate(self, seconds: NDArray[np.float64]) -> float:
        """Return the median of frames a second."""
        return self.frames / float(np.median(seconds))


def spent(sample: Sample, candidates: Sequence[Candidate], *, clips: int, rounds: int) -> dict[str, Spent]:
    """Time every candidate on some clips of a sample, in turn, the order turned from round to round."""
    timed = spread(sample.clips, clips)
    seconds = {one.name: np.zeros((2, rounds)) for one in candidates}
    frames = 0
    with Progress(f"{sample.name}, time", rounds * len(timed), quiet=False) as progress:
        for number in range(rounds):
            turn = number * len(candidates) // rounds
            for clip in timed:
                for one in (*candidates[turn:], *candidates[:turn]):
                    frames_of_clip, *took = _once(sample.source(clip), one)
                    seconds[one.name][:, number] += took
                frames += frames_of_clip if number == 0 else 0
                progress.advance()
    return {name: Spent(frames, *both) for name, both in seconds.items()}


def speeds(found: Mapping[str, Spent], *, of: str = BASE) -> dict[str, tuple[float, float, float]]:
    """Return how many times as quick as one of them each candidate is, in both together: median and range."""
    ratios = {name: found[of].both / one.both for name, one in found.items()}
    return {name: (float(np.median(r)), float(r.min()), float(r.max())) for name, r in ratios.items()}


def processor_seconds(work: Callable[[], object]) -> float:
    """Return the processor time of a call, in this process with all of its threads."""
    started = time.process_time()
    work()
    return time.process_time() - started


def extract(video: Path, frames: int) -> None:
    """Decode a clip as `run` does: all vectors, and a look at some key frames."""
    info = index_stream(video).info
    gauge = AppearanceGauge(info.width, info.height, info.key_frames)
    decode_clip(video, frames=frames, sink=lambda _: None, gauge=gauge)


def _once(source: Path, candidate: Candidate) -> tuple[int, float, float]:
    """Return a clip's frames and the seconds of its encode and its decode."""
    info = inspect_source(source)
    gc.collect()  # frames are in cycles with their side data: those of another encode cost this one nothing
    with TemporaryDirectory() as scratch:
        video = Path(scratch) / "clip.mp4"
        started = time.process_time()
        report = encode_clip(source, video, info, candidate.settings, tuning=candidate.tuning)
        encode = time.process_time() - started
        return report.frames, encode, processor_seconds(lambda: extract(video, report.frames))

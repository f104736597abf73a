"""Where the time of `run` goes: how much of it is x264, which no pipeline that transcodes can avoid."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import av
import numpy as np
from av.video.frame import VideoFrame
from mocrop_prep.cli import cli
from mocrop_prep.clips import spread
from mocrop_prep.video import encode_clip, inspect_source
from mocrop_prep.video.encode import x264_options

from tests.benchmarks.preset_bench.candidates import Candidate
from tests.benchmarks.preset_bench.samples import Sample
from tests.benchmarks.preset_bench.timing import extract, processor_seconds

RUN, SOURCE, X264, AGAIN = "run", "decode the source", "x264", "decode with vectors"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Floor:
    """Medians over rounds of the processor time of each part of the work, in seconds for `frames` frames."""

    frames: int
    seconds: dict[str, float]

    def share(self, part: str) -> float:
        """Return a part's time over that of the whole run."""
        return self.seconds[part] / self.seconds[RUN]


def floor(sample: Sample, candidate: Candidate, *, clips: int, rounds: int) -> Floor:
    """Time `run` with a preset, and the codec work in it, each by itself, in turn.

    `candidate` has to be what `run` does with its preset.
    """
    timed = [sample.source(clip) for clip in spread(sample.clips, clips)]
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = _source(timed, folder)
        videos = [folder / f"{number}.mp4" for number in range(len(timed))]
        frames = [
            encode_clip(path, video, inspect_source(path), candidate.settings, tuning=candidate.tuning).frames
            for path, video in zip(timed, videos, strict=True)
        ]
        pictures = [_decoded(video) for video in videos]
        parts: dict[str, Callable[[], None]] = {
            RUN: lambda: _run(source, folder / "workdir", candidate),
            SOURCE: lambda: _each(_decoded, timed),
            X264: lambda: _each(partial(_encode, candidate=candidate), pictures),
            AGAIN: lambda: _each(lambda one: extract(*one), zip(videos, frames, strict=True)),
        }
        found = [{part: processor_seconds(work) for part, work in parts.items()} for _ in range(rounds)]
    return Floor(sum(frames), {part: float(np.median([one[part] for one in found])) for part in parts})


def _each(work: Callable[[T], object], things: Iterable[T]) -> None:
    for thing in things:
        work(thing)


def _source(videos: Iterable[Path], folder: Path) -> Path:
    """Write a source of these videos; they all have one label."""
    with (folder / "clips.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("path", "label"))
        rows.writerows((path.resolve(), "clips") for path in videos)
    return folder / "clips.csv"


def _run(source: Path, workdir: Path, candidate: Candidate) -> None:
    shutil.rmtree(workdir, ignore_errors=True)
    words = ("run", source, workdir, "--transcode", "always", "--preset", candidate.preset)
    cli.main([*map(str, words), "--backend", "sequential", "--quiet"], standalone_mode=False)


def _decoded(video: Path) -> list[VideoFrame]:
    with av.open(str(video)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        return list(container.decode(video=0))


def _encode(pictures: Sequence[VideoFrame], candidate: Candidate) -> None:
    """Encode pictures in memory into nothing."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = pictures[0].width, pictures[0].height, "yuv420p"
    encoder.time_base, encoder.thread_count = pictures[0].time_base or Fraction(1, 25), 1
    encoder.options = x264_options(candidate.settings, candidate.tuning)
    for picture in pictures:
        encoder.encode(picture)
    encoder.encode(None)

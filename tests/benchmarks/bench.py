"""Speed of the pipeline as ratios to bare codec loops over the same clips, in interleaved runs.

    python tests/benchmarks/bench.py [--source DIR] [--clips N] [--rounds N] [--out FILE.json]

Each round measures both sides one after the other, so that a noisy machine hits them alike; the table shows
the median of each side and the median of the ratios. Absolute times say little, ratios carry over.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import av
from mocrop_manifests import Clip
from mocrop_prep import workflow
from mocrop_prep.allocator import keep_freed_memory
from mocrop_prep.appearance import AppearanceGauge
from mocrop_prep.clips import find_clips, source_path, spread
from mocrop_prep.config import CropSettings, RunSettings, ShardSettings, TranscodeSettings
from mocrop_prep.demo import make_demo
from mocrop_prep.stages.crop import crop_clip
from mocrop_prep.stages.extract import extract_clip
from mocrop_prep.stages.shard import frames_to_keep
from mocrop_prep.stages.transcode import transcode_clip
from mocrop_prep.video import encode_clip, inspect_source, open_clip
from mocrop_prep.workdir import make_workdir

try:
    import mvextractor.videocap as mvextractor
except ImportError:  # optional: pip install motion-vector-extractor
    mvextractor = None

REAL_CLIPS = Path(__file__).parents[2].parent / "shared" / "data" / "ucf101"
Side = Callable[[], object]


def bare_decode(paths: Sequence[Path]) -> int:
    """Decode every frame in one thread with PyAV and nothing else; return the frames."""
    frames = 0
    for path in paths:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            frames += sum(1 for _ in container.decode(stream))
    return frames


def decode_with_vectors(paths: Sequence[Path]) -> None:
    """Decode every clip as the fused run does: all vectors, a look at some key frames, all kept as planes."""
    for path in paths:
        with open_clip(path) as clip:
            info = clip.index.info
            gauge = AppearanceGauge(info.width, info.height, info.key_frames)
            clip.decode(sink=lambda _: None, keep=set(info.key_frames), gauge=gauge)


def decode_vectors(paths: Sequence[Path]) -> None:
    """Decode every clip for its vectors alone."""
    for path in paths:
        with open_clip(path) as clip:
            clip.decode(sink=lambda _: None)


def decode_vectors_elsewhere(paths: Sequence[Path]) -> None:
    """Read the vectors of every clip with mv-extractor, which then makes no pictures.

    https://github.com/LukasBommes/mv-extractor, on PyPI as motion-vector-extractor.
    """
    for path in paths:
        capture = mvextractor.VideoCap()
        if not capture.open(str(path)):
            raise ValueError(f"mv-extractor does not open {path}")
        capture.set_decode_frames(False)
        while capture.read()[0]:
            pass
        capture.release()


def decode_stored_frames(paths: Sequence[Path]) -> None:
    """Decode what `shard` stores, which is key frames."""
    for path in paths:
        with open_clip(path) as clip:
            keys = clip.index.info.key_frames
            clip.decode_key_frames(
                [keys.index(number) for number in frames_to_keep(clip.index, ShardSettings())]
            )


def write_vectors(paths: Sequence[Path], folder: Path) -> None:
    """Run the extract stage's work on every clip."""
    for path in paths:
        extract_clip(path, folder / f"{path.stem}.parquet")


class Bench:
    """The clips of a benchmark, transcoded once, and what is measured on them."""

    def __init__(self, source: Path, clips: int, folder: Path) -> None:
        found = find_clips(source)
        self.clips: list[Clip] = spread(found.clips, clips)
        self.root = found.root
        self.folder = folder
        self.sources = [Path(str(source_path(found.root, clip))) for clip in self.clips]
        self.videos = [folder / f"{clip.clip_id}.mp4" for clip in self.clips]
        for path, video in zip(self.sources, self.videos, strict=True):
            transcode_clip(path, video, TranscodeSettings())
        self.frames = bare_decode(self.videos)
        self.runs = 0

    def pairs(self) -> dict[str, tuple[str, Side, str, Side]]:
        """Return the comparisons by name: (side A, its work, side B, its work)."""
        motion = self.folder / "motion"
        motion.mkdir(exist_ok=True)
        write_vectors(self.videos, motion)
        return {
            "decode with vectors and key frames / bare decode": (
                "ours", lambda: decode_with_vectors(self.videos), "bare", lambda: bare_decode(self.videos)
            ),
            **self._rivals(),
            "stored key frames / bare decode": (
                "ours", lambda: decode_stored_frames(self.videos), "bare", lambda: bare_decode(self.videos)
            ),
            "extract to Parquet / bare decode": (
                "ours", lambda: write_vectors(self.videos, motion), "bare", lambda: bare_decode(self.videos)
            ),
            **{
                f"crop ({method}) / extract": (
                    "crop", partial(self.crop, motion, method),
                    "extract", lambda: write_vectors(self.videos, motion),
                )
                for method in ("foreground", "mocrop-v1")
            },
            "fused run / unavoidable codec work": ("run", self.fused, "codecs", self.codecs),
            "staged / fused run": ("staged", self.staged, "fused", self.fused),
            "fused run, 1 job / 2 jobs": ("1 job", self.fused, "2 jobs", lambda: self.fused(jobs=2)),
        }  # fmt: skip

    def _rivals(self) -> dict[str, tuple[str, Side, str, Side]]:
        if mvextractor is None:
            return {}
        return {
            "vectors alone / mv-extractor": (
                "ours", lambda: on_one_core(partial(decode_vectors, self.videos)),
                "mv-extractor", lambda: on_one_core(partial(decode_vectors_elsewhere, self.videos)),
            )
        }  # fmt: skip

    def crop(self, motion: Path, method: str) -> None:
        """Choose the crop of every clip from its vectors file."""
        settings = CropSettings(method=method)
        for clip, video in zip(self.clips, self.videos, strict=True):
            crop_clip(motion / f"{video.stem}.parquet", clip, settings)

    def codecs(self) -> None:
        """Do what no pipeline can avoid: decode the source, encode it, decode that."""
        for path, video in zip(self.sources, self.videos, strict=True):
            encode_clip(path, self.folder / "codec.mp4", inspect_source(path), TranscodeSettings())
            bare_decode([video])

    def fused(self, jobs: int = 1) -> None:
        """Run all stages fused in a fresh WORKDIR."""
        session = self._session(jobs)
        workflow.perform(
            workflow.RunStage(
                session, TranscodeSettings(), CropSettings(), ShardSettings(), name="bench", keep=False
            )
        )

    def staged(self) -> None:
        """Run the four stages in a fresh WORKDIR."""
        session = self._session(1)
        workflow.perform(workflow.TranscodeStage(session, TranscodeSettings()))
        workflow.perform(workflow.ExtractStage(session))
        workflow.perform(workflow.CropStage(session, CropSettings(), "bench"))
        workflow.perform(workflow.ShardStage(session, ShardSettings(), crops="bench", name="bench"))

    def _session(self, jobs: int) -> workflow.Session:
        self.runs += 1
        home = make_workdir(self.folder / f"work-{self.runs}", self.root)
        workflow.save_clips(home, self.clips)
        return workflow.Session(home, self.clips, RunSettings(jobs=jobs), quiet=True)


def on_one_core(work: Side) -> None:
    """Run some work on one core, where the system can say so: others may start threads."""
    if not hasattr(os, "sched_setaffinity"):
        work()
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        work()
    finally:
        os.sched_setaffinity(0, cores)


def seconds(work: Side) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(bench: Bench, rounds: int) -> dict[str, dict[str, float]]:
    """Run all comparisons `rounds` times after one warm-up; return medians and ratios."""
    results = {}
    for name, (a, work_a, b, work_b) in bench.pairs().items():
        work_a(), work_b()
        times = [(seconds(work_a), seconds(work_b)) for _ in range(rounds)]
        ratios = [first / second for first, second in times]
        results[name] = {
            f"{a}_frames_per_s": bench.frames / statistics.median(first for first, _ in times),
            f"{b}_frames_per_s": bench.frames / statistics.median(second for _, second in times),
            "ratio": statistics.median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
        }
        print(f"| {name} | {_row(results[name])} |", flush=True)
    return results


def _row(result: dict[str, float]) -> str:
    rates = [f"{key.removesuffix('_frames_per_s')} {value:.0f}" for key, value in list(result.items())[:2]]
    spread_of = f"{result['ratio_min']:.2f}-{result['ratio_max']:.2f}"
    return f"{' / '.join(rates)} | {result['ratio']:.2f} ({spread_of})"


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, help="clips; default: UCF101 clips, else the demo set")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    keep_freed_memory()  # as every worker does
    with tempfile.TemporaryDirectory() as scratch:
        source = arguments.source or (REAL_CLIPS if REAL_CLIPS.is_dir() else Path(scratch) / "demo")
        if not source.exists():
            make_demo(source, groups=4)
        bench = Bench(source, arguments.clips, Path(scratch))
        size = f"{len(bench.clips)} clips, {bench.frames} frames"
        print(f"{size}, {os.cpu_count()} cores, PyAV {av.__version__}\n")
        print("| comparison of times | frames/s | ratio (range) |\n|---|---|---|")
        results = measure(bench, arguments.rounds)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""The pipeline's work on the clips of a benchmark, and what it is held against: codec loops and a peer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import av
from mocrop_manifests import Clip
from mocrop_prep import workflow
from mocrop_prep.appearance import AppearanceGauge
from mocrop_prep.clips import find_clips, source_path, spread
from mocrop_prep.config import CropSettings, RunSettings, ShardSettings, TranscodeSettings
from mocrop_prep.stages.crop import crop_clip
from mocrop_prep.stages.extract import extract_clip
from mocrop_prep.stages.shard import frames_to_keep
from mocrop_prep.stages.transcode import transcode_clip
from mocrop_prep.video import encode_clip, inspect_source, open_clip
from mocrop_prep.workdir import make_workdir

from tests.benchmarks.speed.interleaved import Pair, Side

try:
    import mvextractor.videocap as mvextractor
except ImportError:  # optional: pip install motion-vector-extractor
    mvextractor = None

DIRECT = TranscodeSettings(direct=True)


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
            clip.decode_exact(frames_to_keep(clip.index, ShardSettings()))


def write_vectors(paths: Sequence[Path], folder: Path) -> None:
    """Run the extract stage's work on every clip."""
    for path in paths:
        extract_clip(path, folder / f"{path.stem}.parquet")


class Work:
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
        self.settings = TranscodeSettings()
        self.runs = 0

    def pairs(self) -> list[Pair]:
        """Return what is compared."""
        motion = self.folder / "motion"
        motion.mkdir(exist_ok=True)
        write_vectors(self.videos, motion)
        bare, write = partial(bare_decode, self.videos), partial(write_vectors, self.videos, motion)
        decode, stored = partial(decode_with_vectors, self.videos), partial(decode_stored_frames, self.videos)
        one, two = partial(self.fused, self.settings), partial(self.fused, self.settings, jobs=2)
        direct, staged, codecs = partial(self.fused, DIRECT), self.staged, self.codecs
        crops = {method: partial(self.crop, motion, method) for method in ("foreground", "mocrop-v1")}
        sides: list[tuple[str, str, Side, str, Side]] = [
            ("decode with vectors and key frames / bare decode", "ours", decode, "bare", bare),
            ("extract to Parquet / bare decode", "ours", write, "bare", bare),
            ("stored key frames / bare decode", "ours", stored, "bare", bare),
            *((f"crop ({name}) / extract", "crop", crop, "extract", write) for name, crop in crops.items()),
            ("run / codec work it cannot avoid", "run", one, "codecs", codecs),
            ("four stages / run", "staged", staged, "run", one),
            ("run / run --direct", "run", one, "--direct", direct),
            ("run, 1 job / 2 jobs", "1 job", one, "2 jobs", two),
        ]
        most = {sides[0][0]: 1 / 0.95, "run / codec work it cannot avoid": 1 / 0.90}
        least = {"run / run --direct": 6.0, "run, 1 job / 2 jobs": 1.85}
        return [
            *self._rivals(),
            *(
                Pair(*side, self.frames, goal=(most | least).get(side[0]), above=side[0] in least)
                for side in sides
            ),
        ]

    def _rivals(self) -> list[Pair]:
        if mvextractor is None:
            return []
        theirs = partial(on_one_core, partial(decode_vectors_elsewhere, self.videos))
        ours = partial(on_one_core, partial(decode_vectors, self.videos))
        name = "mv-extractor, vectors only / decode for vectors"
        return [Pair(name, "mv-extractor", theirs, "ours", ours, self.frames, goal=1.3, above=True)]

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

    def fused(self, transcode: TranscodeSettings, jobs: int = 1) -> None:
        """Run all stages fused in a fresh WORKDIR."""
        session = self._session(jobs)
        workflow.perform(
            workflow.RunStage(session, transcode, CropSettings(), ShardSettings(), name="bench", keep=False)
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

"""How fast the trainer reads: clips a second against a loader that seeks and crops in the training loop.

    python -m tests.benchmarks.bench_loader [--source DIR] [--clips N] [--rounds N] [--out FILE.json]

Both loaders (the other one is tests/benchmarks/seeking.py) give the same clips in batches of one size, one
after the other in each round, so that a noisy machine hits them alike; the table shows medians, and ratios of
times. Where only one process works, ratios of CPU time stand beside, which are steadier on a busy machine.
Then: the share of the time that CPU training of ResNet-18 waits for clips, and, where there is a GPU, how
busy training of ResNet-50 keeps it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mocrop_manifests import CropRow
from mocrop_train.config import TrainConfig
from mocrop_train.data import jpegs, loading, transforms
from mocrop_train.data.loading import Batches, ClipFrames, Clips, EvalClips, TrainClips
from mocrop_train.data.sampling import ShuffledClips
from torch import Tensor
from torch.utils.data import DataLoader

from tests.benchmarks.seeking import FRAMES, MEAN, SIZE, STD, SeekingClips, Sets, make_sets, source_of_clips
from tests.benchmarks.speed.interleaved import HEADER, Pair, Side, compare
from tests.benchmarks.waiting import data_wait, gpu_busy

BATCH = 16
CPU = torch.device("cpu")


class LoaderBench:
    """Both loaders over the same clips; a side of a comparison reads all of them once."""

    def __init__(self, sets: Sets) -> None:
        self.sets = sets
        self.clips = len(sets.transcoded)
        self._view = transforms.evaluation(SIZE)

    def pairs(self) -> list[Pair]:
        """Return what is compared."""
        seek, avi = self._seeking(self.sets.transcoded), self._seeking(self.sets.sources)
        seek_2 = self._seeking(self.sets.transcoded, workers=2)
        ours, ours_2 = self._ours(self.sets.tar), self._ours(self.sets.tar, workers=2)
        floats, augmented = self._ours(self.sets.tar, floats=True), self._augmented(self.sets.tar)
        one, parquet = self._ours(self.sets.tar, workers=1), self._ours(self.sets.parquet)
        decode = partial(self.decode_all, self.sets.tar)
        sides: list[tuple[str, str, Side, str, Side]] = [
            ("seek and crop, transcoded clips / trainer", "seek", seek, "trainer", ours),
            ("seek and crop, transcoded clips / trainer, 2 workers", "seek", seek_2, "trainer", ours_2),
            ("seek and crop, source clips / trainer", "seek", avi, "trainer", ours),
            ("seek and crop, transcoded clips / trainer, floats", "seek", seek, "trainer", floats),
            ("seek and crop, transcoded clips / trainer, augmented", "seek", seek, "trainer", augmented),
            ("trainer / JPEG decoding alone", "trainer", ours, "JPEG", decode),
            ("trainer, Parquet / tar", "Parquet", parquet, "tar", ours),
            ("trainer, tar, 1 worker / 2 workers", "1 worker", one, "2 workers", ours_2),
        ]
        goals = {sides[0][0]: 25.0}
        return [Pair(*side, self.clips, "clips", goals.get(side[0]), above=True) for side in sides]

    def decode_all(self, source: ClipFrames) -> None:
        """Decode every stored frame and nothing else."""
        for clip, entry in enumerate(source.clips):
            for jpeg in source.encoded(clip, range(entry.frames)):
                jpegs.decode(jpeg)

    def _seeking(self, videos: list[tuple[Path, CropRow]], *, workers: int = 0) -> Side:
        batches = DataLoader(
            SeekingClips(videos), batch_size=BATCH, num_workers=workers, persistent_workers=workers > 0
        )
        return lambda: _exhaust(batches)

    def _ours(self, source: ClipFrames, *, workers: int = 0, floats: bool = False) -> Side:
        batches = _batches(EvalClips(source, self._view), workers=workers)
        if floats:
            return lambda: _exhaust(normalised(batch.frames) for batch in batches)
        return lambda: _exhaust(batches)

    def _augmented(self, source: ClipFrames) -> Side:
        augment = transforms.training(SIZE, min_scale=0.66, flip=True, color_jitter=0.2)
        order = ShuffledClips(source.chunks, 0)
        batches = _batches(TrainClips(source, FRAMES, augment), sampler=order)
        return lambda: _exhaust(batches)


def _batches(clips: Clips[Any], *, workers: int = 0, sampler: ShuffledClips | None = None) -> Batches:
    return loading.loader(clips, batch_size=BATCH, workers=workers, device=CPU, sampler=sampler)


def normalised(frames: Tensor) -> Tensor:
    """Do with uint8 frames what the network begins with."""
    mean, std = (255 * torch.from_numpy(numbers).view(3, 1, 1) for numbers in (MEAN, STD))
    return frames.float().sub_(mean).div_(std)


def _exhaust(batches: Iterable[object]) -> None:
    for _ in batches:
        pass


def training_figures(shards: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Measure what needs a network: the wait of CPU training, and the GPU where there is one."""
    small = TrainConfig(model="resnet18", batch_size=4, device="cpu", limit=24, workers=0)
    found = {"CPU training of ResNet-18: share of time waiting": {"share": data_wait(shards, small)}}
    if not torch.cuda.is_available():
        print("(no GPU: how busy ResNet-50 keeps one is not measured)")
        return found
    large = TrainConfig(model="resnet50", batch_size=32, amp="bf16", device="cuda")
    return found | busy_figures(shards, large, rounds=rounds, times=20)


def busy_figures(
    shards: Path, config: TrainConfig, *, rounds: int, times: int
) -> dict[str, dict[str, float]]:
    """Measure for both places of decoding how long training waits, and how busy it keeps its device."""
    found: dict[str, dict[str, float]] = {}
    for decode in ("cpu", "cuda"):
        decoding = dataclasses.replace(config, decode=decode)
        options = f"--amp {config.amp} --decode {decode}"
        name = f"{config.device} training of {config.model}, {options}: share of time"
        waiting = data_wait(shards, decoding, times=times)
        busy = gpu_busy(shards, decoding, rounds=rounds, times=times)
        found |= {f"{name} waiting": {"share": waiting}, f"{name} busy": {"share": busy}}
    return found


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, help="clips; default: UCF101 clips, else the demo set")
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, help="keep the clips and shards that are made here")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        source = source_of_clips(arguments.source, Path(scratch))
        work = arguments.work or Path(scratch) / "work"
        bench = LoaderBench(make_sets(source, work, arguments.clips))
        print(f"{bench.clips} clips of {FRAMES} frames, {os.cpu_count()} cores, torch {torch.__version__}\n")
        print(HEADER)
        results = []
        for result in compare(bench.pairs(), arguments.rounds):
            results.append(asdict(result))
            print(result.row(), flush=True)
        print()
        shares = training_figures(work / "shards" / "tar", arguments.rounds)
        for name, share in shares.items():
            print(f"{name}: {share['share']:.1%}")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({"comparisons": results, "training": shares}, indent=2) + "\n")


if __name__ == "__main__":
    main()

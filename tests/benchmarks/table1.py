"""Table 1: what every crop is worth to every backbone, at two sizes, with one checkpoint and with its own.

    python -m tests.benchmarks.table1 [--only ucf101|demo] [--backbones NAME ...] [--crops NAME ...]
                                      [--seeds N] [--fine-tune] [--quick] [--out DIR]

Two questions are kept apart. What does a crop do to a checkpoint that was trained on full frames (nothing is
trained for the crop), and what if the checkpoint is trained on the crop, too? And what do fewer pixels cost,
with the checkpoint of the larger size and with one of their own?

UCF101: the 150 clips beside the checkout, frozen backbones with linear heads, or fine-tuning (the default
with a GPU). Every clip is tested once, in folds of whole groups; the test groups of the official split 1 are
tested as well. Demo: a ResNet-18 from scratch at 112 px on the made clips, tested on held-out scenes.

No setting was chosen on these clips: heads are trained with mocrop-train's defaults for --freeze, networks
as in the example of its help, the demo as in `make demo` with fewer epochs; the last epoch counts. Everything
is kept below --work: the command goes on where it was stopped. DIR gets table1.md, table1.csv and table1.png.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mocrop_manifests import ManifestError
from mocrop_manifests.files import publish_bytes, publish_text
from mocrop_prep.config import RunSettings, ShardSettings
from mocrop_prep.demo import make_demo
from mocrop_prep.errors import UsageError
from mocrop_prep.runner import worker_count
from mocrop_train.config import TrainConfig
from mocrop_train.errors import TrainError
from mocrop_train.progress import console

from tests.benchmarks.crop_bench import sets
from tests.benchmarks.crop_bench.arguments import bench_parser
from tests.benchmarks.crop_bench.sets import SHARED, ClipSet
from tests.benchmarks.table_one import backbones, design
from tests.benchmarks.table_one.backbones import Backbone
from tests.benchmarks.table_one.bench import Bench
from tests.benchmarks.table_one.heads import FrozenTester
from tests.benchmarks.table_one.outcomes import Tester
from tests.benchmarks.table_one.report import Part, markdown, plot, table_csv
from tests.benchmarks.table_one.shardsets import make_sets
from tests.benchmarks.table_one.tuned import TrainedTester

PARTS = ("ucf101", "demo")
SEEDS = {"ucf101": 5, "demo": 2}
FRAMES = 8
DEMO_SIZE = 112
DEMO_SCENES = "1-6"
SCRATCH = Backbone("resnet18", "resnet18", "none", "scratch")
FINE_TUNING: dict[str, Any] = {"lr": 1e-4, "amp": "bf16"}
"""As in the example of `mocrop-train --help`."""
DEMO: dict[str, Any] = {"epochs": 40, "val_share": 0.0, "batch_size": 8, "segments": 2, "min_scale": 0.875}
"""As in tests/demo.sh, whose 60 epochs are cut for the sake of 7 crops."""


def ucf101(arguments: argparse.Namespace, run: RunSettings) -> Iterator[Part]:
    """Yield the parts of every backbone on the UCF101 clips: all folds, and the official split."""
    clips = sets.ucf101(arguments.work, run, quick=arguments.quick)
    if clips is None:
        say(f"UCF101: its clips are not in {SHARED / 'data' / 'ucf101'}, passed over")
        return
    found, notes = backbones.found(arguments.backbones)
    say(*notes)
    bench = shards_of(clips, design.SIZES, arguments, run, arguments.seeds or SEEDS["ucf101"])
    groups = len({clip.group for clip in clips.clips})
    protocols = {
        f"{design.FOLDS} folds": design.folds(clips.clips),
        "official split 1": [design.held_out("split1", clips.clips, design.OFFICIAL)],
    }
    for backbone in found:
        tester, how = ucf101_tester(bench, backbone, arguments, run)
        for protocol, divisions in protocols.items():
            tested = sum(len(division.tested) for division in divisions)
            about = f"{how} {tested} tested clips of {len(clips.clips)} in {groups} groups."
            yield bench.part(tester, backbone, protocol, divisions, about)


def ucf101_tester(
    bench: Bench, backbone: Backbone, arguments: argparse.Namespace, run: RunSettings
) -> tuple[Tester, str]:
    """Return what trains and tests a backbone on the UCF101 clips, and how in words."""
    base = TrainConfig(
        model=backbone.model, weights=backbone.weights, threads=arguments.threads, val_share=0.0
    )
    if arguments.fine_tune:
        runs = arguments.work / "runs" / bench.clips.name / f"{backbone.name}-{backbone.digest}"
        tuned = dataclasses.replace(base, **FINE_TUNING)
        return TrainedTester(dict(bench.made), tuned, runs), "Fine-tuned, the last epoch."
    frozen = dataclasses.replace(base, freeze=True, amp=arguments.amp)
    features = arguments.work / "features" / f"{backbone.name}-{backbone.digest}-{arguments.amp}"
    how = f"Frozen, linear heads, features in {'float32' if arguments.amp == 'off' else arguments.amp}."
    jobs = worker_count(run)
    if jobs > 1:
        frozen = dataclasses.replace(frozen, threads=1)
    return FrozenTester(dict(bench.made), bench.classes, frozen, features, jobs), how


def demo(arguments: argparse.Namespace, run: RunSettings) -> Iterator[Part]:
    """Yield the part of the demo set: a small network from scratch."""
    videos = arguments.demo / "videos"
    make_demo(videos, jobs=worker_count(run), quiet=False)
    clips = sets.demo(videos, arguments.work, run, quick=arguments.quick)
    bench = shards_of(clips, (DEMO_SIZE,), arguments, run, arguments.seeds or SEEDS["demo"])
    config = dataclasses.replace(TrainConfig(model="resnet18", threads=arguments.threads), **DEMO)
    if arguments.quick:
        config = dataclasses.replace(config, epochs=2)
    tester = TrainedTester(dict(bench.made), config, arguments.work / "runs" / clips.name)
    division = design.held_out("scenes", clips.clips, DEMO_SCENES)
    about = (
        f"From scratch, the last of {config.epochs} epochs. {len(division.tested)} tested clips of "
        f"{len(clips.clips)}, scenes {DEMO_SCENES} held out."
    )
    yield bench.part(tester, SCRATCH, "held-out scenes", [division], about)


def shards_of(
    clips: ClipSet, sizes: Sequence[int], arguments: argparse.Namespace, run: RunSettings, seeds: int
) -> Bench:
    """Make the shard sets of some clips that are missing, and return what is to be tested on them."""
    wanted = design.cells(arguments.crops, sizes)
    variants = sorted({variant for cell in wanted for variant in (cell.train, cell.test)})
    frames = 2 if arguments.quick else FRAMES
    made = make_sets(clips, variants, run, ShardSettings(frames=str(frames)))
    return Bench(clips, made, wanted, seeds, frames, arguments.work)


def say(*lines: str) -> None:
    """Print lines on stderr at once: the bench takes long."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """Return what was asked for."""
    parser = bench_parser(__doc__)
    parser.set_defaults(work=Path("demo/table1"))
    parser.add_argument("--only", choices=PARTS, help="this part alone")
    parser.add_argument(
        "--backbones",
        nargs="+",
        choices=backbones.NAMES,
        default=backbones.NAMES,
        help="for UCF101; those whose weights are not to be had are passed over",
    )
    parser.add_argument("--crops", nargs="+", choices=design.CROPS, default=design.CROPS)
    parser.add_argument("--seeds", type=int, help="trainings of each cell; default 5, demo 2")
    parser.add_argument(
        "--fine-tune",
        action=argparse.BooleanOptionalAction,
        default=torch.cuda.is_available(),
        help="train whole networks on UCF101; default with a GPU",
    )
    parser.add_argument(
        "--amp", choices=("bf16", "off"), default="bf16", help="precision of frozen features; default bf16"
    )
    parser.add_argument("--threads", type=int, help="CPU threads of torch")
    parser.add_argument("--out", type=Path, help="folder of table1.md, .csv and .png; default WORK")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """Compute what is missing, print the table and write its files."""
    arguments = parse(words)
    run = RunSettings(jobs=arguments.jobs)
    if arguments.quick:
        arguments.work, arguments.seeds = arguments.work / "quick", arguments.seeds or 2
    out = arguments.out or arguments.work
    parts: list[Part] = []
    try:
        with console(quiet=False):
            for name, make in (("ucf101", ucf101), ("demo", demo)):
                if arguments.only in (None, name):
                    for part in make(arguments, run):
                        parts.append(part)
                        write(parts, out)  # what is there can be read while the rest is computed
    except (UsageError, TrainError, ManifestError) as error:
        sys.exit(f"error: {error}")
    if parts:
        print((out / "table1.md").read_text(encoding="utf-8"))


def write(parts: Sequence[Part], out: Path) -> None:
    """Write the table's files."""
    publish_text(out / "table1.md", markdown(parts))
    publish_text(out / "table1.csv", table_csv(parts))
    publish_bytes(out / "table1.png", plot(parts))


if __name__ == "__main__":
    main()

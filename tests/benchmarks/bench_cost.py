"""The whole price of a prediction: from the video file to the scores of the classes, part by part.

    python -m tests.benchmarks.bench_cost [--source DIR] [--clips N] [--rounds N] [--models NAME ...]

Times are processor time of one thread, in milliseconds a clip, the mean over the clips: medians of rounds,
with their extremes, in which every part of every clip and every network takes its turn. Two ways to read a
clip stand beside each other: the source in place, and what transcoding makes of it. "Full frame" is the same
without a crop: no vectors, and where the clip is transcoded no frames but the key frames that are stored.
The way over JPEGs, which a shard set takes and a prediction from a file need not, is not in the whole prices.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import torch
from mocrop_manifests import Clip
from mocrop_prep.allocator import keep_freed_memory
from mocrop_prep.clips import find_clips, source_path, spread
from mocrop_prep.video import direct_violations, inspect_source
from mocrop_train.config import MODELS

from tests.benchmarks.cost_bench.measure import Prices, measure
from tests.benchmarks.cost_bench.parts import ClipWork
from tests.benchmarks.cost_bench.report import checks, tables
from tests.benchmarks.seeking import source_of_clips

METHODS = ("foreground", "mocrop-v1")
"""The methods whose choice is timed; all that follows from a crop is measured with the first."""
DEFAULT_MODELS = [model for model in MODELS if model != "resnet50-v1"]


def clips_of(source: Path, count: int, folder: Path) -> list[ClipWork]:
    """Prepare some clips of a folder that can be read in place; exits with a line if there is none."""
    found = find_clips(source)
    paths = [(clip, Path(str(source_path(found.root, clip)))) for clip in spread(found.clips, count)]
    usable = [(clip, path) for clip, path in paths if _readable(clip, path)]
    if not usable:
        sys.exit(f"{source}: no clip that can be read in place; give others by --source")
    return [ClipWork(clip, path, folder, METHODS) for clip, path in usable]


def _readable(clip: Clip, path: Path) -> bool:
    differences = direct_violations(inspect_source(path), short_side=None)
    if differences:
        print(f"{clip.clip_id} is passed over: {'; '.join(differences)}", file=sys.stderr)
    return not differences


def markdown(prices: Prices, command: str) -> str:
    """Return all that is said of the prices."""
    about = (
        f"`{command}`: {prices.clips} clips of {prices.seconds:.1f} s on the mean, {prices.rounds} rounds, "
        f"{os.cpu_count()} cores, one used, torch {torch.__version__}."
    )
    return "\n".join([about, "", *tables(prices, METHODS[0]), "", *checks(prices, METHODS[0])])


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print Markdown tables, and write what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, help="clips; default: UCF101 clips, else the demo set")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=DEFAULT_MODELS)
    parser.add_argument("--out", type=Path, help="write the tables to this Markdown file")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args(words)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)  # as every worker does, and the next
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        work = clips_of(source_of_clips(arguments.source, folder), arguments.clips, folder)
        prices = measure(work, arguments.models, arguments.rounds)
    given = " ".join(sys.argv[1:] if words is None else words)
    text = markdown(prices, f"python -m tests.benchmarks.bench_cost {given}".rstrip())
    print(text)
    for path, content in (
        (arguments.out, f"{text}\n"),
        (arguments.json, json.dumps(asdict(prices), indent=2)),
    ):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()

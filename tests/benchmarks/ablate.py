"""What the parts of the methods are worth: each left out in turn, and what then stays of the actors.

    python -m tests.benchmarks.ablate [--quick] [--on demo|divers] [--only kept|cost] [--probe] [--json FILE]

Printed as Markdown, for the demo set and for UCF101's divers, whose boxes people drew: what is kept of the
actors without each of the paper's three parts, in both of its methods, and without each part of `foreground`;
and what the parts cost beside extraction. With --probe also the accuracy of linear probes on the crops of a
few variants. The real clips are looked for in ../shared/data and passed over where they are not. Clips are
staged below --work once, and bench_crops shares them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mocrop_manifests import Clip
from mocrop_prep.config import RunSettings
from mocrop_prep.demo import make_demo
from mocrop_prep.errors import ClipError, UsageError
from mocrop_prep.runner import worker_count
from mocrop_prep.workdir import Workdir, open_workdir

from tests.benchmarks.ablation.cost import costs
from tests.benchmarks.ablation.probed import probed
from tests.benchmarks.ablation.report import NOTES, cost_lines, retention_body, retention_lines
from tests.benchmarks.ablation.retention import retention
from tests.benchmarks.bench_crops import probe, say
from tests.benchmarks.crop_bench import sets
from tests.benchmarks.crop_bench.arguments import bench_parser
from tests.benchmarks.crop_bench.sets import SHARED

SETS = ("demo", "divers")
PARTS = ("kept", "cost")
BACKBONES = ("mobilenet_v2",)


@dataclass(frozen=True, slots=True)
class Annotated:
    """A set of clips with vectors, and the file with the boxes of actors in some of them."""

    title: str
    workdir: Workdir
    clips: Sequence[Clip]
    boxes: Path


def annotated(arguments: argparse.Namespace, run: RunSettings) -> Iterator[Annotated]:
    """Yield the sets that are asked for and can be had."""
    if arguments.set:
        for root, boxes in arguments.set:
            workdir = open_workdir(root)
            yield Annotated(str(root), workdir, workdir.read_clips(), boxes)
        return
    if "demo" in arguments.on:
        videos = arguments.demo / "videos"
        make_demo(videos, jobs=worker_count(run), quiet=False)
        made = sets.demo(videos, arguments.work, run, quick=arguments.quick)
        yield Annotated("the demo set", made.workdir, made.clips, videos / "boxes.csv")
    if "divers" in arguments.on:
        boxes = SHARED / "data" / "actor_boxes.csv"
        found = sets.ucf101(arguments.work, run, quick=arguments.quick) if boxes.is_file() else None
        if found is None:
            say(f"## UCF101 Diving: {boxes} is not here, passed over", "")
        else:
            yield Annotated("UCF101 Diving", found.workdir, found.clips, boxes)


def measured(one: Annotated, arguments: argparse.Namespace, run: RunSettings) -> dict[str, Any]:
    """Print and return what is kept and what it costs on one set."""
    body: dict[str, Any] = {}
    if "kept" in arguments.only:
        found = retention(one.workdir, one.clips, one.boxes, run)
        for note in found.notes:
            print(f"note: {note}", file=sys.stderr)
        say(f"## What is kept: {one.title}", "", *retention_lines(found))
        body["kept"] = retention_body(found)
    if "cost" in arguments.only:
        took = costs(one.workdir, one.clips, most=arguments.timed, rounds=arguments.rounds)
        say(f"## What it costs: {one.title}", "", *cost_lines(took), "")
        body["cost"] = dict(took.seconds)
    return body


def probes(arguments: argparse.Namespace, run: RunSettings) -> dict[str, Any]:
    """Print and return the probes of the sets that are here."""
    found = (find(arguments.work, run, quick=arguments.quick) for find in (sets.ucf101, sets.weizmann))
    folder = arguments.work / "features"
    return {
        clips.name: probe(clips, probed(clips, run), BACKBONES, folder, run)
        for clips in found
        if clips is not None
    }


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print, and write the JSON file."""
    parser = bench_parser(__doc__)
    parser.add_argument("--on", action="append", choices=SETS, help="this set alone; may be repeated")
    parser.add_argument(
        "--set",
        action="append",
        nargs=2,
        type=Path,
        metavar=("WORKDIR", "BOXES"),
        help="this set instead, its boxes in pixels of the transcoded clips; may be repeated",
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="this part alone; may be repeated")
    parser.add_argument("--timed", type=int, default=12, help="clips of each set that are timed")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of timing, of which the least counts")
    parser.add_argument("--probe", action="store_true", help="linear probes too, on UCF101 and Weizmann")
    arguments = parser.parse_args(words)
    arguments.on, arguments.only = arguments.on or SETS, arguments.only or PARTS
    run = RunSettings(jobs=arguments.jobs)
    try:
        found = {one.title: measured(one, arguments, run) for one in annotated(arguments, run)}
    except (UsageError, ClipError) as error:
        sys.exit(str(error))
    if found and "kept" in arguments.only:
        say(*NOTES, "")
    body = {"sets": found, "probe": probes(arguments, run) if arguments.probe else {}}
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(body, indent=2) + "\n")


if __name__ == "__main__":
    main()

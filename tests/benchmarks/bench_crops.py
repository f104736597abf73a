"""What crops are worth: how much of the actor they keep, and what a frozen backbone makes of them.

    python -m tests.benchmarks.bench_crops [--quick] [--only demo|boxes|probe] [--json FILE]

Three parts, printed as Markdown: retention of the drawn actors of the demo set; retention of UCF101's divers,
whose boxes people drew; and the accuracy of linear probes on UCF101 and Weizmann, every crop on the same
clips, folds and draws. The real clips are looked for in ../shared/data and passed over where they are not.
Every step is kept below --work: a second run prints the same and computes next to nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mocrop_prep.config import RunSettings
from mocrop_prep.demo import make_demo
from mocrop_prep.errors import UsageError
from mocrop_prep.evaluation import Request, evaluate_crops, evaluation_json, evaluation_lines
from mocrop_prep.runner import worker_count

from tests.benchmarks.crop_bench import backbones, sets
from tests.benchmarks.crop_bench.arguments import bench_parser
from tests.benchmarks.crop_bench.contenders import Contender, contenders
from tests.benchmarks.crop_bench.features import clip_features
from tests.benchmarks.crop_bench.paired import results
from tests.benchmarks.crop_bench.probes import SHOTS, hits, splits
from tests.benchmarks.crop_bench.report import NOTES, result_table, setting_title
from tests.benchmarks.crop_bench.sets import SHARED, ClipSet

PARTS = ("demo", "boxes", "probe")
DEFAULT_BACKBONES = ("mobilenet_v2", "efficientnet_lite0")


def say(*lines: str) -> None:
    """Print lines at once: the bench takes minutes."""
    print(*lines, sep="\n", flush=True)


def retention(clips: ClipSet, boxes: Path, run: RunSettings, title: str) -> dict[str, Any]:
    """Print and return how much of the actors each method keeps."""
    found = evaluate_crops(clips.workdir, boxes, Request(), run=run)
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    say(f"## Retention: {title}", "", *evaluation_lines(found, markdown=True), "")
    body: dict[str, Any] = json.loads(evaluation_json(found))
    return body


def probe(
    clips: ClipSet, crops: Sequence[Contender], names: Sequence[str], folder: Path, run: RunSettings
) -> dict[str, Any]:
    """Print and return the accuracy of every crop in every setting, for each backbone that is here."""
    body: dict[str, Any] = {}
    for name in names:
        backbone = backbones.find(name)
        if backbone is None:
            say(f"## {clips.name}, {name}: its weights are not here, passed over", "")
            continue
        features = clip_features(clips, crops, backbone, folder, run)
        for shots in SHOTS:
            parts = splits(clips.clips, clips.folds, shots)
            found = results(crops, hits(features, clips.clips, parts, run))
            title = setting_title(shots, clips.folds)
            say(f"## {clips.name}, {len(clips.clips)} clips, {name}: {title}", "", *result_table(found), "")
            body[f"{name}, {title}"] = [asdict(one) for one in found]
    return body


def retentions(arguments: argparse.Namespace, parts: Sequence[str], run: RunSettings) -> dict[str, Any]:
    """Print and return both retentions, as far as they are asked for and can be had."""
    body: dict[str, Any] = {}
    if "demo" in parts:
        videos = arguments.demo / "videos"
        make_demo(videos, jobs=worker_count(run), quiet=False)
        clips = sets.demo(videos, arguments.work, run, quick=arguments.quick)
        body["demo"] = retention(clips, videos / "boxes.csv", run, "the demo set")
    if "boxes" in parts:
        boxes = SHARED / "data" / "actor_boxes.csv"
        divers = sets.ucf101(arguments.work, run, quick=arguments.quick)
        if divers is not None and boxes.is_file():
            body["boxes"] = retention(divers, boxes, run, "UCF101 Diving")
        else:
            say(f"## Retention: UCF101 Diving: {boxes} is not here, passed over", "")
    return body


def probes(arguments: argparse.Namespace, run: RunSettings) -> dict[str, Any]:
    """Print and return the probes of the sets that are here."""
    body: dict[str, Any] = {}
    for find in (sets.ucf101, sets.weizmann):
        clips = find(arguments.work, run, quick=arguments.quick)
        if clips is None:
            say(f"## Probes: {find.__name__} is not in {SHARED / 'data'}, passed over", "")
        else:
            body[clips.name] = probe(
                clips, contenders(clips, run), arguments.backbone, arguments.work / "features", run
            )
    if body:
        say(*NOTES)
    return body


def main() -> None:
    """Measure, print, and write the JSON file."""
    parser = bench_parser(__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="this part alone; may be repeated")
    parser.add_argument("--backbone", action="append", choices=backbones.NAMES, help="may be repeated")
    arguments = parser.parse_args()
    arguments.backbone = arguments.backbone or DEFAULT_BACKBONES
    run = RunSettings(jobs=arguments.jobs)
    parts = arguments.only or PARTS
    say(f"Command: python -m tests.benchmarks.bench_crops {' '.join(sys.argv[1:])}".rstrip(), "")
    try:
        body = retentions(arguments, parts, run)
        if "probe" in parts:
            body["probe"] = probes(arguments, run)
    except UsageError as error:
        sys.exit(f"error: {error}")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(body, indent=2) + "\n")


if __name__ == "__main__":
    main()

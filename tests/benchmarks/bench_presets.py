"""Which x264 settings the transcode stage should have: what they cost, and what their vectors are worth.

    python -m tests.benchmarks.bench_presets [--on demo|weizmann|diving] [--clips N] [--json FILE]

Every clip is encoded with every candidate: presets, and options of x264 on top of two of them, all within
the contract of transcoded clips. Printed as Markdown, for each set: frames/s of encode and extract, in rounds
that all candidates share; bytes; how like the density maps of the crop methods are to those of an encode with
exhaustive motion search; how much of the actors the crops keep, where somebody drew their boxes; and how like
the key frames are to the source. Then which of them lose nothing by a rule, on the demo set and Weizmann, and
what share of `run` is x264. UCF101 Diving has no say in the choice: it is what the choice is reported on.

The real clips are looked for in ../shared/data and passed over where they are not. What was computed is kept
below --work by source, candidate and versions of the codecs, not by version of this project: after a change
of a crop method remove it. Times are never kept.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mocrop_prep.config import RunSettings
from mocrop_prep.errors import ClipError, UsageError
from mocrop_prep.runner import worker_count

from tests.benchmarks.bench_crops import say
from tests.benchmarks.preset_bench import report
from tests.benchmarks.preset_bench.candidates import BASE, CANDIDATES, DEFAULT, REDRAWN, REFERENCE, Candidate
from tests.benchmarks.preset_bench.floor import floor
from tests.benchmarks.preset_bench.looks import all_looks
from tests.benchmarks.preset_bench.samples import SETS, Sample, given, named
from tests.benchmarks.preset_bench.timing import Spent, speeds, spent
from tests.benchmarks.preset_bench.verdict import quickest
from tests.benchmarks.preset_bench.worth import Looks, worths


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("--on", action="append", choices=SETS, help="this set alone; may be repeated")
    found.add_argument(
        "--set",
        action="append",
        nargs=2,
        type=Path,
        metavar=("SOURCE", "BOXES"),
        help="this set instead, its boxes in pixels of the source; may be repeated",
    )
    found.add_argument(
        "--candidate",
        action="append",
        choices=CANDIDATES,
        metavar="NAME",
        help=f"this one beside {BASE}; may be repeated; default: all, which are {'; '.join(CANDIDATES)}",
    )
    found.add_argument("--clips", type=int, default=36, help="clips of each set at most; default 36")
    found.add_argument("--timed", type=int, default=4, help="clips of each set that are timed; default 4")
    found.add_argument("--rounds", type=int, default=5, help="rounds of timing, 0 for none; default 5")
    found.add_argument("--work", type=Path, default=Path("demo/bench-presets"), help="what is computed once")
    found.add_argument("--demo", type=Path, default=Path("demo"), help="its videos/ is the demo set")
    found.add_argument("--jobs", type=int, default=0, help="worker processes, but for times; 0: one a core")
    found.add_argument("--json", type=Path, help="write the figures to this file")
    return found


def samples(arguments: argparse.Namespace, run: RunSettings) -> Iterator[Sample]:
    """Yield the sets that are asked for and can be had."""
    if arguments.set:
        for source, boxes in arguments.set:
            yield given(source, boxes, arguments.clips)
    else:
        names = arguments.on or SETS
        yield from named(names, arguments.demo, arguments.work, arguments.clips, worker_count(run))


def measured(
    sample: Sample, candidates: Sequence[Candidate], arguments: argparse.Namespace, run: RunSettings
) -> tuple[Looks, dict[str, Spent], dict[str, Any]]:
    """Print what the candidates cost and are worth on one set; return looks, times, and both as figures."""
    every = [*candidates, REFERENCE, REDRAWN]
    looks = all_looks(sample, every, arguments.work / "looks", run)
    took = (
        spent(sample, candidates, clips=arguments.timed, rounds=arguments.rounds) if arguments.rounds else {}
    )
    found = worths([(sample, looks)])
    frames = sum(look.frames for look in looks[BASE])
    role = "to choose by" if sample.chooses else "reported, not chosen by"
    say(f"## {sample.name}, {role}: {len(sample.clips)} clips, {frames} frames", "")
    say(*report.cost_table(took, found), "", *report.worth_table(found), "")
    body = {
        "clips": [clip.clip_id for clip in sample.clips],
        "chooses": sample.chooses,
        "worth": report.worth_body(found),
        "time": report.spent_body(took) if took else {},
    }
    return looks, took, body


def choose(parts: Sequence[tuple[Sample, Looks, dict[str, Spent]]], body: dict[str, Any]) -> None:
    """Print what each candidate loses by the rule on the sets to choose by, and enter it."""
    together = worths([(sample, looks) for sample, looks, _ in parts])
    each = [{name: median for name, (median, _, _) in speeds(took).items()} for _, _, took in parts]
    speed = {name: math.prod(one[name] for one in each) ** (1 / len(each)) for name in each[0]}
    choice = quickest(together, speed)
    say(f"## The choice, by {' and '.join(sample.name for sample, _, _ in parts)}", "")
    say(*report.choice_lines(together, speed, choice))
    body["choice"] = {"quickest": choice, "speed": speed, "worth": report.worth_body(together)}


def shares(sample: Sample, arguments: argparse.Namespace) -> dict[str, Any]:
    """Print and return where the time of `run` goes with the default settings."""
    found = floor(sample, CANDIDATES[DEFAULT], clips=arguments.timed, rounds=arguments.rounds)
    say(
        f"## Where the time of `run` goes: {sample.name}",
        "",
        *report.floor_lines(CANDIDATES[DEFAULT].preset, found),
    )
    return {"frames": found.frames, "seconds": found.seconds}


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print, and write the JSON file."""
    arguments = parser().parse_args(words)
    run = RunSettings(jobs=arguments.jobs)
    candidates = [CANDIDATES[name] for name in dict.fromkeys((BASE, *(arguments.candidate or CANDIDATES)))]
    body: dict[str, Any] = {"sets": {}, "floor": {}}
    parts = []
    try:
        for sample in samples(arguments, run):
            looks, took, body["sets"][sample.name] = measured(sample, candidates, arguments, run)
            if took:
                body["floor"][sample.name] = shares(sample, arguments)
            if took and sample.chooses:
                parts.append((sample, looks, took))
    except (UsageError, ClipError) as error:
        sys.exit(str(error))
    if parts:
        choose(parts, body)
    say(*report.NOTES)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(body, indent=2) + "\n")


if __name__ == "__main__":
    main()

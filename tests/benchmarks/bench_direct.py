"""Reading sources in place against transcoding them first: time, crops, and what the crops keep.

    python -m tests.benchmarks.bench_direct [--source DIR] [--clips N] [--rounds N] [--only PART]

Time: `run --direct` and `run` with x264's preset veryfast, all stages with one job in fresh WORKDIRs, in
interleaved runs; medians, and the median of the ratios of pairs. Crops: the intersection over union of both,
clip by clip. Boxes: how much of UCF101's divers both keep, with the difference over clips.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mocrop_manifests import Clip, read_crops
from mocrop_prep import workflow
from mocrop_prep.clips import find_clips, spread
from mocrop_prep.config import CropSettings, RunSettings, ShardSettings, TranscodeSettings
from mocrop_prep.evaluation import AREAS, Request, evaluate_crops
from mocrop_prep.evaluation.bootstrap import clip_draws, estimate
from mocrop_prep.stages.shard import box_of
from mocrop_prep.workdir import Workdir, make_workdir
from mocrop_prep.workflow.rows import describe_routes
from numpy.typing import NDArray

from tests.benchmarks.spent import spent

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
PARTS = ("time", "crops", "boxes")
SIDES = {"direct": TranscodeSettings(direct=True), "transcoded": TranscodeSettings(preset="veryfast")}
_NAME = CropSettings().method


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of wall and processor time of each side, medians, and the median ratios of pairs."""

    direct: float
    transcoded: float
    ratio: float
    ratio_range: tuple[float, float]
    processor_ratio: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Intersection over union of the crops of both sides, over clips; how the direct side read them."""

    clips: int
    mean: float
    median: float
    under_half: int
    routes: dict[str, int]


@dataclass(frozen=True, slots=True)
class Retention:
    """Mean share of the actor inside the crop, by side, and the mean difference with its 95 % interval."""

    direct: float
    transcoded: float
    difference: float
    interval: tuple[float, float] | None


class Bench:
    """Clips of a folder, and runs over them in fresh WORKDIRs below another."""

    def __init__(self, source: Path, clips: int | None, folder: Path) -> None:
        found = find_clips(source)
        self._root = found.root
        self.clips: list[Clip] = spread(found.clips, clips) if clips else list(found.clips)
        self._folder = folder
        self._runs = 0

    def run(self, side: str, *, keep: bool = False, crop: CropSettings | None = None) -> Workdir:
        """Do all four stages fused, as one side does it; return the WORKDIR."""
        self._runs += 1
        home = make_workdir(self._folder / f"{side}-{self._runs}", self._root)
        workflow.save_clips(home, self.clips)
        session = workflow.Session(home, self.clips, RunSettings(jobs=1, backend="sequential"), quiet=True)
        settings = (SIDES[side], crop or CropSettings(), ShardSettings())
        workflow.perform(workflow.RunStage(session, *settings, name=_NAME, keep=keep))
        return home

    def times(self, rounds: int) -> Times:
        """Time both sides, one after the other in every round, after a round that does not count."""
        taken = [{side: spent(partial(self.run, side)) for side in SIDES} for _ in range(rounds + 1)][1:]
        wall, processor = (
            [one["transcoded"][which] / one["direct"][which] for one in taken] for which in (0, 1)
        )
        return Times(
            direct=statistics.median(one["direct"][0] for one in taken),
            transcoded=statistics.median(one["transcoded"][0] for one in taken),
            ratio=statistics.median(wall),
            ratio_range=(min(wall), max(wall)),
            processor_ratio=statistics.median(processor),
        )

    def agreement(self) -> Agreement:
        """Compare the crops of both sides."""
        direct, transcoded = (
            {row.clip_id: row for row in read_crops(self.run(side).crops(_NAME))} for side in SIDES
        )
        used = [name for name, row in direct.items() if "failed" not in (row.status, transcoded[name].status)]
        shares = [box_of(direct[name]).overlap(box_of(transcoded[name])) for name in used]
        routes = Counter(row.route or "" for row in direct.values())
        return Agreement(
            len(used),
            statistics.mean(shares),
            statistics.median(shares),
            sum(share < 0.5 for share in shares),
            dict(routes),
        )

    def retentions(self, boxes: Path, areas: Sequence[float]) -> dict[str, Retention]:
        """Return how much of the actors both sides keep, at the crops' own sizes and at fixed areas."""
        request = Request(methods=(_NAME,), areas=areas)
        run = RunSettings(jobs=1, backend="sequential")
        direct, transcoded = (
            evaluate_crops(self.run(side, keep=True), boxes, request, run=run, quiet=True) for side in SIDES
        )
        found = {}
        for number, line in enumerate(direct.lines):
            if line.candidate.name == _NAME:
                a, b = (
                    np.array([verdict.shares[number].mean() for verdict in one.verdicts])
                    for one in (direct, transcoded)
                )
                name = "its own" if line.candidate.area is None else f"{line.candidate.area:g}"
                found[name] = _retention(a, b)
        return found


def _retention(direct: NDArray[np.float64], transcoded: NDArray[np.float64]) -> Retention:
    """Return what both sides keep of each clip's actor, as means over clips."""
    clips = len(direct)
    drawn = clip_draws(clips, seed=0) @ (direct - transcoded) / clips
    difference = estimate(float((direct - transcoded).mean()), drawn, clips=clips)
    return Retention(float(direct.mean()), float(transcoded.mean()), difference.value, difference.interval)


def measure(
    source: Path, folder: Path, *, clips: int, rounds: int, parts: Sequence[str] = PARTS
) -> dict[str, Any]:
    """Measure these parts below `folder` and print each; return all figures by part."""
    body: dict[str, Any] = {}
    if "time" in parts:
        bench = Bench(source, clips, folder / "time")
        times = bench.times(rounds)
        body["time"] = {"clips": len(bench.clips), **asdict(times)}
        low, high = times.ratio_range
        print(
            f"{len(bench.clips)} clips: direct {times.direct:.2f} s, transcoded {times.transcoded:.2f} s, "
            f"{times.ratio:.2f} times ({low:.2f}-{high:.2f}); processor time "
            f"{times.processor_ratio:.2f} times",
            flush=True,
        )
    if "crops" in parts:
        agreement = Bench(source, None, folder / "crops").agreement()
        body["crops"] = asdict(agreement)
        routes = describe_routes(agreement.routes)
        print(
            f"{agreement.clips} clips ({routes}): intersection over union of the crops "
            f"{agreement.mean:.3f} on the mean, {agreement.median:.3f} in the median, "
            f"{agreement.under_half} under a half",
            flush=True,
        )
    boxes = SHARED / "actor_boxes.csv"
    if "boxes" in parts and boxes.is_file():
        found = Bench(SHARED / "ucf101" / "Diving", None, folder / "boxes").retentions(boxes, AREAS)
        body["boxes"] = {area: asdict(one) for area, one in found.items()}
        for area, one in found.items():
            low, high = one.interval or (one.difference, one.difference)
            print(
                f"area {area}: direct keeps {one.direct:.1%}, transcoded {one.transcoded:.1%}, "
                f"{100 * one.difference:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]",
                flush=True,
            )
    return body


def main() -> None:
    """Measure, print, and write the JSON file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, default=SHARED / "ucf101", help="default: UCF101 clips")
    parser.add_argument("--clips", type=int, default=24, help="clips to time; the crops are those of all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", choices=PARTS, help="this part alone; may be repeated")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not arguments.source.exists():
        parser.error(f"--source {arguments.source} is not there")
    with tempfile.TemporaryDirectory() as scratch:
        parts = arguments.only or PARTS
        body = measure(
            arguments.source, Path(scratch), clips=arguments.clips, rounds=arguments.rounds, parts=parts
        )
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

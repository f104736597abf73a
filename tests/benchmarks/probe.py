"""What a crop is worth: a linear head on a frozen backbone, the same clips and features for every method.

    python tests/benchmarks/probe.py SOURCE WORK --weights resnet50.safetensors [--holdout-groups 1-7]

Prepares SOURCE once, crops it by every method and control, shards each at every size, trains the head on
the training groups, and evaluates the held-out ones once. Prints top-1 with counts, and wins and losses
against the full frame with the exact McNemar p. Every step resumes; the numbers are those of the commands.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

METHODS = ("full", "center-square", "center", "random", "mocrop-v1", "mocrop-v2")
SIZES = (224, 192)


def tool(name: str, *arguments: object) -> None:
    """Run one of the project's commands, quietly; stop at the first that fails."""
    command = [str(Path(sys.executable).with_name(name)), *map(str, arguments)]
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with exit status {done.returncode}")


def prepare(source: Path, work: Path, splits: Sequence[str]) -> None:
    """Make a shard set for every method and size."""
    tool("mocrop-prep", "transcode", source, work, "--quiet", *splits)
    tool("mocrop-prep", "extract", work, "--quiet")
    for method in METHODS:
        tool("mocrop-prep", "crop", work, "--method", method, "--quiet")
        for size in SIZES:
            name = f"{method}-{size}"
            tool("mocrop-prep", "shard", work, "--crops", method, "--name", name, "--size", size, "--quiet")


def train(work: Path, name: str, model: str, weights: Path, seed: int) -> Path:
    """Train and evaluate the head on one shard set; return its predictions, which are kept."""
    run = work.parent / f"{work.name}-runs" / f"{name}-s{seed}"
    predictions = run / "predictions.json"
    if not predictions.exists():
        shards = work / "shards" / name
        network = ("--model", model, "--weights", weights, "--freeze", "--seed", seed)
        tool("mocrop-train", "--shards", shards, "--out", run, "--quiet", *network)
    return predictions


def compare(first: Path, second: Path, out: Path) -> dict[str, Any]:
    """Return the paired comparison of two prediction files."""
    arguments = (first, second, "--json", out)
    command = [str(Path(sys.executable).with_name("mocrop-compare")), *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    body = json.loads(out.read_text())
    comparison: dict[str, Any] = body["comparisons"][0]
    return comparison


def table(work: Path, model: str, weights: Path, seed: int) -> list[str]:
    """Return the result as a Markdown table."""
    lines = ["| crop | px | top-1 | right | against full: wins, losses, p |", "|---|---|---|---|---|"]
    for size in SIZES:
        full = train(work, f"full-{size}", model, weights, seed)
        for method in METHODS:
            predictions = train(work, f"{method}-{size}", model, weights, seed)
            clips = json.loads(predictions.read_text())["clips"]
            right = sum(clip["prediction"] == clip["label"] for clip in clips)
            paired = "-"
            if method != "full":
                result = compare(predictions, full, predictions.with_name("against-full.json"))
                paired = f"{result['wins']}, {result['losses']}, {result['p']:.2f}"
            share = 100 * right / len(clips)
            lines.append(f"| {method} | {size} | {share:.1f} % | {right} of {len(clips)} | {paired} |")
    return lines


def main() -> None:
    """Prepare, train and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--model", default="resnet50-v1")
    parser.add_argument("--holdout-groups", default="1-7")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    prepare(arguments.source, arguments.work, ("--holdout-groups", arguments.holdout_groups))
    for line in table(arguments.work, arguments.model, arguments.weights, arguments.seed):
        print(line, flush=True)


if __name__ == "__main__":
    main()

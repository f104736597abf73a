"""Everything that is said of speed, measured in one go.

    python -m tests.benchmarks.bench [--source DIR] [--clips N] [--rounds N] [--out FILE] [--readme FILE]

Comparisons are of times, in interleaved runs over the same clips, so that a noisy machine hits both sides
alike: absolute times say little, ratios carry over. Beside them stands what grows with the data: the time of
a frame with the length of a clip, of a clip with their number, and the memory of a worker.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av
import torch
from mocrop_prep.allocator import keep_freed_memory

from tests.benchmarks.bench_loader import LoaderBench
from tests.benchmarks.seeking import make_sets, source_of_clips
from tests.benchmarks.speed import growth
from tests.benchmarks.speed.interleaved import HEADER, compare
from tests.benchmarks.speed.work import Work

CHAPTERS = ("work", "loader", "growth", "memory")
TARGET = "make bench"


def comparisons(source: Path, folder: Path, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the comparisons of the pipeline's work and of the trainer's input, each with its line."""
    pairs = []
    if "work" in arguments.only:
        pairs += Work(source, arguments.clips, folder / "work").pairs()
    if "loader" in arguments.only:
        torch.set_num_threads(1)
        pairs += LoaderBench(make_sets(source, folder / "loader", arguments.clips)).pairs()
    for result in compare(pairs, arguments.rounds):
        yield asdict(result) | {"line": result.row()}


def figures(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield what grows with the data, each with its line."""
    chapters: list[tuple[str, str, Callable[[], Iterator[tuple[str, float]]]]] = [
        ("us of processor time a frame", "growth", lambda: growth.by_length(arguments.rounds)),
        ("us of processor time a frame", "growth", lambda: growth.by_size(arguments.rounds)),
        ("us of the parent's processor time a clip", "growth", growth.by_count),
        ("MB at the peak", "memory", growth.peaks),
    ]
    for unit, chapter, measured in chapters:
        if chapter in arguments.only:
            for name, figure in measured():
                line = f"| {name} | {figure:,.0f} {unit} |"
                yield {"name": name, "figure": figure, "unit": unit, "line": line}


def marks(target: str) -> tuple[str, str]:
    """Return what stands before and behind the tables of a make target in a Markdown file."""
    return f"<!-- {target}: begin -->", f"<!-- {target}: end -->"


def write_readme(path: Path, table: str, target: str = TARGET) -> None:
    """Put a table between the marks of a make target in a Markdown file; raises ValueError without them."""
    begin, end = marks(target)
    text = path.read_text(encoding="utf-8")
    before, first, rest = text.partition(begin)
    _, last, after = rest.partition(end)
    if not (first and last):
        raise ValueError(f"{path} lacks the marks {begin} and {end}")
    path.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")


def measure(source: Path | None, folder: Path, arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Measure all that was asked for; return it, and the tables."""
    source = source_of_clips(source, folder)
    (folder / "work").mkdir()
    about = (
        f"{arguments.clips} clips, {os.cpu_count()} cores, PyAV {av.__version__}, {arguments.rounds} rounds"
    )
    lines = [about, "", *HEADER.splitlines()]
    print("\n".join(lines), flush=True)
    body: dict[str, Any] = {"about": about, "comparisons": [], "figures": []}
    for kind, found in (
        ("comparisons", comparisons(source, folder, arguments)),
        ("figures", figures(arguments)),
    ):
        if kind == "figures":
            lines += ["", "| what grows with the data | |", "|---|---|"]
            print("\n".join(lines[-3:]), flush=True)
        for each in found:
            lines.append(each.pop("line"))
            body[kind].append(each)
            print(lines[-1], flush=True)
    return body, "\n".join(lines)


def main(words: list[str] | None = None) -> None:
    """Measure, print Markdown tables, and write what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, help="clips; default: UCF101 clips, else the demo set")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=CHAPTERS, default=CHAPTERS)
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--readme", type=Path, help="put the tables between the marks of this file")
    arguments = parser.parse_args(words)
    keep_freed_memory()  # as every worker does
    with tempfile.TemporaryDirectory() as scratch:
        body, table = measure(arguments.source, Path(scratch), arguments)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(body, indent=2) + "\n")
    if arguments.readme:
        write_readme(arguments.readme, table)


if __name__ == "__main__":
    main()

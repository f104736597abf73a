"""The cost of a run beside the work itself: a million clips whose work takes no time, all else as always.

    python -m tests.benchmarks.million [--clips 1000000] [--jobs N] [--out FILE.json]

A source of empty files is listed, planned, handed out to workers, recorded, and published; the functions
that would decode a clip or write a shard return at once what they would have returned. Each command runs in a
process of its own: the first run, the same again, one that was killed half-way and goes on, and `status`.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.spent import peak_memory_mb

if TYPE_CHECKING:
    from mocrop_prep.stages.commit import FusedJob

CLASSES = 700
NUMBERS: dict[str, Any] = {
    "width": 320, "height": 240, "fps": 25.0, "frames": 180, "key_frames": 15, "x": 40, "y": 0, "w": 240,
    "h": 240, "area": 0.75, "vectors": 61234, "kept": 12345, "sampled": 12345, "motion_inside": 0.912345,
    "score": 0.812345, "confidence": 0.712345,
}  # fmt: skip


def instant_fuse(job: FusedJob) -> dict[str, Any]:
    """Return what the work on a clip returns, at once; its sample is an empty file."""
    from mocrop_prep.stages.crop import failed_row, packed

    row = packed(replace(failed_row(job.clip, "", job.crop), status="ok", grid="30x40", **NUMBERS))
    digest = "0123456789abcdef" * 4
    source = {"bytes": 0, "mtime_ns": Path(str(job.source)).stat().st_mtime_ns, "sha256": digest}
    sample = {"frames": 8, "bytes": 0, "sha256": digest}
    job.sample.parent.mkdir(parents=True, exist_ok=True)
    job.sample.touch()
    return {"row": row, "sample": sample, "source": source, "damaged": 0}


def instant_shard(
    plan: Any, waiting: Path, folder: Path, settings: Any, classes: Sequence[str]
) -> dict[str, Any]:
    """Write the name of a shard instead of the shard; return its entry."""
    from mocrop_manifests.files import publish_text, sha256

    del waiting, settings, classes
    path = folder / plan.file
    publish_text(path, plan.file)
    rows = len(plan.samples)
    return {
        "file": plan.file, "split": plan.split, "rows": rows, "frames": 8 * rows,
        "bytes": path.stat().st_size, "sha256": sha256(path),
    }  # fmt: skip


def make_source(folder: Path, clips: int) -> None:
    """Make empty videos, in classes, with the groups of UCF101's names."""
    each = -(-clips // CLASSES)
    for number in range(clips):
        label, place = divmod(number, each)
        if not place:
            (folder / f"class_{label:03d}").mkdir(parents=True)
        path = folder / f"class_{label:03d}" / f"v_class_{label:03d}_g{place % 25:02d}_c{place:06d}.mp4"
        path.open("x").close()


def run_command(arguments: Sequence[str]) -> None:
    """Run mocrop-prep with instant work; print what this process took."""
    from mocrop_prep import shardset, workflow
    from mocrop_prep.cli import main

    vars(shardset)["write_shard"] = instant_shard
    workflow.RunStage.work = staticmethod(instant_fuse)
    started = time.perf_counter()
    try:
        main(list(arguments))
    finally:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        taken = {
            "seconds": round(time.perf_counter() - started, 1),
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
            "peak_mb": round(peak_memory_mb()),
        }
        print(json.dumps(taken))


def command(*arguments: str) -> dict[str, float]:
    """Run a command in a process of its own; return its seconds and peak memory."""
    call = [sys.executable, "-m", "tests.benchmarks.million", "--command", *arguments]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def halve(work: Path) -> None:
    """Put a WORKDIR in the state of a run that was killed half-way."""
    shutil.rmtree(work / "shards")
    shutil.rmtree(work / "crops")
    for note in (work / "journal").glob("set-*.json"):
        note.unlink()
    journal, waiting = work / "journal" / "run-foreground.jsonl", work / "journal" / "samples-foreground"
    waiting.mkdir()
    half = journal.stat().st_size // 2
    with journal.open("rb+") as stream:
        while half > 0:
            line = stream.readline()
            half -= len(line)
            record = json.loads(line)
            (waiting / f"{record['clip_id']}.{record['key']}.tar").touch()
        stream.truncate(stream.tell())


def simulate(folder: Path, clips: int, jobs: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Run a data set of so many clips, and again; yield what each command took, by name."""
    source, work = folder / "source", folder / "work"
    make_source(source, clips)
    run = (
        *("run", str(source), str(work), "--quiet", "--jobs", str(jobs)),
        *("--holdout-groups", "1-7", "--shard-size", "1000"),
    )
    yield "first run", command(*run)
    yield "second run", command(*run)
    yield "status", command("status", str(work))
    halve(work)
    yield "goes on half-way", command(*run)


def main() -> None:
    """Simulate, and print what each command took."""
    if sys.argv[1:2] == ["--command"]:
        run_command(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = {}
        for name, taken in simulate(Path(folder), arguments.clips, arguments.jobs):
            figures[name] = taken
            print(name, taken, flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Measure `mocrop-prep merge` over many clips: parts as runs leave them, but with shards of a few bytes."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mocrop_manifests import Clip, CropRow, RowCount, ShardEntry
from mocrop_manifests.crops import class_names
from mocrop_manifests.files import publish_text, sha256
from mocrop_prep.config import CropSettings, ShardSettings, TranscodeSettings
from mocrop_prep.journal import Record, fingerprint
from mocrop_prep.merge import merge
from mocrop_prep.parts import Part, note_part
from mocrop_prep.shardset import SetRequest, ShardSet
from mocrop_prep.stages.crop import failed_row, packed
from mocrop_prep.workdir import Workdir, make_workdir
from mocrop_prep.workflow import save_clips
from mocrop_prep.workflow.keys import run_constant, run_inputs
from mocrop_prep.workflow.sets import set_config
from mocrop_prep.workflow.tables import MANIFEST, publish_table

from tests.benchmarks.spent import peak_memory_mb

NAME = "foreground"
TRANSCODE, CROP, SHARD = TranscodeSettings(), CropSettings(), ShardSettings()
FOUND: dict[str, Any] = {
    "frames": 250,
    "key_frames": 21,
    "vectors": 123456,
    "kept": 100000,
    "sampled": 100000,
    "damaged": 0,
}
SHARES: dict[str, Any] = {"area": 0.55, "motion_inside": 0.93, "score": 0.9, "confidence": 0.8, "fps": 25.0}
PLACE: dict[str, Any] = {"width": 340, "height": 256, "x": 10, "y": 12, "w": 220, "h": 220, "grid": "16x20"}


def make_part(root: Path, part: Part, clips: Sequence[Clip]) -> None:
    """Leave what a run of a part leaves: tables, journal, settings and a shard set."""
    mine, home = part.share(clips), make_workdir(root / part.folder, Path(__file__).parent)
    classes = class_names({clip.label: clip.label_name for clip in clips})
    note_part(home.root, part, clips, classes)
    save_clips(home, mine)
    settings = {"transcode": asdict(TRANSCODE), "crop": asdict(CROP), "shard": asdict(SHARD), "crops": NAME}
    for stage in ("transcode", f"crop-{NAME}", f"shard-{NAME}", f"run-{NAME}"):
        publish_text(home.settings_file(stage), json.dumps(settings))
    rows = [replace(failed_row(clip, "", CROP), status="ok", **FOUND, **SHARES, **PLACE) for clip in mine]
    publish_table(home, home.crops(NAME), MANIFEST, rows)
    keys = {}
    with home.journal(f"run-{NAME}") as journal:
        for clip, row in zip(mine, rows, strict=True):
            record = record_of(clip, row)
            keys[clip.clip_id] = record.key
            journal.append(record)
    made = ShardSet(home, NAME)
    request = SetRequest(NAME, NAME, SHARD, set_config(home, NAME, NAME))
    made.seal(request, keys, write_shards(home, mine), classes, RowCount(rows))


def record_of(clip: Clip, row: CropRow) -> Record:
    """Return what a fused run notes of a clip."""
    inputs = run_inputs(fingerprint(clip.clip_id), clip, run_constant(TRANSCODE, CROP, SHARD))
    file = {"bytes": 123456, "sha256": "0" * 64}
    data = {"row": packed(row), "sample": {"frames": 8, **file}, "source": {"mtime_ns": 1, **file}}
    return Record(clip.clip_id, fingerprint(inputs), "ok", seconds=0.3, inputs=inputs, data=data)


def write_shards(home: Workdir, clips: Sequence[Clip]) -> list[ShardEntry]:
    """Write one shard for each split, with nothing in it that could be read."""
    entries = []
    for split in ("train", "test"):
        path = home.shards(NAME) / f"{split}-000000.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"{home.root.name} {split}".encode())
        rows = sum(clip.split == split for clip in clips)
        entries.append(ShardEntry(path.name, split, rows, 8 * rows, path.stat().st_size, sha256(path)))
    return entries


def make_parts(root: Path, clips: int, parts: int) -> None:
    """Make the parts that are not there yet."""
    splits = ["test" if number % 10 == 0 else "train" for number in range(clips)]
    names = [f"c{number % 700:03d}" for number in range(clips)]
    listed = [
        Clip(f"{name}__clip-{number:07d}", f"{name}/clip-{number:07d}.mp4", number % 700, name, split, "")
        for number, (name, split) in enumerate(zip(names, splits, strict=True))
    ]
    for number in range(parts):
        make_part(root, Part(parts, number), listed)


def main() -> None:
    """Make parts if there are none, and merge them; print what it took as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--parts", type=int, default=10)
    parser.add_argument(
        "--work", type=Path, required=True, help="folder of the parts; made if it is not there"
    )
    wanted = parser.parse_args()
    if not wanted.work.exists():
        make_parts(wanted.work, wanted.clips, wanted.parts)
        print("parts made: start it again to merge them, so that the memory is that of the merge")
        return
    before = peak_memory_mb()
    started, worked = time.perf_counter(), time.process_time()
    report = merge(wanted.work)
    took = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - worked}
    memory = {"peak_mb": peak_memory_mb(), "libraries_mb": before}
    print(json.dumps({"said": [*report.problems, *report.lines], **took, **memory}, indent=2))


if __name__ == "__main__":
    main()

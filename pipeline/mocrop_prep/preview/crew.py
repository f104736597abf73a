"""The work on the clips, given out to workers as the stages do: one clip's mishap costs its pictures only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mocrop_manifests import CropRow

from mocrop_prep.clips.paths import escape
from mocrop_prep.config import RunSettings
from mocrop_prep.journal import Journal, Record
from mocrop_prep.preview.evidence import read_recipe
from mocrop_prep.preview.exhibit import Exhibit, exhibit_clip
from mocrop_prep.preview.select import Manifests
from mocrop_prep.preview.stored import Strip, find_stored, strip_part
from mocrop_prep.runner import Task, Work, run_tasks
from mocrop_prep.workdir import Workdir


@dataclass(frozen=True, slots=True)
class Crew:
    """How the work is done, and a folder for what is of no use afterwards."""

    run: RunSettings
    folder: Path
    quiet: bool

    def do(self, work: Work, tasks: Sequence[Task], label: str) -> Mapping[str, Record]:
        """Return the record of each task."""
        if not tasks:
            return {}
        journal = Journal(self.folder / f"{label}.jsonl")
        run_tasks(
            work,
            {task.clip_id: task for task in tasks},
            settings=self.run,
            journal=journal,
            inflight=self.folder / "inflight",
            label=label,
            quiet=self.quiet,
        )
        return journal.read()


@dataclass(frozen=True, slots=True)
class Stored:
    """Stored frames by clip id, the shard set they are from, and what went wrong, if anything."""

    strips: Mapping[str, Strip]
    name: str = ""
    problem: str = ""


def make_exhibits(
    workdir: Workdir, crops: Mapping[str, Mapping[str, CropRow]], names: Sequence[str], crew: Crew
) -> dict[str, Exhibit]:
    """Return the exhibit of each clip in `crops`, its rows by manifest name."""
    recipe = read_recipe(workdir, names)
    tasks = [Task(clip_id, {}, (workdir, rows, recipe)) for clip_id, rows in crops.items()]
    records = crew.do(exhibit_clip, tasks, "preview")
    return {clip_id: _exhibit(records[clip_id]) for clip_id in crops}


def make_strips(
    workdir: Workdir, manifests: Manifests, picked: Collection[str], crew: Crew
) -> dict[str, Stored]:
    """Return the stored frames of the clips `picked` for each manifest; a shard is read once, in one go."""
    holdings = {name: find_stored(workdir, name, rows, picked) for name, rows in manifests.items()}
    parts = {
        f"{number}-{place}": (name, part)
        for number, (name, held) in enumerate(holdings.items())
        for place, part in enumerate(held.parts)
    }
    tasks = [Task(key, {}, (part,)) for key, (_, part) in parts.items()]
    records = crew.do(strip_part, tasks, "stored frames")
    strips: dict[str, dict[str, Strip]] = {name: {} for name in manifests}
    problems = {name: held.problem for name, held in holdings.items()}
    for key, (name, _) in parts.items():
        record = records[key]
        found = record.data.get("strips", {})
        strips[name] |= {clip_id: Strip(**values) for clip_id, values in found.items()}
        problems[name] = problems[name] or record.detail or record.data["problem"]
    return {name: Stored(strips[name], held.name, problems[name]) for name, held in holdings.items()}


def _exhibit(record: Record) -> Exhibit:
    if record.failed:
        return Exhibit(notes=(f"no frame: {record.code}, {escape(record.detail)}",))
    return Exhibit(**record.data)

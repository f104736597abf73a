"""The parts that lie in a folder, and what they have made that is to be joined."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mocrop_manifests.files import sha256

from mocrop_prep.errors import UsageError
from mocrop_prep.journal import fingerprint
from mocrop_prep.parts import Part, PartNote, part_folders, read_part_note
from mocrop_prep.workdir import Workdir, open_workdir


@dataclass(frozen=True, slots=True)
class FoundPart:
    """A part as it lies there: its own WORKDIR, and what it noted of the whole."""

    home: Workdir
    note: PartNote

    @property
    def name(self) -> str:
        """Return the name of its folder."""
        return self.home.root.name


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be joined: journals by stage, in order, and the manifest of each shard set by its name.

    names: those of manifests and sets.
    """

    stages: tuple[str, ...]
    names: Collection[str] = ()
    sets: Mapping[str, str] = field(default_factory=dict)

    @property
    def manifests(self) -> list[str]:
        """Return the names of the crop manifests."""
        made = {_name_of(stage) for stage in self.stages if _kind_of(stage) in ("crop", "run")}
        return sorted({*made, *self.sets.values()})

    @property
    def fused(self) -> list[str]:
        """Return the stages that are all four in one."""
        return [stage for stage in self.stages if stage.startswith("run-")]


def find_parts(root: Path) -> tuple[list[FoundPart], list[str]]:
    """Return the parts below a folder, and a line for each that is missing or belongs to another whole.

    Raises UsageError if there is none.
    """
    folders = part_folders(root)
    if not folders:
        raise UsageError(
            f"{root} holds no parts: they are made with `mocrop-prep run ... --num-parts N --part I`"
        )
    counts = sorted({part.of for part, _ in folders})
    if len(counts) > 1:
        both = " and ".join(str(count) for count in counts)
        return [], [f"{root} holds parts of {both}: move those away that are not wanted"]
    problems, parts = _missing(counts[0], [part for part, _ in folders]), []
    for part, path in folders:
        try:
            home, note = open_workdir(path), read_part_note(path)
        except UsageError:
            home, note = None, None
        if home is None or note is None or (note.num_parts, note.part) != (part.of, part.number):
            problems.append(f"{path.name}: not begun, or its journal/part.json is damaged: run it again")
        else:
            parts.append(FoundPart(home, note))
    return parts, problems + _other_whole(parts)


def find_wanted(parts: Sequence[FoundPart], names: Collection[str]) -> Wanted:
    """Return what the parts have made, under these names or, without any, under all; raises UsageError."""
    stages: dict[str, None] = {}
    crops: dict[str, str] = {}
    for part in parts:
        for stage in part.home.stages():
            stages[stage] = None
            name = _name_of(stage)
            if _kind_of(stage) in ("run", "shard"):
                of_set = part.home.read_settings(f"shard-{name}").get("crops")
                crops.setdefault(name, str(of_set or name))
    known = {_name_of(stage) for stage in stages} - {""}
    for name in names:
        if name not in known:
            raise UsageError(
                f"--name {name}: no part has it (there are: {', '.join(sorted(known)) or 'none'})"
            )
    if not stages:
        raise UsageError("no part has done anything yet: run them first")
    taken = set(names or known)
    taken |= {crops[name] for name in taken if name in crops}
    order = ("transcode", "extract", "crop", "run", "shard")
    of_kind = {"crop": taken, "run": taken, "shard": set(names or known)}
    kept = [stage for stage in stages if "-" not in stage or _name_of(stage) in of_kind[_kind_of(stage)]]
    kept.sort(key=lambda stage: (order.index(_kind_of(stage)), stage))
    sets = {name: crops[name] for name in sorted(crops) if name in (names or known)}
    return Wanted(tuple(kept), names or known, sets)


def _kind_of(stage: str) -> str:
    return stage.partition("-")[0]


def _name_of(stage: str) -> str:
    return stage.partition("-")[2]


def print_of(part: FoundPart, wanted: Wanted) -> str:
    """Return a fingerprint of all that says what a part holds; the files of clips and shards are not read."""
    home = part.home
    paths = [home.clips_csv, *settings_files(part, wanted)]
    paths += [home.root / "journal" / f"{stage}.jsonl" for stage in wanted.stages]
    paths += [home.crops(name) for name in wanted.manifests]
    paths += [home.shards(name) / "dataset.json" for name in wanted.sets]
    return fingerprint([(home.name_of(path), sha256(path) if path.exists() else "") for path in paths])


def settings_files(part: FoundPart, wanted: Wanted) -> list[Path]:
    """Return the files with the settings that what is wanted was made with."""
    names = {*wanted.manifests, *wanted.sets}
    files = sorted(part.home.settings_file("x").parent.glob("*.settings.json"))
    stems = {path: path.name.removesuffix(".settings.json").partition("-") for path in files}
    return [path for path, (kind, dash, name) in stems.items() if not dash or name in names]


def _missing(of: int, there: Sequence[Part]) -> list[str]:
    numbers = {part.number for part in there}
    gone = [Part(of, number) for number in range(of) if number not in numbers]
    return [f"{part.folder}: missing: run it with --num-parts {of} --part {part.number}" for part in gone]


def _other_whole(parts: Sequence[FoundPart]) -> list[str]:
    """Return a line for each part that is not of the whole that the first one is of."""
    lines = []
    for part in parts[1:]:
        first = parts[0]
        if part.home.source != first.home.source:
            lines.append(
                f"{part.name}: made from {part.home.source}, {first.name} from {first.home.source}: "
                "give all parts the same SOURCE"
            )
        elif (part.note.sha256, part.note.classes) != (first.note.sha256, first.note.classes):
            lines.append(
                f"{part.name}: part of another clip list ({part.note.clips} clips) than {first.name} "
                f"({first.note.clips}): SOURCE or the options that split it changed: run the parts again"
            )
    return lines

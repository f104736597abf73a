"""Parts of a run, for arrays of jobs: who takes which clips, and what a part knows of the whole.

A part is a WORKDIR of its own in a folder below the common one, so that parts never wait for each other.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mocrop_manifests import Clip
from mocrop_manifests.clips import SPLITS
from mocrop_manifests.files import publish_text
from mocrop_manifests.records import parse_json, typed_fields
from mocrop_manifests.tables import format_lines

from mocrop_prep.errors import UsageError

MOST_PARTS = 99_999
_FOLDER = re.compile(r"part-([0-9]{5})-of-([0-9]{5})")
_FORMAT = "mocrop-part"
_VERSION = 1


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One of the `of` parts of a run: `number` counts from 0, as the tasks of a Slurm array do."""

    of: int
    number: int

    @property
    def folder(self) -> str:
        """Return the name of its folder."""
        return f"part-{self.number:05d}-of-{self.of:05d}"

    def share(self, clips: Iterable[Clip]) -> list[Clip]:
        """Return this part's clips, sorted by clip_id.

        Split by split and class by class, clips are dealt out in turn, in an order that a hash of their ids
        decides: parts differ by one clip at most, also in each split, and nothing but the list matters.
        """
        order = sorted(clips, key=_place)
        return sorted(order[self.number :: self.of], key=lambda clip: clip.clip_id)


@dataclass(frozen=True, slots=True)
class PartNote:
    """What a part knows of the whole: its `clips` in number, the SHA-256 of their list, and their classes."""

    num_parts: int
    part: int
    clips: int
    sha256: str
    classes: list[str]


def _place(clip: Clip) -> tuple[int, int, bytes]:
    return SPLITS.index(clip.split), clip.label, hashlib.sha256(clip.clip_id.encode()).digest()


def wanted_part(num_parts: int | None, part: int | None) -> Part | None:
    """Return the part that two options ask for, None if neither is given; raises UsageError."""
    if num_parts is None and part is None:
        return None
    if num_parts is None or part is None:
        given, other = ("--part", "--num-parts") if num_parts is None else ("--num-parts", "--part")
        raise UsageError(f"{given} goes with {other}: give both, such as --num-parts 4 --part 0")
    if part >= num_parts:
        raise UsageError(f"--part {part}: --num-parts {num_parts} counts them from 0 to {num_parts - 1}")
    return Part(num_parts, part)


def part_root(workdir: Path, part: Part | None) -> Path:
    """Return the folder that a command works in: WORKDIR, or that of its part.

    Raises UsageError where the two do not go together: parts in a WORKDIR that was made without any, or of
    another number, and a part's own folder given for WORKDIR.
    """
    if part is None:
        return workdir
    inside = read_part_note(workdir)
    if inside is not None or _FOLDER.fullmatch(workdir.name):
        raise UsageError(f"{workdir} is the folder of one part: give the folder that it lies in")
    if (workdir / "journal" / "workdir.json").exists() and not merge_file(workdir).exists():
        raise UsageError(f"{workdir} was made without parts: take another WORKDIR, or leave --part away")
    others = sorted({other.of for other, _ in part_folders(workdir)} - {part.of})
    if others:
        raise UsageError(
            f"{workdir} holds parts of {others[0]}: take --num-parts {others[0]}, or another WORKDIR"
        )
    return workdir / part.folder


def part_folders(workdir: Path) -> list[tuple[Part, Path]]:
    """Return the parts that a folder holds, in their order; none for a folder that cannot be listed."""
    try:
        found = [(_FOLDER.fullmatch(path.name), path) for path in workdir.iterdir() if path.is_dir()]
    except OSError:
        return []
    return sorted((Part(int(match[2]), int(match[1])), path) for match, path in found if match)


def is_part_folder(path: Path) -> bool:
    """Say whether a folder is named as that of a part: it is not its parent's to tidy."""
    return bool(_FOLDER.fullmatch(path.name))


def merge_file(workdir: Path) -> Path:
    """Return the note of a merge, begun or done."""
    return workdir / "journal" / "merge.json"


def refuse_unmerged(workdir: Path) -> None:
    """Raise UsageError if a folder that is no WORKDIR yet holds parts, or a merge that was not finished."""
    parts = part_folders(workdir)
    if parts:
        done, example = len(parts), parts[0][1].name
        raise UsageError(
            f"{workdir} holds {done} of {parts[0][0].of} parts and is no WORKDIR until they are merged: "
            f"`mocrop-prep merge {workdir}` does that; {workdir / example} is the WORKDIR of one"
        )


def refuse_part(root: Path) -> None:
    """Raise UsageError if a folder is that of a part: it takes its clips from the whole list."""
    note = read_part_note(root)
    if note is not None:
        raise UsageError(
            f"{root} is part {note.part} of {note.num_parts}: give {root.parent} with "
            f"--num-parts {note.num_parts} --part {note.part}, or take another WORKDIR"
        )


def note_part(root: Path, part: Part, clips: Sequence[Clip], classes: list[str]) -> None:
    """Note what the whole is that a part belongs to; written anew only if that changed."""
    digest = hashlib.sha256()
    for line in format_lines(Clip, sorted(clips, key=lambda clip: clip.clip_id)):
        digest.update(line.encode())
    note = PartNote(part.of, part.number, len(clips), digest.hexdigest(), classes)
    if note != read_part_note(root):
        body = {"format": _FORMAT, "version": _VERSION, **dataclasses.asdict(note)}
        publish_text(_note(root), json.dumps(body, indent=2, sort_keys=True) + "\n")


def read_part_note(root: Path) -> PartNote | None:
    """Return what a part noted of the whole; None if the folder is no part, or the note is damaged."""
    try:
        body = parse_json(_note(root).read_bytes())
        fields = typed_fields(PartNote, body)
        return PartNote(**fields) if (body["format"], body["version"]) == (_FORMAT, _VERSION) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def listed_classes(root: Path) -> list[str]:
    """Return the classes of the whole that a part belongs to, by label; none if it is no part."""
    note = read_part_note(root)
    return note.classes if note else []


def _note(root: Path) -> Path:
    return root / "journal" / "part.json"

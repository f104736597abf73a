"""Where a command works: in WORKDIR, or in the folder of the part that it was asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mocrop_prep.errors import UsageError
from mocrop_prep.parts import Part, part_root, refuse_part, wanted_part

if TYPE_CHECKING:  # heavy modules load with the command that needs them: `--help` must be quick
    from mocrop_manifests import Clip

    from mocrop_prep.remote import Location
    from mocrop_prep.workdir import Workdir


def made_place(workdir: Location, values: dict[str, Any]) -> tuple[Part | None, Location]:
    """Return the part that a command is to make, if any, and where it works; raises UsageError."""
    part = wanted_part(values["num_parts"], values["part"])
    if not isinstance(workdir, Path):  # each part is a WORKDIR of its own in the store
        return part, workdir / part.folder if part else workdir
    if part is None:
        refuse_part(workdir)
    return part, part_root(workdir, part)


def place_of(workdir: Location, values: dict[str, Any]) -> Location:
    """Return WORKDIR, or that of the part that was asked for, which is there; raises UsageError."""
    part = wanted_part(values["num_parts"], values["part"])
    if not isinstance(workdir, Path):
        return workdir / part.folder if part else workdir
    root = part_root(workdir, part)
    if part and not root.is_dir():
        raise UsageError(
            f"{workdir} has no part {part.number} of {part.of} yet: run "
            f"`mocrop-prep transcode SOURCE {workdir} --num-parts {part.of} --part {part.number}` first"
        )
    return root


def part_notes(part: Part | None, clips: Sequence[Clip], everything: Sequence[Clip]) -> list[str]:
    """Return a remark for people on the share that a part has; none without parts."""
    if part is None:
        return []
    nothing = "" if clips else "; there is nothing to do in it"
    return [f"part {part.number} of {part.of}: {len(clips)} of {len(everything)} clips{nothing}"]


def only_manifest(home: Workdir) -> str:
    """Return the name of the crop manifest if there is just one; raises UsageError."""
    names = home.manifest_names()
    if len(names) == 1:
        return names[0]
    if not names:
        raise UsageError(f"{home.root} has no crop manifest: run `mocrop-prep crop {home.root}` first")
    raise UsageError(f"{home.root} has several crop manifests: choose one with --crops ({', '.join(names)})")

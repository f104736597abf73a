"""What the pipeline keeps for itself in journal/: damage there costs work, never data, and is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from mocrop_prep.journal import Journal
from mocrop_prep.sums import Sums
from mocrop_prep.verify.advice import set_again
from mocrop_prep.verify.inventory import Finding, Inventory, look


def check_notes(house: Inventory, sums: Sums) -> Iterator[Finding]:
    """Check the journals line by line, and that every note can be read."""
    folder = house.workdir.root / "journal"
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        yield str(folder), f"cannot be listed ({error.strerror}): mend that, then verify again"
        return
    good = 0
    for path in (path for path in paths if path.suffix in (".jsonl", ".json")):
        problem = _problem(house, sums, path)
        good += not problem
        if problem:
            yield str(path), problem
    yield f"{folder}: {good} journals and notes can be read", ""
    if not sums.path.exists():
        yield f"{sums.path}: no checksum on record for clips.csv and crops/; the next run notes them", ""


def _problem(house: Inventory, sums: Sums, path: Path) -> str:
    seen = look(path)
    if path.suffix == ".jsonl":
        if seen.fault:
            return seen.remedy("run the command again that it is of")
        damaged = Journal(path).damaged()
        again = "run the command again that they are of; it does their clips again"
        return f"{damaged} damaged lines: {again}" if damaged else ""
    again = "run the command again that it is of"
    if path == sums.path:
        again = "run the commands again that made clips.csv and crops/: they note the checksums anew"
    if path.name.startswith("set-"):
        again = set_again(house.workdir, path.stem.removeprefix("set-"), "")
    if seen.fault:
        return seen.remedy(again)
    is_damaged = not _is_object(path) or (path == sums.path and sums.is_damaged())
    return f"damaged: delete it, then {again}" if is_damaged else ""


def _is_object(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except (OSError, ValueError, RecursionError):
        return False

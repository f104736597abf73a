"""Shard sets: the index and the card against their note, shards against the index, every clip counted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mocrop_manifests import DatasetIndex, ManifestError, ShardEntry, read_crops
from mocrop_manifests.dataset import FORMAT, VERSION

from mocrop_prep.shardset import read_note
from mocrop_prep.verify.advice import crops_again, set_again
from mocrop_prep.verify.inventory import Finding, Inventory
from mocrop_prep.verify.recount import Recount

_FOREIGN = "not part of the set in dataset.json: move it elsewhere or delete it"


@dataclass(slots=True)
class SetFindings:
    """What was found of one set; `index` is None unless it is there as it was written."""

    name: str
    findings: list[Finding] = field(default_factory=list)
    index: DatasetIndex | None = None

    @property
    def is_sound(self) -> bool:
        """Say whether all of the set is as it was written."""
        return self.index is not None and not any(problem for _, problem in self.findings)


def check_set(house: Inventory, name: str) -> SetFindings:
    """Check everything about a set but whether its crop manifest is still the same."""
    found = SetFindings(name)
    folder, note = house.workdir.shards(name), read_note(house.workdir, name)
    path = folder / "dataset.json"
    again = set_again(house.workdir, name, _crops_of(house, path))
    problem = house.faults.get(folder) or _index_problem(house, path, note, again)
    if problem:
        found.findings.append((str(path), problem))
    if folder in house.entries:  # one line will do for a set that is gone altogether
        found.findings += _card(house, folder / "README.md", note, again)
    if note is None or problem:
        # without the index nothing says what the other files should be
        return found
    found.index = _read_index(path)
    if found.index is None:
        found.findings.append(
            (str(path), "this release cannot read it: check the set with the one that wrote it")
        )
        return found
    named = {shard.file for shard in found.index.shards} | {"dataset.json", "README.md"}
    found.findings += [(str(p), _FOREIGN) for p in house.inside(folder) if p.name not in named]
    found.findings += _shards(house, folder, found.index, note, again)
    return found


def check_origin(house: Inventory, found: SetFindings, bad_manifests: set[str]) -> Iterator[Finding]:
    """Check that a set's crop manifest is the one it was made from; one with a problem is named already."""
    if found.index is None:
        return
    crops, folder = str(found.index.crops["name"]), house.workdir.shards(found.name)
    manifest = house.workdir.crops(crops)
    seen = house.of(manifest)
    if str(manifest) in bad_manifests or seen.sha256 == found.index.crops["sha256"]:
        return
    if seen.fault:
        yield (
            str(manifest),
            f"{seen.fault}, and {folder} was made from it: {crops_again(house.workdir, crops)}",
        )
    else:
        again = set_again(house.workdir, found.name, crops)
        yield str(folder), f"made from another version of crops/{crops}.csv: {again}"


def _index_problem(house: Inventory, path: Path, note: Mapping[str, Any] | None, again: str) -> str:
    seen = house.of(path)
    if seen.fault == "missing":
        return f"missing, so the set is unfinished or incomplete: {again}"
    if seen.fault:
        return seen.remedy(again)
    if note is None:
        return f"its note {house.workdir.root / 'journal' / f'set-{path.parent.name}.json'} is lost: {again}"
    return "" if seen.sha256 == note["dataset"] else f"not what was written: {again}"


def _card(house: Inventory, path: Path, note: Mapping[str, Any] | None, again: str) -> Iterator[Finding]:
    seen, noted = house.of(path), (note or {}).get("card")
    if seen.fault:
        yield str(path), seen.remedy(again)
    elif noted and seen.sha256 != noted:
        yield str(path), f"changed since it was written: delete it, then {again}"
    else:
        yield f"{path}: {'SHA-256 matches' if noted else 'there, no checksum on record'}", ""


def _shards(
    house: Inventory, folder: Path, index: DatasetIndex, note: Mapping[str, Any], again: str
) -> Iterator[Finding]:
    recount = Recount(index, _rows(house, index))
    is_whole = True
    for shard in index.shards:
        path = folder / shard.file
        problem = _shard_problem(house, path, shard, again)
        if not problem:
            wrong = recount.problem(path, shard)
            problem = wrong and f"{wrong}: delete {path}, then {again}"
        is_whole = is_whole and not problem
        yield f"{path}: {shard.rows} {index.sample}s, SHA-256 matches", problem
    missing = sorted(set(note["keys"]) - recount.clip_ids)
    if missing and is_whole:
        yield str(folder), f"{len(missing)} clips are in no shard, such as {missing[0]}: {again}"


def _shard_problem(house: Inventory, path: Path, shard: ShardEntry, again: str) -> str:
    seen = house.of(path)
    if seen.fault:
        return seen.remedy(again)
    if seen.size != shard.bytes:
        return f"{seen.size} bytes where dataset.json says {shard.bytes}: {again}"
    if seen.sha256 != shard.sha256:
        return f"its content is not what dataset.json says: delete it, then {again}"
    return ""


def _rows(house: Inventory, index: DatasetIndex) -> dict[str, Any] | None:
    """Return the manifest's rows by clip, or None if the set is of another version of it."""
    path = house.workdir.crops(str(index.crops["name"]))
    if house.of(path).sha256 != index.crops["sha256"]:
        return None
    try:
        return {row.clip_id: row for row in read_crops(path)}
    except (ManifestError, OSError):  # it changed since; its own check says so
        return None


def _read_index(path: Path) -> DatasetIndex | None:
    """Return an index, or None if it is damaged or of another release; what is in it is not validated."""
    try:
        body = json.loads(path.read_bytes())
        if (body.pop("format"), body.pop("version")) != (FORMAT, VERSION):
            return None
        shards = [ShardEntry(**entry) for entry in body.pop("shards")]
        index = DatasetIndex(**body, shards=shards)
        return index if {"name", "sha256"} <= index.crops.keys() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _crops_of(house: Inventory, path: Path) -> str:
    """Return the name of the manifest that an index tells of, which may be damaged; empty if unknown."""
    index = None if house.of(path).fault else _read_index(path)
    return str(index.crops["name"]) if index else ""

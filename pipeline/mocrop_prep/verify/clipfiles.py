"""The files of single clips, transcoded videos and motion vectors, against the checksums in the journals."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from mocrop_manifests import Clip
from mocrop_manifests.clips import CLIP_ID

from mocrop_prep.clips import source_path
from mocrop_prep.journal import Record
from mocrop_prep.verify.advice import FOREIGN, stage_again
from mocrop_prep.verify.inventory import Finding, Inventory, Seen, look, look_at
from mocrop_prep.workflow.keys import is_direct

_LEFT = "left over: its clip is read from its source since: delete it"
_PAST = "of a clip that is no longer on the list"


def check_clip_files(
    house: Inventory, stage: str, example: Path, listed: Collection[str] | None
) -> Iterator[Finding]:
    """Hold the files of a stage, `transcode` or `extract`, against its journal.

    `example` is where the file of some clip would lie; `listed` are the clips on the list, None if unknown.
    """
    folder, suffix = example.parent, example.suffix
    again = stage_again(house.workdir, stage)
    if folder in house.faults:
        yield str(folder), house.faults[folder]
        return
    records = _records(house, stage)
    good = 0
    in_place = {clip_id for clip_id, record in records.items() if _in_place(record)}
    for path in house.inside(folder):
        clip_id = path.stem if path.suffix == suffix else ""
        record, is_listed = records.get(clip_id), listed is None or clip_id in listed
        if record is None:
            is_known = listed is not None and clip_id in listed
            yield str(path), f"the record of it is lost: {again}" if is_known else FOREIGN
            continue
        problem = _LEFT if clip_id in in_place else _problem(house.of(path), record, again)
        if not is_listed:
            yield f"{path}: {_PAST}; --prune removes it", problem and f"{path}: {_PAST}: {problem}"
        elif problem:
            yield str(path), problem
        else:
            good += 1
    for clip_id in sorted(records):
        path = folder / f"{clip_id}{suffix}"
        wanted = not records[clip_id].failed and (listed is None or clip_id in listed)
        if wanted and clip_id not in in_place and path not in house.entries:
            yield str(path), f"missing: {again}"
    if good:
        yield f"{folder}: {good} files match their SHA-256", ""


def check_sources(house: Inventory, clips: Iterable[Clip]) -> Iterator[Finding]:
    """Hold the sources of clips that are read in place, as far as they are there, against the journal."""
    again = stage_again(house.workdir, "transcode")
    records = _records(house, "transcode")
    found = {
        source_path(house.workdir.source, clip): records[clip.clip_id].data["sha256"]
        for clip in clips
        if clip.clip_id in records and _in_place(records[clip.clip_id])
    }
    # what is in a store was streamed, and would have to be again
    wanted = {path: digest for path, digest in found.items() if isinstance(path, Path)}
    if not wanted:
        return
    good = gone = 0
    for path, seen in look_at(list(wanted), quiet=house.quiet):
        good += seen.sha256 == wanted[path]
        gone += seen.fault == "missing"
        if seen.fault and seen.fault != "missing":
            yield str(path), seen.remedy(again)
        elif not seen.fault and seen.sha256 != wanted[path]:
            yield str(path), f"changed since its clip was read from it: {again}"
    absent = f"; {gone} are not there" if gone else ""
    yield f"{house.workdir.source}: {good} sources read in place match their SHA-256{absent}", ""


def _in_place(record: Record) -> bool:
    return not record.failed and is_direct(record.data)


def _problem(seen: Seen, record: Record, again: str) -> str:
    if record.failed:
        return f"left over: its clip has failed since ({record.code}): delete it"
    if seen.fault:
        return seen.remedy(again)
    size, digest = record.data["bytes"], record.data["sha256"]
    if seen.size != size:
        return f"{seen.size} bytes where {size} were written: {again}"
    return "" if seen.sha256 == digest else f"its content is not what was written: delete it, then {again}"


def _records(house: Inventory, stage: str) -> Mapping[str, Record]:
    """Return the records of a stage that tell of a file or a failure; what else a journal holds is no use."""
    if look(house.workdir.root / "journal" / f"{stage}.jsonl").fault:  # named with the rest of journal/
        return {}
    records = house.workdir.journal(stage).read()
    return {
        clip_id: record
        for clip_id, record in records.items()
        if isinstance(clip_id, str)
        and CLIP_ID.fullmatch(clip_id)
        and (record.failed or (isinstance(record.data, dict) and {"bytes", "sha256"} <= record.data.keys()))
    }

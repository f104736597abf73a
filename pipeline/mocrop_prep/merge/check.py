"""One part held against the others: finished, of the same settings and libraries, and as it was written."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from mocrop_manifests import Clip, CropRow, DatasetIndex, ManifestError, RowCount
from mocrop_manifests.dataset import read_index
from mocrop_manifests.files import sha256
from mocrop_manifests.tables import columns, may_have_extras

from mocrop_prep.config import CropSettings, Settings, ShardSettings, TranscodeSettings
from mocrop_prep.errors import UsageError
from mocrop_prep.journal import Record
from mocrop_prep.merge.found import FoundPart, Wanted
from mocrop_prep.merge.tables import clip_ids
from mocrop_prep.shardset import ShardSet, read_note
from mocrop_prep.workflow.earlier import has_size
from mocrop_prep.workflow.keys import is_direct
from mocrop_prep.workflow.tables import CLIP_LIST, MANIFEST, refuse_edited

# what of a record's inputs is the same for all clips: what says it in settings, and what in libraries
_SETTINGS: dict[str, dict[str, type[Settings]]] = {
    "transcode": {"settings": TranscodeSettings},
    "extract": {},
    "crop": {"settings": CropSettings},
    "shard": {"settings": ShardSettings},
    "run": {
        "transcode settings": TranscodeSettings,
        "crop settings": CropSettings,
        "shard settings": ShardSettings,
    },
}
_TWINS = {"run": "shard", "crop": "run", "shard": "run"}
"""The kind of stage that may have done the work of another under the same name."""
_LIBRARIES = ("libraries", "form of the vectors")
_CLIP_COLUMNS = len(columns(Clip))


@dataclass(slots=True)
class Checked:
    """What was found of a part: lines on what is wrong; else counts, and the sets that it has clips in.

    facts: what has to be the same in all parts, by what it is called.
    """

    problems: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    clips: int = 0
    failed: set[str] = field(default_factory=set)
    tallies: dict[str, RowCount] = field(default_factory=dict)
    sets: dict[str, DatasetIndex] = field(default_factory=dict)


def check_part(part: FoundPart, wanted: Wanted, *, moved: bool) -> Checked:
    """Check a part on its own; `moved` says that a merge which was ended may have moved its files away."""
    found = Checked()
    try:
        refuse_edited(part.home, part.home.clips_csv, CLIP_LIST, was_ours=True)
        ids = clip_ids(part.home.clips_csv)
    except (UsageError, OSError) as error:
        found.problems.append(f"{part.name}: {error}: run it again")
        return found
    found.clips = len(ids)
    _note_settings(part, wanted, found)
    done = {stage: _records(part, stage, ids) for stage in wanted.stages}
    for name in wanted.manifests:
        _check_manifest(part, name, found)
    for stage, records in done.items():
        if stage in ("transcode", "extract"):
            if not moved:
                _check_files(part, stage, records, found)
            if wanted.fused:  # what they kept need not be of all clips
                continue
        found.failed |= {clip_id for clip_id, record in records.items() if record.failed}
        left = _left(stage, done, wanted, ids)
        kind, _, name = stage.partition("-")
        twin = f"{_TWINS.get(kind, '')}-{name}"
        # what is of one name may be from either of two journals, and the other then is of earlier work
        if left and (twin not in done or _left(twin, done, wanted, ids)):
            found.problems.append(
                f"{part.name}: {stage} is not finished, {left} of {found.clips} clips are left: run it again"
            )
        else:
            _check_stage(part, stage, records, found)
    for name in wanted.sets:
        _check_set(part, name, wanted.sets[name], done, moved=moved, found=found)
    return found


def hold_together(parts: Mapping[str, Checked]) -> Iterator[str]:
    """Yield a line for each thing in which a part is not like those before it."""
    first: dict[str, tuple[str, str]] = {}
    for name, checked in parts.items():
        for fact, value in checked.facts.items():
            other, said = first.setdefault(fact, (name, value))
            if said != value:
                yield f"{name}: {fact} {_short(value)}, in {other} {_short(said)}: run one of them again"


def _records(part: FoundPart, stage: str, ids: Collection[str]) -> dict[str, Record]:
    return {key: record for key, record in part.home.journal(stage).read().items() if key in ids}


def _note_settings(part: FoundPart, wanted: Wanted, found: Checked) -> None:
    names = {*wanted.manifests, *wanted.sets}
    stages = ["transcode", *(f"{kind}-{name}" for kind in ("crop", "shard") for name in sorted(names))]
    for stage in stages:
        for kind, values in part.home.read_settings(stage).items():
            flat = values if isinstance(values, dict) else {"name": values}
            found.facts |= {
                f"{stage}: {kind} {key.replace('_', '-')}": str(value) for key, value in flat.items()
            }


def _left(stage: str, done: Mapping[str, Mapping[str, Record]], wanted: Wanted, ids: Collection[str]) -> int:
    """Return how many clips a stage has yet to do."""
    return len(set(ids) - _failed_before(stage, done, wanted) - done[stage].keys())


def _failed_before(stage: str, done: Mapping[str, Mapping[str, Record]], wanted: Wanted) -> set[str]:
    """Return the clips that a stage was never given: they failed in one that it builds on."""
    kind, _, name = stage.partition("-")
    crops = wanted.sets.get(name, "")
    earlier = {
        "extract": ("transcode",),
        "crop": ("transcode", "extract"),
        "shard": ("transcode", "extract", f"crop-{crops}", f"run-{crops}"),
    }.get(kind, ())
    return {key for one in earlier for key, record in done.get(one, {}).items() if record.failed}


def _check_stage(part: FoundPart, stage: str, records: Mapping[str, Record], found: Checked) -> None:
    """Check that all clips are done with the settings on record and by one set of libraries."""
    kind = stage.partition("-")[0]
    for name, settings in _SETTINGS[kind].items():
        resolved = part.home.settings_of(stage, settings)
        told = {record.inputs[name] for record in records.values() if name in record.inputs}
        if resolved is not None and told - {resolved.digest()}:
            found.problems.append(f"{part.name}: {stage} was not finished with its last {name}: run it again")
    for name in _LIBRARIES:
        told = {record.inputs[name] for record in records.values() if name in record.inputs}
        if len(told) > 1:
            found.problems.append(f"{part.name}: {stage}: clips of different {name}: run it again")
        elif told:
            found.facts[f"{stage}: {name}"] = told.pop()


def _check_files(part: FoundPart, stage: str, records: Mapping[str, Record], found: Checked) -> None:
    where = part.home.transcoded if stage == "transcode" else part.home.motion
    gone = [
        key
        for key, record in records.items()
        if not (record.failed or is_direct(record.data) or has_size(where(key), record.data))
    ]
    if gone:
        found.problems.append(
            f"{part.name}: {len(gone)} files of {stage} are gone or changed, such as {gone[0]}: run it again"
        )


def _check_manifest(part: FoundPart, name: str, found: Checked) -> None:
    """Check that a crop manifest is as written, of its clip list and of the last settings."""
    counts, path = RowCount(), part.home.crops(name)
    problem = _table_problem(part, name)
    if problem:
        found.problems.append(f"{part.name}: {problem}")
        return
    settings = part.home.settings_of(f"crop-{name}", CropSettings)
    config, at = settings.digest() if settings else None, columns(CropRow).index
    digest = at("config")
    counted = [at(name) for name in ("status", "reason", "route", "method")]
    with _text(part.home.clips_csv) as listed, _text(path) as rows:
        for clip, row in itertools.zip_longest(_rows_of(listed), _rows_of(rows)):
            if clip is None or row is None or clip[:_CLIP_COLUMNS] != row[:_CLIP_COLUMNS]:
                found.problems.append(f"{part.name}: crops/{name}.csv is not of its clip list: run it again")
                break
            if config not in (None, row[digest]):
                found.problems.append(
                    f"{part.name}: crops/{name}.csv is of other settings than its last: run it again"
                )
                break
            counts.add(*(row[place] for place in counted))
        else:
            found.tallies[name] = counts


def _text(path: Path) -> IO[str]:
    return path.open(encoding="utf-8", newline="")


def _rows_of(stream: IO[str]) -> Iterator[list[str]]:
    return itertools.islice(csv.reader(stream), 1, None)


def _table_problem(part: FoundPart, name: str) -> str:
    path = part.home.crops(name)
    if not path.exists():
        return f"no crops/{name}.csv yet: run it again, or choose with --name what all parts have"
    try:
        refuse_edited(part.home, path, MANIFEST, was_ours=True)
    except UsageError as error:
        return str(error)
    return next(
        (f"{where}: columns of your own; merge first, then add them" for where in _added(part, name)), ""
    )


def _added(part: FoundPart, name: str) -> Iterator[str]:
    """Yield the tables of a part that have columns which were added: parts may not have the same ones."""
    forms = ((part.home.clips_csv, CLIP_LIST), (part.home.crops(name), MANIFEST))
    return (part.home.name_of(path) for path, form in forms if may_have_extras(form.row, path))


def _check_set(
    part: FoundPart,
    name: str,
    crops: str,
    done: Mapping[str, Mapping[str, Record]],
    *,
    moved: bool,
    found: Checked,
) -> None:
    """Check that a shard set holds all clips that did not fail, from this manifest and these settings."""
    good = [
        {key: record.key for key, record in done[stage].items() if not record.failed}
        for stage in (f"run-{name}", f"shard-{name}")
        if stage in done
    ]
    if not any(good) or crops not in found.tallies:  # nothing to be there, or a table with a problem
        return
    note = read_note(part.home, name) if moved else None
    keys = note["keys"] if note else ShardSet(part.home, name).keys
    try:
        index = read_index(part.home.shards(name))
    except ManifestError:
        index = None
    if index is None or dict(keys) not in good:
        found.problems.append(f"{part.name}: shards/{name} is not finished or not whole: run it again")
        return
    manifest = part.home.crops(crops)
    is_last = all(
        index.config.get(kind) == part.home.read_settings(f"{kind}-{of}").get(kind)
        for kind, of in (("crop", crops), ("shard", name))
    )
    if not is_last or not manifest.exists() or index.crops != {"name": crops, "sha256": sha256(manifest)}:
        found.problems.append(
            f"{part.name}: shards/{name} is not of the last crops/{crops}.csv and settings: run it again"
        )
        return
    found.sets[name] = index
    found.facts |= {
        f"shards/{name}: {key}": str(getattr(index, key)) for key in ("storage", "sample", "modalities")
    }
    found.facts |= {f"shards/{name}: class list": " ".join(index.classes)}
    found.facts |= {f"shards/{name}: {key}": str(value) for key, value in index.versions.items()}


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."

"""The pieces of a merged WORKDIR: files of clips, journals and shard sets, from those of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from mocrop_manifests import DatasetIndex, RowCount, ShardEntry
from mocrop_manifests.files import publish, remove, sync_folder

from mocrop_prep.config import ShardSettings
from mocrop_prep.errors import UsageError
from mocrop_prep.merge.check import Checked
from mocrop_prep.merge.found import FoundPart, Wanted
from mocrop_prep.merge.place import place
from mocrop_prep.merge.tables import clip_ids
from mocrop_prep.shards import SPLIT_ORDER, shard_name
from mocrop_prep.shardset import SetRequest, ShardSet, read_note
from mocrop_prep.workdir import Workdir
from mocrop_prep.workflow.keys import is_direct


def join_clip_files(home: Workdir, parts: Sequence[FoundPart], wanted: Wanted, *, move: bool) -> None:
    """Put the transcoded clips and the vectors of all parts in their place."""
    for stage, where in (("transcode", Workdir.transcoded), ("extract", Workdir.motion)):
        if stage not in wanted.stages:
            continue
        for part in parts:
            listed = clip_ids(part.home.clips_csv)
            for clip_id, record in part.home.journal(stage).read().items():
                if clip_id in listed and not record.failed and not is_direct(record.data):
                    source, target = where(part.home, clip_id), where(home, clip_id)
                    size, digest = record.data["bytes"], record.data["sha256"]
                    place(source, target, size=size, digest=digest, move=move)
        _sync(where(home, "x").parent)


def join_journals(home: Workdir, parts: Sequence[FoundPart], wanted: Wanted) -> None:
    """Publish each journal as the lines of all parts, each part's about its own clips."""
    with ExitStack() as opened:
        targets = {}
        for stage in wanted.stages:
            temporary = opened.enter_context(publish(home.root / "journal" / f"{stage}.jsonl"))
            targets[stage] = opened.enter_context(temporary.open("wb"))
        for part in parts:
            listed = clip_ids(part.home.clips_csv)
            for stage, target in targets.items():
                part.home.journal(stage).copy_records(target, listed)


def join_set(
    home: Workdir,
    parts: Sequence[FoundPart],
    checked: Sequence[Checked],
    name: str,
    crops: str,
    *,
    move: bool,
) -> DatasetIndex | None:
    """Put the shards of all parts in their place under new numbers, and publish the set; None without any."""
    having = [(part, one.sets[name]) for part, one in zip(parts, checked, strict=True) if name in one.sets]
    settings = home.settings_of(f"shard-{name}", ShardSettings)
    if not having:
        return None
    if settings is None:
        raise UsageError(f"shards/{name}: its settings are those of another release: merge with that one")
    made, index = ShardSet(home, name), having[0][1]
    remove(made.folder / "dataset.json")
    shards = []
    for source, shard in _numbered(having, name):
        place(source, made.folder / shard.file, size=shard.bytes, digest=shard.sha256, move=move)
        shards.append(shard)
    _sync(made.folder)
    counts = RowCount()
    for one in checked:
        counts.update(one.tallies[crops])
    request = SetRequest(name, crops, settings, index.config)
    return made.seal(request, _keys(having, name), shards, index.classes, counts, index.versions)


def _numbered(having: Sequence[tuple[FoundPart, DatasetIndex]], name: str) -> list[tuple[Path, ShardEntry]]:
    """Return each shard with its entry under a new name: by split, then by part, as they were."""
    found = []
    for split in SPLIT_ORDER:
        of_split = [
            (part, index.storage, shard)
            for part, index in having
            for shard in index.shards
            if shard.split == split
        ]
        for number, (part, storage, shard) in enumerate(of_split):
            source = part.home.shards(name) / shard.file
            found.append((source, replace(shard, file=shard_name(split, number, storage))))
    return found


def _keys(having: Sequence[tuple[FoundPart, DatasetIndex]], name: str) -> Mapping[str, str]:
    keys: dict[str, str] = {}
    for part, _ in having:
        note = read_note(part.home, name)
        keys |= note["keys"] if note else {}
    return keys


def _sync(folder: Path) -> None:
    if folder.is_dir():
        sync_folder(folder)

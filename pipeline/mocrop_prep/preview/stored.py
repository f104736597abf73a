"""The frames of a few clips as a shard set holds them, found without reading the whole set."""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from mocrop_manifests import CropRow, DatasetIndex, ManifestError, ShardEntry, read_dataset

from mocrop_prep.config import ShardSettings
from mocrop_prep.errors import ClipError, UsageError
from mocrop_prep.samples import Sample
from mocrop_prep.shards import FORMS, SampleFile, plan_shards
from mocrop_prep.shardset import ShardSet
from mocrop_prep.workdir import Workdir

_ONE_SHARD = str(10**9)


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """Samples by clip id, the shard set they are from, and what went wrong, if anything."""

    samples: Mapping[str, Sample]
    name: str = ""
    problem: str = ""


def stored_samples(
    workdir: Workdir, crops: str, manifest: Mapping[str, CropRow], wanted: Collection[str]
) -> Stored:
    """Return the stored samples of the clips `wanted` of the crop manifest named `crops`.

    They come from the shard set of that name, else from the first one made of that manifest.
    """
    name = _set_of(workdir, crops)
    if not name:
        return Stored({})
    found: dict[str, Sample] = {}
    stale = f"shards/{name} does not go with its records; run shard again"
    members = ShardSet(workdir, name).keys
    if not members:
        return Stored({}, name, stale)
    try:
        index = read_dataset(workdir.shards(name))
        rows = [row for row in manifest.values() if row.clip_id in members]
        for sample in _find(workdir.shards(name), index, rows, wanted):
            found[sample.info.clip_id] = sample
    except (ManifestError, UsageError, LookupError, TypeError):
        return Stored(found, name, stale)
    except ClipError as error:
        return Stored(found, name, error.detail)
    return Stored(found, name)


def _set_of(workdir: Workdir, crops: str) -> str:
    for name in sorted(workdir.shard_names(), key=lambda name: (name != crops, name)):
        try:
            if read_dataset(workdir.shards(name)).crops["name"] == crops:
                return name
        except (ManifestError, KeyError):  # unfinished or damaged: there is no set to show
            continue
    return ""


def _find(
    folder: Path, index: DatasetIndex, rows: Sequence[CropRow], wanted: Collection[str]
) -> Iterator[Sample]:
    """Yield the samples of `wanted`; `rows` are all clips of the set.

    The place of a clip among all is known. Its shard is the last one whose first clip comes no later: a
    search that opens few shards.
    """
    settings = dataclasses.replace(ShardSettings(**index.config["shard"]), shard_size=_ONE_SHARD)
    members = [SampleFile(row.clip_id, row.split, folder, frames=0, bytes=0) for row in rows]
    for plan in plan_shards(members, settings):
        shards = [shard for shard in index.shards if shard.split == plan.split]
        places = {sample.clip_id: place for place, sample in enumerate(plan.samples)}
        here = [clip_id for clip_id in wanted if clip_id in places]
        for shard, clip_ids in _locate(folder, index, shards, places, here):
            yield from _take(_read(folder, index, shard), clip_ids)


def _locate(
    folder: Path,
    index: DatasetIndex,
    shards: Sequence[ShardEntry],
    places: Mapping[str, int],
    clip_ids: Collection[str],
) -> list[tuple[ShardEntry, set[str]]]:
    """Return each shard that holds some of the clips, with these."""

    @cache
    def first(number: int) -> int:
        sample = next(_read(folder, index, shards[number]), None)
        return places[sample.info.clip_id] if sample else len(places)

    found: dict[int, set[str]] = defaultdict(set)
    for clip_id in clip_ids:
        found[bisect_right(range(len(shards)), places[clip_id], key=first) - 1].add(clip_id)
    return [(shards[number], found[number]) for number in sorted(found)]


def _read(folder: Path, index: DatasetIndex, shard: ShardEntry) -> Iterator[Sample]:
    return FORMS[index.storage].read(folder / shard.file, per_frame=index.sample == "frame")


def _take(samples: Iterator[Sample], clip_ids: set[str]) -> Iterator[Sample]:
    """Yield the samples of some clips, and read no further than the last of them."""
    missing = set(clip_ids)
    while missing and (sample := next(samples, None)):
        if sample.info.clip_id in missing:
            missing.remove(sample.info.clip_id)
            yield sample

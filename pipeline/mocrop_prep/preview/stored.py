"""The frames of some clips as a shard set holds them, found without reading the whole set."""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mocrop_manifests import CropRow, DatasetIndex, ManifestError, ShardEntry, read_dataset

from mocrop_prep.config import ShardSettings
from mocrop_prep.errors import ClipError, UsageError
from mocrop_prep.evenly import evenly_spread
from mocrop_prep.preview.draw import strip_webp
from mocrop_prep.samples import Sample
from mocrop_prep.shards import FORMS, SampleFile, plan_shards
from mocrop_prep.shardset import ShardSet
from mocrop_prep.workdir import Workdir

_MOST_FRAMES = 8
_ONE_SHARD = str(10**9)


@dataclasses.dataclass(frozen=True, slots=True)
class ShardPart:
    """Some clips of one shard: where they lie, and in which form."""

    path: Path
    storage: str
    per_frame: bool
    clip_ids: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Holdings:
    """Where the stored frames are: the set's name, the parts of its shards, what is wrong, if anything."""

    name: str = ""
    parts: tuple[ShardPart, ...] = ()
    problem: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Strip:
    """Stored frames of a clip side by side: a data: URI, empty if they cannot be read.

    `frames` and `times` are the numbers and seconds of those shown, `stored` is how many there are, `crop`
    the x, y, w, h that they were cut with.
    """

    picture: str
    frames: tuple[int, ...]
    times: tuple[float, ...]
    stored: int
    crop: tuple[int, ...]


def find_stored(
    workdir: Workdir, crops: str, manifest: Mapping[str, CropRow], wanted: Collection[str]
) -> Holdings:
    """Find the stored samples of the clips `wanted` of the crop manifest named `crops`.

    They are in the shard set of that name, else in the first one made of that manifest.
    """
    name = _set_of(workdir, crops)
    if not name:
        return Holdings()
    stale = f"shards/{name} does not go with its records; run shard again"
    members = ShardSet(workdir, name).keys
    if not members:
        return Holdings(name, problem=stale)
    folder = workdir.shards(name)
    try:
        index = read_dataset(folder)
        rows = [row for row in manifest.values() if row.clip_id in members]
        return Holdings(name, tuple(_find(folder, index, rows, wanted)))
    except (ManifestError, UsageError, LookupError, TypeError):
        return Holdings(name, problem=stale)
    except ClipError as error:
        return Holdings(name, problem=error.detail)


def read_part(part: ShardPart) -> Iterator[Sample]:
    """Yield the samples of a part, and read no further than the last of them; raises ClipError."""
    missing = set(part.clip_ids)
    samples = FORMS[part.storage].read(part.path, per_frame=part.per_frame)
    while missing and (sample := next(samples, None)):
        if sample.info.clip_id in missing:
            missing.remove(sample.info.clip_id)
            yield sample


def strip_part(part: ShardPart) -> dict[str, Any]:
    """Return the fields of the Strip of each clip of a part, and what is wrong with its shard, if any."""
    strips: dict[str, Any] = {}
    try:
        for sample in read_part(part):
            strips[sample.info.clip_id] = dataclasses.asdict(_strip(sample))
    except ClipError as error:
        return {"strips": strips, "problem": error.detail}
    return {"strips": strips, "problem": ""}


def _strip(sample: Sample) -> Strip:
    info, shown = sample.info, evenly_spread(_MOST_FRAMES, len(sample.jpegs))
    return Strip(
        picture=strip_webp(sample.jpegs[place] for place in shown),
        frames=tuple(info.frame_index[place] for place in shown),
        times=tuple(info.pts[place] for place in shown),
        stored=len(sample.jpegs),
        crop=info.crop,
    )


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
) -> Iterator[ShardPart]:
    """Yield the parts of the shards that hold `wanted`; `rows` are all clips of the set.

    The place of a clip among all is known. Its shard is the last one whose first clip comes no later: a
    search that opens few shards.
    """
    settings = dataclasses.replace(ShardSettings(**index.config["shard"]), shard_size=_ONE_SHARD)
    members = [SampleFile(row.clip_id, row.split, "", frames=0, size=0) for row in rows]
    for plan in plan_shards(members, settings):
        shards = [shard for shard in index.shards if shard.split == plan.split]
        places = {sample.clip_id: place for place, sample in enumerate(plan.samples)}
        here = [clip_id for clip_id in wanted if clip_id in places]
        for shard, clip_ids in _locate(folder, index, shards, places, here):
            yield ShardPart(folder / shard.file, index.storage, index.sample == "frame", clip_ids)


def _locate(
    folder: Path,
    index: DatasetIndex,
    shards: Sequence[ShardEntry],
    places: Mapping[str, int],
    clip_ids: Collection[str],
) -> list[tuple[ShardEntry, frozenset[str]]]:
    """Return each shard that holds some of the clips, with these."""

    @cache
    def first(number: int) -> int:
        samples = FORMS[index.storage].read(folder / shards[number].file, per_frame=index.sample == "frame")
        sample = next(samples, None)
        return places[sample.info.clip_id] if sample else len(places)

    found: dict[int, set[str]] = defaultdict(set)
    for clip_id in clip_ids:
        found[bisect_right(range(len(shards)), places[clip_id], key=first) - 1].add(clip_id)
    return [(shards[number], frozenset(found[number])) for number in sorted(found)]

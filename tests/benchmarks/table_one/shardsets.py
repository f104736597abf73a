"""The shard sets of table 1: every crop of the same clips at every size, made by mocrop-prep's stages."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from mocrop_manifests import read_dataset, write_dataset
from mocrop_manifests.files import make_folder, publish, publish_text
from mocrop_prep import workflow
from mocrop_prep.config import CropSettings, RunSettings, ShardSettings
from mocrop_train.data.loading import ClipFrames

from tests.benchmarks.crop_bench.sets import ClipSet
from tests.benchmarks.table_one.design import Division, Variant


def make_sets(
    clips: ClipSet, variants: Sequence[Variant], run: RunSettings, settings: ShardSettings
) -> dict[Variant, Path]:
    """Crop and shard what is missing, with `settings` but for the size; return the folders of the sets.

    A shard holds one clip, so that a set can be divided anew without writing its pictures again.
    """
    session = workflow.Session(clips.workdir, clips.clips, run)
    with clips.workdir.lock():
        for crop in dict.fromkeys(variant.crop for variant in variants):
            workflow.perform(workflow.CropStage(session, CropSettings(method=crop), crop))
        for variant in variants:
            made = dataclasses.replace(settings, size=variant.size, shard_size="1")
            stage = workflow.ShardStage(session, made, crops=variant.crop, name=str(variant))
            workflow.perform(stage)
    return {variant: clips.workdir.shards(str(variant)) for variant in variants}


def divided(shards: Path, division: Division, folder: Path) -> Path:
    """Return a set of the same shards in which the division's clips are split test, the others train.

    The index of a set says which split a shard belongs to; the shards themselves are links.
    """
    index = read_dataset(shards)
    clips = ClipFrames(shards, index, "train").clips
    made = folder / division.name / shards.name
    make_folder(made)
    entries = []
    for entry, clip in zip(index.shards, clips, strict=True):
        split = "test" if clip.clip_id in division.tested else "train"
        entries.append(dataclasses.replace(entry, split=split))
        _link(shards / entry.file, made / entry.file)
    publish_text(made / "dataset.json", write_dataset(dataclasses.replace(index, shards=entries)))
    return made


def _link(shard: Path, place: Path) -> None:
    if place.exists() and place.samefile(shard):
        return
    with publish(place) as temporary:
        os.link(shard, temporary)

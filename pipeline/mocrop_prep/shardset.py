"""One shard set as a whole: which samples belong to it, its shards, its index and its card.

The index is removed before the first shard changes and written after the last: a set with an index is whole.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import pyarrow as pa
from mocrop_manifests import (
    CropRow,
    DatasetIndex,
    ShardEntry,
    __version__,
    read_dataset,
    write_dataset,
)

from mocrop_prep.card import dataset_card
from mocrop_prep.config import RunSettings, ShardSettings
from mocrop_prep.files import publish_bytes, publish_text, sha256
from mocrop_prep.runner import worker_count
from mocrop_prep.samples import clip_members, tar_bytes
from mocrop_prep.shards import FORMS, SampleFile, plan_shards, write_shard
from mocrop_prep.video import library_versions
from mocrop_prep.workdir import Workdir


@dataclass(frozen=True, slots=True)
class SetRequest:
    """A shard set to be made: its name, the manifest behind it, and the settings that go on record."""

    name: str
    crops: str
    settings: ShardSettings
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Published:
    """What is on disk of a set: the key of each clip in it. Empty if there is no whole set."""

    keys: Mapping[str, str]


def sample_file(workdir: Workdir, name: str, clip_id: str, key: str) -> Path:
    """Return where a sample waits for its shard; the key keeps samples of other settings apart."""
    return workdir.samples(name) / f"{clip_id}.{key}.tar"


def read_published(workdir: Workdir, name: str) -> Published:
    """Return the set on disk if its index is the one written last and its shards have their sizes."""
    folder = workdir.shards(name)
    try:
        note = json.loads(_note(workdir, name).read_bytes())
        if note["dataset"] == sha256(folder / "dataset.json"):
            read_dataset(folder)
            return Published(note["keys"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return Published({})


def recover_samples(workdir: Workdir, name: str, keys: Mapping[str, str]) -> None:
    """Take samples that are in the shards on disk out again, where they wait for the next set."""
    wanted = {
        clip_id: path
        for clip_id, key in keys.items()
        if not (path := sample_file(workdir, name, clip_id, key)).exists()
    }
    if not wanted:
        return
    folder = workdir.shards(name)
    index = read_dataset(folder)
    for shard in index.shards:
        for sample in FORMS[index.storage].read(folder / shard.file, per_frame=index.sample == "frame"):
            if sample.info.clip_id in wanted:
                publish_bytes(wanted[sample.info.clip_id], tar_bytes(clip_members(sample)))


def publish_set(
    workdir: Workdir,
    request: SetRequest,
    keys: Mapping[str, str],
    samples: Sequence[SampleFile],
    rows: Sequence[CropRow],
    run: RunSettings,
) -> DatasetIndex:
    """Write the shards of a set, its card and then its index; shards of an older layout go last."""
    folder = workdir.shards(request.name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").unlink(missing_ok=True)
    classes = class_names(rows)
    plans = plan_shards(samples, request.settings)
    backend = run.backend if run.backend != "loky" or len(plans) > 1 else "sequential"
    entries = joblib.Parallel(n_jobs=max(1, min(worker_count(run), len(plans))), backend=backend)(
        joblib.delayed(write_shard)(plan, folder, request.settings, classes) for plan in plans
    )
    manifest = workdir.crops(request.crops)
    index = DatasetIndex(
        name=request.name,
        storage=request.settings.format,
        sample=request.settings.sample,
        modalities=["frames"],
        classes=classes,
        shards=[ShardEntry(**entry) for entry in entries],
        crops={"name": request.crops, "sha256": sha256(manifest)},
        config=dict(request.config),
        versions=_versions(),
    )
    publish_text(folder / "README.md", dataset_card(index, rows))
    publish_text(folder / "dataset.json", write_dataset(index))
    note = {"dataset": sha256(folder / "dataset.json"), "keys": dict(keys)}
    publish_text(_note(workdir, request.name), json.dumps(note))
    _remove_leftovers(workdir, request.name, index)
    return index


def class_names(rows: Iterable[CropRow]) -> list[str]:
    """Return the class names by label; a label that no row has is named after its number."""
    names = {row.label: row.label_name for row in rows}
    return [names.get(label, f"class-{label}") for label in range(max(names, default=-1) + 1)]


def describe_set(index: DatasetIndex, folder: Path) -> str:
    """Say in one line what a set holds."""
    parts = [f"{split} {index.rows(split)}" for split in index.splits()]
    size = sum(shard.bytes for shard in index.shards)
    shards = f"{len(index.shards)} shard{'' if len(index.shards) == 1 else 's'}"
    return f"{folder}: {', '.join(parts) or 'no'} {index.sample}s in {shards}, {size / 1e6:.1f} MB"


def resolved(settings: ShardSettings) -> dict[str, Any]:
    """Return shard settings as they go on record: the size in pixels instead of the setting's name."""
    return dataclasses.asdict(settings) | {"size": settings.pixels}


def _versions() -> dict[str, str]:
    libraries = {"numpy": np.__version__, "opencv": cv2.__version__, "pyarrow": pa.__version__}
    return {"mocrop": __version__, **library_versions(), **libraries}


def _note(workdir: Workdir, name: str) -> Path:
    return workdir.root / "journal" / f"set-{name}.json"


def _remove_leftovers(workdir: Workdir, name: str, index: DatasetIndex) -> None:
    folder = workdir.shards(name)
    named = {shard.file for shard in index.shards}
    for form in FORMS.values():
        for path in folder.glob(f"*-[0-9]*{form.suffix}"):
            if path.name not in named:
                path.unlink()
    shutil.rmtree(workdir.samples(name), ignore_errors=True)

"""One shard set as a whole: which samples belong to it, its shards, its index and its card.

The index is removed before the first shard changes and written after the last: a set with an index is whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
from joblib.externals.loky.process_executor import BrokenProcessPool
from mocrop_manifests import (
    DatasetIndex,
    ManifestError,
    RowCount,
    ShardEntry,
    read_dataset,
    write_dataset,
)
from mocrop_manifests.crops import class_names
from mocrop_manifests.dataset import shard_problem
from mocrop_manifests.files import publish_bytes, publish_text, remove, remove_files, sha256

from mocrop_prep.card import dataset_card
from mocrop_prep.config import JobSettings, ShardSettings
from mocrop_prep.engines import WorkersLost
from mocrop_prep.errors import UsageError
from mocrop_prep.journal import Records, fingerprint
from mocrop_prep.parts import listed_classes
from mocrop_prep.runner import start_work, worker_count, workers
from mocrop_prep.samples import clip_members, tar_bytes
from mocrop_prep.shards import FORMS, SampleFile, ShardPlan, plan_shards, write_shard
from mocrop_prep.versions import tool_versions
from mocrop_prep.workdir import Workdir

_TRIES = 2


@dataclass(frozen=True, slots=True)
class SetRequest:
    """A shard set to be made: its name, the manifest behind it, and the settings that go on record."""

    name: str
    crops: str
    settings: ShardSettings
    config: Mapping[str, Any]


class SamplesLost(Exception):  # noqa: N818  it is no error of the program
    """Samples that waited for their shards are not what was written; `clip_ids` are to be done again."""

    def __init__(self, clip_ids: Sequence[str]) -> None:
        super().__init__(clip_ids)
        self.clip_ids = frozenset(clip_ids)


class ShardSet:
    """A shard set of a WORKDIR: what is on disk of it, and how it comes about.

    `keys` are the fingerprints of the clips in the set on disk, empty if there is no whole set: its index is
    the one written last, and the shards have their sizes.
    """

    def __init__(self, workdir: Workdir, name: str) -> None:
        self._workdir, self.name = workdir, name
        self.folder = workdir.shards(name)
        note = read_note(workdir, name)
        self.keys: Mapping[str, str] = note["keys"] if note and self._is_whole(note) else {}
        self._made_from = note["made_from"] if note else ""

    def sample_file(self, clip_id: str, key: str) -> Path:
        """Return where a sample waits for its shard."""
        return self._workdir.sample(self.name, clip_id, key)

    def holds(self, records: Records, clip_id: str) -> bool:
        """Say whether a finished sample is in the set, or waits with the size that it was written with.

        Whether one that waits is whole shows when it is put into its shard.
        """
        key = records.key(clip_id) or ""
        if self.keys.get(clip_id) == key:
            return True
        try:
            size: int = records[clip_id].data["sample"]["bytes"]
            return self.sample_file(clip_id, key).stat().st_size == size
        except OSError:
            return False

    def is_current(self, keys: Mapping[str, str], request: SetRequest) -> bool:
        """Say whether the set on disk is the one asked for: same clips, manifest, settings and libraries."""
        return bool(keys) and keys == self.keys and self._origin(request, tool_versions()) == self._made_from

    def recover(self, keys: Mapping[str, str]) -> list[str]:
        """Take the samples of these clips out of the shards again; return the clips that cannot be had.

        A shard that is not what was written gives nothing: its clips have to be made again.
        """
        wanted = {
            clip_id: path
            for clip_id, key in keys.items()
            if self.keys.get(clip_id) == key and not (path := self.sample_file(clip_id, key)).exists()
        }
        if not wanted:
            return []
        index = read_dataset(self.folder)
        for shard in index.shards:
            if shard_problem(self.folder, shard, verify=True):
                continue
            path = self.folder / shard.file
            for sample in FORMS[index.storage].read(path, per_frame=index.sample == "frame"):
                target = wanted.pop(sample.info.clip_id, None)
                if target is not None:
                    publish_bytes(target, tar_bytes(clip_members(sample)))
        return sorted(wanted)

    def publish(
        self,
        request: SetRequest,
        keys: Mapping[str, str],
        samples: Iterable[SampleFile],
        count: RowCount,
        run: JobSettings,
    ) -> DatasetIndex:
        """Write the shards of a set, its card and then its index; shards of an older layout go last.

        Raises SamplesLost before anything of the set but shards is written.
        """
        remove(self.folder / "dataset.json")
        classes = class_names(count.names, listed_classes(self._workdir.root))
        entries = self._write_shards(plan_shards(samples, request.settings), request.settings, classes, run)
        return self.seal(request, keys, [ShardEntry(**entry) for entry in entries], classes, count)

    def seal(
        self,
        request: SetRequest,
        keys: Mapping[str, str],
        shards: list[ShardEntry],
        classes: list[str],
        count: RowCount,
        versions: dict[str, str] | None = None,
    ) -> DatasetIndex:
        """Make shards that lie there a set: its card, then its index, then the note of it.

        `versions` are those of the libraries that made the shards, if they are not those at work here.
        """
        folder, versions = self.folder, versions or tool_versions()
        index = DatasetIndex(
            name=request.name,
            storage=request.settings.format,
            sample=request.settings.sample,
            modalities=["frames"],
            classes=classes,
            shards=shards,
            crops={"name": request.crops, "sha256": sha256(self._workdir.crops(request.crops))},
            config=dict(request.config),
            versions=versions,
        )
        publish_text(folder / "README.md", dataset_card(index, count))
        publish_text(folder / "dataset.json", write_dataset(index))
        note = {
            "dataset": sha256(folder / "dataset.json"),
            "card": sha256(folder / "README.md"),
            "made_from": self._origin(request, versions),
            "keys": dict(keys),
        }
        publish_text(_note(self._workdir, request.name), json.dumps(note))
        self.tidy(index)
        return index

    def tidy(self, index: DatasetIndex) -> None:
        """Remove what a set that is published now has left over: old shards, and the samples that waited."""
        self._remove_old_shards(index)
        with suppress(OSError):  # what is left is of no use; the next run tries again
            remove_files(self._workdir.samples(self.name))

    def _write_shards(
        self, plans: Sequence[ShardPlan], settings: ShardSettings, classes: list[str], run: JobSettings
    ) -> list[dict[str, Any]]:
        """Write shards and return their entries; a worker that is killed gets them a second try."""
        # one shard is written here: workers would take longer to start
        how = run if len(plans) > 1 or run.backend != "loky" else JobSettings(backend="sequential")
        jobs = max(1, min(worker_count(run), len(plans)))
        waiting = self._workdir.samples(self.name)
        for _ in range(_TRIES):
            calls = (
                joblib.delayed(write_shard)(plan, waiting, self.folder, settings, classes) for plan in plans
            )
            try:
                with workers(how, jobs):
                    entries = list(start_work(calls))
            except (BrokenProcessPool, WorkersLost):
                continue
            lost = [clip_id for entry in entries for clip_id in entry.get("lost", ())]
            if lost:
                raise SamplesLost(lost)
            return entries
        raise UsageError(
            f"{self.folder}: a worker that wrote shards was killed {_TRIES} times; take fewer --jobs if "
            "memory was short, and the same command goes on from there"
        )

    def _is_whole(self, note: Mapping[str, Any]) -> bool:
        try:
            read_dataset(self.folder)
            card = (self.folder / "README.md").exists()
            return card and sha256(self.folder / "dataset.json") == note["dataset"]
        except (OSError, ManifestError):
            return False

    def _origin(self, request: SetRequest, versions: Mapping[str, str]) -> str:
        manifest = sha256(self._workdir.crops(request.crops))
        listed = listed_classes(self._workdir.root)  # those of a part may change where its own clips do not
        return fingerprint(
            request.crops, manifest, dict(request.config), dict(versions), *([listed] if listed else [])
        )

    def _remove_old_shards(self, index: DatasetIndex) -> None:
        named = {shard.file for shard in index.shards}
        for form in FORMS.values():
            for path in self.folder.glob(f"*-[0-9]*{form.suffix}"):
                if path.name not in named:
                    path.unlink()


def read_note(workdir: Workdir, name: str) -> dict[str, Any] | None:
    """Return what was noted of a set when it was published, or None if nothing that can be read.

    dataset and card: the SHA-256 of the index and of README.md, which older releases did not note. made_from:
    fingerprint of what the set was made from. keys: the fingerprint of each clip in it.
    """
    try:
        note = json.loads(_note(workdir, name).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    is_note = isinstance(note, dict) and {"dataset", "made_from", "keys"} <= note.keys()
    return note if is_note and isinstance(note["keys"], dict) else None


def noted_names(workdir: Workdir) -> list[str]:
    """Return the names of the sets that were published, whether or not they are still there."""
    return sorted(path.stem.removeprefix("set-") for path in (workdir.root / "journal").glob("set-*.json"))


def describe_set(index: DatasetIndex, folder: Path) -> str:
    """Say in one line what a set holds."""
    parts = [f"{split} {index.rows(split)}" for split in index.splits()]
    size = sum(shard.bytes for shard in index.shards)
    shards = f"{len(index.shards)} shard{'' if len(index.shards) == 1 else 's'}"
    return f"{folder}: {', '.join(parts) or 'no'} {index.sample}s in {shards}, {size / 1e6:.1f} MB"


def _note(workdir: Workdir, name: str) -> Path:
    return workdir.root / "journal" / f"set-{name}.json"

"""The index of a shard set, ``dataset.json``: what is in each shard, and how to know that it is whole."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mocrop_manifests.errors import ManifestError
from mocrop_manifests.files import sha256
from mocrop_manifests.records import read_document, typed_fields

FORMAT = "mocrop-shards"
VERSION = 1
STORAGES = ("webdataset", "parquet")
SAMPLES = ("clip", "frame")


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """One shard file: where it is, what it holds, and its checksum."""

    file: str
    split: str
    rows: int
    frames: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class DatasetIndex:
    """A shard set: `storage` is webdataset or parquet, a row is one `sample` (clip or frame).

    `classes[label]` is the name of a class; `crops` names the crop manifest and its sha256; `config` is
    the resolved configuration of the crop and shard stages; `versions` are those of the libraries that
    decide the bytes.
    """

    name: str
    storage: str
    sample: str
    modalities: list[str]
    classes: list[str]
    shards: list[ShardEntry]
    crops: dict[str, Any]
    config: dict[str, Any]
    versions: dict[str, str]

    def rows(self, split: str) -> int:
        """Return how many samples a split holds."""
        return sum(shard.rows for shard in self.shards if shard.split == split)

    def splits(self) -> list[str]:
        """Return the names of the splits that have at least one shard, in order of first appearance."""
        return list(dict.fromkeys(shard.split for shard in self.shards))


def write_dataset(index: DatasetIndex) -> str:
    """Return the text of ``dataset.json``: sorted keys, so the same set gives the same bytes."""
    body = {"format": FORMAT, "version": VERSION, **dataclasses.asdict(index)}
    return json.dumps(body, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_dataset(folder: Path, *, verify: bool = False) -> DatasetIndex:
    """Read the index of a shard set and hold the shards against it.

    Every shard must exist and have the recorded size; with `verify` its sha256 is checked too.
    Raises ManifestError that names the file at fault.
    """
    index = read_index(folder)
    for shard in index.shards:
        problem = shard_problem(folder, shard, verify=verify)
        if problem:
            raise ManifestError(problem)
    return index


def read_index(folder: Path) -> DatasetIndex:
    """Read the index of a shard set without a look at its shards; raises ManifestError."""
    path = folder / "dataset.json"
    body = read_document(
        path,
        ManifestError,
        what=f"an index of {FORMAT}",
        form=FORMAT,
        version=VERSION,
        missing=f"no such file; is {folder} a shard set?",
    )
    return _parse_index(body, path)


def shard_problem(folder: Path, shard: ShardEntry, *, verify: bool) -> str:
    """Say what is wrong with a shard file, or return an empty text if it is what the index promises."""
    path = folder / shard.file
    try:
        size = path.stat().st_size
        if size != shard.bytes:
            return f"{path}: {size} bytes where dataset.json says {shard.bytes}; make the shards again"
        digest = sha256(path) if verify else shard.sha256
    except FileNotFoundError:
        return f"{path}: the shard is missing"
    except OSError as error:
        return f"{path}: the shard cannot be read: {error.strerror}"
    if digest != shard.sha256:
        said = shard.sha256[:12]
        return f"{path}: sha256 {digest[:12]} where dataset.json says {said}; make the shards again"
    return ""


def _parse_index(body: dict[str, Any], path: Path) -> DatasetIndex:
    fields = _checked(body, DatasetIndex, path)
    fields["shards"] = [ShardEntry(**_checked(entry, ShardEntry, path)) for entry in fields["shards"]]
    index = DatasetIndex(**fields)
    for shard in index.shards:
        if not _is_plain(shard.file):
            raise ManifestError(f"{path}: shard name {shard.file!r} leaves the folder or names no file")
    if not _is_plain(index.crops.get("name")) or not isinstance(index.crops.get("sha256"), str):
        raise ManifestError(f"{path}: DatasetIndex.crops needs the name and the sha256 of a manifest")
    if len({shard.file for shard in index.shards}) != len(index.shards):
        raise ManifestError(f"{path}: a shard is listed twice")
    if index.storage not in STORAGES or index.sample not in SAMPLES:
        raise ManifestError(f"{path}: unknown storage {index.storage!r} or sample {index.sample!r}")
    return index


def _is_plain(name: Any) -> bool:
    """Say whether a name is that of a file in a folder: one part of a path, and nothing that is not shown."""
    return isinstance(name, str) and name.isprintable() and name not in ("", "..") and Path(name).name == name


def _checked(body: Any, kind: type[Any], path: Path) -> dict[str, Any]:
    try:
        return typed_fields(kind, body)
    except KeyError as error:
        raise ManifestError(f"{path}: {kind.__name__} lacks {error.args[0]}") from None
    except TypeError as error:
        raise ManifestError(f"{path}: {error}") from None

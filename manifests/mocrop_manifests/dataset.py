"""The index of a shard set, ``dataset.json``: what is in each shard, and how to know that it is whole."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mocrop_manifests.errors import ManifestError

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
    path = folder / "dataset.json"
    try:
        body = json.loads(path.read_bytes())
        # half of a surrogate pair is valid in JSON and in no file name, table or terminal
        json.dumps(body, ensure_ascii=False).encode()
    except FileNotFoundError:
        raise ManifestError(f"{path}: no such file; is {folder} a shard set?") from None
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: not valid JSON: {error}") from None
    index = _parse_index(body, path)
    for shard in index.shards:
        problem = shard_problem(folder, shard, verify=verify)
        if problem:
            raise ManifestError(problem)
    return index


def shard_problem(folder: Path, shard: ShardEntry, *, verify: bool) -> str:
    """Say what is wrong with a shard file, or return an empty text if it is what the index promises."""
    path = folder / shard.file
    try:
        size = path.stat().st_size
        if size != shard.bytes:
            return f"{path}: {size} bytes where dataset.json says {shard.bytes}; make the shards again"
        digest = _sha256(path) if verify else shard.sha256
    except FileNotFoundError:
        return f"{path}: the shard is missing"
    except OSError as error:
        return f"{path}: the shard cannot be read: {error.strerror}"
    if digest != shard.sha256:
        said = shard.sha256[:12]
        return f"{path}: sha256 {digest[:12]} where dataset.json says {said}; make the shards again"
    return ""


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _parse_index(body: Any, path: Path) -> DatasetIndex:
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise ManifestError(f"{path}: not an index of {FORMAT}")
    if body.get("version") != VERSION:
        raise ManifestError(
            f"{path}: version {body.get('version')!r} of {FORMAT}; this release reads {VERSION}"
        )
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
    if not isinstance(body, dict):
        raise ManifestError(f"{path}: {kind.__name__} must be an object")
    values = {}
    for name, hint in typing.get_type_hints(kind).items():
        if name not in body:
            raise ManifestError(f"{path}: {kind.__name__} lacks {name}")
        if not _fits(body[name], hint):
            raise ManifestError(f"{path}: {kind.__name__}.{name} is not {_in_words(hint)}")
        values[name] = body[name]
    return values


def _in_words(hint: Any) -> str:
    words = {int: "a whole number from 0", str: "a text"}
    return words.get(hint) or f"a {hint}"


def _fits(value: Any, hint: Any) -> bool:
    """Say whether a value of JSON is of a type; shards are looked at one by one, with their own names."""
    base, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if hint is Any or base is ShardEntry:
        return True
    if base is int:
        return type(value) is int and value >= 0
    if base is str:
        return isinstance(value, str)
    parts = value.values() if isinstance(value, dict) else value
    return isinstance(value, base) and all(_fits(part, inner[-1]) for part in parts)

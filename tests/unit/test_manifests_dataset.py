"""The index of a shard set: it comes back as it was, and holds the shards to what it says."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mocrop_manifests import DatasetIndex, ManifestError, ShardEntry, read_dataset, write_dataset

INDEX = DatasetIndex(
    name="mocrop-v1",
    storage="webdataset",
    sample="clip",
    modalities=["frames"],
    classes=["run", "Straße"],
    shards=[],
    crops={"name": "mocrop-v1", "sha256": "00"},
    config={"crop": {"area": 0.75}},
    versions={"mocrop": "0.1.0"},
)


def shard_set(folder: Path, contents: dict[str, bytes]) -> DatasetIndex:
    """A folder with shard files and their index."""
    entries = []
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        entries.append(ShardEntry(name, name.partition("-")[0], 2, 16, len(content), digest))
    index = dataclasses.replace(INDEX, shards=entries)
    (folder / "dataset.json").write_text(write_dataset(index), encoding="utf-8")
    return index


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "dataset.json"
    body = json.loads(path.read_text(encoding="utf-8"))
    change(body)
    path.write_text(json.dumps(body), encoding="utf-8")


class TestDataset:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        shard_set(tmp_path, {"train-000000.tar": b"abc", "train-000001.tar": b"de", "test-000000.tar": b""})
        return tmp_path

    def refused(self, folder: Path, *, verify: bool = False) -> str:
        with pytest.raises(ManifestError) as raised:
            read_dataset(folder, verify=verify)
        message = str(raised.value)
        assert message.startswith(str(folder))
        assert "\n" not in message
        return message

    def test_it_comes_back_as_it_was(self, tmp_path: Path) -> None:
        index = shard_set(tmp_path, {"train-000000.tar": b"abc", "val-000000.tar": b"d"})
        assert read_dataset(tmp_path) == read_dataset(tmp_path, verify=True) == index
        assert index.splits() == ["train", "val"]
        assert (index.rows("train"), index.rows("val"), index.rows("test")) == (2, 2, 0)

    def test_equal_indexes_have_equal_bytes(self) -> None:
        one = dataclasses.replace(INDEX, config={"a": 1, "b": 2}, versions={"x": "1", "y": "2"})
        other = dataclasses.replace(INDEX, config={"b": 2, "a": 1}, versions={"y": "2", "x": "1"})
        assert write_dataset(one) == write_dataset(other)
        assert "Straße" in write_dataset(one)
        assert write_dataset(one).endswith("}\n")

    def test_a_missing_shard_is_named(self, folder: Path) -> None:
        (folder / "train-000001.tar").unlink()
        assert self.refused(folder) == f"{folder / 'train-000001.tar'}: the shard is missing"

    def test_a_shard_of_another_size_is_named(self, folder: Path) -> None:
        (folder / "train-000000.tar").write_bytes(b"ab")
        assert self.refused(folder).startswith(f"{folder / 'train-000000.tar'}: 2 bytes where")

    def test_a_changed_shard_of_the_same_size_is_found_by_its_checksum(self, folder: Path) -> None:
        (folder / "train-000000.tar").write_bytes(b"abd")
        read_dataset(folder)
        assert self.refused(folder, verify=True).startswith(f"{folder / 'train-000000.tar'}: sha256 ")

    def test_a_folder_without_an_index_is_no_shard_set(self, folder: Path) -> None:
        (folder / "dataset.json").unlink()
        assert "is" in self.refused(folder)

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[]", b"null", b"3", b"\xff\xfe\xff", b'{"format": "x"}']
    )
    def test_an_index_that_is_none_is_refused(self, folder: Path, content: bytes) -> None:
        (folder / "dataset.json").write_bytes(content)
        self.refused(folder)

    @pytest.mark.parametrize("version", [0, 2, "1", None])
    def test_another_version_of_the_format_is_refused(self, folder: Path, version: object) -> None:
        edited(folder, lambda body: body.update(version=version))
        message = self.refused(folder)
        assert str(version) in message
        assert "this release reads 1" in message

    @pytest.mark.parametrize("name", ["name", "storage", "sample", "classes", "shards", "crops", "versions"])
    def test_missing_and_mistyped_fields_are_named(self, folder: Path, name: str) -> None:
        edited(folder, lambda body: body.update({name: 3}))
        assert f".{name} is not" in self.refused(folder)
        edited(folder, lambda body: body.pop(name))
        assert self.refused(folder).endswith(f"lacks {name}")

    @pytest.mark.parametrize("name", ["file", "split", "rows", "frames", "bytes", "sha256"])
    def test_missing_and_mistyped_fields_of_a_shard_are_named(self, folder: Path, name: str) -> None:
        edited(folder, lambda body: body["shards"][1].update({name: None}))
        assert f"ShardEntry.{name} is not" in self.refused(folder)
        edited(folder, lambda body: body["shards"][1].pop(name))
        assert self.refused(folder).endswith(f"ShardEntry lacks {name}")
        edited(folder, lambda body: body.update(shards=["train-000000.tar"]))
        assert "must be an object" in self.refused(folder)

    @pytest.mark.parametrize("change", [{"storage": "zip"}, {"sample": "video"}])
    def test_an_unknown_storage_or_sample_is_refused(self, folder: Path, change: dict[str, str]) -> None:
        edited(folder, lambda body: body.update(change))
        assert next(iter(change.values())) in self.refused(folder)

    @pytest.mark.parametrize(
        "name", ["../secret.tar", "/etc/passwd", "sub/train.tar", "..", ".", "", "a\0.tar", "a\n.tar"]
    )
    def test_a_shard_outside_the_folder_is_refused_unseen(self, folder: Path, name: str) -> None:
        (folder.parent / "secret.tar").write_bytes(b"abc")
        edited(folder, lambda body: body["shards"][0].update(file=name))
        message = self.refused(folder)
        assert message.startswith(f"{folder / 'dataset.json'}: ")
        assert "leaves the folder" in message

    @pytest.mark.parametrize(
        "change",
        [
            {"classes": ["run", 3]},
            {"classes": {"run": 0}},
            {"versions": {"mocrop": 1}},
            {"modalities": [None]},
        ],
    )
    def test_what_is_inside_of_lists_is_checked_too(self, folder: Path, change: dict[str, Any]) -> None:
        edited(folder, lambda body: body.update(change))
        assert f"DatasetIndex.{next(iter(change))} is not a " in self.refused(folder)

    @pytest.mark.parametrize(
        "change",
        [{"classes": ["run", "\ud800"]}, {"name": "\udc80"}, {"config": {"crop": {"\ud800": 1}}}],
    )
    def test_half_a_character_is_refused_wherever_it_is(self, folder: Path, change: dict[str, Any]) -> None:
        edited(folder, lambda body: body.update(change))
        assert "not valid JSON" in self.refused(folder)

    @pytest.mark.parametrize("value", [-1, True, 1.0, "1"])
    @pytest.mark.parametrize("name", ["rows", "frames", "bytes"])
    def test_a_number_of_things_is_a_number(self, folder: Path, name: str, value: object) -> None:
        edited(folder, lambda body: body["shards"][0].update({name: value}))
        assert f"ShardEntry.{name} is not a whole number" in self.refused(folder)

    @pytest.mark.parametrize("name", ["../other", "/etc/passwd", "", None, 3])
    def test_the_manifest_it_names_is_one_of_its_workdir(self, folder: Path, name: object) -> None:
        edited(folder, lambda body: body["crops"].update(name=name))
        assert "DatasetIndex.crops needs the name" in self.refused(folder)

    def test_a_shard_that_cannot_be_read_is_named(self, folder: Path) -> None:
        long = "train-" + "0" * 300 + ".tar"
        edited(folder, lambda body: body["shards"][0].update(file=long))
        assert self.refused(folder).startswith(f"{folder / long}: the shard cannot be read")

    def test_a_folder_in_the_place_of_a_shard_is_named(self, folder: Path) -> None:
        shard = folder / "train-000000.tar"
        shard.unlink()
        shard.mkdir()
        edited(folder, lambda body: body["shards"][0].update(bytes=shard.stat().st_size))
        assert self.refused(folder, verify=True).startswith(f"{shard}: the shard cannot be read")

    def test_json_that_is_nested_without_end_is_refused(self, folder: Path) -> None:
        (folder / "dataset.json").write_text("[" * 100_000)
        assert "not valid JSON" in self.refused(folder)

"""Shards: two forms with the same samples inside, and a layout that keeps clips together."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mocrop_manifests.files import sha256
from mocrop_prep.config import ShardSettings
from mocrop_prep.errors import ClipError
from mocrop_prep.samples import Sample, SampleInfo, clip_members, tar_bytes
from mocrop_prep.shards import FORMS, SampleFile, ShardPlan, load_sample, plan_shards, write_shard

CLASSES = ("run", "Straße, quer")
KINDS = [(form, per_frame) for form in FORMS for per_frame in (False, True)]


def make_sample(number: int, frames: int = 3) -> Sample:
    info = SampleInfo(
        clip_id=f"clip-{number:03d}",
        label=number % 2,
        label_name=CLASSES[number % 2],
        split="train",
        group="" if number % 3 else "g01",
        frame_index=tuple(range(5, 5 + 12 * frames, 12)),
        pts=tuple(round(0.1 + number + frame / 3, 6) for frame in range(frames)),
        crop=(number, 0, 240, 240),
        width=320,
        height=240,
        method="mocrop-v1",
    )
    return Sample(info, tuple(b"\xff\xd8" + bytes([number % 256, frame]) * 40 for frame in range(frames)))


def files_of(folder: Path, samples: list[Sample]) -> tuple[SampleFile, ...]:
    """The samples on disk, as they wait for their shard."""
    files = []
    for sample in samples:
        path = folder / f"{sample.info.clip_id}.key.tar"
        path.write_bytes(tar_bytes(clip_members(sample)))
        size = path.stat().st_size
        files.append(SampleFile(sample.info.clip_id, sample.info.split, "key", len(sample.jpegs), size))
    return tuple(files)


def file_of(clip_id: str, split: str = "train", frames: int = 1, size: int = 1) -> SampleFile:
    return SampleFile(clip_id, split, "key", frames, size)


class TestForms:
    @pytest.mark.parametrize(("form", "per_frame"), KINDS)
    def test_what_is_written_is_read(self, tmp_path: Path, form: str, per_frame: bool) -> None:
        samples = [make_sample(number, frames) for number, frames in enumerate((3, 1, 8, 3))]
        path = tmp_path / f"train-000000{FORMS[form].suffix}"
        rows = FORMS[form].write(path, samples, per_frame=per_frame, classes=CLASSES)
        assert rows == (15 if per_frame else 4)
        assert list(FORMS[form].read(path, per_frame=per_frame)) == samples

    @pytest.mark.parametrize(("form", "per_frame"), KINDS)
    def test_equal_samples_make_equal_files(self, tmp_path: Path, form: str, per_frame: bool) -> None:
        samples = [make_sample(number) for number in range(5)]
        for name in "ab":
            FORMS[form].write(tmp_path / name, samples, per_frame=per_frame, classes=CLASSES)
        assert sha256(tmp_path / "a") == sha256(tmp_path / "b")

    @pytest.mark.parametrize(("form", "per_frame"), KINDS)
    def test_a_file_that_is_cut_is_an_error_that_names_it(
        self, tmp_path: Path, form: str, per_frame: bool
    ) -> None:
        samples = [make_sample(number) for number in range(3)]
        path = tmp_path / "shard"
        FORMS[form].write(path, samples, per_frame=per_frame, classes=CLASSES)
        content = path.read_bytes()
        for length in (len(content) * 2 // 3 // 512 * 512 + 70, 100):
            path.write_bytes(content[:length])
            with pytest.raises(ClipError, match="shard is damaged") as raised:
                list(FORMS[form].read(path, per_frame=per_frame))
            assert raised.value.code == "bad-intermediate"
        path.write_bytes(b"not a shard" * 100)
        with pytest.raises(ClipError, match="shard is damaged"):
            list(FORMS[form].read(path, per_frame=per_frame))
        path.unlink()
        with pytest.raises(ClipError, match="shard is damaged"):
            list(FORMS[form].read(path, per_frame=per_frame))

    def test_a_parquet_shard_of_other_columns_or_with_gaps_is_refused_in_one_line(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "a.parquet"
        FORMS["parquet"].write(path, [make_sample(1)], per_frame=False, classes=CLASSES)
        table = pq.read_table(path)
        (row,) = table.to_pylist()
        gaps = [{**row, "clip_id": None}, {**row, "frames": None}, {**row, "frames": [None] * 3}]
        bad = [table.drop_columns("crop"), table.cast(table.schema.set(1, pa.field("label", pa.string())))]
        for other in [*bad, *(pa.Table.from_pylist([gap], table.schema) for gap in gaps)]:
            pq.write_table(other, path)
            with pytest.raises(ClipError, match=r"a\.parquet is damaged: [^\n]+$"):
                list(FORMS["parquet"].read(path, per_frame=False))

    def test_a_row_group_of_more_rows_than_we_write_is_not_unpacked(self, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        FORMS["parquet"].write(path, [make_sample(1)], per_frame=True, classes=CLASSES)
        table = pq.read_table(path)
        pq.write_table(table.take([0] * 101), path)
        with pytest.raises(ClipError, match="a row group of 101 rows"):
            list(FORMS["parquet"].read(path, per_frame=True))

    def test_a_webdataset_shard_is_its_samples_behind_each_other(self, tmp_path: Path) -> None:
        samples = [make_sample(number) for number in range(3)]
        path = tmp_path / "a.tar"
        FORMS["webdataset"].write(path, samples, per_frame=False, classes=CLASSES)
        parts = b"".join(tar_bytes(clip_members(sample)) for sample in samples)
        assert path.read_bytes() == parts + bytes(1024)
        with tarfile.open(path) as archive:
            assert len(archive.getnames()) == 3 * 5

    def test_a_parquet_shard_has_the_documented_columns(self, tmp_path: Path) -> None:
        samples = [make_sample(number) for number in range(3)]
        shared = ["crop", "width", "height", "group", "method"]
        for per_frame, pictures in ((False, "frames"), (True, "image")):
            path = tmp_path / "a.parquet"
            FORMS["parquet"].write(path, samples, per_frame=per_frame, classes=CLASSES)
            table = pq.read_table(path)
            first = ["clip_id", "label", "label_name", "split", pictures, "frame_index", "pts"]
            assert table.column_names == [*first, *shared]
            note = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
            assert list(note) == table.column_names or set(note) == set(table.column_names)
            assert note["label"] == {"_type": "ClassLabel", "names": list(CLASSES)}
            assert note[pictures] == ({"_type": "Image"} if per_frame else [{"_type": "Image"}])
        rows: list[dict[str, Any]] = table.to_pylist()
        assert rows[1]["image"] == {"bytes": samples[0].jpegs[1], "path": "clip-000_001.jpg"}
        assert (rows[1]["frame_index"], rows[1]["pts"], rows[1]["crop"]) == (17, 0.433333, [0, 0, 240, 240])

    def test_row_groups_have_at_most_a_hundred_rows(self, tmp_path: Path) -> None:
        samples = [make_sample(number, 7) for number in range(43)]
        for per_frame, sizes in ((True, [100, 100, 100, 1]), (False, [43])):
            path = tmp_path / "a.parquet"
            FORMS["parquet"].write(path, samples, per_frame=per_frame, classes=CLASSES)
            meta = pq.read_metadata(path)
            assert [meta.row_group(group).num_rows for group in range(meta.num_row_groups)] == sizes


class TestWriteShard:
    @pytest.mark.parametrize(("form", "per_frame"), KINDS)
    def test_the_entry_is_true_of_the_file(self, tmp_path: Path, form: str, per_frame: bool) -> None:
        samples = [make_sample(number) for number in range(4)]
        options = ShardSettings(format=form, sample="frame" if per_frame else "clip")
        (plan,) = plan_shards(files_of(tmp_path, samples), options)
        (tmp_path / "out").mkdir()
        entry = write_shard(plan, tmp_path, tmp_path / "out", options, CLASSES)
        path = tmp_path / "out" / plan.file
        assert entry == {
            "file": f"train-000000{FORMS[form].suffix}",
            "split": "train",
            "rows": 12 if per_frame else 4,
            "frames": 12,
            "bytes": path.stat().st_size,
            "sha256": sha256(path),
        }
        read = list(FORMS[form].read(path, per_frame=per_frame))
        assert [sample.info.clip_id for sample in read] == [file.clip_id for file in plan.samples]
        assert sorted(read, key=lambda sample: sample.info.clip_id) == samples
        assert [item.name for item in (tmp_path / "out").iterdir()] == [plan.file]

    @pytest.mark.parametrize("content", [None, b"", b"x" * 700])
    def test_a_damaged_sample_stops_the_shard_and_leaves_no_file(
        self, tmp_path: Path, content: bytes | None
    ) -> None:
        files = files_of(tmp_path, [make_sample(number) for number in range(3)])
        path = tmp_path / files[1].name
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ClipError, match=path.name) as raised:
            load_sample(path)
        assert raised.value.code == "bad-intermediate"
        for form in FORMS:
            (tmp_path / form).mkdir()
            plan = ShardPlan("train-000000", "train", files)
            with pytest.raises(ClipError, match=path.name):
                write_shard(plan, tmp_path, tmp_path / form, ShardSettings(format=form), CLASSES)
            assert list((tmp_path / form).iterdir()) == []

    def test_samples_that_are_not_what_was_written_are_named_and_nothing_is_written(
        self, tmp_path: Path
    ) -> None:
        samples = [make_sample(number) for number in range(4)]
        files = tuple(
            replace(file, digest=bytes.fromhex(sha256(tmp_path / file.name)))
            for file in files_of(tmp_path, samples)
        )
        (tmp_path / "out").mkdir()
        plan, options = ShardPlan("train-000000.tar", "train", files), ShardSettings()
        flipped = bytearray((tmp_path / files[1].name).read_bytes())
        flipped[700] ^= 1
        (tmp_path / files[1].name).write_bytes(flipped)
        (tmp_path / files[3].name).unlink()
        lost = write_shard(plan, tmp_path, tmp_path / "out", options, CLASSES)
        assert lost == {"lost": [files[1].clip_id, files[3].clip_id]}
        assert list((tmp_path / "out").iterdir()) == []
        files_of(tmp_path, samples)
        assert write_shard(plan, tmp_path, tmp_path / "out", options, CLASSES)["rows"] == 4


PLANNED = st.lists(
    st.builds(
        file_of,
        clip_id=st.from_regex(r"[a-z0-9_-]{1,6}", fullmatch=True),
        split=st.sampled_from(("train", "val", "test")),
        frames=st.integers(1, 20),
        size=st.integers(1, 6000),
    ),
    max_size=25,
    unique_by=lambda file: file.clip_id,
)


class TestPlan:
    @settings(max_examples=150)
    @given(
        PLANNED,
        st.sampled_from(("clip", "frame")),
        st.sampled_from(("1", "3", "10", "1KB", "7KB", "256MB")),
        st.sampled_from(tuple(FORMS)),
    )
    def test_every_clip_is_in_one_shard_of_its_split_and_shards_are_full(
        self, files: list[SampleFile], sample: str, shard_size: str, form: str
    ) -> None:
        options = ShardSettings(sample=sample, shard_size=shard_size, format=form)
        plans = plan_shards(files, options)
        placed = [file for plan in plans for file in plan.samples]
        assert sorted(placed, key=lambda file: file.clip_id) == sorted(files, key=lambda file: file.clip_id)
        assert all(file.split == plan.split for plan in plans for file in plan.samples)

        in_bytes = shard_size.endswith("B")
        limit = {"1KB": 1000, "7KB": 7000, "256MB": 256_000_000}[shard_size] if in_bytes else int(shard_size)

        def weight(file: SampleFile) -> int:
            return file.size if in_bytes else file.frames if sample == "frame" else 1

        for plan in plans:
            assert plan.samples
            assert sum(map(weight, plan.samples)) <= limit or len(plan.samples) == 1
        for one, other in pairwise(plans):
            if one.split == other.split:  # the next clip had no room
                assert sum(map(weight, one.samples)) + weight(other.samples[0]) > limit
        for split in ("train", "val", "test"):
            names = [plan.file for plan in plans if plan.split == split]
            assert names == [f"{split}-{number:06d}{FORMS[form].suffix}" for number in range(len(names))]
        order = [plan.split for plan in plans]
        assert order == sorted(order, key=("train", "val", "test").index)

    @settings(max_examples=100)
    @given(PLANNED, st.randoms(use_true_random=False), st.integers(0, 3))
    def test_the_order_of_the_samples_does_not_matter(
        self, files: list[SampleFile], random: Any, seed: int
    ) -> None:
        shuffled = list(files)
        random.shuffle(shuffled)
        options = ShardSettings(shard_size="4", seed=seed)
        assert plan_shards(shuffled, options) == plan_shards(files, options)

    def test_train_is_shuffled_by_the_seed_and_the_rest_by_name(self) -> None:
        files = [file_of(f"clip-{number:02d}", split) for split in ("test", "train") for number in range(40)]
        orders = {}
        for seed in (0, 1):
            train, test = plan_shards(files, ShardSettings(seed=seed))
            orders[seed] = [file.clip_id for file in train.samples]
            assert [file.clip_id for file in test.samples] == sorted(file.clip_id for file in files[:40])
        assert orders[0] != orders[1]
        assert orders[0] != sorted(orders[0])
        assert sorted(orders[0]) == sorted(orders[1])

    def test_the_shuffle_mixes_the_classes(self) -> None:
        files = [file_of(f"{label}__{number:03d}") for label in ("run", "walk") for number in range(100)]
        plans = plan_shards(files, ShardSettings(shard_size="50"))
        for plan in plans:
            runs = sum(file.clip_id.startswith("run") for file in plan.samples)
            assert 10 < runs < 40

    @settings(max_examples=100)
    @given(PLANNED, st.integers(0, 3))
    def test_a_new_clip_leaves_the_others_in_their_order(self, files: list[SampleFile], seed: int) -> None:
        def order(some: list[SampleFile]) -> list[str]:
            plans = plan_shards(some, ShardSettings(shard_size="3", seed=seed))
            return [file.clip_id for plan in plans for file in plan.samples]

        with_one_more = order([*files, file_of("NEW")])
        assert [clip_id for clip_id in with_one_more if clip_id != "NEW"] == order(files)

    def test_no_samples_make_no_shards(self) -> None:
        assert plan_shards([], ShardSettings()) == []

"""What the trainer reads is what was stored, in every form, or it refuses and says where."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from mocrop_manifests import ManifestError, read_dataset
from mocrop_train.data.loading import ClipFrames, open_splits, stored_size
from mocrop_train.errors import TrainError
from PIL import Image


def opened(folder: Path, split: str = "train", **options: Any) -> ClipFrames:
    return ClipFrames(folder, read_dataset(folder), split, **options)


def reindex(folder: Path, **changes: Any) -> None:
    """Make dataset.json agree with the bytes of the first training shard, which a test has changed."""
    path = folder / "dataset.json"
    body = json.loads(path.read_text())
    entry = next(entry for entry in body["shards"] if entry["split"] == "train")
    data = (folder / entry["file"]).read_bytes()
    entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), **changes)
    path.write_text(json.dumps(body))


def test_every_form_gives_the_stored_clips_in_order(toys: Any, form: dict[str, str]) -> None:
    clips = toys.clips()
    folder = toys.write(clips=clips, **form, clips_per_shard=7, rows_per_group=5)
    for split in ("train", "test"):
        written = [clip for clip in clips if clip.split == split]
        source = opened(folder, split)
        assert [(c.clip_id, c.label, c.group, c.frames) for c in source.clips] == [
            (c.clip_id, c.label, c.group, len(c.frames)) for c in written
        ]
        for position, clip in enumerate(written):
            frames = source.read(position, range(len(clip.frames)))
            assert frames.dtype == torch.uint8
            assert np.array_equal(frames.numpy(), toys.stored(clip))


def test_all_forms_give_the_same_pixels_for_the_same_request(toys: Any) -> None:
    forms = [("webdataset", "clip"), ("webdataset", "frame"), ("parquet", "clip"), ("parquet", "frame")]
    found = []
    for storage, sample in forms:
        folder = toys.write(f"{storage}-{sample}", storage=storage, sample=sample, rows_per_group=4)
        source = opened(folder)
        found.append([source.read(i, [clip.frames - 1, 0]) for i, clip in enumerate(source.clips)])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_frames_of_one_clip_may_lie_in_two_row_groups(toys: Any) -> None:
    clips = [toys.clip("a", 0, frames=6), toys.clip("bb", 1, frames=5)]
    split_groups = opened(toys.write("split", clips, storage="parquet", sample="frame", rows_per_group=4))
    whole = opened(toys.write("whole", clips, storage="parquet", sample="clip"))
    for clip, count in ((0, 6), (1, 5)):
        assert torch.equal(split_groups.read(clip, range(count)), whole.read(clip, range(count)))


def test_an_opened_split_can_be_pickled_for_worker_processes(toys: Any, form: dict[str, str]) -> None:
    source = opened(toys.write(**form))
    copy = pickle.loads(pickle.dumps(source))
    assert torch.equal(copy.read(3, [0]), source.read(3, [0]))


def test_clips_of_other_shapes_than_square_keep_them(toys: Any, form: dict[str, str]) -> None:
    clips = [toys.clip("wide", 0, size=(32, 50)), toys.clip("high", 1, size=(44, 32))]
    source = opened(toys.write(clips=clips, aspect="keep", **form))
    assert source.read(0, [0, 1]).shape == (2, 3, 32, 50)
    assert source.read(1, [2]).shape == (1, 3, 44, 32)


def test_limit_spreads_over_the_split_and_so_over_its_classes(toys: Any, form: dict[str, str]) -> None:
    folder = toys.write(**form, clips_per_shard=5)
    source = opened(folder, limit=6)
    assert len(source.clips) == 6
    assert {clip.label for clip in source.clips} == {0, 1, 2}
    assert sorted(clip for chunk in source.chunks for clip in chunk) == list(range(6))
    everything = opened(folder)
    at = [clip.clip_id for clip in everything.clips].index(source.clips[4].clip_id)
    assert torch.equal(source.read(4, [0]), everything.read(at, [0]))


def test_splits_without_clips_are_absent(toys: Any) -> None:
    folder = toys.write()
    assert list(open_splits(folder, read_dataset(folder))) == ["train", "test"]


def test_a_truncated_shard_is_refused_by_name(toys: Any, form: dict[str, str]) -> None:
    folder = toys.write(**form)
    shard = sorted(folder.glob("train-*"))[0]
    shard.write_bytes(shard.read_bytes()[:-1000])
    with pytest.raises(ManifestError, match=rf"{shard.name}: \d+ bytes where dataset\.json says"):
        opened(folder)


@pytest.mark.parametrize("sample", ["clip", "frame"])
def test_a_tar_cut_between_members_is_refused_though_its_size_is_recorded(toys: Any, sample: str) -> None:
    folder = toys.write(sample=sample)
    shard = folder / "train-000000.tar"
    with tarfile.open(shard) as tar:
        cut = tar.getmembers()[-8].offset
    shard.write_bytes(shard.read_bytes()[:cut])
    reindex(folder)
    with pytest.raises(TrainError, match=r"train-000000\.tar: \d+ (rows|frames) where dataset\.json says"):
        opened(folder)


def test_a_parquet_shard_with_other_rows_than_recorded_is_refused(toys: Any) -> None:
    folder = toys.write(storage="parquet")
    reindex(folder, rows=25)
    with pytest.raises(TrainError, match=r"train-000000\.parquet: 24 rows where dataset\.json says 25"):
        opened(folder)


def test_other_frames_than_recorded_are_refused(toys: Any, form: dict[str, str]) -> None:
    folder = toys.write(**form)
    reindex(folder, frames=1)
    with pytest.raises(TrainError, match=r"train-000000\.\w+: 84 frames where dataset\.json says 1"):
        opened(folder)


def test_bytes_that_are_no_shard_are_refused_by_name(toys: Any, form: dict[str, str]) -> None:
    folder = toys.write(**form)
    shard = sorted(folder.glob("train-*"))[0]
    shard.write_bytes(b"no shard at all, but of some length" * 100)
    reindex(folder)
    with pytest.raises(TrainError, match=rf"{shard.name}: not a readable \w+ shard") as caught:
        opened(folder)
    assert "\n" not in str(caught.value)


def test_a_changed_byte_is_found_by_verify_alone(toys: Any, form: dict[str, str]) -> None:
    folder = toys.write(**form)
    shard = sorted(folder.glob("test-*"))[0]
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    read_dataset(folder)
    with pytest.raises(ManifestError, match=rf"{shard.name}: sha256"):
        read_dataset(folder, verify=True)


def test_a_broken_picture_is_named_by_shard_clip_and_frame(toys: Any) -> None:
    folder = toys.write()
    shard = folder / "train-000000.tar"
    with tarfile.open(shard) as tar:
        member = tar.getmember("across__train_003.001.jpg")
    data = bytearray(shard.read_bytes())
    data[member.offset_data : member.offset_data + member.size] = bytes(member.size)
    shard.write_bytes(data)
    source = opened(folder)
    clip = [clip.clip_id for clip in source.clips].index("across__train_003")
    source.read(clip, [0])
    with pytest.raises(
        TrainError, match=r"train-000000\.tar: clip across__train_003, frame 1: not a whole JPEG"
    ):
        source.read(clip, [0, 1])


def test_a_label_that_is_not_the_class_of_the_index_is_refused(toys: Any, form: dict[str, str]) -> None:
    folder = toys.write(**form)
    text = (folder / "dataset.json").read_text()
    (folder / "dataset.json").write_text(text.replace('"down"', '"sideways"'))
    with pytest.raises(TrainError, match=r"clip down__train_\d+ has label 1 \('down'\)"):
        opened(folder)


def test_a_clip_that_occurs_twice_is_refused(toys: Any) -> None:
    clips = toys.clips()
    folder = toys.write(clips=[*clips, clips[0]], clips_per_shard=5)
    with pytest.raises(TrainError, match=f"clip {clips[0].clip_id} occurs twice"):
        opened(folder, clips[0].split)


def test_pictures_in_grey_are_read_as_rgb(toys: Any) -> None:
    folder = toys.write(clips=[toys.clip("grey", 0, frames=1)])
    out = io.BytesIO()
    Image.new("L", (32, 32), 90).save(out, "JPEG")
    about = b'{"clip_id":"grey","group":"","label":0,"label_name":"across"}'
    with tarfile.open(folder / "train-000000.tar", "w") as tar:
        for name, data in (("grey.000.jpg", out.getvalue()), ("grey.json", about)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    reindex(folder)
    assert bool((opened(folder).read(0, [0]) == 90).all())


def test_the_stored_size_comes_from_the_index_and_must_be_there(toys: Any) -> None:
    folder = toys.write(size=32)
    index = read_dataset(folder)
    assert stored_size(folder, index) == 32
    with pytest.raises(TrainError, match=r"config\.shard\.size is None"):
        stored_size(folder, dataclasses.replace(index, config={}))


@pytest.mark.parametrize("picture", ["GIF", "PNG", "EPS"])
def test_pictures_that_are_no_jpeg_are_not_opened(toys: Any, picture: str) -> None:
    folder = toys.write(clips=[toys.clip("a", 0, frames=1)])
    out = io.BytesIO()
    Image.new("RGB", (32, 32)).save(out, picture)
    rewrite(folder, [("a.000.jpg", out.getvalue()), ("a.json", ABOUT)])
    with pytest.raises(TrainError, match="clip a, frame 0: not a whole JPEG"):
        opened(folder).read(0, [0])


def test_a_picture_that_claims_to_be_huge_is_not_unpacked(toys: Any) -> None:
    folder = toys.write(clips=[toys.clip("a", 0, frames=1)])
    data = bytearray((folder / "train-000000.tar").read_bytes())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = (65500).to_bytes(2) * 2
    (folder / "train-000000.tar").write_bytes(data)
    with pytest.raises(TrainError, match="clip a, frame 0: not a whole JPEG"):
        opened(folder).read(0, [0])


def test_frames_of_one_clip_that_differ_in_size_are_refused(toys: Any) -> None:
    folder = toys.write(clips=[toys.clip("a", 0, frames=2)])
    pictures = []
    for number, size in enumerate((32, 40)):
        out = io.BytesIO()
        Image.new("RGB", (size, size)).save(out, "JPEG")
        pictures.append((f"a.{number:03d}.jpg", out.getvalue()))
    rewrite(folder, [*pictures, ("a.json", ABOUT)])
    with pytest.raises(TrainError, match="clip a: frames of different sizes"):
        opened(folder).read(0, [0, 1])


@pytest.mark.parametrize(
    ("about", "fault"),
    [
        (b"[" * 100_000, "recursion"),
        (b"9" * 5000, "digits"),
        (b"[]", "indices"),
        (b'{"clip_id":"a","label":"0","label_name":"across"}', "label is no number"),
        (b'{"clip_id":["a"],"label":0,"label_name":"across"}', "names are no texts"),
        (b'{"clip_id":"a\\nb","label":0,"label_name":"across"}', "is no clip id"),
        (b'{"clip_id":"a","label":0}', "lacks 'label_name'"),
    ],
)
def test_a_description_that_is_none_is_refused_by_the_name_of_its_shard(
    toys: Any, about: bytes, fault: str
) -> None:
    folder = toys.write(clips=[toys.clip("a", 0, frames=1)])
    rewrite(folder, [("a.json", about)])
    with pytest.raises(TrainError, match=rf"train-000000\.tar: not a readable webdataset shard: .*{fault}"):
        opened(folder)


def test_a_parquet_row_with_other_pictures_than_it_tells_of_gives_none_of_its_neighbour(toys: Any) -> None:
    folder = toys.write(clips=[toys.clip("a", 0, frames=2), toys.clip("b", 0, frames=2)], storage="parquet")
    path = folder / "train-000000.parquet"
    table = pq.read_table(path)
    first, second = table.to_pylist()
    first["frames"], second["frames"] = first["frames"][:1], [*second["frames"], *first["frames"][1:]]
    pq.write_table(pa.Table.from_pylist([first, second], table.schema), path)
    reindex(folder)
    source = opened(folder)
    with pytest.raises(TrainError, match="clip a does not hold the 2 frames"):
        source.read(0, [0, 1])


@pytest.mark.parametrize("sample", ["clip", "frame"])
def test_a_parquet_row_without_a_picture_is_told_by_its_clip_and_frame(toys: Any, sample: str) -> None:
    folder = toys.write(clips=[toys.clip("a", 0, frames=2)], storage="parquet", sample=sample)
    path = folder / "train-000000.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    picture = rows[0]["frames"][1] if sample == "clip" else rows[1]["image"]
    picture["bytes"] = None
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    reindex(folder)
    source = opened(folder)
    assert len(source.read(0, [0])) == 1
    with pytest.raises(TrainError, match="clip a, frame 1: not a whole JPEG"):
        source.read(0, [1])


def test_pages_of_a_parquet_shard_that_cannot_be_read_are_told_by_its_name(toys: Any) -> None:
    folder = toys.write(storage="parquet")
    path = folder / "train-000000.parquet"
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    pictures = next(column for column in columns if column.path_in_schema == "frames.list.element.bytes")
    data = bytearray(path.read_bytes())
    start = pictures.dictionary_page_offset or pictures.data_page_offset
    data[start : start + 64] = bytes(64)
    path.write_bytes(data)
    reindex(folder)
    with pytest.raises(TrainError, match=r"train-000000\.parquet: not a readable parquet shard: [^\n]+$"):
        opened(folder).read(0, [0])


ABOUT = b'{"clip_id":"a","group":"","label":0,"label_name":"across"}'


def rewrite(folder: Path, members: list[tuple[str, bytes]]) -> None:
    """Make the first training shard of other members."""
    with tarfile.open(folder / "train-000000.tar", "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    reindex(folder)

"""What lies in the shards: the right frames of the right clips, cropped where the manifest says."""

from __future__ import annotations

import io
import json
import tarfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from mocrop_manifests import read_crops, read_dataset
from numpy.typing import NDArray
from PIL import Image

from tests.commands import DEFAULT, ok, prep
from tests.films import packets

Bgr = NDArray[np.uint8]
TINY = 0.05
"""Mean difference in grey levels that rounding may cost."""


def samples_of(tar: Path) -> dict[str, dict[str, bytes]]:
    """Read a tar as WebDataset does: members share a sample up to the first dot of their name."""
    samples: dict[str, dict[str, bytes]] = defaultdict(dict)
    with tarfile.open(tar) as archive:
        for member in archive:
            stem, _, extension = member.name.partition(".")
            content = archive.extractfile(member)
            assert content is not None
            samples[stem][extension] = content.read()
    return dict(samples)


def set_of(folder: Path) -> dict[str, dict[str, bytes]]:
    merged = {}
    for tar in sorted(folder.glob("*.tar")):
        merged.update(samples_of(tar))
    return merged


def pictures_of(sample: dict[str, bytes]) -> list[bytes]:
    return [content for name, content in sorted(sample.items()) if name.endswith("jpg")]


def whole_frames(video: Path) -> list[Bgr]:
    """Decode a transcoded clip in full, loop filter and all, to BGR."""
    with av.open(str(video)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        planes = [frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)]
    return [np.asarray(cv2.cvtColor(plane, cv2.COLOR_YUV2BGR_I420), np.uint8) for plane in planes]


def rgb(jpeg: bytes) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(jpeg)), np.float64)


def expected(
    frame: Bgr, crop: tuple[int, int, int, int], size: tuple[int, int], quality: int = 95
) -> NDArray[np.float64]:
    """Cut, scale and compress a whole frame."""
    x, y, w, h = crop
    shrinks = size[0] <= w and size[1] <= h
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    scaled = cv2.resize(frame[y : y + h, x : x + w], size, interpolation=method)
    return rgb(cv2.imencode(".jpg", scaled, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())


FRAMES: dict[str, Callable[[list[int], int], list[int]]] = {
    "8": lambda keys, count: keys,
    "all": lambda keys, count: keys,
    "key:2": lambda keys, count: [keys[len(keys) // 4], keys[3 * len(keys) // 4]] if len(keys) > 2 else keys,
    "key:1": lambda keys, count: [keys[len(keys) // 2]],
    "uniform:5": lambda keys, count: [(2 * n + 1) * count // 10 for n in range(5)],
    "uniform:1000": lambda keys, count: list(range(count)),
}


@pytest.mark.parametrize("aspect", ["squash", "keep"])
@pytest.mark.parametrize("frames", FRAMES)
def test_stored_frames_are_those_of_a_full_decode_cut_by_the_manifest(
    workdir: Path, frames: str, aspect: str
) -> None:
    options = ("--frames", frames, "--aspect", aspect, "--size", 64)
    ok("shard", workdir, "--crops", DEFAULT, "--name", "set", *options)
    samples = set_of(workdir / "shards/set")
    rows = read_crops(workdir / f"crops/{DEFAULT}.csv")
    assert sorted(samples) == [row.clip_id for row in rows]
    for row in rows:
        sample = samples[row.clip_id]
        note: dict[str, Any] = json.loads(sample["json"])
        video = workdir / f"transcoded/{row.clip_id}.mp4"
        stream, decoded = packets(video), whole_frames(video)
        keys = [number for number, packet in enumerate(stream) if packet["key"]]
        assert note["frame_index"] == FRAMES[frames](keys, len(stream))
        times = [stream[number]["seconds"] - stream[0]["seconds"] for number in note["frame_index"]]
        assert note["pts"] == pytest.approx(times, abs=1e-6)
        crop = (row.x or 0, row.y or 0, row.w or 0, row.h or 0)
        assert tuple(note["crop"]) == crop
        jpegs = pictures_of(sample)
        assert len(jpegs) == len(note["frame_index"])
        for jpeg, number in zip(jpegs, note["frame_index"], strict=True):
            picture = rgb(jpeg)
            size = picture.shape[1], picture.shape[0]
            short = 64 / min(crop[2:])
            assert size == ((64, 64) if aspect == "squash" else (round(crop[2] * short), 64))
            distances = [np.abs(expected(frame, crop, size) - picture).mean() for frame in decoded]
            assert distances[number] < TINY
            assert int(np.argmin(distances)) == number


def test_a_sample_says_whose_it_is(kept: Path) -> None:
    for row in read_crops(kept / f"crops/{DEFAULT}.csv"):
        samples = samples_of(kept / f"shards/{DEFAULT}/{row.split}-000000.tar")
        sample = samples[row.clip_id]
        note = json.loads(sample["json"])
        assert int(sample["cls"]) == row.label == note["label"]
        for name in ("clip_id", "label_name", "split", "group", "width", "height", "method"):
            assert note[name] == getattr(row, name), name


@pytest.mark.parametrize("quality", [30, 95])
def test_quality_and_setting_decide_the_pictures(workdir: Path, quality: int) -> None:
    ok("shard", workdir, "--setting", "efficiency", "--quality", quality, "--name", "set")
    ok("shard", workdir, "--setting", "efficiency", "--quality", quality + 5, "--name", "finer")
    sizes = []
    for name in ("set", "finer"):
        jpegs = [j for sample in set_of(workdir / "shards" / name).values() for j in pictures_of(sample)]
        assert {rgb(jpeg).shape for jpeg in jpegs} == {(192, 192, 3)}
        sizes.append(sum(map(len, jpegs)))
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("storage", ["webdataset", "parquet"])
@pytest.mark.parametrize("sample", ["clip", "frame"])
@pytest.mark.parametrize("limit", ["1", "4", "20KB"])
def test_shards_keep_to_their_size_and_no_clip_is_split(
    workdir: Path, storage: str, sample: str, limit: str
) -> None:
    options = ("--format", storage, "--sample", sample, "--shard-size", limit, "--size", 64)
    ok("shard", workdir, *options, "--name", "set")
    index = read_dataset(workdir / "shards/set", verify=True)
    names = [shard.file for shard in index.shards]
    suffix = {"webdataset": "tar", "parquet": "parquet"}[storage]
    for split in ("train", "test"):
        numbers = [name for name in names if name.startswith(split)]
        assert numbers == [f"{split}-{n:06d}.{suffix}" for n in range(len(numbers))]
    on_disk = {path.name for path in (workdir / "shards/set").iterdir()}
    assert on_disk == {*names, "dataset.json", "README.md"}
    places = defaultdict(set)
    for shard in index.shards:
        path = workdir / "shards/set" / shard.file
        if storage == "parquet":
            found = pq.read_table(path).column("clip_id").to_pylist()
        else:
            found = [json.loads(body["json"])["clip_id"] for body in samples_of(path).values()]
        assert len(found) == shard.rows
        for clip_id in found:
            places[clip_id].add(shard.file)
        if limit.isdigit() and len(set(found)) > 1:
            assert shard.rows <= int(limit)
    assert len(places) == 6
    assert all(len(files) == 1 for files in places.values())
    total = sum(shard.frames for shard in index.shards)
    assert sum(shard.rows for shard in index.shards) == (total if sample == "frame" else 6)


def test_parquet_has_the_columns_of_the_contract(workdir: Path) -> None:
    ok("shard", workdir, "--format", "parquet", "--name", "set")
    file = pq.ParquetFile(workdir / "shards/set/train-000000.parquet")
    names = file.schema_arrow.names
    contract = "clip_id label label_name split frames frame_index pts crop width height"
    assert names[:10] == contract.split()
    assert str(file.schema_arrow.field("frames").type).startswith("list<")
    assert {field.name for field in file.schema_arrow.field("frames").type.value_type} == {"bytes", "path"}
    features = json.loads(file.schema_arrow.metadata[b"huggingface"])["info"]["features"]
    assert features["label"] == {"_type": "ClassLabel", "names": ["run", "walk"]}
    assert sorted(features) == sorted(names)


def test_row_groups_hold_a_hundred_rows_or_fewer(workdir: Path) -> None:
    options = ("--format", "parquet", "--sample", "frame", "--frames", "uniform:40", "--size", 16)
    ok("shard", workdir, *options, "--name", "set")
    file = pq.ParquetFile(workdir / "shards/set/train-000000.parquet")
    rows = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert sum(rows) > 100
    assert max(rows) <= 100


def test_tar_members_carry_neither_time_nor_owner(kept: Path) -> None:
    with tarfile.open(kept / f"shards/{DEFAULT}/train-000000.tar") as archive:
        for member in archive:
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
            assert member.isreg()


def test_training_clips_are_shuffled_by_the_seed_and_the_rest_sorted(workdir: Path) -> None:
    orders = []
    for seed in (0, 1, 2, 3):
        ok("shard", workdir, "--seed", seed, "--name", "set", "--size", 16)
        orders.append(tuple(samples_of(workdir / "shards/set/train-000000.tar")))
        assert list(samples_of(workdir / "shards/set/test-000000.tar")) == [
            "run__v_run_g01_c01",
            "walk__v_walk_g01_c01",
        ]
    assert len({tuple(sorted(order)) for order in orders}) == 1
    assert len(set(orders)) > 1


def test_a_manifest_that_was_cut_for_another_video_is_not_used(workdir: Path) -> None:
    manifest = workdir / f"crops/{DEFAULT}.csv"
    manifest.write_text(manifest.read_text().replace(",128,96,", ",130,96,", 1))
    outcome = prep("shard", workdir, "--name", "set", "--jobs", 1)
    assert outcome.status == 1
    assert "bad-intermediate" in (workdir / "reports/failures.csv").read_text()


def test_a_manifest_written_by_hand_is_followed(workdir: Path) -> None:
    rows = (workdir / f"crops/{DEFAULT}.csv").read_text().splitlines()
    names = rows[0].split(",")
    by_hand = [rows[0]]
    for line in rows[1:]:
        cells = dict(zip(names, line.split(","), strict=True))
        cells |= {"x": "11", "y": "7", "w": "33", "h": "51", "area": f"{33 * 51 / (128 * 96):.6f}"}
        by_hand.append(",".join(cells.values()))
    (workdir / "crops/hand.csv").write_text("\n".join(by_hand) + "\n")
    ok("shard", workdir, "--crops", "hand", "--aspect", "keep", "--size", 33, "--quality", 100)
    for clip_id, sample in set_of(workdir / "shards/hand").items():
        picture = rgb(pictures_of(sample)[0])
        assert picture.shape == (51, 33, 3)
        number = json.loads(sample["json"])["frame_index"][0]
        frame = whole_frames(workdir / f"transcoded/{clip_id}.mp4")[number]
        assert np.abs(expected(frame, (11, 7, 33, 51), (33, 51), 100) - picture).mean() < TINY

"""What the targets begin with: small files of every form, made by the real writers."""

from __future__ import annotations

import dataclasses
import functools
import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mocrop_manifests import Clip, CropRow, DatasetIndex, ShardEntry, write_clips, write_crops, write_dataset
from mocrop_prep.appearance import Appearance
from mocrop_prep.journal import Journal, Record
from mocrop_prep.samples import Sample, SampleInfo
from mocrop_prep.shards import FORMS
from mocrop_prep.vectors import SCHEMA, ClipInfo, Vectors, VectorWriter
from mocrop_train.evaluation.predictions import ClipPrediction, Predictions, write_predictions
from PIL import Image

CLASSES = ("run", "Straße, quer")
CLIPS, FRAMES = 2, 5


def samples() -> list[Sample]:
    """Return two clips, of three frames and of two."""
    found = []
    for number, count in enumerate((3, 2)):
        info = SampleInfo(
            clip_id=f"{CLASSES[0]}__v_{number}",
            label=number,
            label_name=CLASSES[number],
            split="train",
            group=f"g{number:02d}",
            frame_index=tuple(range(0, 12 * count, 12)),
            pts=tuple(round(0.48 * frame, 6) for frame in range(count)),
            crop=(2, 0, 30, 24),
            width=32,
            height=24,
            method="mocrop-v1",
        )
        found.append(Sample(info, tuple(_jpeg(40 * number + frame) for frame in range(count))))
    return found


@functools.cache
def shard(form: str, *, per_frame: bool) -> bytes:
    """Return a shard of `samples`."""

    def write(path: Path) -> None:
        FORMS[form].write(path, samples(), per_frame=per_frame, classes=CLASSES)

    return _written(write)


def vector_rows() -> list[dict[str, int]]:
    """Return the rows of a vectors file."""
    row = {"frame": 1, "source": -1, "w": 16, "h": 16, "dst_x": 8, "dst_y": 8, "motion_x": 5, "motion_y": -3}
    return [row | {"scale": 4, "dst_x": 8 + 16 * place} for place in range(2)]


def clip_info() -> ClipInfo:
    """Return the description in a vectors file."""
    looks = Appearance((2, 2), (17, 0, 3, 250), (0, 0, 1, 0), (0, 0, 32, 24))
    return ClipInfo(32, 24, 25.0, 13, (0, 12), looks)


@functools.cache
def vectors() -> bytes:
    """Return a vectors file."""

    def write(path: Path) -> None:
        rows = vector_rows()
        columns = [np.array([row[f.name] for row in rows], f.type.to_pandas_dtype()) for f in SCHEMA]
        with VectorWriter(path, clip_info()) as writer:
            writer.add(Vectors(*columns))

    return _written(write)


def crops() -> bytes:
    """Return a crop manifest with a crop, a fallback and a failure."""
    known: dict[str, Any] = {
        "path": "run/v, 1.avi",
        "label": 0,
        "label_name": "run",
        "split": "train",
        "group": "g01",
        "method": "mocrop-v1",
        "grid": "6x8",
        "config": "0123abcd",
        "seed": 7,
    }
    seen: dict[str, Any] = {"width": 320, "height": 240, "fps": 25.0, "frames": 13, "key_frames": 2}
    box: dict[str, Any] = {"x": 40, "y": 0, "w": 240, "h": 240, "area": 0.75}
    told: dict[str, Any] = {"vectors": 900, "kept": 80, "sampled": 80, "motion_inside": 0.9, "score": 72.0}
    nothing: dict[str, Any] = dict.fromkeys((*seen, *box, *told))
    return write_crops(
        [
            CropRow(clip_id="a", status="ok", reason="", **known, **seen, **box, **told),
            CropRow(clip_id="b", status="fallback", reason="no-motion", **known, **seen, **box, **told),
            CropRow(clip_id="c", status="failed", reason="corrupt", **known, **nothing),
        ]
    ).encode()


def clips() -> bytes:
    """Return a clip list."""
    return write_clips(
        [
            Clip("run__v_1", "run/v_1.avi", 0, "run", "train", "g01"),
            Clip("walk__v_2-0123abcd", 'walk/v "2", last.avi', 1, "walk", "test", ""),
        ]
    ).encode()


def dataset() -> bytes:
    """Return the index of two shards of the sizes in SHARD_SIZES."""
    shards = [
        ShardEntry(file, split, CLIPS, FRAMES, size, 64 * "0") for (file, split), size in SHARD_SIZES.items()
    ]
    index = DatasetIndex(
        name="set",
        storage="webdataset",
        sample="clip",
        modalities=["frames"],
        classes=list(CLASSES),
        shards=shards,
        crops={"name": "mocrop-v1", "sha256": 64 * "1"},
        config={"shard": {"size": 224, "aspect": "squash"}},
        versions={"mocrop": "0.1.0"},
    )
    return write_dataset(index).encode()


SHARD_SIZES = {("train-000000.tar", "train"): 10, ("test-000000.tar", "test"): 0}


def journal() -> bytes:
    """Return the journal of three clips, one of them done twice and one failed."""

    def write(path: Path) -> None:
        with Journal(path) as records:
            records.append(
                Record("run__v_1", "0123", "failed", "corrupt", "a frame is damaged", "transcode", 0.1)
            )
            records.append(Record("run__v_1", "0123", "ok", data={"frames": 13}, seconds=0.25))
            records.append(Record("walk__v_2", "4567", "ok", data={"note": "Straße"}))

    return _written(write)


def predictions() -> bytes:
    """Return what a model said of three clips."""
    said = [
        ClipPrediction("a", "g01", 0, 0, [0.75, 0.25], 3),
        ClipPrediction("b", "g02", 1, 0, [0.5, 0.5], 2),
        ClipPrediction("c", "g02", 1, 1, [0.0, 1.0], 1),
    ]
    told: dict[str, Any] = {
        "calibration": {"nll": 0.33, "ece": 0.25, "brier": 0.2},
        "crops": "mocrop-v1",
        "shards_sha256": 64 * "0",
        "checkpoint_sha256": 64 * "1",
        "selected_on": "val",
        "seed": 3,
    }
    per_class = {"run": 1.0, "Straße, quer": 0.5}
    whole = Predictions(
        "set", "test", list(CLASSES), "resnet18", "best.pt", 2 / 3, 1.0, per_class, said, **told
    )
    return write_predictions(whole).encode()


def described(sample: Sample) -> dict[str, Any]:
    """Return a sample as a row of a Parquet shard."""
    info = dataclasses.asdict(sample.info)
    pictures = [
        {"bytes": jpeg, "path": f"{sample.info.clip_id}.{number:03d}.jpg"}
        for number, jpeg in enumerate(sample.jpegs)
    ]
    return {name: list(value) if isinstance(value, tuple) else value for name, value in info.items()} | {
        "frames": pictures
    }


def _jpeg(level: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (level, 90, 200)).save(out, "JPEG", quality=50)
    return out.getvalue()


def _written(write: Callable[[Path], object]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write(path)
        return path.read_bytes()


def as_lines(*lines: str) -> bytes:
    """Return the text of a list file."""
    return "".join(f"{line}\n" for line in lines).encode()


LISTS: Sequence[bytes] = (
    as_lines("YoYo/v_YoYo_g01_c01.avi 101", "YoYo/v_YoYo_g02_c01.avi 101"),
    as_lines("YoYo/v_YoYo_g25_c05.avi"),
    as_lines("a clip_f_cm_np1_ri_med_0.avi 1", "another.avi 2", "unused.avi 0"),
    as_lines("label,youtube_id,time_start,time_end,split", '"a, b",---0dWlqevI,19,29,train'),
    as_lines("path,label", '"a, b.mp4",walk', "run/v.mkv,run"),
)
TABLE = as_lines("path,label,split,group", '"a, b.mp4",walk,train,g01', r"run/caf\xe9.avi,run,test,")

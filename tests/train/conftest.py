"""Shard sets as the contract has them, written with tarfile and pyarrow alone."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner, Result
from mocrop_manifests import DatasetIndex, ShardEntry, write_dataset
from mocrop_train.cli import main
from numpy.typing import NDArray
from PIL import Image

from tests.commands import ok
from tests.conftest import HOLDOUT

FORMS = [("webdataset", "clip"), ("webdataset", "frame"), ("parquet", "clip"), ("parquet", "frame")]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    # the networks are tiny, and threads that wait for a busy core cost more than they give
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_page(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # half a second for each of some two hundred runs; these two look at the page, and processes write theirs
    if request.module.__name__ not in ("test_report", "test_loop"):
        monkeypatch.setattr("mocrop_train.loop.leave_report", lambda *where, **files: None)


@dataclass
class FakeClip:
    """A clip to be written: its frames are uint8 (height, width, 3); `about` is told of it instead."""

    clip_id: str
    label: int
    frames: list[NDArray[np.uint8]]
    split: str = "train"
    group: str = ""
    about: dict[str, Any] = field(default_factory=dict)


def jpeg(frame: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(frame).save(out, "JPEG", quality=90)
    return out.getvalue()


@dataclass
class ShardWriter:
    """Writes clips to one shard set; `rows_per_shard` counts clips."""

    folder: Path
    classes: Sequence[str]
    storage: str = "webdataset"
    sample: str = "clip"
    size: int = 32
    aspect: str = "squash"
    clips_per_shard: int = 1000
    rows_per_group: int = 100
    entries: list[ShardEntry] = field(default_factory=list)

    def write(self, clips: Sequence[FakeClip]) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        for split in ("train", "val", "test"):
            members = [clip for clip in clips if clip.split == split]
            for number, start in enumerate(range(0, len(members), self.clips_per_shard)):
                self._shard(split, number, members[start : start + self.clips_per_shard])
        self.index()
        return self.folder

    def index(self) -> None:
        index = DatasetIndex(
            name=self.folder.name,
            storage=self.storage,
            sample=self.sample,
            modalities=["rgb"],
            classes=list(self.classes),
            shards=self.entries,
            crops={"name": "full", "sha256": ""},
            config={"shard": {"size": self.size, "aspect": self.aspect}},
            versions={},
        )
        (self.folder / "dataset.json").write_text(write_dataset(index), encoding="utf-8")

    def _shard(self, split: str, number: int, clips: list[FakeClip]) -> None:
        suffix = "tar" if self.storage == "webdataset" else "parquet"
        path = self.folder / f"{split}-{number:06d}.{suffix}"
        (self._tar if suffix == "tar" else self._parquet)(path, clips)
        data = path.read_bytes()
        frames = sum(len(clip.frames) for clip in clips)
        rows = len(clips) if self.sample == "clip" else frames
        self.entries.append(
            ShardEntry(path.name, split, rows, frames, len(data), hashlib.sha256(data).hexdigest())
        )

    def _tar(self, path: Path, clips: list[FakeClip]) -> None:
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:

            def add(name: str, data: bytes) -> None:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))

            for clip in clips:
                label = str(clip.label).encode()
                if self.sample == "clip":
                    for position, frame in enumerate(clip.frames):
                        add(f"{clip.clip_id}.{position:03d}.jpg", jpeg(frame))
                    add(f"{clip.clip_id}.cls", label)
                    add(f"{clip.clip_id}.json", json.dumps(self._about(clip), sort_keys=True).encode())
                    continue
                for position, frame in enumerate(clip.frames):
                    key = f"{clip.clip_id}_{position:03d}"
                    single = {"frame": position, "frame_index": 12 * position, "pts": 0.5 * position}
                    add(f"{key}.jpg", jpeg(frame))
                    add(f"{key}.cls", label)
                    add(f"{key}.json", json.dumps({**self._about(clip), **single}, sort_keys=True).encode())

    def _parquet(self, path: Path, clips: list[FakeClip]) -> None:
        picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        rows: list[dict[str, Any]] = []
        types = {"label": pa.int64(), "crop": pa.list_(pa.int32()), "width": pa.int32(), "height": pa.int32()}
        for clip in clips:
            about = self._about(clip)
            pictures = [
                {"bytes": jpeg(frame), "path": f"{clip.clip_id}.{i:03d}.jpg"}
                for i, frame in enumerate(clip.frames)
            ]
            if self.sample == "clip":
                rows.append({**about, "frames": pictures})
            else:
                for i, one in enumerate(pictures):
                    rows.append({**about, "image": one, "frame_index": 12 * i, "pts": 0.5 * i})
        if self.sample == "clip":
            types |= {
                "frames": pa.list_(picture),
                "frame_index": pa.list_(pa.int32()),
                "pts": pa.list_(pa.float64()),
            }
        else:
            types |= {"image": picture, "frame_index": pa.int32(), "pts": pa.float64()}
        for name in ("clip_id", "label_name", "split", "group"):
            types[name] = pa.string()
        schema = pa.schema(list(types.items()))
        pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=self.rows_per_group)

    def _about(self, clip: FakeClip) -> dict[str, Any]:
        count = len(clip.frames)
        height, width = clip.frames[0].shape[:2]
        return {
            "clip_id": clip.clip_id,
            "label": clip.label,
            "label_name": self.classes[clip.label],
            "split": clip.split,
            "group": clip.group,
            "frame_index": [12 * i for i in range(count)],
            "pts": [0.5 * i for i in range(count)],
            "crop": [0, 0, width, height],
            "width": width,
            "height": height,
            "method": "full",
            **clip.about,
        }


def striped(
    clip_id: str,
    label: int,
    rng: np.random.Generator,
    *,
    frames: int = 4,
    size: tuple[int, int] = (32, 32),
    **who: Any,
) -> FakeClip:
    """Make a clip whose class shows in the direction of its stripes, not in its colour or brightness."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    across = {0: x, 1: y, 2: x + y}[label % 3]
    pictures = []
    for _ in range(frames):
        wave = np.sin(across * 2 * np.pi / rng.uniform(5, 7) + rng.uniform(0, 6))
        colour = rng.uniform(40, 110, 3)
        noise = rng.normal(0, 12, (height, width, 1))
        pictures.append(np.clip(128 + wave[..., None] * colour + noise, 0, 255).astype(np.uint8))
    return FakeClip(clip_id, label, pictures, **who)


class Toys:
    """What tests make their shard sets of: three classes that differ in the direction of stripes."""

    classes = ("across", "down", "slanted")

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def clip(self, clip_id: str, label: int, **options: Any) -> FakeClip:
        return striped(clip_id, label, np.random.default_rng(len(clip_id)), **options)

    def clips(
        self, *, train: int = 24, val: int = 0, test: int = 12, size: tuple[int, int] = (32, 32)
    ) -> list[FakeClip]:
        """Make clips of 1 to 6 frames, in four groups, sorted by clip_id."""
        rng = np.random.default_rng(7)
        clips = []
        for split, count in (("train", train), ("val", val), ("test", test)):
            for number in range(count):
                label = number % len(self.classes)
                name = f"{self.classes[label]}__{split}_{number:03d}"
                who = {"split": split, "group": f"g{number % 4}"}
                clips.append(striped(name, label, rng, frames=1 + number % 6, size=size, **who))
        return sorted(clips, key=lambda clip: clip.clip_id)

    def stored(self, clip: FakeClip) -> NDArray[np.uint8]:
        """Return the pixels that a clip has after JPEG, uint8 (frames, 3, height, width)."""
        pictures = [np.asarray(Image.open(io.BytesIO(jpeg(frame)))) for frame in clip.frames]
        return np.stack(pictures).transpose(0, 3, 1, 2)

    def write(self, name: str = "toy", clips: list[FakeClip] | None = None, **options: Any) -> Path:
        """Write a shard set and return its folder."""
        options.setdefault("classes", self.classes)
        return ShardWriter(self.folder / name, **options).write(self.clips() if clips is None else clips)


@pytest.fixture
def toys(tmp_path: Path) -> Toys:
    return Toys(tmp_path)


@pytest.fixture(scope="module")
def shared_toys(tmp_path_factory: pytest.TempPathFactory) -> Toys:
    """Shard sets that the tests of a module share: nothing may change them."""
    return Toys(tmp_path_factory.mktemp("toys"))


@pytest.fixture(params=FORMS, ids="-".join)
def form(request: pytest.FixtureRequest) -> dict[str, str]:
    """The four forms a shard set can have."""
    storage, sample = request.param
    return {"storage": storage, "sample": sample}


@pytest.fixture(scope="session")
def film_run(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch on shards of real films, in the WORKDIR of which it is a folder; read it only."""
    return train_on_films(source, tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="session")
def film_export(film_run: Path) -> Path:
    """The export of its best checkpoint, in all forms; read it only."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    result = call_train("--export", film_run / "export", "--checkpoint", film_run / "best.pt")
    assert result.stdout.count("same top-1 in 8 of 8 drawn frames") == 2
    assert result.stderr.split("\n") == [
        *(f"model.{form}: written and compared" for form in ("pt2", "onnx")),
        "",
    ]
    return film_run / "export"


def train_on_films(source: Path, work: Path, how: Sequence[object] = (), *options: object) -> Path:
    """Make shards of films with options of `mocrop-prep run`, train on them for an epoch, return the run."""
    ok("run", source, work, *HOLDOUT, "--size", 32, *how)
    (shards,) = (work / "shards").iterdir()
    # of all networks the one that is exported soonest, and whose scores differ after an epoch
    tiny = ("--model", "resnet18", "--epochs", 1, "--batch-size", 2, "--device", "cpu")
    call_train("--shards", shards, "--out", work / "run", *tiny, *options)
    return work / "run"


def call_train(*arguments: object) -> Result:
    """Run mocrop-train in this process; anything but success fails the test."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result

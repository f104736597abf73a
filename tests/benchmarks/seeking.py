"""A loader without shards, to compare with, and the same clips in the forms that it and the trainer read.

It does what published code with the crop in the training loop is said to do: for each clip open the video
with OpenCV, for each of 8 evenly spread frames seek and read, cut the crop of the manifest, resize to 224 px,
stack, normalise.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from mocrop_manifests import CropRow, read_crops, read_dataset
from mocrop_prep.clips.paths import unescape
from mocrop_prep.demo import make_demo
from mocrop_train.data.loading import ClipFrames
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from tests.commands import prep

REAL_CLIPS = Path(__file__).parents[2].parent / "shared" / "data" / "ucf101"
FRAMES, SIZE = 8, 224
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def seek_and_crop(video: Path, row: CropRow) -> Tensor:
    """Return 8 evenly spread frames of a video, cropped and normalised: float32 (8, 3, 224, 224)."""
    capture = cv2.VideoCapture(str(video))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    assert row.x is not None
    assert row.y is not None
    across, down = slice(row.x, row.x + (row.w or 0)), slice(row.y, row.y + (row.h or 0))
    pictures: list[NDArray[np.uint8]] = []
    for number in np.linspace(0, count - 1, FRAMES).astype(int).tolist():
        capture.set(cv2.CAP_PROP_POS_FRAMES, number)
        found, picture = capture.read()
        if found:
            cropped = cv2.cvtColor(picture[down, across], cv2.COLOR_BGR2RGB)
            pictures.append(cv2.resize(cropped, (SIZE, SIZE)).astype(np.uint8))
        else:  # a count of frames that is too high: the last one there is
            pictures.append(pictures[-1])
    capture.release()
    pixels = (np.stack(pictures).astype(np.float32) / 255 - MEAN) / STD
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


class SeekingClips(Dataset[tuple[Tensor, int]]):
    """Clips as a loader without shards has them: from the videos, by the crop manifest."""

    def __init__(self, videos: list[tuple[Path, CropRow]]) -> None:
        self._videos = videos

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, clip: int) -> tuple[Tensor, int]:
        video, row = self._videos[clip]
        return seek_and_crop(video, row), row.label


class Sets(NamedTuple):
    """The same clips as videos and as shards; `sources` and `transcoded` are in the order of the shards."""

    sources: list[tuple[Path, CropRow]]
    transcoded: list[tuple[Path, CropRow]]
    tar: ClipFrames
    parquet: ClipFrames


def make_sets(source: Path, workdir: Path, clips: int) -> Sets:
    """Run the pipeline over some clips: transcoded videos, a manifest, and shards in both forms."""
    common = ("--method", "mocrop-v1", "--name", "tar", "--keep", "--transcode", "always", "--limit", clips)
    _ok("run", source, workdir, *common, "--format", "webdataset")
    _ok("shard", workdir, "--crops", "tar", "--name", "parquet", "--format", "parquet")
    rows = {row.clip_id: row for row in read_crops(workdir / "crops" / "tar.csv")}
    folders = {form: workdir / "shards" / form for form in ("tar", "parquet")}
    opened = {form: ClipFrames(path, read_dataset(path), "train") for form, path in folders.items()}
    kept = [rows[clip.clip_id] for clip in opened["tar"].clips]
    return Sets(
        [(source / unescape(row.path), row) for row in kept],
        [(workdir / "transcoded" / f"{row.clip_id}.mp4", row) for row in kept],
        **opened,
    )


def source_of_clips(asked: Path | None, folder: Path) -> Path:
    """Return what to measure on: what was asked for, else UCF101 clips, else a demo set made in `folder`."""
    source = asked or (REAL_CLIPS if REAL_CLIPS.is_dir() else folder / "demo")
    if not source.exists():
        make_demo(source, groups=4)
    return source


def _ok(*arguments: object) -> None:
    outcome = prep(*arguments, "--quiet")
    if outcome.status:
        raise SystemExit(outcome.err)

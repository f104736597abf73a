"""A video file to the pictures that a shard set holds of it: what a trained model is to be shown."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mocrop_manifests import Clip, CropRow
from numpy.typing import NDArray

from mocrop_prep.clips.ids import clip_ids
from mocrop_prep.config import TABLES, CropSettings, ShardSettings, TranscodeSettings
from mocrop_prep.errors import UsageError
from mocrop_prep.samples import Sample, read_samples
from mocrop_prep.stages.fused import fuse_clip
from mocrop_prep.stages.transcode import carry_out, plan_clip
from mocrop_prep.worker import clip_faults


@dataclass(frozen=True, slots=True)
class CroppedVideo:
    """The pictures of a video and how they were cut.

    frames: uint8 RGB (frames, height, width, 3). row: the crop as in a manifest; label and split mean
    nothing in it. frame_index, pts: the number, from 0, and the time in seconds of each frame in the clip.
    """

    frames: NDArray[np.uint8]
    row: CropRow
    frame_index: tuple[int, ...]
    pts: tuple[float, ...]


def read_frames(video: Path, made: Mapping[str, Any], *, clip_id: str | None = None) -> NDArray[np.uint8]:
    """Return the pictures of a video as a shard set stores them, RGB (frames, height, width, 3).

    As `crop_video`, for whoever wants nothing else.
    """
    return crop_video(video, made, clip_id=clip_id).frames


def crop_video(video: Path, made: Mapping[str, Any], *, clip_id: str | None = None) -> CroppedVideo:
    """Transcode, crop and scale a video as `mocrop-prep run` does, JPEG included.

    `made` is the `config` of a set's dataset.json: with the versions of the libraries named there, pixels
    are those of the set's JPEGs to the bit. What is drawn at random depends on `clip_id`, by default that
    of a clip in a folder of its class, `<folder>__<name>`. Nothing is left on disk. Raises ClipError for a
    video that cannot be used, with the codes of a run, and UsageError for a `made` that says too little.
    """
    transcode = TranscodeSettings(**_values(made, "transcode"))
    crop = CropSettings(**_values(made, "crop"))
    shard = ShardSettings(**_values(made, "shard"))
    clip_id = clip_id or clip_ids([f"{video.absolute().parent.name}/{video.name}"])[0]
    clip = Clip(clip_id, path=video.name, label=0, label_name="", split="test", group="")
    with clip_faults(), tempfile.TemporaryDirectory(prefix="mocrop-") as name:
        row, sample = _run(video, clip, Path(name), transcode, crop, shard)
    bgr = np.stack([_decoded(jpeg) for jpeg in sample.jpegs])
    frames = np.ascontiguousarray(bgr[..., ::-1])
    return CroppedVideo(frames, row, sample.info.frame_index, sample.info.pts)


def _run(
    video: Path,
    clip: Clip,
    folder: Path,
    transcode: TranscodeSettings,
    crop: CropSettings,
    shard: ShardSettings,
) -> tuple[CropRow, Sample]:
    """Do the work of a run on one clip in a folder of its own; return its row and its sample."""
    plan = plan_clip(video, transcode)
    made, sample = folder / "clip.mp4", folder / "sample.tar"
    report = carry_out(plan, video, made, transcode)
    if plan.action == "direct":
        row, _ = fuse_clip(video, clip, sample, crop, shard, source=plan.info)
    else:
        row, _ = fuse_clip(made, clip, sample, crop, shard)
    with sample.open("rb") as stream:
        (stored,) = read_samples(stream)
    return dataclasses.replace(row, route=report["action"], damaged=report["damaged"]), stored


def _decoded(jpeg: bytes) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return np.asarray(picture, np.uint8)


def _values(made: Mapping[str, Any], stage: str) -> Mapping[str, Any]:
    """Return the settings of a stage by their names; raises UsageError for those of another release."""
    values = made.get(stage)
    if not isinstance(values, Mapping):
        raise UsageError(f"made has no settings of {stage}: it must be the `config` of a dataset.json")
    known = {field.name for field in dataclasses.fields(TABLES[stage])}  # type: ignore[arg-type]
    if unknown := ", ".join(sorted(map(str, values.keys() - known))):
        raise UsageError(f"made has settings of {stage} that this release does not know: {unknown}")
    return values

"""What a worker does for one clip of a stage: call it, publish its file whole, return the record's data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mocrop_manifests import Clip, CropRow

from mocrop_prep.config import CropSettings, ShardSettings, TranscodeSettings
from mocrop_prep.errors import ClipError
from mocrop_prep.files import publish, sha256, temporary_beside
from mocrop_prep.stages.crop import crop_clip
from mocrop_prep.stages.extract import extract_clip
from mocrop_prep.stages.fused import fuse_clip
from mocrop_prep.stages.shard import shard_clip
from mocrop_prep.stages.transcode import transcode_clip


@dataclass(frozen=True, slots=True)
class FusedJob:
    """One clip of a fused run; `reuse` says that `video` is whole, `keep` that intermediates are wanted."""

    clip: Clip
    source: Path
    video: Path
    motion: Path
    sample: Path
    transcode: TranscodeSettings
    crop: CropSettings
    shard: ShardSettings
    keep: bool
    reuse: bool


def transcode_to(source: Path, target: Path, settings: TranscodeSettings) -> dict[str, Any]:
    """Publish a transcoded clip; return the stage's report with bytes and sha256."""
    with publish(target) as temporary:
        report = transcode_clip(source, temporary, settings)
        return report | _identity(temporary)


def extract_to(video: Path, target: Path) -> dict[str, Any]:
    """Publish a clip's vectors; return the stage's report with bytes and sha256."""
    with publish(target) as temporary:
        report = extract_clip(video, temporary)
        return report | _identity(temporary)


def crop_to(motion: Path, clip: Clip, settings: CropSettings) -> dict[str, Any]:
    """Return the clip's manifest row; it is published with those of all clips."""
    return {"row": asdict(crop_clip(motion, clip, settings))}


def shard_to(video: Path, row: CropRow, target: Path, settings: ShardSettings) -> dict[str, Any]:
    """Publish a clip's sample where it waits for its shard."""
    with publish(target) as temporary:
        return {"sample": shard_clip(video, row, temporary, settings)}


def fuse_to(job: FusedJob) -> dict[str, Any]:
    """Publish a clip's sample, and its intermediates if they are kept, from one decode of each."""
    if job.reuse:
        return _fuse_video(job, job.video)
    if job.keep:
        with _blame("transcode"):
            report = transcode_to(job.source, job.video, job.transcode)
        return _fuse_video(job, job.video) | {"transcode": report}
    with temporary_beside(job.sample) as video:
        with _blame("transcode"):
            transcode_clip(job.source, video, job.transcode)
        return _fuse_video(job, video)


def _fuse_video(job: FusedJob, video: Path) -> dict[str, Any]:
    data: dict[str, Any] = {}
    with ExitStack() as stack, _blame("extract"):
        sample = stack.enter_context(publish(job.sample))
        motion = stack.enter_context(publish(job.motion)) if job.keep else None
        row, data["sample"] = fuse_clip(video, job.clip, sample, job.crop, job.shard, motion=motion)
        data["row"] = asdict(row)
        if motion is not None:
            data["extract"] = _identity(motion)
    return data


@contextmanager
def _blame(stage: str) -> Iterator[None]:
    try:
        yield
    except ClipError as error:
        raise ClipError(error.code, error.detail, error.stage or stage) from None


def _identity(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}

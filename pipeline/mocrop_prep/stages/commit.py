"""What a worker does for one clip of a stage: call it, publish its file whole, return the record's data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mocrop_manifests import Clip, CropRow
from mocrop_manifests.files import publish, sha256, temporary_beside

from mocrop_prep.config import CropSettings, ShardSettings, TranscodeSettings
from mocrop_prep.errors import ClipError
from mocrop_prep.remote import Location
from mocrop_prep.remote.fetch import at_hand
from mocrop_prep.stages.crop import crop_clip
from mocrop_prep.stages.extract import extract_clip
from mocrop_prep.stages.fused import fuse_clip
from mocrop_prep.stages.shard import shard_clip
from mocrop_prep.stages.transcode import transcode_clip


@dataclass(frozen=True, slots=True)
class FusedJob:
    """One clip of a fused run.

    `kept` is the record of a transcoded clip that can be used, or empty; `keep` says that intermediates are
    wanted.
    """

    clip: Clip
    source: Location
    video: Path
    motion: Path
    sample: Path
    transcode: TranscodeSettings
    crop: CropSettings
    shard: ShardSettings
    keep: bool
    kept: Mapping[str, Any]


def transcode_to(source: Location, target: Path, settings: TranscodeSettings) -> dict[str, Any]:
    """Publish a transcoded clip; return the stage's report with bytes and sha256, and what the source was."""
    with at_hand(source, target.parent) as (video, state), _told_of_failures({"source": state}) as known:
        return _transcode(video, target, settings) | known


def extract_to(video: Path, video_sha256: str, target: Path) -> dict[str, Any]:
    """Publish a clip's vectors; return the stage's report with bytes and sha256."""
    _check(video, video_sha256, "transcode")
    with publish(target) as temporary:
        report = extract_clip(video, temporary)
        return report | _identity(temporary)


def crop_to(motion: Path, motion_sha256: str, clip: Clip, settings: CropSettings) -> dict[str, Any]:
    """Return the clip's manifest row; it is published with those of all clips."""
    _check(motion, motion_sha256, "extract")
    return {"row": asdict(crop_clip(motion, clip, settings))}


def shard_to(
    video: Path, video_sha256: str, row: CropRow, target: Path, settings: ShardSettings
) -> dict[str, Any]:
    """Publish a clip's sample where it waits for its shard."""
    _check(video, video_sha256, "transcode")
    with publish(target) as temporary:
        report = shard_clip(video, row, temporary, settings)
        return {"sample": report | _identity(temporary)}


def fuse_to(job: FusedJob) -> dict[str, Any]:
    """Publish a clip's sample, and its intermediates if they are kept, from one decode of each."""
    if job.kept and _is(job.video, job.kept["sha256"]):
        with _told_of_failures({name: job.kept[name] for name in ("damaged", "source")}) as known:
            return _fuse_video(job, job.video) | known
    with ExitStack() as stack:
        with _blame("transcode"):
            source, state = stack.enter_context(at_hand(job.source, job.sample.parent))
        known = stack.enter_context(_told_of_failures({"source": state}))
        with _blame("transcode"):
            if job.keep:
                video = job.video
                report = _transcode(source, video, job.transcode)
                known["transcode"] = report | known
            else:
                video = stack.enter_context(temporary_beside(job.sample.with_suffix(".mp4")))
                report = transcode_clip(source, video, job.transcode)
        known["damaged"] = report["damaged"]
        return _fuse_video(job, video) | known


def _transcode(source: Path, target: Path, settings: TranscodeSettings) -> dict[str, Any]:
    with publish(target) as temporary:
        return transcode_clip(source, temporary, settings) | _identity(temporary)


def _fuse_video(job: FusedJob, video: Path) -> dict[str, Any]:
    data: dict[str, Any] = {}
    with ExitStack() as stack, _blame("extract"):
        sample = stack.enter_context(publish(job.sample))
        motion = stack.enter_context(publish(job.motion)) if job.keep else None
        row, report = fuse_clip(video, job.clip, sample, job.crop, job.shard, motion=motion)
        data |= {"row": asdict(row), "sample": report | _identity(sample)}
        if motion is not None:
            data["extract"] = _identity(motion)
    return data


@contextmanager
def _told_of_failures(known: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what is known of a clip; all of it goes into the record of a clip that fails as well.

    What the source is, before it is read: a later run that finds the same size and time, or the same content,
    knows that it is the same.
    """
    try:
        yield known
    except ClipError as error:
        error.data = known | error.data
        raise


@contextmanager
def _blame(stage: str) -> Iterator[None]:
    try:
        yield
    except ClipError as error:
        error.stage = error.stage or stage
        raise


def _check(path: Path, digest: str, stage: str) -> None:
    """Raise ClipError unless a file of an earlier stage is there as it was written.

    Damaged H.264 often decodes without complaint, so nothing less than the checksum will do.
    """
    if not _is(path, digest):
        state = "is not what was written: delete it" if path.exists() else "is gone"
        again = f"mocrop-prep {stage} SOURCE" if stage == "transcode" else f"mocrop-prep {stage}"
        raise ClipError("bad-intermediate", f"{path} {state}; run `{again} WORKDIR` again")


def _is(path: Path, digest: str) -> bool:
    try:
        return path.exists() and sha256(path) == digest
    except OSError as error:
        raise ClipError("unreadable", f"{path}: {error.strerror}") from None


def _identity(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}

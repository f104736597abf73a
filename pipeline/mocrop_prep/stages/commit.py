"""What a worker does for one clip of a stage: call it, publish its file whole, return the record's data."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mocrop_manifests import Clip, CropRow
from mocrop_manifests.files import publish, remove, sha256, temporary_beside

from mocrop_prep.clips import source_path
from mocrop_prep.config import CropSettings, ShardSettings, TranscodeSettings
from mocrop_prep.errors import ClipError
from mocrop_prep.stages.crop import crop_clip, packed
from mocrop_prep.stages.extract import extract_clip
from mocrop_prep.stages.fused import fuse_clip
from mocrop_prep.stages.shard import shard_clip
from mocrop_prep.stages.transcode import Plan, carry_out, plan_clip
from mocrop_prep.video import SourceInfo, inspect_source
from mocrop_prep.workdir import Workdir

_TOLD = ("action", "damaged", "source")  # of how a clip was transcoded, in the record of a fused run too


@dataclass(frozen=True, slots=True)
class FusedJob:
    """One clip of a fused run.

    `name` is that of the shard set that its sample is for; `key` tells it from samples of other settings.
    `kept` is what the transcode stage has on record of it, if that can be used, or empty; `keep` says that
    intermediates are wanted.
    """

    clip: Clip
    key: str
    kept: Mapping[str, Any]
    workdir: Workdir
    name: str
    transcode: TranscodeSettings
    crop: CropSettings
    shard: ShardSettings
    keep: bool

    @property
    def source(self) -> Path:
        """Return where the clip's video is."""
        return source_path(self.workdir.source, self.clip)

    @property
    def video(self) -> Path:
        """Return where its transcoded video is kept."""
        return self.workdir.transcoded(self.clip.clip_id)

    @property
    def motion(self) -> Path:
        """Return where its vectors are kept."""
        return self.workdir.motion(self.clip.clip_id)

    @property
    def sample(self) -> Path:
        """Return where its sample waits for its shard."""
        return self.workdir.sample(self.name, self.clip.clip_id, self.key)


def transcode_to(source: Path, target: Path, settings: TranscodeSettings) -> dict[str, Any]:
    """Publish a transcoded clip; return the stage's report with bytes and sha256, and what the source was.

    Of a source that is read in place these are its own, and no file is left at `target`.
    """
    with _told_of_failures({"source": _state(source)}) as known:
        plan = plan_clip(source, settings)
        return _transcode(plan, source, target, settings, known["source"]) | known


def extract_to(video: Path, video_sha256: str, target: Path, direct: bool = False) -> dict[str, Any]:
    """Publish a clip's vectors; return the stage's report with bytes and sha256.

    `direct` says that `video` is the source, read in place.
    """
    _check_video(video, video_sha256, direct=direct)
    with publish(target) as temporary:
        report = extract_clip(video, temporary, direct=direct)
        return report | _identity(temporary)


def crop_to(motion: Path, motion_sha256: str, clip: Clip, settings: CropSettings) -> dict[str, Any]:
    """Return the clip's manifest row; it is published with those of all clips."""
    _check(motion, motion_sha256, "extract")
    return {"row": packed(crop_clip(motion, clip, settings))}


def shard_to(
    video: Path,
    video_sha256: str,
    row: CropRow,
    target: Path,
    settings: ShardSettings,
    direct: bool = False,
) -> dict[str, Any]:
    """Publish a clip's sample where it waits for its shard; `direct` is that of `extract_to`."""
    _check_video(video, video_sha256, direct=direct)
    with publish(target) as temporary:
        report = shard_clip(video, row, temporary, settings, direct=direct)
        return {"sample": report | _identity(temporary)}


def fuse_to(job: FusedJob) -> dict[str, Any]:
    """Publish a clip's sample, and its intermediates if they are kept, from one decode of each."""
    if job.kept:
        direct = job.kept["action"] == "direct"
        video = job.source if direct else job.video
        if _is(video, job.kept["sha256"]):
            with _told_of_failures({name: job.kept[name] for name in _TOLD}) as known:
                return _fuse_video(job, video, inspect_source(video) if direct else None) | known
    with _told_of_failures({"source": _state(job.source)}) as known, ExitStack() as stack:
        video, info = job.video, None
        with _blame("transcode"):
            plan = plan_clip(job.source, job.transcode)
            if plan.action == "direct":
                video, info = job.source, plan.info
            if job.keep:
                report = _transcode(plan, job.source, job.video, job.transcode, known["source"])
                known["transcode"] = report | known
            else:
                if plan.action != "direct":
                    video = stack.enter_context(temporary_beside(job.sample.with_suffix(".mp4")))
                report = carry_out(plan, job.source, video, job.transcode)
        known |= {name: report[name] for name in _TOLD if name in report}
        return _fuse_video(job, video, info) | known


def _transcode(
    plan: Plan, source: Path, target: Path, settings: TranscodeSettings, state: Mapping[str, Any]
) -> dict[str, Any]:
    """Publish a transcoded clip as planned; `state` is what the source was, before it was read."""
    if plan.action == "direct":
        remove(target)  # what an earlier run may have made of it
        return carry_out(plan, source, target, settings) | {name: state[name] for name in ("bytes", "sha256")}
    with publish(target) as temporary:
        return carry_out(plan, source, temporary, settings) | _identity(temporary)


def _fuse_video(job: FusedJob, video: Path, source: SourceInfo | None) -> dict[str, Any]:
    data: dict[str, Any] = {}
    with ExitStack() as stack, _blame("extract"):
        sample = stack.enter_context(publish(job.sample))
        motion = stack.enter_context(publish(job.motion)) if job.keep else None
        row, report = fuse_clip(video, job.clip, sample, job.crop, job.shard, motion=motion, source=source)
        data |= {"row": packed(row), "sample": report | _identity(sample)}
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


def _state(source: Path) -> dict[str, Any]:
    try:
        status = source.stat()
        if not stat.S_ISREG(status.st_mode):
            return {}
        return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256(source)}
    except OSError:  # the stage says what is wrong with it
        return {}


@contextmanager
def _blame(stage: str) -> Iterator[None]:
    try:
        yield
    except ClipError as error:
        error.stage = error.stage or stage
        raise


def _check_video(video: Path, digest: str, *, direct: bool) -> None:
    """Raise ClipError unless a clip that is to be decoded is what stage 1 left, or left in place."""
    if not direct:
        _check(video, digest, "transcode")
    elif not _is(video, digest):
        state = "is no longer what it was" if video.exists() else "is gone, which is read in place"
        again = "run `mocrop-prep transcode SOURCE WORKDIR` again"
        raise ClipError("bad-intermediate", f"{video}, the source, {state}; {again}")


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

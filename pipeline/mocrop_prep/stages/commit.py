"""What a worker does for one clip of a stage: call it, publish its file whole, return the record's data."""

from __future__ import annotations

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
from mocrop_prep.remote import Location
from mocrop_prep.remote.fetch import at_hand
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
    def source(self) -> Location:
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


def transcode_to(source: Location, target: Path, settings: TranscodeSettings) -> dict[str, Any]:
    """Publish a transcoded clip; return the stage's report with bytes and sha256, and what the source was.

    Of a source that is read in place these are its own, and no file is left at `target`.
    """
    with at_hand(source, target.parent) as (video, state), _told_of_failures({"source": state}) as known:
        plan = plan_clip(video, settings)
        return _transcode(plan, video, target, settings, state) | known


def extract_to(video: Location, video_sha256: str, target: Path, direct: bool = False) -> dict[str, Any]:
    """Publish a clip's vectors; return the stage's report with bytes and sha256.

    `direct` says that `video` is the source, read in place.
    """
    with _checked(video, video_sha256, target.parent, direct=direct) as path, publish(target) as temporary:
        report = extract_clip(path, temporary, direct=direct)
        return report | _identity(temporary)


def crop_to(motion: Path, motion_sha256: str, clip: Clip, settings: CropSettings) -> dict[str, Any]:
    """Return the clip's manifest row; it is published with those of all clips."""
    _check(motion, motion_sha256, "extract")
    return {"row": packed(crop_clip(motion, clip, settings))}


def shard_to(
    video: Location,
    video_sha256: str,
    row: CropRow,
    target: Path,
    settings: ShardSettings,
    direct: bool = False,
) -> dict[str, Any]:
    """Publish a clip's sample where it waits for its shard; `direct` is that of `extract_to`."""
    with _checked(video, video_sha256, target.parent, direct=direct) as path, publish(target) as temporary:
        report = shard_clip(path, row, temporary, settings, direct=direct)
        return {"sample": report | _identity(temporary)}


def fuse_to(job: FusedJob) -> dict[str, Any]:
    """Publish a clip's sample, and its intermediates if they are kept, from one decode of each."""
    direct = job.kept.get("action") == "direct"
    if job.kept and not direct and _is(job.video, job.kept["sha256"]):
        with _told_of_failures({name: job.kept[name] for name in _TOLD}) as known:
            return _fuse_video(job, job.video, None) | known
    with ExitStack() as stack:
        with _blame("transcode"):
            source, state = stack.enter_context(at_hand(job.source, job.sample.parent))
        if direct and state.get("sha256") == job.kept["sha256"]:
            known = stack.enter_context(_told_of_failures({name: job.kept[name] for name in _TOLD}))
            return _fuse_video(job, source, inspect_source(source)) | known
        known = stack.enter_context(_told_of_failures({"source": state}))
        video, info = job.video, None
        with _blame("transcode"):
            plan = plan_clip(source, job.transcode)
            if plan.action == "direct":
                video, info = source, plan.info
            if job.keep:
                report = _transcode(plan, source, job.video, job.transcode, state)
                known["transcode"] = report | known
            else:
                if plan.action != "direct":
                    video = stack.enter_context(temporary_beside(job.sample.with_suffix(".mp4")))
                report = carry_out(plan, source, video, job.transcode)
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


@contextmanager
def _blame(stage: str) -> Iterator[None]:
    try:
        yield
    except ClipError as error:
        error.stage = error.stage or stage
        raise


@contextmanager
def _checked(video: Location, digest: str, folder: Path, *, direct: bool) -> Iterator[Path]:
    """Yield a clip that is to be decoded, if it is what stage 1 left, or left in place; raises ClipError."""
    if not direct:
        assert isinstance(video, Path), "what was transcoded is on disk"
        _check(video, digest, "transcode")
        yield video
        return
    with at_hand(video, folder) as (path, state):
        if state.get("sha256") != digest:
            what = "is no longer what it was" if state else "is gone, which is read in place"
            again = "run `mocrop-prep transcode SOURCE WORKDIR` again"
            raise ClipError("bad-intermediate", f"{video}, the source, {what}; {again}")
        yield path


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

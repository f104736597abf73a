"""What earlier stages left: the clips they could do, what failed in them, and where a clip is read from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from mocrop_manifests import Clip

from mocrop_prep.errors import UsageError
from mocrop_prep.journal import Record, Records
from mocrop_prep.remote import Location
from mocrop_prep.workflow.keys import is_direct
from mocrop_prep.workflow.session import Session


def required(session: Session, stage: str) -> Records:
    """Return the records of an earlier stage; raises UsageError if it has none of the clips."""
    records = session.workdir.journal(stage).read()
    # a part that got no clips has nothing to miss
    if session.clips and not any(clip.clip_id in records for clip in session.clips):
        source = "SOURCE " if stage == "transcode" else ""
        raise UsageError(
            f"{session.workdir.root} has nothing from {stage}: run `mocrop-prep {stage} {source}"
            f"{session.workdir.root}` first, or `mocrop-prep run --keep`"
        )
    return records


def good_clips(session: Session, records: Records) -> list[Clip]:
    """Return the clips that a stage has done without a failure."""
    clips = session.clips
    return [clip for clip in clips if clip.clip_id in records and not records.has_failed(clip.clip_id)]


def by_size(clips: Sequence[Clip], size: Callable[[Clip], int]) -> list[Clip]:
    """Return clips by falling size, so that no long clip is left for the end."""
    # two sorts that keep the order of equals take half the memory of one by both
    return sorted(sorted(clips, key=attrgetter("clip_id")), key=size, reverse=True)


def failures(stage: str, records: Records, clips: Sequence[Clip]) -> dict[str, Record]:
    """Return the records of clips that failed in a stage, marked with its name."""
    found = (records[clip.clip_id] for clip in clips if records.has_failed(clip.clip_id))
    return {record.clip_id: dataclasses.replace(record, stage=record.stage or stage) for record in found}


def video_of(session: Session, clip: Clip, video: Mapping[str, Any]) -> Location:
    """Return where a clip is read from: its source if that is read in place, else what was transcoded.

    `video` is what the transcode stage has on record of it.
    """
    return session.sources.path(clip) if is_direct(video) else session.workdir.transcoded(clip.clip_id)


def has_size(path: Path, data: Mapping[str, Any]) -> bool:
    """Say whether a file is there with the size that its record tells."""
    try:
        size: int = data["bytes"]
        return path.stat().st_size == size
    except OSError:
        return False

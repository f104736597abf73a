"""What WORKDIR holds of clips that are no longer on the clip list."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from mocrop_prep.workdir import Workdir

_KINDS = {"transcode": Workdir.transcoded, "extract": Workdir.motion}


def stale_files(workdir: Workdir, clip_ids: Collection[str]) -> list[Path]:
    """Return the files that stages made of clips other than these, sorted.

    Only what is in a journal counts: a file that this pipeline has no record of is somebody else's.
    """
    found = []
    for stage, where in _KINDS.items():
        records = workdir.journal(stage).read()
        gone = (clip_id for clip_id in records if clip_id not in clip_ids)
        found += [where(workdir, clip_id) for clip_id in gone if not records.has_failed(clip_id)]
    return sorted(path for path in found if path.exists())


def prune(workdir: Workdir, clip_ids: Collection[str]) -> list[Path]:
    """Remove the files of other clips than these and forget their records; return the files."""
    files = stale_files(workdir, clip_ids)
    for path in files:
        path.unlink()
    # the records go last: a file without a record would be nobody's
    for stage in workdir.stages():
        journal = workdir.journal(stage)
        gone = journal.read().keys() - set(clip_ids)
        if gone:
            journal.drop(gone)
    return files

"""The sets of clips that crops are measured on, brought to vectors by the project's own stages."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from mocrop_manifests import Clip
from mocrop_manifests.files import publish_text
from mocrop_prep import workflow
from mocrop_prep.clips import find_clips, spread
from mocrop_prep.config import RunSettings, TranscodeSettings
from mocrop_prep.workdir import Workdir, make_workdir

SHARED = Path(__file__).parents[3].parent / "shared"
"""The folder of real clips and weights, which some checkouts have beside them."""
QUICK = 60
"""Clips of each set in a quick run."""


@dataclass(frozen=True, slots=True)
class ClipSet:
    """A set of clips with vectors in `workdir`; the groups fall into `folds`, none of them split."""

    name: str
    workdir: Workdir
    clips: tuple[Clip, ...]
    folds: int


def ucf101(work: Path, run: RunSettings, *, quick: bool) -> ClipSet | None:
    """Return the UCF101 clips, 25 groups in 5 folds; None where they are not."""
    source = SHARED / "data" / "ucf101"
    return _staged("UCF101", source, work / "ucf101", run, quick=quick, folds=5) if source.is_dir() else None


def weizmann(work: Path, run: RunSettings, *, quick: bool) -> ClipSet | None:
    """Return the Weizmann clips, 9 actors in 3 folds; None where they are not."""
    table = weizmann_table(work)
    return _staged("Weizmann", table, work / "weizmann", run, quick=quick, folds=3) if table else None


def weizmann_table(work: Path) -> Path | None:
    """Write the source of the Weizmann clips and return it; None where they are not.

    The actor, who is the group, stands before the action in a file's name, so the source is a CSV. It lies
    beside a link to the clips: ids, and all that is drawn by them, are then the same wherever the clips are.
    """
    videos = SHARED / "data" / "weizmann"
    if not videos.is_dir():
        return None
    table, link = work / "weizmann-source" / "clips.csv", work / "weizmann-source" / "clips"
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("path", "label", "group"))
    for path in sorted(videos.glob("*/*.avi")):
        writer.writerow((f"clips/{path.parent.name}/{path.name}", path.parent.name, path.stem.split("_")[0]))
    publish_text(table, out.getvalue())
    link.unlink(missing_ok=True)
    link.symlink_to(videos.resolve(), target_is_directory=True)
    return table


def demo(videos: Path, work: Path, run: RunSettings, *, quick: bool) -> ClipSet:
    """Return the demo set's clips, which are in `videos`."""
    return _staged("demo", videos, work / "demo", run, quick=quick, folds=4)


def _staged(name: str, source: Path, home: Path, run: RunSettings, *, quick: bool, folds: int) -> ClipSet:
    """Transcode and extract what is missing; clips that fail, which is told on stderr, are left out."""
    found = find_clips(source)
    clips = spread(found.clips, QUICK) if quick else list(found.clips)
    workdir = make_workdir(home, found.root, searched=source.is_dir())
    with workdir.lock():
        workflow.save_clips(workdir, clips)
        session = workflow.Session(workdir, clips, run)
        workflow.perform(workflow.TranscodeStage(session, TranscodeSettings()))
        extracted = workflow.perform(workflow.ExtractStage(session))
    usable = sorted(clip.clip_id for clip in clips if not extracted.records[clip.clip_id].failed)
    by_id = {clip.clip_id: clip for clip in clips}
    return ClipSet(name, workdir, tuple(by_id[clip_id] for clip_id in usable), folds)

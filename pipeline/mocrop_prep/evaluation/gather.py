"""Judge many clips at once; an odd clip or box costs itself and a note."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import joblib
from mocrop_manifests import Clip, CropRow, ManifestError, read_crops

from mocrop_prep.clips import source_path
from mocrop_prep.clips.paths import remark
from mocrop_prep.config import RunSettings, TranscodeSettings
from mocrop_prep.errors import ClipError, UsageError
from mocrop_prep.evaluation.annotations import Annotation
from mocrop_prep.evaluation.candidates import Candidate
from mocrop_prep.evaluation.judge import ClipJob, Verdict, judge_clip
from mocrop_prep.progress import Progress
from mocrop_prep.runner import start_work, worker_count, workers
from mocrop_prep.workdir import Workdir


@dataclass(frozen=True, slots=True)
class Gathered:
    """The verdicts on all clips that could be judged, by clip_id; `failed` counts the others with boxes."""

    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]
    failed: int


def gather(
    workdir: Workdir,
    clips: Sequence[Clip],
    annotations: Mapping[str, Annotation],
    candidates: Sequence[Candidate],
    *,
    run: RunSettings,
    quiet: bool,
) -> Gathered:
    """Judge clips, each of which has an annotation; raises UsageError if none can be. Writes nothing."""
    jobs = _jobs(workdir, clips, annotations, candidates)
    verdicts, failures = [], {}
    with Progress("evaluate", len(jobs), quiet=quiet) as progress:
        for job, (verdict, failure) in zip(jobs, _judged(jobs, candidates, run), strict=True):
            if verdict is None:
                failures[job.clip.clip_id] = failure
            else:
                verdicts.append(verdict)
            progress.advance(failed=verdict is None)
    used = [verdict for verdict in verdicts if verdict.boxes]
    if not used:
        why = next(iter(failures.values()), "no box lies in a picture of its clip")
        raise UsageError(f"{workdir.root}: none of {len(jobs)} clips with boxes can be judged: {why}")
    notes = [*_odd_boxes(verdicts), *_odd_clips(verdicts, failures)]
    return Gathered(tuple(sorted(used, key=lambda verdict: verdict.clip_id)), tuple(notes), len(failures))


def _jobs(
    workdir: Workdir,
    clips: Sequence[Clip],
    annotations: Mapping[str, Annotation],
    candidates: Sequence[Candidate],
) -> list[ClipJob]:
    if any(candidate.settings for candidate in candidates):
        _check_vectors(workdir, clips)
    manifests = {one.name: _rows(workdir, one.name) for one in candidates if one.manifest}
    scaled = _was_scaled(workdir)
    return [
        ClipJob(
            clip,
            annotations[clip.clip_id],
            workdir.motion(clip.clip_id),
            {name: rows[clip.clip_id] for name, rows in manifests.items() if clip.clip_id in rows},
            source_path(workdir.source, clip) if scaled else None,
        )
        for clip in clips
    ]


def _judged(
    jobs: Sequence[ClipJob], candidates: Sequence[Candidate], run: RunSettings
) -> Iterator[tuple[Verdict | None, str]]:
    """Yield what came of each job, in order: a verdict, or None and the reason."""
    with workers(run, max(1, min(worker_count(run), len(jobs)))):
        calls = (joblib.delayed(_attempt)(job, candidates) for job in jobs)
        yield from start_work(calls)


def _attempt(job: ClipJob, candidates: Sequence[Candidate]) -> tuple[Verdict | None, str]:
    try:
        return judge_clip(job, candidates), ""
    except ClipError as error:
        return None, error.detail


def _check_vectors(workdir: Workdir, clips: Sequence[Clip]) -> None:
    if not any(workdir.motion(clip.clip_id).exists() for clip in clips):
        raise UsageError(
            f"{workdir.root} has no motion vectors of clips with boxes: run `mocrop-prep extract "
            f"{workdir.root}` first, or `mocrop-prep run --keep`; --crops NAME alone needs none"
        )


def _rows(workdir: Workdir, name: str) -> dict[str, CropRow]:
    try:
        return {row.clip_id: row for row in read_crops(workdir.crops(name))}
    except ManifestError as error:
        names = ", ".join(workdir.manifest_names()) or "none"
        raise UsageError(f"--crops {name}: {error} (manifests there: {names})") from None


def _was_scaled(workdir: Workdir) -> bool:
    """Say whether the clips may be smaller than their sources; raises UsageError where nothing tells."""
    settings = workdir.settings_of("transcode", TranscodeSettings)
    if settings is None:
        raise UsageError(
            f"{workdir.settings_file('transcode')} is missing or damaged, and so it is not known whether the "
            "clips were scaled from the pictures that the boxes were drawn on: run `mocrop-prep transcode "
            f"SOURCE {workdir.root}` again"
        )
    return settings.short_side is not None


def _odd_boxes(verdicts: Sequence[Verdict]) -> list[str]:
    counts = {
        "boxes in frames that their clip does not have, ignored": sum(one.late for one in verdicts),
        "boxes outside the picture or without a size, ignored": sum(one.outside for one in verdicts),
        "boxes over the edge of the picture, cut there": sum(one.cut for one in verdicts),
    }
    return [f"{what}: {count}" for what, count in counts.items() if count]


def _odd_clips(verdicts: Sequence[Verdict], failures: Mapping[str, str]) -> list[str]:
    empty = [verdict.clip_id for verdict in verdicts if not verdict.boxes]
    notes = remark("clips with none of their boxes in the picture, left out", empty)
    if failures:
        notes += remark("clips that could not be judged, left out", list(failures))
        notes.append(f"the first of them: {next(iter(failures.values()))}")
    return notes

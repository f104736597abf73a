"""Judge crops against boxes that people drew: which part of the actor does each method keep?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from mocrop_prep.boxes import read_boxes
from mocrop_prep.clips import spread
from mocrop_prep.config import METHODS, CropSettings, RunSettings
from mocrop_prep.errors import UsageError
from mocrop_prep.evaluation.annotations import by_clip
from mocrop_prep.evaluation.candidates import manifest_candidates, method_candidates
from mocrop_prep.evaluation.gather import gather
from mocrop_prep.evaluation.judge import Verdict
from mocrop_prep.evaluation.measures import Difference, Line, measure
from mocrop_prep.workdir import Workdir

AREAS = (0.75, 0.5, 0.35, 0.25)


@dataclass(frozen=True, slots=True)
class Request:
    """What to judge.

    `methods` at `areas`, all by default unless only `manifests` are named; `splits` and `limit` take a part
    of the clips that have boxes.
    """

    methods: Sequence[str] = ()
    areas: Sequence[float] = ()
    manifests: Sequence[str] = ()
    splits: Collection[str] = ()
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found: `verdicts` by clip, `lines` by candidate in the same order as the verdicts' rows.

    `notes` say what was left out; `failed` counts clips with boxes that could not be judged.
    """

    boxes: Path
    verdicts: tuple[Verdict, ...]
    lines: tuple[Line, ...]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    failed: int


def parse_areas(text: str) -> tuple[float, ...]:
    """Return the areas of a list such as `.75,.5`, each once; raises UsageError. Empty text has none."""
    areas = []
    for word in text.split(",") if text.strip() else ():
        try:
            areas.append(float(word))
        except ValueError:
            raise UsageError(f"--areas {text!r}: expected shares of the frame, such as .75,.5") from None
        CropSettings(area=areas[-1])
    return tuple(dict.fromkeys(areas))


def evaluate_crops(
    workdir: Workdir, boxes: Path, request: Request, *, run: RunSettings, quiet: bool = False
) -> Evaluation:
    """Crop every clip with boxes by every method at every area, in memory, and measure what stays inside.

    `boxes` is a CSV of clip,actor,frame,x,y,w,h in pixels of the upright source with square pixels, frames
    from 0. Vectors are those in ``motion/``; nothing is written. Raises UsageError.
    """
    only_manifests = bool(request.manifests) and not request.methods and not request.areas
    candidates = manifest_candidates(request.manifests)
    if not only_manifests:
        candidates += method_candidates(request.methods or METHODS, request.areas or AREAS)
    clips = [clip for clip in workdir.read_clips() if not request.splits or clip.split in request.splits]
    annotations, notes = by_clip(clips, read_boxes(boxes))
    if not annotations:
        example = f", such as {Path(clips[0].path).stem} or {clips[0].clip_id}" if clips else ""
        raise UsageError(
            f"--boxes {boxes}: no box is of one of the {len(clips)} clips; its column clip holds the name of "
            f"the video's file without folder and extension, or the clip_id{example}"
        )
    annotated = [clip for clip in clips if clip.clip_id in annotations]
    annotated = spread(annotated, request.limit) if request.limit else annotated
    found = gather(workdir, annotated, annotations, candidates, run=run, quiet=quiet)
    lines, differences = measure(found.verdicts, candidates)
    return Evaluation(
        boxes, found.verdicts, tuple(lines), tuple(differences), (*notes, *found.notes), found.failed
    )

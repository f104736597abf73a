"""An evaluation as tables for people, in per cent and points, and as JSON and CSV for machines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mocrop_manifests import __version__
from mocrop_manifests.files import publish_text

from mocrop_prep.errors import UsageError
from mocrop_prep.evaluation.bootstrap import DRAWS, LEVEL, Estimate
from mocrop_prep.evaluation.candidates import Candidate
from mocrop_prep.evaluation.evaluate import Evaluation
from mocrop_prep.evaluation.measures import SEED, WHOLE, Figures, is_whole

FORMAT, VERSION = "mocrop-evaluation", 1
CSV_COLUMNS = ("clip_id", "crop", "area", "x", "y", "w", "h", "frames", "inside", "whole")
_NOTE = (
    "inside: mean share of the actor in the crop; whole: frames with 95 % of the actor or more inside;",
    "tenth: the 10th percentile of the share; covers: the crop's share of the frame, mean over clips.",
    "All in per cent, over annotated frames (of several actors in a frame their mean), with the 95 %",
    "interval of a bootstrap over clips.",
)


def evaluation_lines(evaluation: Evaluation, *, markdown: bool = False) -> list[str]:
    """Return both tables with their headings."""
    frames = sum(verdict.shares.shape[1] for verdict in evaluation.verdicts)
    boxes = sum(verdict.boxes for verdict in evaluation.verdicts)
    lines = [f"{len(evaluation.verdicts)} clips, {frames} frames, {boxes} boxes", ""]
    table = markdown_table if markdown else text_table
    head = ("crop", "area", "covers", "inside", "whole", "tenth")
    rows = [
        (_name(line.candidate), _area(line.candidate), _percent(line.covers), *_cells(line.figures))
        for line in evaluation.lines
    ]
    lines += table(head, rows)
    lines += ["", *_NOTE]
    if evaluation.differences:
        lines += ["", "Paired differences in points: above 0, the first keeps more of the actor.", ""]
        head = ("first", "minus", "area", "inside", "whole", "tenth")
        pairs = [
            (_name(one.first), _name(one.other), _area(one.other), *_cells(one.figures, signed=True))
            for one in evaluation.differences
        ]
        lines += table(head, pairs)
    return lines


def evaluation_json(evaluation: Evaluation) -> str:
    """Return the figures as the text of a JSON file; shares are from 0 to 1, `area` null where its own."""
    body = {
        "format": FORMAT,
        "version": VERSION,
        "mocrop": __version__,
        "boxes": str(evaluation.boxes),
        "clips": [verdict.clip_id for verdict in evaluation.verdicts],
        "frames": sum(verdict.shares.shape[1] for verdict in evaluation.verdicts),
        "whole_from": WHOLE,
        "interval": {
            "kind": "percentile, bootstrap over clips",
            "level": LEVEL,
            "draws": DRAWS,
            "seed": SEED,
        },
        "lines": [
            {**_who(line.candidate), "covers": line.covers, **asdict(line.figures)}
            for line in evaluation.lines
        ],
        "differences": [
            {"first": _who(one.first), "minus": _who(one.other), **asdict(one.figures)}
            for one in evaluation.differences
        ],
        "notes": list(evaluation.notes),
    }
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def evaluation_csv(evaluation: Evaluation) -> str:
    """Return one row for each clip and candidate, with the columns CSV_COLUMNS."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for verdict in evaluation.verdicts:
        whole = is_whole(verdict.shares).mean(axis=1)
        for number, (line, crop) in enumerate(zip(evaluation.lines, verdict.crops, strict=True)):
            inside = verdict.shares[number]
            writer.writerow(
                (
                    verdict.clip_id,
                    line.candidate.name,
                    "" if line.candidate.area is None else f"{line.candidate.area:g}",
                    *(crop.x, crop.y, crop.w, crop.h),
                    len(inside),
                    f"{inside.mean():.6f}",
                    f"{whole[number]:.6f}",
                )
            )
    return out.getvalue()


def write_files(evaluation: Evaluation, *, json_file: Path | None, csv_file: Path | None) -> None:
    """Write the files that are asked for; raises UsageError if one cannot be written."""
    for path, form in ((json_file, evaluation_json), (csv_file, evaluation_csv)):
        if path is not None:
            try:
                publish_text(path, form(evaluation))
            except OSError as error:
                raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table with aligned columns: names to the left, `area` and what comes after to the right."""
    aligned = []
    for number, column in enumerate(zip(head, *rows, strict=True)):
        width = max(map(len, column))
        named = number < head.index("area")
        aligned.append([cell.ljust(width) if named else cell.rjust(width) for cell in column])
    return ["  ".join(cells).rstrip() for cells in zip(*aligned, strict=True)]


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table in Markdown."""
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]


def _who(candidate: Candidate) -> dict[str, Any]:
    return {"crop": candidate.name, "area": candidate.area, "manifest": candidate.manifest}


def _name(candidate: Candidate) -> str:
    return f"crops/{candidate.name}" if candidate.manifest else candidate.name


def _area(candidate: Candidate) -> str:
    if candidate.area is None:
        return "-" if candidate.manifest else "own"
    return f"{candidate.area:g}"


def _cells(figures: Figures, *, signed: bool = False) -> list[str]:
    return [estimate_cell(one, signed=signed) for one in (figures.inside, figures.whole, figures.tenth)]


def estimate_cell(one: Estimate, *, signed: bool = False) -> str:
    """Return a value with its interval in per cent, as `93.1 [90.2, 95.5]`."""
    value = _percent(one.value, signed=signed)
    if one.interval is None:
        return value
    low, high = (_percent(end, signed=signed) for end in one.interval)
    return f"{value} [{low}, {high}]"


def _percent(share: float, *, signed: bool = False) -> str:
    rounded = round(100 * share, 1) + 0.0  # no minus zero
    return f"{rounded:+.1f}" if signed else f"{rounded:.1f}"

"""Reports of a command: the failures, a summary for machines, and a table for people."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence

from mocrop_manifests import Clip
from mocrop_manifests.files import publish_text

from mocrop_prep.clips.paths import cell
from mocrop_prep.errors import CODES, FALLBACKS
from mocrop_prep.workdir import Workdir
from mocrop_prep.workflow import StageReport

FAILURE_COLUMNS = ("clip_id", "path", "stage", "code", "detail")


def write_reports(workdir: Workdir, clips: Sequence[Clip], reports: Sequence[StageReport]) -> None:
    """Write ``failures.csv`` and ``summary.json`` of a command, and tracebacks where there are any."""
    failed = [(report.stage, record) for report in reports for record in report.failed]
    ids = {record.clip_id for _, record in failed}
    paths = {clip.clip_id: clip.path for clip in clips if clip.clip_id in ids}
    failures = [
        (record.clip_id, paths[record.clip_id], record.stage or stage, record.code, cell(record.detail))
        for stage, record in failed
    ]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(FAILURE_COLUMNS)
    writer.writerows(sorted(failures))
    publish_text(workdir.reports / "failures.csv", out.getvalue())
    tracebacks = [f"{record.clip_id}\n{record.traceback}" for _, record in failed if record.traceback]
    if tracebacks:
        publish_text(workdir.reports / "tracebacks.txt", "\n".join(tracebacks))
    else:
        (workdir.reports / "tracebacks.txt").unlink(missing_ok=True)
    summary = {"stages": [_summary(report) for report in reports]}
    publish_text(workdir.reports / "summary.json", json.dumps(summary, indent=2, sort_keys=True) + "\n")


def summary_table(reports: Sequence[StageReport]) -> list[str]:
    """Return the lines that a command ends with: a row per stage, what came out, and why clips failed."""
    lines = [f"{'stage':<24}{'clips':>7}{'new':>7}{'done before':>13}{'failed':>8}{'seconds':>9}"]
    for report in reports:
        clips = len(report.records)
        lines.append(
            f"{report.stage:<24}{clips:>7}{clips - report.reused:>7}{report.reused:>13}"
            f"{len(report.failed):>8}{report.seconds:>9.1f}"
        )
    for report in reports:
        lines += [f"  {line}" for line in report.lines]
    codes = Counter(record.code for report in reports for record in report.failed)
    lines += [f"  {count} failed with {code}: {CODES[code]}" for code, count in sorted(codes.items())]
    reasons = sum((report.fallbacks for report in reports), Counter[str]())
    lines += [f"  {count} fell back, {code}: {FALLBACKS[code]}" for code, count in sorted(reasons.items())]
    return lines


def _summary(report: StageReport) -> dict[str, object]:
    return {
        "stage": report.stage,
        "clips": len(report.records),
        "reused": report.reused,
        "failed": dict(Counter(record.code for record in report.failed)),
        "status": dict(report.status),
        "routes": dict(report.routes),
        "seconds": round(report.seconds, 3),
        "worker_seconds": round(report.worker_seconds, 3),
    }

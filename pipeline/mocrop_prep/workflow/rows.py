"""The rows of the crop manifest, from the records of the stages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mocrop_manifests import Clip, CropRow, RowCount
from mocrop_manifests.crops import ROUTES, STATUSES, scan_crops
from mocrop_manifests.files import publish_text, sha256
from mocrop_manifests.versions import newest_version

from mocrop_prep.config import CropSettings
from mocrop_prep.journal import Record, Records, fingerprint
from mocrop_prep.stages.crop import failed_row, unpacked
from mocrop_prep.workdir import Workdir
from mocrop_prep.workflow.stage import Stage
from mocrop_prep.workflow.tables import MANIFEST, publish_table


def manifest_row(clip: Clip, settings: CropSettings, chain: Sequence[Record | None]) -> CropRow:
    """Return the row of a clip from its records, earliest stage first; any failure makes it a failed row."""
    known = [record for record in chain if record is not None]
    # a clip that was copied shows its damage only when it is decoded, so the last word counts
    counts = [record.data["damaged"] for record in known if "damaged" in record.data]
    damaged = counts[-1] if counts else None
    route = next((record.data["action"] for record in known if "action" in record.data), None)
    for record in known:
        if record.failed:
            return replace(failed_row(clip, record.code, settings), damaged=damaged, route=route)
    last = chain[-1]
    if last is None:
        return failed_row(clip, "bad-intermediate", settings)
    return unpacked(last.data["row"], damaged=damaged, route=route)


def publish_rows(
    stage: Stage,
    table: Path,
    rows: Iterable[CropRow],
    known: Sequence[Records],
    settings: CropSettings,
) -> RowCount:
    """Write the manifest of a stage, unless all that it is made from is as it was; return what it comes to.

    `known` are the records that `rows`, one for each clip of the session, are made from.
    """
    made_from = _origin(stage.session.clips, known, settings)
    noted = _noted(stage.workdir, stage.name, table)
    if noted and noted[0] == made_from:
        return noted[1]
    count = RowCount()
    publish_table(stage.workdir, table, MANIFEST, count.counted(rows))
    note = {"made_from": made_from, "sha256": sha256(table), "count": count.as_dict()}
    publish_text(_note(stage.workdir, stage.name), json.dumps(note))
    return count


def count_rows(workdir: Workdir, name: str) -> RowCount:
    """Return what a manifest comes to: as it was noted, or by reading it. Raises ManifestError."""
    table = workdir.crops(name)
    for stage in (f"run-{name}", f"crop-{name}"):
        noted = _noted(workdir, stage, table)
        if noted:
            return noted[1]
    return RowCount(scan_crops(table))


def _origin(clips: Iterable[Clip], known: Sequence[Records], settings: CropSettings) -> str:
    """Return a hash of what rows are made from: a key stands for all that a record of no failure says."""
    digest = hashlib.sha256()
    for clip in clips:
        parts = [clip, *(_state(records, clip.clip_id) for records in known)]
        digest.update(repr(parts).encode("utf-8", "surrogateescape"))
    return fingerprint(digest.hexdigest(), settings.digest(), newest_version(CropRow))


def _state(records: Records, clip_id: str) -> tuple[object, ...]:
    if not records.has_failed(clip_id):
        return (records.key(clip_id),)
    record = records[clip_id]
    return record.key, record.code, record.data.get("damaged"), record.data.get("action")


def _note(workdir: Workdir, stage: str) -> Path:
    return workdir.root / "journal" / f"{stage}.rows.json"


def _noted(workdir: Workdir, stage: str, table: Path) -> tuple[str, RowCount] | None:
    """Return what a manifest was made from and comes to; None if that is not known of the file as it is."""
    try:
        note = json.loads(_note(workdir, stage).read_bytes())
        if note["sha256"] == sha256(table):
            return note["made_from"], RowCount.from_dict(note["count"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass  # there is none, or it rotted
    return None


def describe_rows(path: Path, count: RowCount) -> str:
    """Say in one line what is in a crop manifest."""
    status = ", ".join(f"{count.status[status]} {status}" for status in STATUSES)
    return f"{path}: {status}; {describe_routes(count.routes)}"


def describe_routes(routes: Mapping[Any, int]) -> str:
    """Say how many clips came to be read in which way, as far as it is known: `3 encode, 5 direct`."""
    known = [f"{routes[route]} {route}" for route in ROUTES if routes.get(route)]
    return ", ".join(known) or "routes not known"

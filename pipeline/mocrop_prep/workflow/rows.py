"""The rows of the crop manifest, from the records of the stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mocrop_manifests import Clip, CropRow, RowCount
from mocrop_manifests.crops import STATUSES

from mocrop_prep.config import CropSettings
from mocrop_prep.journal import Record
from mocrop_prep.stages.crop import failed_row, unpacked


def manifest_row(clip: Clip, settings: CropSettings, chain: Sequence[Record | None]) -> CropRow:
    """Return the row of a clip from its records, earliest stage first; any failure makes it a failed row."""
    known = [record for record in chain if record is not None]
    # a clip that was copied shows its damage only when it is decoded, so the last word counts
    counts = [record.data["damaged"] for record in known if "damaged" in record.data]
    damaged = counts[-1] if counts else None
    for record in known:
        if record.failed:
            return replace(failed_row(clip, record.code, settings), damaged=damaged)
    last = chain[-1]
    if last is None:
        return failed_row(clip, "bad-intermediate", settings)
    return replace(unpacked(last.data["row"]), damaged=damaged)


def describe_rows(path: Path, count: RowCount) -> str:
    """Say in one line what is in a crop manifest."""
    return f"{path}: " + ", ".join(f"{count.status[status]} {status}" for status in STATUSES)

"""The rows of the crop manifest, from the records of the stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from mocrop_manifests import Clip, CropRow
from mocrop_manifests.crops import ROUTES, STATUSES

from mocrop_prep.config import CropSettings
from mocrop_prep.journal import Record
from mocrop_prep.stages.crop import failed_row


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
    return replace(CropRow(**last.data["row"]), damaged=damaged, route=route)


def describe_rows(path: Path, rows: Sequence[CropRow]) -> str:
    """Say in one line what is in a crop manifest."""
    counts = {status: sum(row.status == status for row in rows) for status in STATUSES}
    read = describe_routes(row.route for row in rows)
    return f"{path}: " + ", ".join(f"{count} {status}" for status, count in counts.items()) + f"; {read}"


def describe_routes(routes: Iterable[str | None]) -> str:
    """Say how clips came to be read, as far as it is known: `3 encode, 5 direct`."""
    counts = Counter(routes)
    return ", ".join(f"{counts[route]} {route}" for route in ROUTES if counts[route]) or "routes not known"

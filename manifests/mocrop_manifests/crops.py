"""The crop manifest, ``crops/<name>.csv``: one inspectable row per clip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mocrop_manifests.clips import MOST_CLASSES, SPLITS, Ids
from mocrop_manifests.errors import ManifestError
from mocrop_manifests.extras import Extras
from mocrop_manifests.tables import column, format_rows, scan_rows
from mocrop_manifests.versions import add_columns, versioned

STATUSES = ("ok", "fallback", "failed")
ROUTES = ("copy", "encode", "direct")


@versioned(
    add_columns("confidence", "damaged"),  # version 2
    add_columns("route"),  # version 3
)
@dataclass(frozen=True, slots=True)
class CropRow:
    """One clip and its crop; the measured columns are None for a clip that failed before they were known."""

    clip_id: str = column("name of the clip in every output")
    path: str = column("the video's path below SOURCE, with `/`")
    label: int = column(
        "class index, from 0, in the order of the sorted class names", low=0, high=MOST_CLASSES - 1
    )
    label_name: str = column("class name")
    split: str = column("part of the data set", choices=SPLITS)
    group: str = column("clips that must stay in one split share it; empty if unknown")
    status: str = column("`ok`, `fallback` (the centre was taken) or `failed`", choices=STATUSES)
    reason: str = column("one code: why it fell back or failed; empty if ok")
    width: int | None = column("width of the upright clip", unit="px")
    height: int | None = column("height of the upright clip", unit="px")
    fps: float | None = column("mean frame rate", unit="frames/s")
    frames: int | None = column("decoded frames of the clip")
    key_frames: int | None = column("key frames among them")
    x: int | None = column("left edge of the crop", unit="px")
    y: int | None = column("top edge of the crop", unit="px")
    w: int | None = column("width of the crop", unit="px")
    h: int | None = column("height of the crop", unit="px")
    area: float | None = column("w*h / (width*height)", unit="share")
    method: str = column("crop method, for example `mocrop-v1`")
    grid: str = column("rows x columns of the density map")
    vectors: int | None = column("motion vectors exported by the decoder")
    kept: int | None = column("vectors left after denoising")
    sampled: int | None = column("vectors left after sampling")
    motion_inside: float | None = column(
        "share of the motion density that lies inside the crop", unit="share"
    )
    score: float | None = column("the window's score under its method; empty for controls and fallbacks")
    seed: int | None = column("sampling seed of this clip, derived from --seed and clip_id")
    config: str = column("short hash of the crop configuration")
    confidence: float | None = column(
        "how sure the method is of its crop, 0 to 1; empty for methods that do not say",
        unit="share",
        default=None,
    )
    damaged: int | None = column(
        "packets or frames of the source that were damaged; empty if not known", low=0, default=None
    )
    route: str | None = column(
        "how the clip came to be read: `copy` or `encode` made H.264 of the source, `direct` read the source "
        "itself; empty if not known",
        choices=ROUTES,
        default=None,
    )


class RowCount:
    """What a crop manifest comes to, counted while its rows pass: it may be too long to be kept.

    `status` and `routes` count rows; `reasons` those that give a reason, `fallbacks` those of them that fell
    back. `names` are the class names by label, `method` is that of the first row.
    """

    def __init__(self, rows: Iterable[CropRow] = ()) -> None:
        self.status: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.fallbacks: Counter[str] = Counter()
        self.routes: Counter[str] = Counter()
        self.names: dict[int, str] = {}
        self.method = ""
        for _ in self.counted(rows):
            pass

    def counted(self, rows: Iterable[CropRow]) -> Iterator[CropRow]:
        """Yield the rows, and count them."""
        for row in rows:
            self.add(row.status, row.reason, row.route or "", row.method)
            self.names[row.label] = row.label_name
            yield row

    def add(self, status: str, reason: str, route: str, method: str) -> None:
        """Count a row by its cells, but for the name of its class."""
        self.status[status] += 1
        if reason:
            self.reasons[reason] += 1
        if status == "fallback":
            self.fallbacks[reason] += 1
        if route:
            self.routes[route] += 1
        self.method = self.method or method

    def update(self, other: RowCount) -> None:
        """Add the counts of other rows."""
        for mine, theirs in zip(self._counters(), other._counters(), strict=True):
            mine.update(theirs)
        self.names |= other.names
        self.method = self.method or other.method

    def _counters(self) -> tuple[Counter[str], ...]:
        return self.status, self.reasons, self.fallbacks, self.routes

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as JSON holds them."""
        return {
            "status": self.status,
            "reasons": self.reasons,
            "fallbacks": self.fallbacks,
            "routes": self.routes,
            "names": {str(label): name for label, name in self.names.items()},
            "method": self.method,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RowCount:
        """Return the counts that `as_dict` gave; raises KeyError, TypeError or ValueError for others."""
        count = cls()
        count.status, count.reasons, count.fallbacks, count.routes = (
            Counter(values[name]) for name in ("status", "reasons", "fallbacks", "routes")
        )
        count.names = {int(label): str(name) for label, name in values["names"].items()}
        count.method = values["method"]
        return count


def class_names(names: Mapping[int, str], listed: Sequence[str] = ()) -> list[str]:
    """Return the class names by label; one that neither `names` nor the list has is named by its number."""
    known = {**dict(enumerate(listed)), **names}
    return [known.get(label, f"class-{label}") for label in range(max(known, default=-1) + 1)]


def write_crops(rows: Iterable[CropRow], extras: Extras | None = None) -> str:
    """Return the text of a crop manifest, sorted by clip_id, with the columns of others that are kept."""
    return format_rows(CropRow, sorted(rows, key=lambda row: row.clip_id), extras)


def read_crops(path: Path) -> list[CropRow]:
    """Read and validate a crop manifest of any version; raises ManifestError with line and column."""
    return list(scan_crops(path))


def scan_crops(path: Path) -> Iterator[CropRow]:
    """Yield the rows of a crop manifest as `read_crops` has them, one after the other."""
    ids = Ids(path)
    for line, row in scan_rows(CropRow, path):
        ids.check(line, row.clip_id)
        problem = _problem(row)
        if problem:
            raise ManifestError(f"{path}:{line}: column {problem}")
        yield row


def _problem(row: CropRow) -> str:
    """Return the column at fault and what is wrong with it; empty for a row that agrees with itself."""
    if row.status == "failed":
        return "" if row.reason else "reason: empty; a failed clip needs a reason"
    if (row.status == "fallback") != bool(row.reason):
        return f"reason: {row.reason[:60]!r} does not go with status {row.status}"
    for name in ("width", "height", "x", "y", "w", "h", "frames", "area"):
        if getattr(row, name) is None:
            return f"{name}: empty; a clip with status {row.status} needs a size and a crop"
    return _outside(row)


def _outside(row: CropRow) -> str:
    width, height, x, y, w, h = (int(n or 0) for n in (row.width, row.height, row.x, row.y, row.w, row.h))
    faults = {
        "w": not 1 <= w <= width,
        "h": not 1 <= h <= height,
        "x": not 0 <= x <= width - w,
        "y": not 0 <= y <= height - h,
    }
    name = next((name for name, wrong in faults.items() if wrong), "")
    return f"{name}: crop {w}x{h}+{x}+{y} is not inside the frame of {width}x{height}" if name else ""

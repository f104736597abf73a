"""What a worker makes of one clip: everything that its card shows of the video, ready for the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mocrop_manifests import CropRow

from mocrop_prep.preview.arrows import arrow_path, moving, thinned
from mocrop_prep.preview.draw import density_png, frame_webp
from mocrop_prep.preview.evidence import Evidence, Recipe, gather
from mocrop_prep.workdir import Workdir


@dataclass(frozen=True, slots=True)
class Exhibit:
    """A clip's pictures as text; mappings go by manifest name.

    `picture` is a data: URI of frame number `frame`, empty if it cannot be had. `arrows` is an SVG path of
    the motion from there to the next frame; `vectors` are counts: of that motion's vectors, of those that
    move, and of the arrows drawn. `densities` are data: URIs, `fullest` the shares of the fullest cells.
    """

    picture: str = ""
    frame: int = 0
    arrows: str = ""
    vectors: tuple[int, int, int] = (0, 0, 0)
    densities: Mapping[str, str] = field(default_factory=dict)
    fullest: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def exhibit_clip(workdir: Workdir, rows: Mapping[str, CropRow], recipe: Recipe) -> dict[str, Any]:
    """Return the fields of the Exhibit of a clip; `rows` are its crops by manifest name, at least one."""
    evidence = gather(workdir, rows, recipe)
    row = next(iter(rows.values()))
    arrows, vectors = _arrows(evidence, row.width or 1, row.height or 1)
    cells = {name: choice.density.cells for name, choice in evidence.choices.items()}
    exhibit = Exhibit(
        picture="" if evidence.picture is None else frame_webp(evidence.picture),
        frame=evidence.frame,
        arrows=arrows,
        vectors=vectors,
        densities={name: density_png(some) for name, some in cells.items()},
        fullest={name: float(some.max() / some.sum()) for name, some in cells.items() if some.any()},
        notes=evidence.notes,
    )
    return asdict(exhibit)


def _arrows(evidence: Evidence, width: int, height: int) -> tuple[str, tuple[int, int, int]]:
    if evidence.flow is None:
        return "", (0, 0, 0)
    flow = evidence.flow
    drawn = thinned(flow, width, height)
    counts = (len(flow.points), int(moving(flow).sum()), len(drawn.points))
    return arrow_path(drawn, width, height), counts

"""What is judged: methods at areas, their own sizes, the centre of equal size, and manifests as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mocrop_manifests import CropRow

from mocrop_prep.config import METHODS, CropSettings
from mocrop_prep.geometry import Box, Lattice
from mocrop_prep.methods import center_square_box, grid_of

DEFAULT_METHOD: str = CropSettings().method
MATCHED = "center-matched"
"""The control of a method that sizes its crops itself: for each clip the centred square of that size."""
_SELF_SIZED = frozenset({"foreground"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to crop every clip.

    `name` is a method, MATCHED or a manifest; `area` the share of the frame asked for, None where the
    candidate has sizes of its own. `settings` choose its crops; None for MATCHED and manifests.
    """

    name: str
    area: float | None
    settings: CropSettings | None
    manifest: bool = False


def method_candidates(methods: Sequence[str], areas: Sequence[float]) -> list[Candidate]:
    """Return the methods at every area, and `full` once; raises UsageError for an area that no window has.

    The default method is always among them. Methods that size their crops themselves come with these sizes
    too, and the default method then with MATCHED beside it.
    """
    wanted = [name for name in METHODS if name in {*methods, DEFAULT_METHOD}]
    found = []
    if "full" in wanted:
        found.append(Candidate("full", 1.0, CropSettings(method="full")))
    for name in wanted:
        if sizes_itself(name):
            found.append(Candidate(name, None, CropSettings(method=name)))
            found += [Candidate(MATCHED, None, None)] if name == DEFAULT_METHOD else []
    for area in dict.fromkeys(areas):
        for name in wanted:
            if name != "full":
                settings = CropSettings(method=name, area=area)
                grid_of(settings)
                found.append(Candidate(name, area, settings))
    return found


def manifest_candidates(names: Sequence[str]) -> list[Candidate]:
    """Return the manifests, each once."""
    return [Candidate(name, None, None, manifest=True) for name in dict.fromkeys(names)]


def reference_of(candidate: Candidate, candidates: Sequence[Candidate]) -> Candidate | None:
    """Return what a candidate is compared with: the default method at its area, or the first manifest.

    None for a candidate without such, and for the reference itself.
    """
    for other in candidates:
        alike = other.manifest == candidate.manifest and other.area == candidate.area
        if alike and (other.manifest or other.name == DEFAULT_METHOD):
            return None if other is candidate else other
    return None


def matched_center(crop: Box, width: int, height: int) -> Box:
    """Return the centred square of the crop's area, or the largest that fits the frame."""
    return center_square_box(Lattice(1, 1, width, height), crop.w * crop.h / (width * height))


def sizes_itself(method: str) -> bool:
    """Say whether a method chooses the size of each crop where no area is asked for."""
    return method in _SELF_SIZED


def row_box(row: CropRow) -> Box | None:
    """Return the crop of a manifest row, None if the clip failed."""
    if row.x is None or row.y is None or row.w is None or row.h is None:
        return None
    return Box(row.x, row.y, row.w, row.h)

"""Choosers of methods with a part left out: nothing here chooses but what the pipeline has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mocrop_manifests import Clip
from mocrop_prep.appearance import Appearance, coarse_lattice
from mocrop_prep.config import CropSettings
from mocrop_prep.foreground.density import PARTS, Parts
from mocrop_prep.foreground.framing import FRAMING, ForegroundChooser, Framing
from mocrop_prep.geometry import Box, Lattice
from mocrop_prep.methods import Choice, Chooser, CropChooser, center_box
from mocrop_prep.motion import IMPORTANCE, Importance, clip_seed
from mocrop_prep.placement import DensityIntegral, best_placement, sizes_of_area
from mocrop_prep.vectors import ClipInfo, Vectors

Place = Callable[[Choice, ClipInfo], Box]


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper's method or a control; `place` puts the window found elsewhere, or in another shape."""

    settings: CropSettings
    importance: Importance = IMPORTANCE
    place: Place | None = None

    def __call__(self, clip: Clip, info: ClipInfo, area: float | None) -> Chooser:
        """Return the chooser of one clip, with the clip's own sampling seed."""
        settings = replace(self.settings, area=area)
        seed = clip_seed(settings.seed, clip.clip_id)
        chooser = CropChooser(settings, info.width, info.height, seed, importance=self.importance)
        return chooser if self.place is None else _Moved(chooser, info, self.place)


@dataclass(frozen=True, slots=True)
class Foreground:
    """The default method; `fineness` is cells of the density along one of the coarse lattice, None its own.

    Without `border` all of the frame counts as picture.
    """

    parts: Parts = PARTS
    framing: Framing = FRAMING
    fineness: float | None = None
    border: bool = True

    def __call__(self, clip: Clip, info: ClipInfo, area: float | None) -> Chooser:
        """Return the chooser of one clip."""
        del clip
        settings = CropSettings(method="foreground", area=area)
        if self.fineness is not None:
            coarse = coarse_lattice(info.width, info.height)
            rows, columns = (max(1, round(self.fineness * side)) for side in (coarse.rows, coarse.columns))
            settings = replace(settings, grid=f"{rows}x{columns}")
        if not self.border and info.appearance is not None:
            whole = replace(info.appearance, content=(0, 0, info.width, info.height))
            info = replace(info, appearance=whole)
        return ForegroundChooser(settings, info, parts=self.parts, framing=self.framing)


def centred(choice: Choice, info: ClipInfo) -> Box:
    """Return the centred box of the frame's shape and of the choice's area."""
    return center_box(Lattice(1, 1, info.width, info.height), _share(choice.box, info))


def squared(choice: Choice, info: ClipInfo) -> Box:
    """Return the square of the choice's area, to the pixel, that holds the most of its density.

    Where the frame is too low for such a square: its whole height, and the width that makes the area.
    """
    rows, columns = choice.density.cells.shape
    lattice = Lattice(rows, columns, info.width, info.height)
    candidates = sizes_of_area(info.width, info.height, _share(choice.box, info), step=1, low=1, high=1)
    found = best_placement(DensityIntegral(choice.density.cells, lattice), candidates, 1)
    return Box(found.x, found.y, found.w, found.h)


def _share(box: Box, info: ClipInfo) -> float:
    return box.w * box.h / (info.width * info.height)


class _Moved:
    """A chooser whose crop is then placed by another rule; a fallback stays what it is."""

    def __init__(self, chooser: Chooser, info: ClipInfo, place: Place) -> None:
        self._chooser, self._info, self._place = chooser, info, place

    def add(self, vectors: Vectors) -> None:
        self._chooser.add(vectors)

    def choose(self, appearance: Appearance | None = None) -> Choice:
        choice = self._chooser.choose(appearance)
        return choice if choice.reason else replace(choice, box=self._place(choice, self._info))

"""What table 1 is made of: crops at two sizes, what trains on which, and who is tested when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mocrop_manifests import Clip
from mocrop_prep.clips.splits import hold_out
from mocrop_prep.config import SETTINGS

CROPS = ("full", "center-square", "center", "random", "mocrop-v1", "mocrop-v2", "foreground")
"""The controls first, then the paper's methods, then ours."""
REFERENCES = ("full", "center-square")
SIZES = tuple(SETTINGS.values())
OFFICIAL = "1-7"
"""The test groups of UCF101's first official split."""
FOLDS = 5


@dataclass(frozen=True, slots=True, order=True)
class Variant:
    """One crop of every clip, stored at `size` px: a shard set."""

    crop: str
    size: int

    def __str__(self) -> str:
        return f"{self.crop}-{self.size}"


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """What a checkpoint was trained on, and what it is tested on."""

    train: Variant
    test: Variant

    @property
    def sizes(self) -> tuple[int, int]:
        """Return the sizes in training and in the test, in px."""
        return self.train.size, self.test.size


@dataclass(frozen=True, slots=True)
class Division:
    """The clips that are tested once the others have trained; no group is on both sides."""

    name: str
    tested: frozenset[str]


def size_pairs(sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Return the pairs of sizes, in training and in the test, that the table shows.

    The checkpoint of the largest, which is the first, at every size, and each smaller one with itself.
    """
    return [(sizes[0], size) for size in sizes] + [(size, size) for size in sizes[1:]]


def cells(crops: Sequence[str], sizes: Sequence[int]) -> list[Cell]:
    """Return every cell once.

    For each pair of sizes: the checkpoint of whole frames tested on every crop (nothing trained for the
    crop), and every crop's own checkpoint tested on that crop.
    """
    pairs = size_pairs(sizes)
    same = [Cell(Variant("full", a), Variant(crop, b)) for a, b in pairs for crop in crops]
    own = [Cell(Variant(crop, a), Variant(crop, b)) for a, b in pairs for crop in crops]
    return list(dict.fromkeys([*same, *own]))


def by_training(wanted: Iterable[Cell]) -> dict[Variant, list[Variant]]:
    """Return what each training set's checkpoint is tested on."""
    found: dict[Variant, list[Variant]] = {}
    for cell in wanted:
        found.setdefault(cell.train, []).append(cell.test)
    return found


def folds(clips: Sequence[Clip]) -> list[Division]:
    """Return divisions that test every clip once, trained without any clip of its group.

    Folds are runs of whole groups in the order of their names.
    """
    groups = sorted({clip.group for clip in clips})
    count = min(FOLDS, len(groups))
    held = [groups[i * len(groups) // count : (i + 1) * len(groups) // count] for i in range(count)]
    return [held_out(f"fold{number}", clips, ",".join(names)) for number, names in enumerate(held)]


def held_out(name: str, clips: Sequence[Clip], groups: str) -> Division:
    """Return the division that tests `groups`, written as for `mocrop-prep run --holdout-groups`."""
    tested = (clip.clip_id for clip in hold_out(clips, groups) if clip.split == "test")
    return Division(name, frozenset(tested))


def settings_of(wanted: Sequence[Cell]) -> Iterator[tuple[str, tuple[int, int], list[Cell]]]:
    """Yield the parts of the table: `full` or `own` as what trains, the sizes, and the cells, one a crop."""
    for sizes in dict.fromkeys(cell.sizes for cell in wanted):
        some = [cell for cell in wanted if cell.sizes == sizes]
        yield "full", sizes, [cell for cell in some if cell.train.crop == "full"]
        yield "own", sizes, [cell for cell in some if cell.train.crop == cell.test.crop]

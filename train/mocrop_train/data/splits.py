"""Which clips a run trains on, which choose its best epoch, and which it is tested on.

The best epoch is chosen on the split `val`. Shards without one give a part of their training groups for it,
so that nothing is chosen on `test`.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mocrop_manifests import DatasetIndex

from mocrop_train.config import TrainConfig
from mocrop_train.data.loading import ClipFrames, open_splits, spread
from mocrop_train.data.shards import ClipEntry
from mocrop_train.errors import TrainError, printable
from mocrop_train.progress import log

VAL, TRAIN_GROUPS, TEST, LAST = SELECTED_ON = ("val", "train groups", "test", "last")
OPTIMISTIC = "selected on test: optimistic, not a result to report"


@dataclass(frozen=True, slots=True)
class Selection:
    """What the best epoch is chosen on: one of SELECTED_ON; `last` is none, the last epoch is kept.

    clips, groups: what is held out of training for it, by name, sorted; a clip without a group is one of
    its own and is not listed under groups.
    """

    on: str
    clips: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Division:
    """The clips of a run by their use: `train`, `val` (chooses the epoch) and `test`, if there are any."""

    sources: dict[str, ClipFrames]
    selection: Selection


@dataclass(slots=True)
class _Group:
    """Clips that stay together, by position, and how many there are of each class."""

    name: str
    clips: list[int]
    classes: Counter[int]


def divide(shards: Path, index: DatasetIndex, config: TrainConfig) -> Division:
    """Open the splits of a shard set and say what the best epoch is chosen on.

    What is held out of training follows from the clips of the split, their groups and the seed: not from
    `limit`, which is applied to each part afterwards. Raises TrainError if there is nothing to learn from,
    or nothing to peek at.
    """
    sources = open_splits(shards, index)
    if "train" not in sources:
        raise TrainError(f"{shards}: no clips in split train; there are {', '.join(sources) or 'none'}")
    selection = _selection(shards, sources, config)
    if selection.on == TEST:
        sources["val"] = sources["test"]
    elif selection.on == TRAIN_GROUPS:
        train, held = sources["train"], set(selection.clips)
        away = [clip.clip_id in held for clip in train.clips]
        sources["val"] = train.part([at for at, held_out in enumerate(away) if held_out])
        sources["train"] = train.part([at for at, held_out in enumerate(away) if not held_out])
    if config.limit is not None:
        sources = {
            split: source.part(spread(len(source.clips), config.limit)) for split, source in sources.items()
        }
    _check_classes(shards, index, sources["train"].clips, config.limit)
    return Division(sources, selection)


def hold_out(clips: Sequence[ClipEntry], share: float, seed: int) -> list[int]:
    """Return the positions of clips to validate on, about `share` of them, in whole groups.

    The class of which the smallest share is held out so far gives the next of its groups, in the order of a
    hash of seed and name. A group is passed over if a class would be left without training clips, or if it
    would take what is held out further from `share` than it is. So classes are covered as far as the share
    goes, and what is held out is a function of seed and clips, in whatever order they come.
    """
    groups = _groups(clips)
    stored = Counter(clip.label for clip in clips)
    left = stored.copy()
    waiting = _by_class(groups, seed)
    room = share * len(clips)
    # (share of the class that is held out, class), the smallest first
    queue = [(0.0, label) for label in sorted(stored)]
    seen: set[str] = set()
    held: list[int] = []
    while queue and room > 0:
        known, label = heapq.heappop(queue)
        now = 1 - left[label] / stored[label]
        if now > known:  # groups of other classes hold clips of this one
            heapq.heappush(queue, (now, label))
            continue
        group = next((group for group in waiting[label] if group.name not in seen), None)
        if group is None:
            continue
        seen.add(group.name)
        if len(group.clips) <= 2 * room and _spared(group, left):
            left -= group.classes
            room -= len(group.clips)
            held += group.clips
        heapq.heappush(queue, (now, label))
    return sorted(held)


def _selection(shards: Path, sources: dict[str, ClipFrames], config: TrainConfig) -> Selection:
    """Decide what the best epoch is chosen on, and say so in one line."""
    if config.peek_at_test:
        if "test" not in sources:
            raise TrainError(f"--peek-at-test: {shards} has no clips in split test; leave the option out")
        log.warning("--peek-at-test: the best epoch is chosen on the split test, whose result is optimistic")
        return Selection(TEST)
    if "val" in sources:
        log.info("the best epoch is chosen on the %d clips of split val", len(sources["val"].clips))
        return Selection(VAL)
    clips = sources["train"].clips
    if not config.val_share:
        log.info("no split val and --val-share 0: the last epoch is kept")
        return Selection(LAST)
    held = [clips[at] for at in hold_out(clips, config.val_share, config.seed)]
    if not held:
        log.warning("no split val, and %s: the last epoch is kept", _why_none(clips, config.val_share))
        return Selection(LAST)
    groups = {clip.group for clip in held if clip.group}
    single = sum(not clip.group for clip in held)
    log.info(
        "%d of %d training clips are held out to choose the best epoch (groups: %d%s)",
        len(held),
        len(clips),
        len(groups) + single,
        "; a clip without a known group is one of its own" if single else "",
    )
    return Selection(TRAIN_GROUPS, tuple(sorted(clip.clip_id for clip in held)), tuple(sorted(groups)))


def _groups(clips: Sequence[ClipEntry]) -> list[_Group]:
    """Put clips of one group together; a clip without one is a group of its own."""
    found: dict[str, _Group] = {}
    for at, clip in enumerate(clips):
        # no clip id holds a space, so none is mistaken for a group
        name = f"group {clip.group}" if clip.group else f"clip {clip.clip_id}"
        group = found.setdefault(name, _Group(name, [], Counter()))
        group.clips.append(at)
        group.classes[clip.label] += 1
    return list(found.values())


def _by_class(groups: list[_Group], seed: int) -> dict[int, Iterator[_Group]]:
    """Return the groups that hold clips of each class, in the order of a hash."""
    found: defaultdict[int, list[_Group]] = defaultdict(list)
    for group in sorted(groups, key=lambda group: hashlib.sha256(f"{seed} {group.name}".encode()).digest()):
        for label in group.classes:
            found[label].append(group)
    return {label: iter(members) for label, members in found.items()}


def _spared(group: _Group, left: Counter[int]) -> bool:
    """Say whether every class keeps training clips without a group."""
    return all(left[label] > count for label, count in group.classes.items())


def _why_none(clips: Sequence[ClipEntry], share: float) -> str:
    groups = _groups(clips)
    if len(groups) == 1:
        return "all training clips are of one group"
    everywhere = Counter(clip.label for clip in clips)
    sizes = [len(group.clips) for group in groups if _spared(group, everywhere)]
    if not sizes:
        return "every training group holds all clips of a class"
    return (
        f"the smallest group that can be held out has {min(sizes)} of {len(clips)} training clips, too many "
        f"for --val-share {share}"
    )


def _check_classes(shards: Path, index: DatasetIndex, clips: Sequence[ClipEntry], limit: int | None) -> None:
    """Raise TrainError unless there are two classes to tell apart; name those without training clips."""
    names = index.classes
    if limit is not None and limit < len(names):
        raise TrainError(
            f"--limit {limit}: fewer clips than the {len(names)} classes; give {len(names)} or more"
        )
    present = {clip.label for clip in clips}
    if len(present) == 1:
        only = printable(names[present.pop()])
        raise TrainError(
            f"{shards}: all training clips are of one class, {only}; there is nothing to tell apart"
        )
    absent = [printable(name) for label, name in enumerate(names) if label not in present]
    if absent:
        log.warning(
            "%d of %d classes have no training clips and will not be learned: %s",
            len(absent),
            len(names),
            ", ".join(absent),
        )

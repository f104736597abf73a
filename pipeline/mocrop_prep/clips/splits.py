"""Decide splits: hold groups out for test, set groups aside for validation, and never split a group."""

from __future__ import annotations

import hashlib
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mocrop_manifests import Clip

from mocrop_prep.clips.paths import cell, short, shown, unescape
from mocrop_prep.errors import UsageError

_GROUP_IN_NAME = re.compile(r"_g(\d{1,9})_c\d+")
_NUMBERED = re.compile(r"g?(\d{1,9})", re.IGNORECASE)
_RANGE = re.compile(r"g?(\d{1,9})\s*-\s*g?(\d{1,9})", re.IGNORECASE)


def group_of(path: str) -> str:
    """Return the group that a file name states as UCF101 does, `_g07_c01` giving `g07`; else empty."""
    found = _GROUP_IN_NAME.search(path.rsplit("/", 1)[-1])
    return sys.intern(f"g{int(found[1]):02d}") if found else ""  # many clips share one


def hold_out(clips: Sequence[Clip], groups: str) -> list[Clip]:
    """Return the clips with those of the named groups in split test and all others in train.

    `groups` lists names and numbers with commas: `1-7`, `1-3,8`, `daria,denis`. A number means g07, 07 and 7
    alike. Raises UsageError if an item names no group, or if nothing is left to train on.
    """
    existing = sorted({clip.group for clip in clips if clip.group})
    held: set[str] = set()
    for item in (part.strip() for part in groups.split(",")):
        if item:
            named = _groups_named(item, existing)
            if not named:
                raise UsageError(f"--holdout-groups: {short(item)} names no group; {_have(existing)}")
            held.update(named)
    if not held:
        raise UsageError(f"--holdout-groups: '{short(groups)}' names no group; {_have(existing)}")
    if all(clip.group in held for clip in clips):
        raise UsageError(f"--holdout-groups: {short(groups)} leaves no clip to train on; {_have(existing)}")
    return [_with_split(clip, "test" if clip.group in held else "train") for clip in clips]


def _groups_named(item: str, existing: list[str]) -> list[str]:
    bounds = None if item in existing else _RANGE.fullmatch(item)
    single = _NUMBERED.fullmatch(item)
    if bounds:
        low, high = int(bounds[1]), int(bounds[2])
    elif single:
        low = high = int(single[1])
    else:
        # as the group is named, or as the table has it
        return [name for name in dict.fromkeys((item, cell(item))) if name in existing]
    return [group for group in existing if (n := _NUMBERED.fullmatch(group)) and low <= int(n[1]) <= high]


def _have(existing: list[str]) -> str:
    if not existing:
        return "no clip has a group: groups come from names like v_X_g07_c01.avi or a CSV's group column"
    return f"the groups are {shown([unescape(group) for group in existing])}"


@dataclass(frozen=True, slots=True)
class _Unit:
    """Clips that go to a split together; `key` decides when it is their turn."""

    key: str
    clips: list[Clip]


def set_aside(clips: Sequence[Clip], fraction: float, seed: int) -> tuple[list[Clip], list[str]]:
    """Move a share of the training groups to split val, and say what was done.

    Groups are shuffled by sha256 of seed and name, the first `fraction` of them is taken, at least one; a
    group is the same in all classes. Clips without a group are drawn one by one, class by class. What would
    leave a class without a training clip is passed over for the next in turn.
    """
    train = [clip for clip in clips if clip.split == "train"]
    left = Counter(clip.label_name for clip in train)
    chosen: set[str] = set()
    short = 0
    for units in _draws(train):
        wanted = max(1, round(fraction * len(units)))
        for unit in sorted(units, key=lambda unit: hashlib.sha256(f"{seed}|{unit.key}".encode()).digest()):
            if not wanted:
                break
            loss = Counter(clip.label_name for clip in unit.clips)
            if any(left[label] <= n for label, n in loss.items()):
                continue
            left -= loss
            chosen.update(clip.clip_id for clip in unit.clips)
            wanted -= 1
        short += wanted
    notes = [f"validation: {len(chosen)} of {len(train)} training clips set aside"]
    if short:
        notes.append(
            f"validation: {short} groups or clips short of the share; more would leave a class untrained"
        )
    return [_with_split(clip, "val") if clip.clip_id in chosen else clip for clip in clips], notes


def _with_split(clip: Clip, split: str) -> Clip:
    return clip if clip.split == split else replace(clip, split=split)


def _draws(train: Sequence[Clip]) -> list[list[_Unit]]:
    grouped: dict[str, list[Clip]] = defaultdict(list)
    alone: dict[str, list[_Unit]] = defaultdict(list)
    for clip in train:
        if clip.group:
            grouped[clip.group].append(clip)
        else:
            alone[clip.label_name].append(_Unit(clip.clip_id, [clip]))
    groups = [_Unit(group, members) for group, members in grouped.items()]
    return ([groups] if groups else []) + [alone[label] for label in sorted(alone)]

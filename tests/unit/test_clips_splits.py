"""Hold-outs, validation shares and limits: no group in two splits, no class without training clips."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mocrop_manifests import Clip
from mocrop_prep.clips import ClipList, find_clips
from mocrop_prep.clips.splits import hold_out, set_aside
from mocrop_prep.errors import UsageError

groups = st.sampled_from(["", "g01", "g02", "g03", "g10", "daria", "denis"])
clip_lists = st.lists(st.tuples(st.integers(0, 3), groups), min_size=1, max_size=40)


def clips_of(members: Sequence[tuple[int, str]]) -> list[Clip]:
    return [
        Clip(f"clip{number:03d}", f"c{label}/{number}.avi", label, f"c{label}", "train", group)
        for number, (label, group) in enumerate(members)
    ]


def ucf(
    folder: Path, classes: Sequence[str] = ("Dive", "Run"), numbers: Sequence[int] = range(1, 26)
) -> Path:
    """Make the tree of a small UCF101: two empty clips for each group of each class."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in numbers:
            for clip in (1, 2):
                (folder / name / f"v_{name}_g{number:02d}_c{clip:02d}.avi").touch()
    return folder


def groups_in(found: ClipList, split: str) -> set[str]:
    return {clip.group for clip in found.clips if clip.split == split}


def splits_of_groups(clips: Sequence[Clip]) -> dict[str, set[str]]:
    splits: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        if clip.group:
            splits[clip.group].add(clip.split)
    return splits


@pytest.mark.parametrize(
    ("holdout", "held"),
    [
        ("1-7", {f"g{n:02d}" for n in range(1, 8)}),
        ("1-3,8", {"g01", "g02", "g03", "g08"}),
        ("07", {"g07"}),
        (" g5 - g6 , 9,", {"g05", "g06", "g09"}),
    ],
)
def test_numbers_hold_out_the_groups_of_ucf101_names(tmp_path: Path, holdout: str, held: set[str]) -> None:
    found = find_clips(ucf(tmp_path), holdout_groups=holdout)
    assert groups_in(found, "test") == held
    assert groups_in(found, "train") == {f"g{n:02d}" for n in range(1, 26)} - held


@pytest.mark.parametrize(
    ("holdout", "held"),
    [("daria,denis", {"daria", "denis"}), ("7", {"7", "07"}), ("1-7", {"1-7"}), ("0-8", {"7", "07"})],
)
def test_groups_of_a_table_are_held_out_by_name_or_number(
    tmp_path: Path, holdout: str, held: set[str]
) -> None:
    rows = [f"{n}.avi,run,{group}\n" for n, group in enumerate(["daria", "denis", "7", "07", "1-7", ""])]
    (tmp_path / "clips.csv").write_text("path,label,group\n" + "".join(rows))
    found = find_clips(tmp_path / "clips.csv", holdout_groups=holdout)
    assert groups_in(found, "test") == held


@pytest.mark.parametrize(
    ("holdout", "message"),
    [
        ("30-40", r"30-40 names no group; the groups are g01, g02, g03 and 22 more"),
        ("daria", r"daria names no group"),
        ("1-3,99", r"99 names no group"),
        ("7-1", r"7-1 names no group"),
        (",", r"names no group"),
        ("1-25", r"leaves no clip to train on; the groups are g01"),
    ],
)
def test_a_holdout_that_matches_nothing_or_everything_is_refused(
    tmp_path: Path, holdout: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        find_clips(ucf(tmp_path), holdout_groups=holdout)


def test_a_holdout_without_any_groups_says_where_groups_come_from(tmp_path: Path) -> None:
    (tmp_path / "a.avi").touch()
    with pytest.raises(UsageError, match="no clip has a group"):
        find_clips(tmp_path, holdout_groups="1")


def test_two_sources_of_splits_are_refused(tmp_path: Path) -> None:
    source = ucf(tmp_path / "source")
    test_list = tmp_path / "testlist01.txt"
    test_list.write_text("Dive/v_Dive_g01_c01.avi\n")
    table = tmp_path / "clips.csv"
    table.write_text("path,label,split,group\na.avi,run,train,g01\nb.avi,run,,g02\n")
    split_folders = ucf(tmp_path / "folders", classes=["train", "test"])
    with pytest.raises(UsageError, match="--holdout-groups and the list files"):
        find_clips(source, test_lists=[test_list], holdout_groups="1")
    test_list.write_text("Dive/v_Dive_g99_c01.avi\n")
    train_list = tmp_path / "trainlist01.txt"
    train_list.write_text("Dive/v_Dive_g01_c01.avi\nDive/v_Dive_g02_c01.avi\n")
    with pytest.raises(UsageError, match="--holdout-groups and the list files"):
        find_clips(source, train_lists=[train_list], test_lists=[test_list], holdout_groups="1")
    with pytest.raises(UsageError, match="--holdout-groups and the split column"):
        find_clips(table, holdout_groups="1")
    with pytest.raises(UsageError, match="--holdout-groups and the split folders"):
        find_clips(split_folders, holdout_groups="1")


def test_an_empty_split_column_and_a_train_list_leave_the_splits_open(tmp_path: Path) -> None:
    table = tmp_path / "clips.csv"
    table.write_text("path,label,split,group\na.avi,run,,g01\nb.avi,run,,g02\n")
    assert groups_in(find_clips(table, holdout_groups="1"), "test") == {"g01"}
    train_list = tmp_path / "trainlist01.txt"
    train_list.write_text("Dive/v_Dive_g01_c01.avi\nDive/v_Dive_g02_c01.avi\n")
    found = find_clips(ucf(tmp_path / "source"), train_lists=[train_list], holdout_groups="1")
    assert [(clip.group, clip.split) for clip in found.clips] == [("g01", "test"), ("g02", "train")]


def test_validation_is_asked_for_once(tmp_path: Path) -> None:
    table = tmp_path / "clips.csv"
    table.write_text("path,label,split\na.avi,run,val\nb.avi,run,train\n")
    with pytest.raises(UsageError, match="--val-fraction and the split column"):
        find_clips(table, val_fraction=0.5)


def test_the_validation_share_is_the_first_groups_in_the_order_of_their_hashes(tmp_path: Path) -> None:
    found = find_clips(ucf(tmp_path), holdout_groups="1-7", val_fraction=0.2, seed=3)
    train = [f"g{n:02d}" for n in range(8, 26)]
    order = sorted(train, key=lambda group: hashlib.sha256(f"3|{group}".encode()).digest())
    assert groups_in(found, "val") == set(order[:4])
    assert groups_in(found, "test") == {f"g{n:02d}" for n in range(1, 8)}
    assert any("validation: 16 of 72 training clips" in note for note in found.notes)


def test_another_seed_draws_other_groups_and_the_same_seed_the_same(tmp_path: Path) -> None:
    source = ucf(tmp_path)
    draws = [groups_in(find_clips(source, val_fraction=0.2, seed=seed), "val") for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_a_small_share_still_takes_one_group() -> None:
    clips, _ = set_aside(clips_of([(0, "a"), (0, "b"), (0, "c")]), 0.01, 0)
    assert Counter(clip.split for clip in clips) == {"val": 1, "train": 2}


def test_clips_without_groups_are_drawn_class_by_class() -> None:
    clips, _ = set_aside(clips_of([(label, "") for label in (0, 1) for _ in range(10)]), 0.3, 0)
    assert Counter(clip.label for clip in clips if clip.split == "val") == {0: 3, 1: 3}


def test_a_group_that_is_all_of_a_class_stays_in_train_and_is_noted() -> None:
    clips, notes = set_aside(clips_of([(0, "a"), (1, "b"), (1, "c")]), 0.99, 0)
    assert next(clip.split for clip in clips if clip.group == "a") == "train"
    assert Counter(clip.split for clip in clips) == {"train": 2, "val": 1}
    assert any("2 groups or clips short of the share" in note for note in notes)


@given(clip_lists, st.floats(0.001, 0.999), st.integers(0, 5))
def test_validation_never_splits_a_group_nor_empties_a_class(
    members: list[tuple[int, str]], fraction: float, seed: int
) -> None:
    before = clips_of(members)
    after, _ = set_aside(before, fraction, seed)
    assert [clip.clip_id for clip in after] == [clip.clip_id for clip in before]
    assert all(len(splits) == 1 for splits in splits_of_groups(after).values())
    assert {clip.label for clip in after if clip.split == "train"} == {clip.label for clip in before}
    assert {clip.clip_id: clip.split for clip in set_aside(before[::-1], fraction, seed)[0]} == {
        clip.clip_id: clip.split for clip in after
    }


@given(clip_lists, st.sets(groups.filter(bool), min_size=1), st.floats(0.0, 0.9))
def test_holdouts_and_validation_together_never_split_a_group(
    members: list[tuple[int, str]], held: set[str], fraction: float
) -> None:
    try:
        clips = hold_out(clips_of(members), ",".join(sorted(held)))
    except UsageError:
        existing = {group for _, group in members}
        assert not held <= existing or existing <= held
        return
    if fraction:
        clips, _ = set_aside(clips, fraction, 0)
    assert all(len(splits) == 1 for splits in splits_of_groups(clips).values())
    assert {clip.group for clip in clips if clip.split == "test"} == held
    assert any(clip.split == "train" for clip in clips)


def test_a_limit_takes_turns_among_classes_and_keeps_labels_and_ids(tmp_path: Path) -> None:
    source = ucf(tmp_path, classes=["A", "B", "C"])
    (source / "D").mkdir()
    (source / "D" / "only.avi").touch()
    everything = {clip.clip_id: clip for clip in find_clips(source).clips}
    found = find_clips(source, limit=10)
    assert Counter(clip.label_name for clip in found.clips) == {"A": 3, "B": 3, "C": 3, "D": 1}
    assert all(everything[clip.clip_id] == clip for clip in found.clips)
    assert [clip.clip_id for clip in found.clips if clip.label_name == "A"] == [
        "A__v_A_g01_c01",
        "A__v_A_g01_c02",
        "A__v_A_g02_c01",
    ]
    assert any("limit: 10 of 151 clips" in note for note in found.notes)


def test_a_limited_run_has_every_split_of_every_class(tmp_path: Path) -> None:
    found = find_clips(ucf(tmp_path), holdout_groups="1-7", val_fraction=0.1, limit=6)
    assert {(clip.label_name, clip.split) for clip in found.clips} == {
        (name, split) for name in ("Dive", "Run") for split in ("train", "val", "test")
    }


def test_a_limit_of_one_clip_a_class_takes_training_clips(tmp_path: Path) -> None:
    found = find_clips(ucf(tmp_path), holdout_groups="1-7", val_fraction=0.1, limit=2)
    assert {(clip.label_name, clip.split) for clip in found.clips} == {("Dive", "train"), ("Run", "train")}


def test_a_smaller_limit_gives_a_subset_and_a_large_one_everything(tmp_path: Path) -> None:
    source = ucf(tmp_path)
    kept = [{clip.clip_id for clip in find_clips(source, limit=limit).clips} for limit in (3, 10, 1000)]
    assert kept[0] < kept[1] < kept[2]
    assert len(kept[2]) == 100


def test_classes_without_training_clips_are_noted(tmp_path: Path) -> None:
    ucf(tmp_path, classes=["Run"])
    ucf(tmp_path, classes=["Dive"], numbers=[1])
    found = find_clips(tmp_path, holdout_groups="1-7")
    assert any("classes without a training clip: 1 (Dive)" in note for note in found.notes)

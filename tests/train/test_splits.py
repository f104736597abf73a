"""What the best epoch is chosen on: whole training groups are held out for it; test is read at the end."""

from __future__ import annotations

import dataclasses
import json
import logging
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mocrop_manifests import read_dataset
from mocrop_train import loop
from mocrop_train.config import TrainConfig
from mocrop_train.data.loading import ClipFrames
from mocrop_train.data.shards import ClipEntry
from mocrop_train.data.splits import LAST, TEST, TRAIN_GROUPS, VAL, divide, hold_out
from mocrop_train.errors import TrainError
from mocrop_train.evaluation.predictions import read_predictions
from mocrop_train.run import checkpoint

TINY = TrainConfig(model="mobilenet_v2", epochs=2, batch_size=8, device="cpu", workers=0, segments=2)


def named(who: list[tuple[int, str]]) -> list[ClipEntry]:
    return [ClipEntry(f"clip_{at:03d}", label, group, 1) for at, (label, group) in enumerate(who)]


# classes and groups in any relation: groups of one class or of many, large and small, and clips without one
clip_sets = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(["", "", "a", "b", "c", "d", "e", "f", "g"])),
    min_size=1,
    max_size=60,
).map(named)
shares = st.floats(0.01, 0.5)
seeds = st.integers(0, 2**32)


def ids(clips: list[ClipEntry], share: float, seed: int) -> set[str]:
    return {clips[at].clip_id for at in hold_out(clips, share, seed)}


def unit(clip: ClipEntry) -> str:
    return clip.group or clip.clip_id


@settings(deadline=None)
@given(clip_sets, shares, seeds)
def test_groups_are_never_split(clips: list[ClipEntry], share: float, seed: int) -> None:
    held = ids(clips, share, seed)
    sides = defaultdict(set)
    for clip in clips:
        sides[unit(clip)].add(clip.clip_id in held)
    assert all(len(side) == 1 for side in sides.values())


@settings(deadline=None)
@given(clip_sets, shares, seeds)
def test_every_class_keeps_training_clips(clips: list[ClipEntry], share: float, seed: int) -> None:
    held = ids(clips, share, seed)
    assert {clip.label for clip in clips} == {clip.label for clip in clips if clip.clip_id not in held}


@settings(deadline=None)
@given(clip_sets, shares, seeds)
def test_what_is_held_out_is_as_near_to_the_share_as_one_more_group_allows(
    clips: list[ClipEntry], share: float, seed: int
) -> None:
    held = ids(clips, share, seed)
    off = abs(len(held) - share * len(clips))
    members = defaultdict(list)
    for clip in clips:
        members[unit(clip)].append(clip)
    stays = Counter(clip.label for clip in clips if clip.clip_id not in held)
    for group in members.values():
        inside = Counter(clip.label for clip in group)
        could_go = group[0].clip_id not in held and all(stays[label] > inside[label] for label in inside)
        if could_go:
            assert abs(len(held) + len(group) - share * len(clips)) >= off - 1e-9
    assert len(held) <= share * len(clips) + max(len(group) for group in members.values()) / 2


@settings(deadline=None)
@given(clip_sets, shares, seeds, st.randoms(use_true_random=False))
def test_the_order_of_the_clips_is_of_no_matter(
    clips: list[ClipEntry], share: float, seed: int, shuffler: random.Random
) -> None:
    held = ids(clips, share, seed)
    other = shuffler.sample(clips, len(clips))
    assert ids(other, share, seed) == held


@settings(deadline=None)
@given(st.lists(st.integers(2, 15), min_size=1, max_size=6), st.floats(0.05, 0.5), seeds)
def test_classes_are_held_out_evenly_where_clips_have_no_groups(
    counts: list[int], share: float, seed: int
) -> None:
    clips = named([(label, "") for label, count in enumerate(counts) for _ in range(count)])
    held = Counter(clips[at].label for at in hold_out(clips, share, seed))
    assert abs(held.total() - share * len(clips)) <= 0.5 + 1e-9 or held.total() == len(clips) - len(counts)
    assert (set(held) == set(range(len(counts)))) == (held.total() >= len(counts))
    for label, count in enumerate(counts):
        for other, others in enumerate(counts):
            if held[other] < others - 1:  # it still had one to give, so it was not passed over for this one
                assert (held[label] - 1) / count <= held[other] / others


def test_seeds_hold_out_different_groups() -> None:
    clips = named([(at % 3, f"g{at // 3}") for at in range(60)])
    assert len({frozenset(ids(clips, 0.15, seed)) for seed in range(8)}) > 3
    assert all(len(ids(clips, 0.15, seed)) == 9 for seed in range(8))


def test_many_clips_are_divided_at_once() -> None:
    clips = named([(at % 101, "" if at % 2 else f"g{at % 25}") for at in range(20_000)])
    assert len(hold_out(clips, 0.15, 0)) == pytest.approx(3000, abs=800)


def divided(folder: Path, **options: Any) -> Any:
    return divide(folder, read_dataset(folder), dataclasses.replace(TINY, **options))


def test_storages_and_the_order_of_files_give_one_division(toys: Any) -> None:
    clips = toys.clips()
    found = [
        divided(toys.write("tar", clips)),
        divided(toys.write("parquet", clips, storage="parquet", rows_per_group=5)),
        divided(toys.write("many", clips[::-1], clips_per_shard=7)),
    ]
    assert found[0].selection.on == TRAIN_GROUPS
    assert len({division.selection for division in found}) == 1
    first = found[0]
    assert {clip.clip_id for clip in first.sources["val"].clips} == set(first.selection.clips)
    assert {clip.group for clip in first.sources["val"].clips} == set(first.selection.groups)
    trained = {clip.group for clip in first.sources["train"].clips}
    assert trained.isdisjoint(first.selection.groups)
    both = [clip.clip_id for use in ("train", "val") for clip in first.sources[use].clips]
    assert sorted(both) == [clip.clip_id for clip in clips if clip.split == "train"]


def test_a_limit_moves_no_clip_from_one_side_to_the_other(toys: Any) -> None:
    folder = toys.write()
    whole, less = divided(folder), divided(folder, limit=5)
    assert less.selection == whole.selection
    for use in ("train", "val", "test"):
        few = {clip.clip_id for clip in less.sources[use].clips}
        assert len(few) == 5
        assert few < {clip.clip_id for clip in whole.sources[use].clips}


def test_parts_of_a_split_hold_the_frames_of_their_clips_in_its_chunks(
    toys: Any, form: dict[str, str]
) -> None:
    folder = toys.write(clips_per_shard=9, rows_per_group=4, **form)
    source = ClipFrames(folder, read_dataset(folder), "train")
    kept = [0, 3, 4, 10, 11, 20]
    part = source.part(kept)
    assert [clip.clip_id for clip in part.clips] == [source.clips[at].clip_id for at in kept]
    assert [clip for chunk in part.chunks for clip in chunk] == list(range(len(kept)))
    place = {at: number for number, chunk in enumerate(source.chunks) for at in chunk}
    for chunk in part.chunks:
        assert len({place[kept[clip]] for clip in chunk}) == 1
    for clip, at in enumerate(kept):
        frames = range(part.clips[clip].frames)
        assert part.read(clip, frames).equal(source.read(at, frames))
    assert len(source.clips) == 24


def test_a_split_val_is_used_where_there_is_one(toys: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        division = divided(toys.write(clips=toys.clips(val=6)))
    assert division.selection.on == VAL
    assert (len(division.sources["train"].clips), len(division.sources["val"].clips)) == (24, 6)
    assert caplog.messages == ["the best epoch is chosen on the 6 clips of split val"]


def test_the_division_is_said_in_one_line(toys: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        divided(toys.write())
    assert caplog.messages == ["6 of 24 training clips are held out to choose the best epoch (groups: 1)"]


def test_clips_without_groups_are_groups_of_their_own_and_that_is_said(
    toys: Any, caplog: pytest.LogCaptureFixture
) -> None:
    clips = [dataclasses.replace(clip, group="") for clip in toys.clips()]
    with caplog.at_level(logging.INFO):
        division = divided(toys.write(clips=clips))
    assert len(division.selection.clips) in (3, 4)
    assert len({clip.label for clip in division.sources["val"].clips}) == 3
    assert division.selection.groups == ()
    assert "a clip without a known group is one of its own" in caplog.text


@pytest.mark.parametrize(
    ("group_of", "why"),
    [
        (lambda at: "only", "all training clips are of one group"),
        (lambda at: f"g{at % 3}", "every training group holds all clips of a class"),
        (
            lambda at: f"g{at % 2}",
            "the smallest group that can be held out has 12 of 24 training clips",
        ),
    ],
)
def test_where_nothing_can_be_held_out_one_line_says_why(
    toys: Any, caplog: pytest.LogCaptureFixture, group_of: Any, why: str
) -> None:
    clips = [dataclasses.replace(clip, group=group_of(int(clip.clip_id[-3:]))) for clip in toys.clips(test=0)]
    division = divided(toys.write(clips=clips))
    assert division.selection.on == LAST
    assert "val" not in division.sources
    assert len(division.sources["train"].clips) == 24
    (line,) = caplog.messages
    assert line.startswith(f"no split val, and {why}")
    assert line.endswith(": the last epoch is kept")


def test_without_a_share_nothing_is_held_out(toys: Any) -> None:
    division = divided(toys.write(), val_share=0.0)
    assert division.selection.on == LAST
    assert len(division.sources["train"].clips) == 24


class Spy:
    """Notes, for every read of stored pictures, the split and how many epochs were over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
        self.reads: list[tuple[str, int]] = []
        encoded = ClipFrames.encoded

        def noting(source: ClipFrames, clip: int, positions: Any) -> list[bytes]:
            epochs = log.read_text().count("\n") - 1 if log.exists() else 0
            self.reads.append((source.clips[clip].clip_id.split("__")[1][:4], epochs))
            return encoded(source, clip, positions)

        monkeypatch.setattr(ClipFrames, "encoded", noting)

    def epochs_before(self, split: str) -> set[int]:
        return {epochs for name, epochs in self.reads if name.startswith(split)}


@pytest.mark.parametrize("freeze", [False, True])
def test_no_test_clip_is_read_before_the_last_epoch_is_over(
    toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, freeze: bool
) -> None:
    spy = Spy(monkeypatch, tmp_path / "run" / "log.csv")
    report = loop.train(toys.write(), tmp_path / "run", dataclasses.replace(TINY, freeze=freeze))
    assert report.selected_on == TRAIN_GROUPS
    assert spy.epochs_before("test") == {TINY.epochs}
    assert spy.epochs_before("trai") == ({0} if freeze else {0, 1})


def test_the_epoch_is_chosen_on_the_clips_that_are_held_out(toys: Any, tmp_path: Path) -> None:
    report = loop.train(toys.write(), tmp_path / "run", dataclasses.replace(TINY, epochs=4, lr=0.01))
    ranks = [(row["val_top1"], -row["val_loss"]) for row in report.history]
    assert report.best == ranks.index(max(ranks)) + 1
    about = json.loads((tmp_path / "run" / "config.json").read_text())["selection"]
    assert about["on"] == "train groups"
    assert len(about["clips"]) == 6
    assert len(about["groups"]) == 1
    assert checkpoint.load(tmp_path / "run" / "best.pt")["selected_on"] == "train groups"
    if report.best < 4:
        assert checkpoint.load(tmp_path / "run" / "last.pt")["selected_on"] == "last"


@pytest.mark.parametrize("freeze", [False, True])
def test_who_peeks_at_test_is_told_and_every_file_says_so(
    toys: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, freeze: bool
) -> None:
    peeking = dataclasses.replace(TINY, peek_at_test=True, freeze=freeze)
    report = loop.train(toys.write(clips=toys.clips(val=6)), tmp_path / "run", peeking)
    assert report.selected_on == TEST
    assert report.test is not None
    assert report.history[report.best - 1]["val_top1"] == report.test.top1
    assert "selected on test: optimistic, not a result to report" in loop.format_report(report)
    assert "--peek-at-test: the best epoch is chosen on the split test" in caplog.text
    about = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (about["selection"]["on"], about["config"]["peek_at_test"]) == ("test", True)
    assert checkpoint.load(tmp_path / "run" / "best.pt")["selected_on"] == "test"
    assert read_predictions(tmp_path / "run" / "predictions.json").selected_on == "test"


def test_who_would_peek_at_nothing_is_refused(toys: Any) -> None:
    with pytest.raises(TrainError, match=r"--peek-at-test: .* has no clips in split test"):
        divided(toys.write(clips=toys.clips(test=0)), peek_at_test=True)

"""Table 1: its heads are those of mocrop-train, its tests are fair, its numbers are what definitions say."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mocrop_manifests import Clip
from mocrop_prep.config import METHODS
from mocrop_train import loop
from mocrop_train.config import TrainConfig
from mocrop_train.evaluation.compare import compare
from mocrop_train.evaluation.predictions import ClipPrediction, Predictions
from mocrop_train.models import build_model
from safetensors.torch import save_file

from tests.benchmarks import table1
from tests.benchmarks.crop_bench import backbones as local
from tests.benchmarks.crop_bench import sets
from tests.benchmarks.table_one import design, outcomes, statistics
from tests.benchmarks.table_one.design import Cell, Division, Variant
from tests.benchmarks.table_one.heads import FrozenTester
from tests.benchmarks.table_one.shardsets import divided
from tests.benchmarks.table_one.tuned import TrainedTester
from tests.films import XVID, encode, moving_square

FULL, OTHER = Variant("full", 32), Variant("center", 32)
TINY = TrainConfig(
    model="mobilenet_v2", epochs=2, batch_size=4, device="cpu", workers=0, segments=2, val_share=0.0
)


@pytest.fixture
def made(toys: Any) -> dict[Variant, Path]:
    """Two sets of 12 clips in 4 groups, a clip in each shard, all of them in split train."""
    clips = toys.clips(train=12, test=0)
    names = {FULL: "full-32", OTHER: "center-32"}
    return {variant: toys.write(name, clips=clips, clips_per_shard=1) for variant, name in names.items()}


@pytest.fixture
def division(toys: Any) -> Division:
    return Division(
        "held", frozenset(clip.clip_id for clip in toys.clips(train=12, test=0) if clip.group == "g3")
    )


@pytest.fixture
def frozen(tmp_path: Path) -> TrainConfig:
    """Settings of a frozen run whose backbone comes from a file, as those of the table do."""
    torch.manual_seed(5)
    torch.save(build_model(TINY, 3).backbone.state_dict(), tmp_path / "backbone.pth")
    return dataclasses.replace(TINY, freeze=True, weights=str(tmp_path / "backbone.pth"), dropout=0.2)


def test_the_crops_are_all_that_the_pipeline_has() -> None:
    assert sorted(design.CROPS) == sorted(METHODS)


def test_a_head_says_what_a_frozen_run_of_mocrop_train_says(
    made: dict[Variant, Path], division: Division, frozen: TrainConfig, tmp_path: Path
) -> None:
    tester = FrozenTester(made, ["across", "down", "slanted"], frozen, tmp_path / "features", 1)
    for seed in (0, 3):
        shards = divided(made[FULL], division, tmp_path / "sets")
        config = dataclasses.replace(frozen, seed=seed)
        test = loop.train(shards, tmp_path / f"run{seed}", config).test
        assert test is not None
        found = tester.test(FULL, [FULL, OTHER], division, seed)
        assert {clip.clip_id for clip in test.clips} == division.tested
        for variant in (FULL, OTHER):  # the pictures of both sets are the same here
            ours = outcomes.joined([found[variant]])
            assert ours.top1 == test.top1
            for a, b in zip(ours.clips, test.clips, strict=True):
                assert (a.clip_id, a.group, a.label, a.prediction) == (
                    b.clip_id,
                    b.group,
                    b.label,
                    b.prediction,
                )
                assert a.scores == pytest.approx(b.scores, abs=1e-5)


def test_a_trained_network_goes_on_where_it_was_stopped_and_leaves_no_checkpoint(
    made: dict[Variant, Path], division: Division, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = TrainedTester(made, TINY, tmp_path / "whole").test(FULL, [FULL, OTHER], division, 1)
    tester = TrainedTester(made, TINY, tmp_path / "runs")
    epoch = loop.train_epoch

    def dying(run: Any, *rest: Any) -> None:
        if run.epoch == 1:
            raise KeyboardInterrupt
        epoch(run, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "train_epoch", dying)
        with pytest.raises(KeyboardInterrupt):
            tester.test(FULL, [FULL, OTHER], division, 1)
    found = tester.test(FULL, [FULL, OTHER], division, 1)
    assert [clip.scores for clip in found[OTHER].clips] == [clip.scores for clip in whole[OTHER].clips]
    assert not list((tmp_path / "runs").rglob("*.pt"))
    with monkeypatch.context() as patch:
        patch.setattr(loop, "train", None)
        assert tester.test(FULL, [FULL, OTHER], division, 1) == found


def test_a_network_of_other_settings_shards_or_clips_is_trained_anew(
    made: dict[Variant, Path], division: Division, toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, clips = dataclasses.replace(TINY, epochs=1), toys.clips(train=12, test=0)

    def test(config: TrainConfig = once, held: Division = division) -> dict[Variant, Predictions]:
        return TrainedTester(made, config, tmp_path / "runs").test(FULL, [FULL, OTHER], held, 1)

    first = test()

    def begun(shards: Path, out: Path, *_: Any, **__: Any) -> None:
        raise InterruptedError(out)

    monkeypatch.setattr(loop, "train", begun)
    assert test(dataclasses.replace(once, workers=1)) == first
    fewer = Division(division.name, frozenset(sorted(division.tested)[:1]))
    folders = set()
    changes: list[Any] = [{"config": dataclasses.replace(once, lr=0.1)}, {"held": fewer}]
    for change in changes:
        with pytest.raises(InterruptedError) as found:
            test(**change)
        folders.add(found.value.args[0])
    for name in ("center-32", "full-32"):  # what is tested alone, then what is trained on, too
        toys.write(name, clips=clips[:-1], clips_per_shard=1)
        with pytest.raises(InterruptedError) as found:
            test()
        folders.add(found.value.args[0])
    (same,) = (path for path in folders if (path / "predictions.json").exists())
    assert len(folders - {same}) == 3


def test_a_divided_set_has_the_same_clips_in_other_splits(
    made: dict[Variant, Path], division: Division, tmp_path: Path
) -> None:
    from mocrop_manifests import read_dataset
    from mocrop_train.data.loading import open_splits

    folder = divided(made[FULL], division, tmp_path / "sets")
    splits = open_splits(folder, read_dataset(folder, verify=True))
    assert {clip.clip_id for clip in splits["test"].clips} == division.tested
    assert len(splits["train"].clips) == 12 - len(division.tested)
    assert not {clip.group for clip in splits["train"].clips} & {clip.group for clip in splits["test"].clips}


def clip_list(groups: int, classes: int = 2) -> list[Clip]:
    return [
        Clip(f"c{label}-{group}", f"{label}/{group}.avi", label, str(label), "train", f"g{group:02d}")
        for label in range(classes)
        for group in range(1, groups + 1)
    ]


@pytest.mark.parametrize("groups", [2, 5, 7, 25])
def test_folds_test_every_clip_once_and_split_no_group(groups: int) -> None:
    clips = clip_list(groups)
    found = design.folds(clips)
    assert len(found) == min(groups, design.FOLDS)
    tested = [clip_id for division in found for clip_id in division.tested]
    assert sorted(tested) == sorted(clip.clip_id for clip in clips)
    for division in found:
        held = {clip.group for clip in clips if clip.clip_id in division.tested}
        assert not held & {clip.group for clip in clips if clip.clip_id not in division.tested}


def test_the_official_split_holds_seven_groups_out() -> None:
    division = design.held_out("split1", clip_list(25), design.OFFICIAL)
    assert division.tested == {f"c{label}-{group}" for label in range(2) for group in range(1, 8)}


def test_cells_ask_both_questions_at_every_pair_of_sizes() -> None:
    cells = design.cells(design.CROPS, (224, 192))
    assert len(set(cells)) == len(cells) == 3 * (7 + 6)
    assert {cell.sizes for cell in cells} == {(224, 224), (192, 192), (224, 192)}
    parts = list(design.settings_of(cells))
    assert [len(some) for _, _, some in parts] == [7] * 6
    for trained, _, some in parts:
        assert {cell.test.crop for cell in some} == set(design.CROPS)
        assert all(cell.train.crop == ("full" if trained == "full" else cell.test.crop) for cell in some)


class Counting:
    """A tester that knows every class, but says the first for each clip in `wrong`; it counts its calls."""

    def __init__(self, made: dict[Variant, Path], config: TrainConfig) -> None:
        self.sets, self.config, self.jobs = made, config, 1
        self.calls, self.dies_at = 0, -1
        self.wrong: dict[Variant, set[str]] = {}

    def prepare(self) -> None:
        """Nothing is needed."""

    def settings(self, train: Variant, seed: int) -> TrainConfig:
        return dataclasses.replace(self.config, seed=seed).resolved(train.size)

    def test(
        self, train: Variant, tests: Sequence[Variant], division: Division, seed: int
    ) -> dict[Variant, Predictions]:
        if self.calls == self.dies_at:
            raise KeyboardInterrupt
        self.calls += 1
        return {test: self._says(test, division, seed) for test in tests}

    def _says(self, test: Variant, division: Division, seed: int) -> Predictions:
        clips = []
        for name in sorted(division.tested):
            label = 1 + int(name[1]) % 2
            best = 0 if f"{name}:{seed}" in self.wrong.get(test, set()) else label
            scores = [float(best == number) for number in range(3)]
            clips.append(ClipPrediction(name, name.split("-")[1], label, best, scores))
        return outcomes.scored(clips, shards=str(test), classes=["a", "b", "c"], model="x", checkpoint="y")


def test_predictions_that_are_there_are_not_made_again(made: dict[Variant, Path], tmp_path: Path) -> None:
    tester, divisions = Counting(made, TINY), design.folds(clip_list(6))
    cells = [Cell(FULL, FULL), Cell(FULL, OTHER), Cell(OTHER, OTHER)]
    tester.dies_at = 17
    with pytest.raises(KeyboardInterrupt):
        outcomes.predict_cells(tester, cells, divisions, 2, tmp_path / "p", lambda: None)
    tester.dies_at = -1
    files = outcomes.predict_cells(tester, cells, divisions, 2, tmp_path / "p", lambda: None)
    # three trainings of five folds were whole; two folds of the fourth are done twice
    assert tester.calls == 2 * 2 * 5 + 2
    assert {cell: len(some) for cell, some in files.items()} == dict.fromkeys(cells, 2)
    outcomes.predict_cells(tester, cells, divisions, 2, tmp_path / "p", lambda: None)
    assert tester.calls == 22
    tester.config = dataclasses.replace(TINY, epochs=3)
    outcomes.predict_cells(tester, cells[:1], divisions, 1, tmp_path / "p", lambda: None)
    assert tester.calls == 27


def test_one_seed_is_compared_as_mocrop_compare_does(made: dict[Variant, Path], tmp_path: Path) -> None:
    tester, divisions = Counting(made, TINY), design.folds(clip_list(6))
    tester.wrong = {FULL: {"c0-1:0", "c0-2:0", "c1-5:0"}, OTHER: {"c0-2:0", "c1-3:0"}}
    cells = [Cell(FULL, FULL), Cell(FULL, OTHER)]
    files = outcomes.predict_cells(tester, cells, divisions, 1, tmp_path / "p", lambda: None)
    found = {cell: outcomes.read_outcome(files[cell]) for cell in cells}
    (ours,) = statistics.comparisons(found)
    theirs = compare(files[cells[1]][0], files[cells[0]][0])
    assert (ours.cell, ours.reference) == (cells[1], cells[0])
    assert (ours.wins, ours.losses, ours.p) == (theirs.wins, theirs.losses, theirs.p) == (2, 1, 1.0)
    assert ours.difference == pytest.approx(theirs.difference)
    assert theirs.group_interval is not None
    assert ours.interval == pytest.approx(theirs.group_interval)
    assert ours.group_p == theirs.group_p


def test_a_clip_is_won_by_the_cell_that_more_seeds_have_right() -> None:
    ours = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]], bool)
    theirs = np.array([[0, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]], bool)
    groups = np.array([0, 0, 1, 1])
    cells = {
        Cell(FULL, OTHER): outcomes.Outcome(ours, groups, 1.0),
        Cell(FULL, FULL): outcomes.Outcome(theirs, groups, 1.0),
    }
    (found,) = statistics.comparisons(cells)
    # gains of the clips over three seeds: 1, -1, 1, 0
    assert (found.wins, found.losses) == (2, 1)
    assert found.difference == pytest.approx(1 / 12)
    assert found.p == found.adjusted == 1.0
    # of the groups: 0 and 1
    assert found.group_p == 1.0


def test_no_pair_is_compared_twice_and_smaller_sizes_with_whole_frames() -> None:
    cells = design.cells(design.CROPS, (224, 192))
    pairs = [frozenset(pair) for pair in dict.fromkeys(statistics.pairs_of(cells))]
    assert len(set(pairs)) == len(pairs)
    whole = Cell(Variant("full", 224), Variant("full", 224))
    small = [cell for cell in cells if cell.test.size == 192]
    assert {frozenset((cell, whole)) for cell in small} <= set(pairs)
    # in each of six parts: six crops with full, five with center-square
    assert len(pairs) == 6 * 11 + len(small)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight films of two classes in four groups, and random weights, where the table looks for real ones."""
    root = tmp_path / "shared"
    for label, flip in (("walk", False), ("run", True)):
        for group in (1, 2, 8, 9):
            film = moving_square(20, seed=group, flip=flip)
            encode(root / f"data/ucf101/{label}/v_{label}_g{group:02d}_c01.avi", film, XVID)
    torch.manual_seed(0)
    state = build_model(TINY, 2).backbone.state_dict()
    features = {
        key.removeprefix("features."): value.contiguous()
        for key, value in state.items()
        if key.startswith("features.")
    }
    (root / "weights").mkdir()
    save_file(features, root / "weights/mobilenet_v2_features_fp16.safetensors")
    monkeypatch.setattr(sets, "SHARED", root)
    monkeypatch.setattr(local, "SHARED", root)
    return root


@pytest.mark.slow
def test_the_command_writes_its_table_and_does_nothing_twice(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(design, "SIZES", (64, 32))
    crops = ["full", "center-square", "foreground"]
    words = ["--only", "ucf101", "--quick", "--seeds", "1", "--amp", "off", "--no-fine-tune", "--jobs", "1"]
    words += ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"), "--threads", "1"]
    words += ["--backbones", "mobilenet_v2", "resnet50", "--crops", *crops]
    table1.main(words)
    told = capsys.readouterr()
    page = (tmp_path / "out/table1.md").read_text()
    assert page in told.out
    assert "resnet50: its weights are not in" in told.err
    assert (tmp_path / "out/table1.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((tmp_path / "out/table1.csv").read_text().splitlines()))
    assert len(rows) == 2 * len(design.cells(crops, (64, 32)))
    for row in rows:
        assert row["tested_clips"] == ("8" if "folds" in row["protocol"] else "4")
        assert 0 <= float(row["low"]) <= float(row["top1"]) <= float(row["high"]) <= 1
        pair = row["train_crop"] in ("full", row["test_crop"])
        assert pair
        assert (row["vs_full_p"] == "") == (row["test_crop"] == "full")
        # 0.300 at 224 px (Sandler et al., "MobileNetV2", 2018, table 4), with a head for 1000 classes
        wanted = (0.300 - 1280 * 1000 / 1e9) * (int(row["test_size"]) / 224) ** 2
        assert float(row["gflops_frame"]) == pytest.approx(wanted, abs=0.001)
    for crop in crops:
        assert f"| `{crop}` | " in page
    monkeypatch.setattr(FrozenTester, "test", None)
    table1.main(words)
    assert capsys.readouterr().out == told.out

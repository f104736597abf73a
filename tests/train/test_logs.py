"""The logs of a run: log.csv and TensorBoard's events say the same, also after an interruption."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mocrop_train import loop
from mocrop_train.cli import main
from mocrop_train.config import TrainConfig
from mocrop_train.errors import TrainError
from mocrop_train.report.events import Events
from mocrop_train.run import runfolder

TINY = TrainConfig(model="mobilenet_v2", epochs=2, batch_size=8, segments=1, device="cpu", threads=1)
PLOTS = {"loss/train": "train_loss", "top1/val": "val_top1", "lr": "lr", "speed/wait": "wait"}


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return (step, value) of every plot, as TensorBoard itself reads them."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = reader.EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return {tag: [(one.step, one.value) for one in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_events_and_csv_agree_after_a_resumption(toys: Any, tmp_path: Path) -> None:
    """Events of epochs that no checkpoint holds, and of other values, are there before."""
    run, config = tmp_path / "run", dataclasses.replace(TINY, tensorboard=True)
    shards = toys.write(clips=toys.clips(val=6))
    loop.train(shards, run, config)
    shutil.rmtree(run / "tensorboard")
    with Events(run, config) as stale:
        stale.write([{"epoch": epoch, "train_loss": 99.0, "gone": 1.0} for epoch in range(1, 6)])
    assert events(run)["loss/train"][4] == (5, 99.0)
    loop.train(shards, run, config, resume=True)
    rows, found = runfolder.read_log(run / "log.csv"), events(run)
    assert [row["epoch"] for row in rows] == [1, 2]
    for plot, column in PLOTS.items():
        assert [step for step, _ in found[plot]] == [1, 2]
        assert [value for _, value in found[plot]] == pytest.approx([row[column] for row in rows], rel=1e-5)
    assert found.get("speed/gone", []) == []


def test_each_epoch_is_one_point(tmp_path: Path) -> None:
    history: list[dict[str, float]] = []
    with Events(tmp_path, dataclasses.replace(TINY, tensorboard=True)) as log:
        for epoch in range(1, 5):
            history.append({"epoch": epoch, "lr": 0.1 / epoch, "val_loss": float(epoch)})
            log.write(history)
            log.write(history)
            steps = events(tmp_path)["loss/val"]
            assert steps == [(number, float(number)) for number in range(1, epoch + 1)]
    assert sorted(events(tmp_path)) == ["loss/val", "lr"]


def test_nothing_is_written_unless_asked_for(tmp_path: Path) -> None:
    with Events(tmp_path, TINY) as log:
        log.write([{"epoch": 1, "lr": 0.1}])
    assert list(tmp_path.iterdir()) == []


def test_without_tensorboard_a_run_that_asks_for_it_does_not_begin(
    toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = toys.write()
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    arguments = ["--shards", str(shards), "--out", str(tmp_path / "run"), "--tensorboard"]
    found = CliRunner().invoke(main, arguments)
    assert found.exit_code == 2
    assert found.output.strip().splitlines() == [
        "mocrop-train: --tensorboard: tensorboard is not installed: pip install 'mocrop[tensorboard]'"
    ]
    assert not (tmp_path / "run").exists()


def test_a_log_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    rows: list[dict[str, float]] = [
        {"epoch": 1, "lr": 0.001, "train_loss": 2.34567},
        {"epoch": 2, "lr": 1e-7, "train_loss": float("inf")},
    ]
    runfolder.write_log(path, rows)
    assert runfolder.read_log(path) == rows


@pytest.mark.parametrize("line", ["1,many", "1", "1,2,3", "1.5,2"])
def test_a_damaged_log_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"epoch,lr\n{line}\n")
    with pytest.raises(TrainError, match=r"log.csv: line 2 is no row of numbers"):
        runfolder.read_log(path)

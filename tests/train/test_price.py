"""`mocrop-train --cost`: what a clip costs a network, counted and timed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import Result
from mocrop_train.config import TrainConfig
from mocrop_train.evaluation import price, speed
from mocrop_train.evaluation.speed import made_batch, timings
from mocrop_train.models.cost import clip_cost
from torch import Tensor, nn

from tests.train.test_cli import TINY, call, refused

CPU = torch.device("cpu")
Cost = Callable[..., tuple[Result, dict[str, Any]]]
SMALL = ("--model", "mobilenet_v2", "--device", "cpu", "--threads", 1)


@pytest.fixture(autouse=True)
def _few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_MOST_ROUNDS", 3)


@pytest.fixture
def cost(tmp_path: Path) -> Cost:
    """Call `mocrop-train --cost`; return what it printed, and its JSON file's content."""

    def priced(*arguments: object) -> tuple[Result, dict[str, Any]]:
        result = call("--cost", "--json", tmp_path / "cost.json", *arguments)
        assert result.exit_code == 0, result.output
        return result, json.loads((tmp_path / "cost.json").read_text())

    return priced


def test_without_shards_both_sizes_of_the_paper_are_priced(cost: Cost) -> None:
    result, body = cost(*SMALL, "--frames", 2, "--batch-size", 3)
    assert (body["model"], body["classes"], body["threads"]) == ("mobilenet_v2", 1000, 1)
    assert [found["side"] for found in body["prices"]] == [224, 192]
    for found in body["prices"]:
        counted = clip_cost(TrainConfig(model="mobilenet_v2", input_size=found["side"]), 1000, 2)
        assert found["cost"]["multiply_adds"] == counted.multiply_adds
        assert found["cost"]["multiply_adds_per_frame"] == counted.multiply_adds / 2
        assert found["cost"]["parameters"] == counted.parameters == 3_504_872
        assert [found[name]["clips"] for name in ("alone", "batch")] == [1, 3]
        assert found["clips_per_second"] == 3 / found["batch"]["median"]
    # torchvision's table: 0.301 at 224 px
    row = next(line for line in result.stdout.splitlines() if line.startswith("  224"))
    assert row.split()[1:4] == ["0.301", "0.60", "0.314"]


def test_size_classes_and_frames_are_those_of_the_shards(cost: Cost, toys: Any) -> None:
    clips = [toys.clip(f"c{number}", number % 3, frames=count) for number, count in enumerate((2, 5, 5, 6))]
    folder = toys.write(clips=clips)
    result, body = cost(*SMALL, "--shards", folder, "--batch-size", 1)
    assert body["classes"] == 3
    assert [(found["side"], found["cost"]["frames"]) for found in body["prices"]] == [(32, 5)]
    assert "clips of 2 to 6 frames; priced for the median" in result.stderr
    _, body = cost(*SMALL, "--shards", folder, "--batch-size", 1, "--frames", 3, "--input-size", 64)
    assert [(found["side"], found["cost"]["frames"]) for found in body["prices"]] == [(64, 3)]


def test_a_checkpoint_is_priced_as_what_it_is(cost: Cost, toys: Any, tmp_path: Path) -> None:
    trained = tmp_path / "run" / "best.pt"
    call("--shards", toys.write(), "--out", trained.parent, *TINY)
    _, body = cost("--checkpoint", trained, "--batch-size", 1, "--frames", 1)
    assert (body["model"], body["classes"]) == ("mobilenet_v2", 3)
    assert [found["side"] for found in body["prices"]] == [32]
    _, body = cost("--checkpoint", trained, "--batch-size", 1, "--frames", 1, "--input-size", 48)
    assert [found["side"] for found in body["prices"]] == [48]
    assert "--model resnet18" in refused(call("--cost", "--checkpoint", trained, "--model", "resnet18"))
    others = toys.write("others", classes=["left", "right", "up"])
    assert "only in the shards: left" in refused(call("--cost", "--checkpoint", trained, "--shards", others))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--cost", "--eval-only"), "--eval-only and --cost exclude each other"),
        (("--cost", "--out", "run"), "not with --cost"),
        (("--cost", "--frames", 0), "0 is not in the range"),
        (("--cost", "--shards", "nowhere"), "nowhere/dataset.json: no such file"),
        (("--cost", "--checkpoint", "no.pt"), "no.pt: no such checkpoint"),
        (("--shards", "nowhere", "--out", "run", "--frames", 3), "--frames goes with --cost"),
    ],
)
def test_bad_usage_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(call(*arguments))


class Sleeper(nn.Module):
    """Takes 2 ms a frame; the first call takes longer, as first calls do."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, frames: Tensor) -> Tensor:
        time.sleep(0.002 * len(frames) if self.seen else 0.5)
        self.seen.append(tuple(frames.shape))
        return torch.zeros(len(frames), 5)


def test_times_are_taken_in_turns_and_the_first_round_does_not_count() -> None:
    sleeper = Sleeper()
    found = timings(sleeper, (32, 24), 2, TrainConfig(batch_size=4), CPU)
    turn = [(2, 3, 32, 32), (8, 3, 32, 32), (2, 3, 24, 24), (8, 3, 24, 24)]
    assert sleeper.seen == 4 * turn
    assert list(found) == [(32, 1), (32, 4), (24, 1), (24, 4)]
    for (_, clips), timing in found.items():
        assert (timing.clips, timing.runs) == (clips, 3)
        assert 0.004 * clips <= timing.low <= timing.median <= timing.high < 0.5


def test_rounds_end_when_enough_time_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_MOST_ROUNDS", 1000)
    monkeypatch.setattr(speed, "_ENOUGH_SECONDS", 0.0)
    found = timings(Sleeper(), (32,), 1, TrainConfig(batch_size=1), CPU)
    assert found[32, 1].runs == 3


def test_made_frames_are_bytes_in_the_order_of_loaders() -> None:
    batch = made_batch(2, 3, 16)
    assert (batch.frames.shape, batch.frames.dtype) == ((6, 3, 16, 16), torch.uint8)
    assert batch.frames.is_contiguous(memory_format=torch.channels_last)
    assert batch.counts.tolist() == [3, 3]


def test_the_table_has_the_medians_of_the_bill() -> None:
    timing = speed.Timing(clips=4, runs=3, median=0.5, low=0.25, high=1.0)
    alone = speed.Timing(clips=1, runs=3, median=0.125, low=0.1, high=0.2)
    counted = clip_cost(TrainConfig(model="resnet18", input_size=224), 1000, 8)
    bill = price.Bill("resnet18", 1000, "cpu", 2, "off", "2", [price.Price(224, counted, alone, timing)])
    lines = price.format_table(bill).splitlines()
    assert "11.69 M parameters" in lines[0]
    row = next(line for line in lines if line.startswith("  224"))
    assert row.split() == ["224", "1.814", "14.51", "1.819", "125", "(100-200)", "8", "(4-16)"]

"""A run that is killed or asked to stop goes on to the bit, wherever it was."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from mocrop_train.run import checkpoint

# one step of two batches, the last of one short batch: 4 steps an epoch
TRAIN, EPOCHS = 26, 2
HARD = (
    *("--model", "mobilenet_v2", "--epochs", EPOCHS, "--batch-size", 4, "--segments", 2, "--device", "cpu"),
    *("--accumulate", 2, "--dropout", 0.3, "--mixup", 0.4, "--ema", 0.9, "--clip-grad", 5, "--lr", 0.003),
    *("--threads", 1, "--quiet"),
)
TIMES = ("seconds", "wait", "clips_per_second")
STEP, BATCH = ("mocrop_train.run.optim", "set_lr"), ("mocrop_train.data.mixing", "mix")
BEST, LOG = ("mocrop_train.run.checkpoint", "keep_as"), ("mocrop_train.run.runfolder", "write_log")
PUBLISHED, VALIDATED = ("mocrop_manifests.files", "put"), ("mocrop_train.evaluation.evaluate", "clip_logits")


def death(at: tuple[str, str], number: int, name: str = "SIGKILL", times: int = 1) -> list[Any]:
    return [name, *at, number, times]


class Runs:
    """Runs of mocrop-train on one shard set; those of a call share one interpreter."""

    def __init__(self, folder: Path, shards: Path) -> None:
        self.folder = folder
        self.shards = shards
        self._plan: list[dict[str, Any]] = []

    def add(
        self,
        out: str,
        *arguments: object,
        deaths: Sequence[list[Any]] = (),
        memory: int | None = None,
        **environment: object,
    ) -> None:
        # one name for all run folders: it is in predictions.json
        whole = ["--shards", self.shards, "--out", self.out(out), *arguments]
        self._plan.append(
            {
                "arguments": list(map(str, whole)),
                "environment": {name: str(value) for name, value in environment.items()},
                "memory": memory,
                "deaths": list(deaths),
            }
        )

    def out(self, name: str) -> Path:
        return self.folder / name / "run"

    def ended(self) -> tuple[list[int], list[str]]:
        """Carry out what was added; return how the runs ended, and the lines on stderr."""
        plan = self.folder / "plan.json"
        plan.write_text(json.dumps(self._plan))
        self._plan = []
        done = subprocess.run(
            [sys.executable, "-m", "tests.train.killing", plan],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            cwd=Path(__file__).parents[2],
        )
        return [int(line) for line in done.stdout.splitlines() if line.lstrip("-").isdigit()], [
            line for line in done.stderr.splitlines() if line.strip()
        ]

    def results(self, name: str) -> dict[str, Any]:
        """Return all that must not depend on an interruption."""
        out = self.out(name)
        found: dict[str, Any] = {}
        for file in ("last.pt", "best.pt"):
            body = checkpoint.load(out / file)
            found[file] = {key: body[key] for key in ("model", "ema", "optimizer", "rng", "epoch", "step")}
        with (out / "log.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        found["log"] = [{key: value for key, value in row.items() if key not in TIMES} for row in rows]
        found["predictions"] = (out / "predictions.json").read_text()
        return found


def same(a: Any, b: Any) -> bool:
    """Say whether two nests of tensors and plain values are equal, tensors to the bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.fixture
def runs(toys: Any, tmp_path: Path) -> Runs:
    return Runs(tmp_path, toys.write(clips=toys.clips(train=TRAIN, val=6, test=6)))


def test_a_run_killed_again_and_again_ends_as_one_that_was_not(runs: Runs) -> None:
    rng = random.Random(6)
    runs.add("whole", *HARD)
    # saved at every step, or at the end of epochs only; the settings of the machine change on the way
    often, seldom = ("--save-every", 1e-9), ("--save-every", 0)
    runs.add("cut", *HARD, *often, deaths=[death(STEP, rng.randint(2, 3))])
    runs.add("cut", "--resume", "--workers", 2, "--quiet", deaths=[death(BATCH, rng.randint(2, 4))])
    runs.add("cut", "--resume", "--quiet", deaths=[death(BEST, 1)])
    runs.add("cut", "--resume", *seldom, "--quiet", deaths=[death(STEP, rng.randint(1, 3))])
    # config.json is the first file, so one step is on the disk and another nearly
    runs.add("cut", "--resume", *often, "--quiet", deaths=[death(PUBLISHED, 3)])
    runs.add("cut", "--resume", "--workers", 2, "--quiet", deaths=[death(VALIDATED, rng.randint(6, 7))])
    runs.add("cut", "--resume", "--quiet", deaths=[death(LOG, 1)])
    runs.add("cut", "--resume", "--quiet")
    codes, lines = runs.ended()
    assert codes == [0, *[-9] * 7, 0], lines
    assert same(runs.results("cut"), runs.results("whole"))


def test_whoever_is_asked_to_stop_finishes_the_step_saves_and_says_how_to_go_on(runs: Runs) -> None:
    short = (*HARD, "--epochs", 1)
    runs.add("whole", *short)
    # Ctrl-C reaches the workers too, and so does what schedulers, `timeout` and torchrun send
    runs.add("cut", *short, "--workers", 2, deaths=[death(STEP, 2, "SIGINT")])
    runs.add("cut", "--resume", "--workers", 2, "--quiet", deaths=[death(STEP, 1, "SIGTERM")])
    # while val is evaluated, nothing need be finished
    runs.add("cut", "--resume", "--quiet", deaths=[death(VALIDATED, 2, "SIGTERM")])
    runs.add("cut", "--resume", "--quiet")
    runs.add("twice", *short, deaths=[death(STEP, 2, "SIGINT", times=2)])
    codes, lines = runs.ended()
    assert codes == [0, 130, 130, 130, 0, -2], lines
    told = "the same command with --resume goes on"
    assert lines == [
        f"mocrop-train: stopped after 0 of 1 epochs and 4 of 7 batches; {told}",
        f"mocrop-train: stopped after 0 of 1 epochs and 6 of 7 batches; {told}",
        f"mocrop-train: stopped after 0 of 1 epochs and 7 of 7 batches; {told}",
    ]
    assert same(runs.results("cut"), runs.results("whole"))
    # a second signal does not wait for the step
    assert not runs.out("twice").joinpath("last.pt").exists()


def test_a_lack_of_memory_of_a_reader_or_of_a_compiler_is_one_line(runs: Runs) -> None:
    small = ("--model", "mobilenet_v2", "--epochs", 1, "--device", "cpu", "--threads", 1, "--quiet")
    runs.add("large", *small, "--batch-size", 24, "--input-size", 256, memory=300 << 20)
    decoded = ("mocrop_train.data.jpegs", "decode")
    runs.add("lost", *small, "--workers", 1, deaths=[death(decoded, 3)])
    runs.add("plain", *small, "--compile", PATH="/nowhere", TORCHINDUCTOR_CACHE_DIR=runs.folder / "cache")
    codes, lines = runs.ended()
    assert codes == [2, 2, 2], lines
    assert lines[0] == (
        "mocrop-train: out of memory in epoch 1: --batch-size 24 x --segments 3 are 72 frames of 256 x 256 "
        "px at once; take a smaller --batch-size (with --accumulate for as many clips a step), a smaller "
        "--input-size, or --amp bf16"
    )
    assert re.fullmatch(
        r"mocrop-train: epoch 1: a process that reads was lost \(DataLoader worker .*\); if memory is short, "
        r"take fewer --workers",
        lines[1],
    )
    assert re.fullmatch(
        r"mocrop-train: --compile: torch's compiler does not work here \(.+\); leave --compile out", lines[2]
    )
    assert not runs.out("plain").exists()


@pytest.mark.slow
def test_a_run_killed_at_any_moment_goes_on_to_the_same_weights(runs: Runs) -> None:
    rng, kills = random.Random(2), 0
    arguments = [str(part) for part in ("--shards", runs.shards, *HARD, "--epochs", 12, "--save-every", 1e-4)]
    command = [sys.executable, "-m", "mocrop_train", *arguments, "--out"]
    subprocess.run([*command, runs.out("whole")], check=True, capture_output=True)
    last = runs.out("cut") / "last.pt"
    while True:
        saved = stamp(last)
        process = subprocess.Popen(
            [*command, runs.out("cut"), *(["--resume"] if saved else [])], stdout=subprocess.DEVNULL
        )
        while kills < 8 and stamp(last) == saved and process.poll() is None:
            time.sleep(0.01)
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert process.wait(rng.uniform(0, 0.5) if kills < 8 else None) == 0
            break
        process.kill()
        process.wait()
        kills += 1
    assert kills > 2
    assert same(runs.results("cut"), runs.results("whole"))


def stamp(path: Path) -> int:
    """Return when a file was written, 0 if it was not."""
    return path.stat().st_mtime_ns if path.exists() else 0

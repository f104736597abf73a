"""Several processes do what one does: the same steps, the same predictions, one voice."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mocrop_manifests import read_dataset
from mocrop_train.config import TrainConfig
from mocrop_train.data import loading
from mocrop_train.data.loading import NO_LABEL, ClipFrames, TrainClips, collate
from mocrop_train.data.mixing import Targets
from mocrop_train.data.sampling import FILLER, Shares, ShuffledClips, Stretch
from mocrop_train.errors import TrainError
from mocrop_train.evaluation.evaluate import evaluate_checkpoint
from mocrop_train.run import checkpoint, device, parallel
from mocrop_train.run.parallel import Ranks
from safetensors.torch import load_file
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.nn import functional as F

from tests.train import ranks

SCRIPT = Path(ranks.__file__)
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
SETTINGS: dict[str, Any] = {
    "model": "mobilenet_v2",
    "epochs": 2,
    "batch_size": 4,
    "segments": 2,
    "optimizer": "sgd",
    "lr": 0.1,
    "device": "cpu",
    "workers": 0,
}
RESOLVED = {"input_size": 32, "weight_decay": 0.0005}


@given(clips=st.integers(1, 40), size=st.integers(1, 9), world=st.integers(1, 5), start=st.integers(0, 3))
def test_shares_of_all_processes_make_the_batches_of_one(
    clips: int, size: int, world: int, start: int
) -> None:
    size = max(size, world)
    order = ShuffledClips([range(clips)], 3)
    order.start = min(start * size, clips)
    alone = list(Shares(order, size, Ranks()))
    parts = [list(Shares(order, size, Ranks(rank, world))) for rank in range(world)]
    assert [len(part) for part in parts] == [len(alone)] * world
    for batch, shares in zip(alone, zip(*parts, strict=True), strict=True):
        drawn = [[draw for draw in share if draw[1] != FILLER] for share in shares]
        assert sorted(draw for share in drawn for draw in share) == sorted(batch)
        assert max(map(len, drawn)) - min(map(len, drawn)) <= 1
        assert all(shares)  # none is empty


@given(clips=st.integers(0, 60), size=st.integers(1, 9), world=st.integers(1, 7))
def test_stretches_of_all_processes_are_the_batches_of_one_in_order(
    clips: int, size: int, world: int
) -> None:
    parts = [list(Stretch(range(clips), size, Ranks(rank, world))) for rank in range(world)]
    joined = [batch for part in parts for batch in part]
    assert joined == list(Stretch(range(clips), size, Ranks()))
    assert [clip for batch in joined for clip in batch] == list(range(clips))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_batches_too_small_for_the_processes_are_refused() -> None:
    with pytest.raises(TrainError, match="--batch-size 2 leaves some of 3 processes without a clip"):
        Shares(ShuffledClips([range(9)], 0), 2, Ranks(0, 3))


def test_a_filler_counts_for_nothing(toys: Any) -> None:
    folder = toys.write()
    clips = TrainClips(ClipFrames(folder, read_dataset(folder), "train"), 2, lambda frames, rng: frames)
    filler, real = clips[3, FILLER], clips[3, 5]
    assert filler[1] == NO_LABEL
    assert filler[0].shape == real[0].shape
    labels = collate([filler, real]).labels
    logits = torch.randn(2, 3, requires_grad=True)
    loss = Targets(labels, labels).loss(logits, 0.1)
    (grad,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(F.cross_entropy(logits[1:], labels[1:], label_smoothing=0.1).item())
    assert torch.equal(grad[0], torch.zeros(3))
    assert grad[1].abs().sum() > 0
    assert Targets(labels[:1], labels[:1]).loss(logits[:1], 0.1).item() == 0.0  # no clip of its own


def test_one_process_needs_no_group() -> None:
    alone = parallel.current()
    assert alone == Ranks(0, 1)
    assert alone.main
    assert alone.gather("x") == ["x"]
    assert alone.sums(1.0, 2.0) == [1.0, 2.0]
    network = torch.nn.Linear(2, 2)
    assert alone.averaging(network) is network
    alone.barrier()


def test_draws_of_a_process_follow_from_the_place_in_the_run_and_from_the_process() -> None:
    def drawn(ranks: Ranks, *place: int) -> float:
        ranks.seed(*place)
        return torch.rand(()).item()

    one = drawn(Ranks(0, 2), 7, 1, 3)
    assert drawn(Ranks(0, 2), 7, 1, 3) == one
    others = [(Ranks(1, 2), (7, 1, 3)), (Ranks(0, 2), (7, 1, 4)), (Ranks(0, 2), (7, 2, 3))]
    assert one not in [drawn(who, *place) for who, place in others]


def test_the_processes_of_a_machine_share_the_cores_that_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    gpu = torch.device("cuda")
    assert device.loader_workers(TrainConfig(), gpu) == 8
    for name, value in {"RANK": 5, "WORLD_SIZE": 8, "LOCAL_WORLD_SIZE": 4}.items():
        monkeypatch.setenv(name, str(value))
    assert device.loader_workers(TrainConfig(), gpu) == 3
    assert device.loader_workers(TrainConfig(workers=5), gpu) == 5


def ran(world: int, command: list[str]) -> list[tuple[int, str, str]]:
    """Run a command in many processes as torchrun does, without its report: status, stdout and stderr."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    told = {"WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port}
    common = {**os.environ, "TORCHELASTIC_USE_AGENT_STORE": "True", "OMP_NUM_THREADS": "1"}
    processes = []
    for rank in range(world):
        mine = {name: str(value) for name, value in {**told, "RANK": rank, "LOCAL_RANK": rank}.items()}
        process = subprocess.Popen(
            command, env={**common, **mine}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
    ended = []
    for process in processes:
        try:
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
        ended.append((process.returncode, out, err))
    return ended


def trained(folder: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = checkpoint.load(folder / "last.pt")["model"]
    return weights


def close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.allclose(a[key], b[key], rtol=1e-4, atol=1e-6) for key in a)


def train_jobs(folder: Path, out: Path, stop: list[int]) -> list[dict[str, Any]]:
    """Return jobs of training: the loss of the last step is of one clip, and so of one process alone."""
    one = {"shards": str(folder)}
    more = {**SETTINGS, "accumulate": 2, "ema": 0.9, "clip_grad": 1.0, "label_smoothing": 0.1, "epochs": 1}
    return [
        {**one, "train": SETTINGS, "out": str(out / "plain")},
        {**one, "train": more, "out": str(out / "more")},
        {**one, "train": {**SETTINGS, "freeze": True, "dropout": 0.2}, "out": str(out / "frozen")},
        {**one, "train": SETTINGS, "out": str(out / "stopped"), "stop": stop},
    ]


def resumed(job: dict[str, Any], out: Path) -> dict[str, Any]:
    again = {"train": {**SETTINGS, **RESOLVED}, "out": str(out / "stopped"), "resume": True}
    return {"shards": job["shards"], **again}


def evaluation_jobs(out: Path, who: str) -> list[dict[str, Any]]:
    """Return jobs of evaluation: 9 clips in 5 batches, in one, and two of which processes get none."""
    cached = {"feature_cache": str(out / who / "cache"), "batch_size": 2}
    cases: list[tuple[str, dict[str, Any]]] = [
        ("plain", {"batch_size": 2}),
        ("plain", {"batch_size": 2, "workers": 2}),
        ("plain", {"batch_size": 9}),
        ("plain", {"batch_size": 1, "limit": 2}),
        ("frozen", cached),
        ("frozen", cached),
    ]
    (out / who).mkdir(exist_ok=True)
    return [
        {
            "evaluate": options,
            "shards": str(out / "tested"),
            "checkpoint": str(out / "alone" / name / "best.pt"),
            "out": str(out / who / f"predictions-{number}.json"),
        }
        for number, (name, options) in enumerate(cases)
    ]


@pytest.fixture(scope="module")
def runs(shared_toys: Any) -> Path:
    """Train the same with one process and with two of torchrun; what one has begun, the others finish."""
    folder = shared_toys.write("nine", shared_toys.clips(train=9, val=5, test=3))
    shared_toys.write("tested", shared_toys.clips(train=0, test=9))
    out: Path = shared_toys.folder
    alone = train_jobs(folder, out / "alone", [0, 2])
    ranks.do([*alone, *evaluation_jobs(out, "alone")])
    jobs = train_jobs(folder, out / "two", [1, 4])
    listed = out / "jobs.json"
    drawing: dict[str, Any] = {"shards": str(folder), "train": {**SETTINGS, "epochs": 1, "dropout": 0.4}}
    gentle = {**SETTINGS, "epochs": 1, "lr": 0.01, "clip_grad": 1.0}
    jobs += [
        {**drawing, "out": str(out / "two" / "whole")},
        {**drawing, "out": str(out / "two" / "cut"), "stop": [1, 1]},
        {**resumed(drawing, out), "train": {**RESOLVED, **drawing["train"]}, "out": str(out / "two" / "cut")},
        {**drawing, "train": gentle, "out": str(out / "two" / "norm"), "batch_norm": True},
    ]
    listed.write_text(json.dumps([*jobs, resumed(alone[-1], out / "alone"), *evaluation_jobs(out, "two")]))
    subprocess.run([*TORCHRUN, "2", str(SCRIPT), str(listed)], check=True, timeout=300)
    ranks.do([resumed(alone[-1], out / "two")])
    return out


@pytest.mark.parametrize("name", ["plain", "more"])
def test_two_processes_train_to_the_weights_of_one(runs: Path, name: str) -> None:
    alone, two = (trained(runs / who / name) for who in ("alone", "two"))
    assert close(alone, two)
    start = trained(runs / "alone" / ("more" if name == "plain" else "plain"))
    assert not close(alone, start)  # it is not that nothing was learned


def test_the_log_is_of_the_clips_of_all_processes(runs: Path) -> None:
    alone, two = (checkpoint.load(runs / who / "plain" / "last.pt")["history"] for who in ("alone", "two"))
    for mine, theirs in zip(alone, two, strict=True):
        for name in ("lr", "train_loss", "train_top1", "val_loss", "val_top1"):
            assert theirs[name] == pytest.approx(mine[name], rel=1e-4), name


def test_an_average_of_weights_is_that_of_one_process(runs: Path) -> None:
    alone, two = (checkpoint.load(runs / who / "more" / "last.pt")["ema"] for who in ("alone", "two"))
    assert close(alone, two)


@pytest.mark.parametrize("who", ["alone", "two"])
def test_what_one_has_begun_two_can_finish_and_the_other_way_round(runs: Path, who: str) -> None:
    found = checkpoint.load(runs / who / "stopped" / "last.pt")
    assert found["epoch"] == 2
    assert close(found["model"], trained(runs / "alone" / "plain"))
    whole = checkpoint.load(runs / "alone" / "plain" / "last.pt")["history"]
    for mine, theirs in zip(found["history"], whole, strict=True):
        assert mine["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-4)
        assert mine["train_top1"] == pytest.approx(theirs["train_top1"])


def test_two_processes_go_on_to_the_bit_with_dropout_too(runs: Path) -> None:
    whole, cut = (trained(runs / "two" / name) for name in ("whole", "cut"))
    assert all(torch.equal(whole[key], cut[key]) for key in whole)
    assert not close(whole, trained(runs / "two" / "plain"))


def test_val_is_predicted_with_the_statistics_of_batch_norm_that_are_saved(runs: Path) -> None:
    best = runs / "two" / "norm" / "best.pt"
    found = evaluate_checkpoint(runs / "nine", best, split="val")
    losses = [-math.log(clip.scores[clip.label]) for clip in found.clips]
    row = checkpoint.load(best)["history"][-1]
    assert sum(losses) / len(losses) == pytest.approx(row["val_loss"], abs=1e-5)


def test_features_of_two_processes_are_those_of_one(runs: Path) -> None:
    stored = []
    for who in ("alone", "two"):
        folder = runs / who / "frozen" / "features"
        names = {path.relative_to(folder).parts[0] for path in folder.glob("*/*.safetensors")}
        found: dict[str, torch.Tensor] = {}
        for path in folder.glob("*/*.safetensors"):
            mine = load_file(path)
            assert not found.keys() & mine.keys()  # no clip twice
            found |= mine
        stored.append((names, found))
    assert stored[0][0] == stored[1][0]
    alone, two = stored[0][1], stored[1][1]
    assert alone.keys() == two.keys()
    assert all(torch.equal(alone[clip], two[clip]) for clip in alone)


@pytest.mark.parametrize("who", ["two", "three"])
def test_several_processes_predict_what_one_does_to_the_byte(runs: Path, who: str) -> None:
    if who == "three":
        listed = runs / "three.json"
        listed.write_text(json.dumps(evaluation_jobs(runs, "three")))
        ended = ran(3, [sys.executable, str(SCRIPT), str(listed)])
        assert [code for code, _, _ in ended] == [0, 0, 0], ended
    for alone, job in zip(evaluation_jobs(runs, "alone"), evaluation_jobs(runs, who), strict=True):
        mine, theirs = Path(job["out"]), Path(alone["out"])
        assert mine.read_bytes() == theirs.read_bytes(), job
        for name in ("predictions.json", "metrics.json", "confusion.csv"):
            one, other = (path.with_suffix("") / "set" / name for path in (mine, theirs))
            assert one.read_bytes() == other.read_bytes(), (name, job)


def train_command(folder: Path, out: Path, *more: object) -> list[str]:
    asked = ["--shards", folder, "--out", out, "--device", "cpu", "--threads", 1, "--batch-size", 2]
    asked += ["--model", "mobilenet_v2", "--segments", 6, "--val-share", 0, *more]
    return [sys.executable, "-m", "mocrop_train", *map(str, asked)]


@pytest.mark.parametrize("at_fault", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_an_error_of_one_process_is_one_line_and_ends_all(toys: Any, tmp_path: Path, at_fault: int) -> None:
    folder = toys.write(clips=toys.clips(train=8, test=0))
    source = ClipFrames(folder, read_dataset(folder), "train")
    second = list(Shares(ShuffledClips(source.chunks, 0), 2, Ranks(at_fault, 2)))[1][0][0]
    broken = source.encoded(second, [0])[0]
    shard = folder / "train-000000.tar"
    shard.write_bytes(shard.read_bytes().replace(broken, b"no" + broken[2:]))
    ended = ran(2, train_command(folder, tmp_path / "run"))
    assert all(code != 0 for code, _, _ in ended)
    assert ended[at_fault][0] == 2
    (held, *told) = "".join(text for _, _, text in ended).splitlines()
    assert held == "no split val and --val-share 0: the last epoch is kept"
    assert len(told) == 1, told
    assert f"clip {source.clips[second].clip_id}, frame 0: not a whole JPEG" in told[0]


@pytest.mark.slow
def test_bad_usage_is_one_line_of_rank_0(tmp_path: Path) -> None:
    told = ran(2, train_command(tmp_path / "nowhere", tmp_path / "run", "--epochs", "many"))
    lines = "".join(text for _, _, text in told).splitlines()
    assert len([line for line in lines if line.startswith("mocrop-train: ")]) == 1, lines
    assert len(lines) == 1


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_others_with_a_line(toys: Any, tmp_path: Path) -> None:
    code = "import os, mocrop_train.cli, mocrop_train.run.keeping as k\n"
    code += "k.Keeper.after_step = lambda keeper: os.environ['RANK'] == '1' and os.kill(os.getpid(), 9)\n"
    command = train_command(toys.write(), tmp_path / "run", "--quiet")
    ended = ran(2, [command[0], "-c", code + "mocrop_train.cli.main(prog_name='mocrop-train')", *command[3:]])
    assert [code for code, _, _ in ended] == [1, -signal.SIGKILL]
    (line,) = ended[0][2].splitlines()
    assert line.startswith("mocrop-train: another process of this run was lost without a word: killed")


@pytest.mark.slow
@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_torchrun_saves_and_says_so_once(
    toys: Any, tmp_path: Path, asked: signal.Signals
) -> None:
    folder, run = toys.write(), tmp_path / "run"
    command = train_command(folder, run, "--epochs", 500, "--workers", 1)
    process = subprocess.Popen(
        [*TORCHRUN, "2", *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 120
    while not (run / "log.csv").exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(asked)
    _, told = process.communicate(timeout=60)
    lines = [line for line in told.splitlines() if line.startswith("mocrop-train: ")]
    assert len(lines) == 1, told
    assert "the same command with --resume goes on" in lines[0]
    assert checkpoint.load(run / "last.pt")["epoch"] >= 1
    assert loading.stored_size(folder, read_dataset(folder)) == 32

"""The two commands, as people call them."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from mocrop_train import settings
from mocrop_train.cli import compare_main, main
from mocrop_train.config import TrainConfig

TINY = ["--model", "mobilenet_v2", "--epochs", 1, "--batch-size", 8, "--segments", 2, "--device", "cpu"]


def call(*arguments: object, command: Any = main) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def refused(result: Result) -> str:
    """Return the one line on stderr with which a command has refused."""
    assert result.exit_code == 2, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert result.stdout == ""
    return lines[0]


def test_train_evaluate_and_compare(toys: Any, tmp_path: Path) -> None:
    folder, run, other = toys.write(), tmp_path / "run", tmp_path / "other.json"
    trained = call("--shards", folder, "--out", run, *TINY)
    assert trained.exit_code == 0, trained.output
    assert "best.pt: epoch 1 of 1 (top-1 " in trained.stdout
    assert "on train groups)" in trained.stdout
    assert "test: top-1" in trained.stdout
    assert trained.stderr.count("epoch 1") == 1
    found = call("--shards", folder, "--eval-only", "--checkpoint", run / "best.pt", "--json", other)
    assert found.exit_code == 0, found.output
    table = call(run / "predictions.json", other, "--json", tmp_path / "t.json", command=compare_main)
    assert table.exit_code == 0, table.output
    assert json.loads((tmp_path / "t.json").read_text())["comparisons"][0]["ties"] == 12


def test_quiet_leaves_only_the_result(toys: Any, tmp_path: Path) -> None:
    result = call("--shards", toys.write(), "--out", tmp_path / "run", "--quiet", *TINY)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "top-1" in result.stdout


def test_predictions_go_where_they_are_asked_for(toys: Any, tmp_path: Path) -> None:
    call("--shards", toys.write(), "--out", tmp_path / "run", "--json", tmp_path / "deep" / "p.json", *TINY)
    assert (tmp_path / "deep" / "p.json").exists()
    assert not (tmp_path / "run" / "predictions.json").exists()


def test_a_resumed_run_needs_no_settings(toys: Any, tmp_path: Path) -> None:
    folder, run = toys.write(), tmp_path / "run"
    call("--shards", folder, "--out", run, *TINY)
    again = call("--shards", folder, "--out", run, "--resume")
    assert again.exit_code == 0, again.output
    assert "epoch 1 of 1" in again.stdout
    assert "--epochs 5: a resumed run keeps its settings" in refused(
        call("--shards", folder, "--out", run, "--resume", "--epochs", 5)
    )


def test_a_settings_file_is_used_and_the_command_line_wins(toys: Any, tmp_path: Path) -> None:
    file = tmp_path / "train.toml"
    file.write_text('model = "mobilenet_v2"\nepochs = 5\nsegments = 2\ndevice = "cpu"\n')
    call("--shards", toys.write(), "--out", tmp_path / "run", "--config", file, "--epochs", 1)
    used = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert (used["model"], used["epochs"], used["segments"]) == ("mobilenet_v2", 1, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "training needs --shards DIR"),
        (["--shards", "nowhere", "--out", "run"], "nowhere/dataset.json: no such file"),
        (["--shards", "nowhere"], "training needs --out DIR"),
        (["--shards", "nowhere", "--out", "run", "--lr", "fast"], "'fast' is not a valid float"),
        (["--shards", "nowhere", "--out", "run", "--lr", "-1"], "--lr: -1.0 is not in the range 0.0 or more"),
        (["--shards", "nowhere", "--out", "run", "--model", "vgg"], "'vgg' is not one of"),
        (["--shards", "nowhere", "--out", "run", "--epoch", "3"], "No such option"),
        (["--shards", "nowhere", "--out", "run", "extra"], "unexpected extra argument"),
        (["--shards", "nowhere", "--eval-only"], "--eval-only needs --checkpoint FILE"),
        (
            ["--shards", "nowhere", "--eval-only", "--resume"],
            "--resume goes with training, not with --eval-only",
        ),
        (["--report", "run", "--epochs", "3"], "--report takes no settings; leave out --epochs"),
        (["--eval-only", "--cost"], "--eval-only and --cost exclude each other"),
        (
            ["--shards", "nowhere", "--out", "run", "--checkpoint", "x.pt"],
            "--checkpoint goes with --eval-only, --eval, --cost and --export, not with training",
        ),
        (
            ["--shards", "nowhere", "--out", "run", "--split", "val"],
            "--split goes with --eval-only and --eval, not with training",
        ),
        (["--shards", "nowhere", "--out", "run", "--config", "no.toml"], "no.toml: no such file"),
        (["--shards", "nowhere", "--out", "run", "--resume"], "nothing starts without --resume"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in refused(call(*arguments))
    assert not (tmp_path / "run").exists()


def test_compare_needs_two_files_that_exist(tmp_path: Path) -> None:
    assert "two prediction files or more" in refused(call("a.json", command=compare_main))
    assert "a.json: no such file" in refused(
        call(tmp_path / "a.json", tmp_path / "b.json", command=compare_main)
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_process_is_one_line_too(toys: Any, tmp_path: Path, workers: int) -> None:
    folder = toys.write()
    shard = folder / "train-000000.tar"
    data = bytearray(shard.read_bytes())
    at = data.index(b"\xff\xd8\xff")
    data[at : at + 3] = b"xxx"
    shard.write_bytes(data)
    line = refused(
        call(
            "--shards",
            folder,
            "--out",
            tmp_path / "run",
            "--quiet",
            *TINY,
            "--segments",
            6,
            "--workers",
            workers,
        )
    )
    assert "train-000000.tar: clip across__train_000, frame 0: not a whole JPEG" in line


def test_debug_shows_where_an_error_comes_from(tmp_path: Path) -> None:
    result = call("--shards", tmp_path, "--out", tmp_path / "run", "--debug")
    assert result.exception is not None
    assert "no such file" in str(result.exception)
    assert result.exit_code != 0


def test_verify_finds_a_changed_byte(toys: Any, tmp_path: Path) -> None:
    folder = toys.write()
    shard = folder / "test-000000.tar"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    assert "test-000000.tar: sha256" in refused(
        call("--shards", folder, "--out", tmp_path / "run", "--verify", *TINY)
    )


def test_help_tells_every_setting_with_its_default_and_examples() -> None:
    text = " ".join(call("--help").stdout.split())
    for field in dataclasses.fields(TrainConfig):
        assert settings.flag(field.name) in text
        assert " ".join(field.metadata["help"].split()[:4]) in text
    assert text.count("[default: ") >= len(dataclasses.fields(TrainConfig))
    assert "Examples:" in text
    assert "exact McNemar" in " ".join(call("--help", command=compare_main).stdout.split())


def test_help_and_bad_usage_do_not_wait_for_torch() -> None:
    code = "import sys, mocrop_train.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_torch_one_line_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from mocrop_train.cli import main; main()"
    arguments = ["--shards", str(tmp_path), "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["mocrop-train: torch is not installed: pip install 'mocrop[train]'"]

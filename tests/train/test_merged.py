"""The trainer reads the merged parts of a run like any other shard set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mocrop_manifests import read_dataset
from mocrop_train.cli import main
from mocrop_train.data.loading import open_splits

from tests.commands import DEFAULT, ok, prep
from tests.conftest import FORMS, HOLDOUT

TINY = ("--model", "mobilenet_v2", "--epochs", 1, "--batch-size", 4, "--segments", 2, "--device", "cpu")


def merged(source: Path, work: Path, *options: object) -> Path:
    for number in range(3):
        ok("run", source, work, *HOLDOUT, "--size", 32, *options, "--num-parts", 3, "--part", number)
    assert prep("merge", work, "--quiet").status == 0
    return work / "shards" / DEFAULT


def stored(folder: Path) -> dict[str, Any]:
    """Return what the trainer finds in a set: every clip, and its frames."""
    splits = open_splits(folder, read_dataset(folder))
    return {
        f"{split} {clip.clip_id}": (clip, clips.read(number, range(clip.frames)).tolist())
        for split, clips in splits.items()
        for number, clip in enumerate(clips.clips)
    }


@pytest.mark.parametrize("form", FORMS)
def test_the_trainer_finds_in_merged_parts_what_it_finds_in_one_run(
    source: Path, tmp_path: Path, form: str
) -> None:
    ok("run", source, tmp_path / "whole", *HOLDOUT, "--size", 32, *FORMS[form])
    found = stored(merged(source, tmp_path / "work", *FORMS[form]))
    assert found == stored(tmp_path / "whole/shards" / DEFAULT)
    assert len(found) == 6


def test_training_on_merged_parts_notices_a_damaged_shard_with_verify(source: Path, tmp_path: Path) -> None:
    folder = merged(source, tmp_path / "work")
    command = [str(word) for word in ("--shards", folder, "--quiet", *TINY, "--out")]
    for number, how in enumerate([(), ("--verify",)]):
        result = CliRunner().invoke(main, [*command, str(tmp_path / f"run{number}"), *how])
        assert result.exit_code == 0, result.output
        assert "top-1" in result.stdout
    path = folder / "train-000001.tar"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # the part keeps its own
    path.write_bytes(content)
    result = CliRunner().invoke(main, [*command, str(tmp_path / "run2"), "--verify"])
    assert result.exit_code == 2
    assert "train-000001.tar: sha256" in result.stderr

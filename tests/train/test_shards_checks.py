"""The trainer reads no shard but the one its index tells of: real shards of the pipeline, in every form."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from mocrop_manifests import ManifestError, read_dataset
from mocrop_train.cli import main
from mocrop_train.data.loading import ClipFrames, EvalClips, loader
from mocrop_train.errors import TrainError

from tests.commands import ok
from tests.conftest import FORMS

CPU = torch.device("cpu")
TINY = (
    *("--model", "mobilenet_v2", "--epochs", 2, "--batch-size", 4, "--segments", 1, "--device", "cpu"),
    *("--input-size", 32, "--threads", 1, "--quiet"),
)


@pytest.fixture(scope="module", params=FORMS)
def made(request: pytest.FixtureRequest, kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard set in one of the four forms: two shards of two clips to train on, one of two to test on."""
    workdir = Path(shutil.copytree(kept, tmp_path_factory.mktemp("made") / "work"))
    ok("shard", workdir, *FORMS[request.param], "--size", 64, "--shard-size", _two_clips(request.param))
    return next((workdir / "shards").iterdir())


def _two_clips(form: str) -> int:
    return 2 if form.startswith("clips") else 8


@pytest.fixture
def shards(made: Path, tmp_path: Path) -> Path:
    """A copy of the set that a test may change."""
    return Path(shutil.copytree(made, tmp_path / "set"))


@pytest.fixture(scope="module")
def run(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run on the set."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    done = CliRunner().invoke(main, _texts("--shards", made, "--out", folder, *TINY))
    assert done.exit_code == 0, done.output
    return folder


def _texts(*arguments: object) -> list[str]:
    return [str(argument) for argument in arguments]


def refusal(*arguments: object) -> str:
    """Return the one line in which mocrop-train refuses."""
    result = CliRunner().invoke(main, _texts(*arguments))
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def train_shards(shards: Path) -> list[Path]:
    """Return the shards to train on, of which there are several."""
    found = sorted(shards.glob("train-0*"))
    assert len(found) > 1
    return found


def flip(path: Path, place: int) -> None:
    """Flip a bit of one byte."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def edit(folder: Path, **changes: object) -> None:
    """Change fields of the index."""
    path = folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_whole_set_passes_with_verify_in_training_evaluation_and_resumption(
    shards: Path, run: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    for arguments in (
        ("--out", tmp_path / "new", *TINY),
        ("--out", copy, "--resume"),
        ("--eval-only", "--checkpoint", run / "best.pt"),
    ):
        result = CliRunner().invoke(main, _texts("--shards", shards, "--verify", *arguments))
        assert result.exit_code == 0, result.output


def test_a_short_shard_is_refused_by_name_whatever_is_asked_for(
    shards: Path, run: Path, tmp_path: Path
) -> None:
    short = train_shards(shards)[-1]
    short.write_bytes(short.read_bytes()[:-1])
    for arguments in (
        ("--out", tmp_path / "new", *TINY),
        ("--out", run, "--resume"),
        ("--eval-only", "--checkpoint", run / "best.pt"),
    ):
        line = refusal("--shards", shards, *arguments)
        assert f"{short}: " in line
        assert "bytes where dataset.json says" in line


def test_a_flipped_byte_is_refused_by_name_with_verify_whatever_is_asked_for(
    shards: Path, run: Path, tmp_path: Path
) -> None:
    rotten = train_shards(shards)[0]
    flip(rotten, rotten.stat().st_size // 2)
    for arguments in (
        ("--out", tmp_path / "new", *TINY),
        ("--out", run, "--resume"),
        ("--eval-only", "--checkpoint", run / "best.pt"),
    ):
        line = refusal("--shards", shards, "--verify", *arguments)
        assert f"{rotten}: sha256 " in line
        assert "make the shards again" in line


def test_a_missing_shard_is_refused_by_name(shards: Path, tmp_path: Path) -> None:
    lost = train_shards(shards)[1]
    lost.unlink()
    assert f"{lost}: the shard is missing" in refusal("--shards", shards, "--out", tmp_path / "run", *TINY)


def test_swapped_shards_are_refused(shards: Path, tmp_path: Path) -> None:
    one, other = train_shards(shards)[:2]
    assert one.stat().st_size != other.stat().st_size
    one.rename(tmp_path / "aside")
    other.rename(one)
    (tmp_path / "aside").rename(other)
    assert f"{one}: " in refusal("--shards", shards, "--out", tmp_path / "run", *TINY)


def test_a_test_shard_in_place_of_a_train_shard_of_its_size_is_found_by_verify(
    shards: Path, tmp_path: Path
) -> None:
    test, train = next(iter(shards.glob("test-0*"))), train_shards(shards)[0]
    size = train.stat().st_size
    foreign = test.read_bytes()[:size]
    train.write_bytes(foreign + bytes(size - len(foreign)))
    assert f"{train}: sha256 " in refusal("--shards", shards, "--verify", "--out", tmp_path / "run", *TINY)


def test_a_set_without_its_index_is_refused(shards: Path, tmp_path: Path) -> None:
    (shards / "dataset.json").unlink()
    line = refusal("--shards", shards, "--out", tmp_path / "run", *TINY)
    assert f"{shards / 'dataset.json'}: no such file; is {shards} a shard set?" in line


@pytest.mark.parametrize("verify", [(), ("--verify",)], ids=["sizes", "verify"])
def test_an_index_of_a_newer_release_is_refused(
    shards: Path, tmp_path: Path, verify: tuple[str, ...]
) -> None:
    edit(shards, version=2)
    line = refusal("--shards", shards, "--out", tmp_path / "run", *verify, *TINY)
    assert f"{shards / 'dataset.json'}: version 2 of mocrop-shards" in line


def test_the_shard_of_another_set_is_refused_without_verify_if_its_rows_or_labels_differ(
    shards: Path, tmp_path: Path
) -> None:
    train = train_shards(shards)[0]
    body = json.loads((shards / "dataset.json").read_text())
    # an index of the other set's sizes and sums, but of our rows: what a careless copy makes
    entry = next(entry for entry in body["shards"] if entry["file"] == train.name)
    edit(shards, shards=[{**each, "rows": each["rows"] + (each is entry)} for each in body["shards"]])
    assert f"{train}: " in refusal("--shards", shards, "--out", tmp_path / "run", *TINY)
    edit(shards, shards=body["shards"], classes=list(reversed(body["classes"])))
    line = refusal("--shards", shards, "--out", tmp_path / "run", *TINY)
    assert f"{train}: clip " in line
    assert "which is not that class of dataset.json" in line


def test_a_shard_that_changes_while_it_is_in_use_is_refused_by_name(shards: Path) -> None:
    source = ClipFrames(shards, read_dataset(shards), "train")
    assert source.read(0, [0]).dtype == torch.uint8
    changed = train_shards(shards)[0]
    flip(changed, changed.stat().st_size // 2)
    with pytest.raises(TrainError, match=rf"{changed.name}: sha256 .* changed while in use"):
        source.read(0, [0])
    source.read(len(source.clips) - 1, [0])


@pytest.mark.parametrize("end", ["cut", "gone"])
def test_a_shard_that_is_cut_or_goes_while_it_is_in_use_is_refused_by_name(shards: Path, end: str) -> None:
    source = ClipFrames(shards, read_dataset(shards), "train")
    changed = train_shards(shards)[0]
    if end == "cut":
        changed.write_bytes(changed.read_bytes()[:-512])
    else:
        changed.unlink()
    with pytest.raises(TrainError, match=rf"{changed.name}: .* changed while in use"):
        source.read(0, [0])


def test_a_shard_that_is_written_anew_with_the_same_bytes_does_not_end_a_run(shards: Path) -> None:
    source = ClipFrames(shards, read_dataset(shards), "train")
    before = source.read(0, [0])
    for shard in train_shards(shards):
        copy = shard.with_suffix(".copy")
        shutil.copyfile(shard, copy)
        copy.rename(shard)
    assert torch.equal(source.read(0, [0]), before)


def test_a_shard_that_changes_under_a_loader_process_is_refused_by_name(shards: Path) -> None:
    source = ClipFrames(shards, read_dataset(shards), "train")
    batches = loader(EvalClips(source, lambda frames: frames), batch_size=1, workers=1, device=CPU)
    changed = train_shards(shards)[0]
    flip(changed, changed.stat().st_size // 2)
    with pytest.raises(TrainError, match=rf"{changed.name}: sha256 .* changed while in use"):
        list(batches)


def test_an_index_that_tells_of_another_shard_than_there_is_names_it(shards: Path) -> None:
    body = json.loads((shards / "dataset.json").read_text())
    body["shards"][0]["file"] = "train-000099.tar"
    edit(shards, shards=body["shards"])
    with pytest.raises(ManifestError, match=r"train-000099\.tar: the shard is missing"):
        read_dataset(shards)

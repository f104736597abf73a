"""Files from anybody: nothing in a checkpoint, a weights file or a shard is ever run."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import tarfile
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mocrop_manifests import read_dataset
from mocrop_prep.errors import ClipError
from mocrop_prep.shards import FORMS
from mocrop_train.cli import main
from mocrop_train.config import TrainConfig
from mocrop_train.data.loading import open_splits
from mocrop_train.errors import TrainError
from mocrop_train.models import build_model
from mocrop_train.run import checkpoint


class Payload:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """What the payload would leave, and never does; that it could is tried first."""
    trace = tmp_path / "it ran"
    pickle.loads(pickle.dumps(Payload(trace)))
    trace.rmdir()
    return trace


def whole_state() -> dict[str, Any]:
    """Return what a checkpoint holds, with a network of one number."""
    return {
        "model": {"w": torch.zeros(1)},
        "rng": {"cpu": torch.zeros(1)},
        **{name: {} for name in ("optimizer", "scaler", "sums", "config", "made")},
        **dict.fromkeys(("epoch", "step", "batch", "best"), 1),
        "ema": None,
        "history": [],
        "classes": ["a"],
        "shards": "0",
        "selected_on": "last",
    }


def in_old_format(payload: object, path: Path) -> None:
    torch.save(payload, path, _use_new_zipfile_serialization=False)


def bare(payload: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(payload))


@pytest.mark.parametrize("write", [torch.save, in_old_format, bare])
@pytest.mark.parametrize("place", ["whole", "model", "config"])
def test_a_checkpoint_that_would_run_code_is_refused_and_does_not(
    tmp_path: Path, trace: Path, write: Any, place: str
) -> None:
    body = {"format": checkpoint.FORMAT, "version": checkpoint.VERSION, **whole_state()}
    write(Payload(trace) if place == "whole" else body | {place: Payload(trace)}, tmp_path / "last.pt")
    with pytest.raises(TrainError, match="not a readable checkpoint") as caught:
        checkpoint.load(tmp_path / "last.pt")
    assert "\n" not in str(caught.value)
    assert not trace.exists()


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors", ""])
def test_weights_that_would_run_code_are_refused_and_do_not(tmp_path: Path, trace: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    torch.save({"model": Payload(trace)}, path)
    with pytest.raises(TrainError, match="not a file of plain tensors"):
        build_model(TrainConfig(model="mobilenet_v2", weights=str(path)), 2)
    assert not trace.exists()


@pytest.mark.parametrize("command", [("--eval-only", "--checkpoint"), ("--resume", "--out")])
def test_the_commands_refuse_such_a_checkpoint_in_one_line(
    toys: Any, tmp_path: Path, trace: Path, command: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    torch.save({"format": checkpoint.FORMAT, "model": Payload(trace)}, tmp_path / "run/last.pt")
    target = tmp_path / "run" if command[1] == "--out" else tmp_path / "run/last.pt"
    with pytest.raises(SystemExit) as ended:
        main(["--shards", str(toys.write()), *command, str(target)])
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not trace.exists()


@pytest.mark.parametrize("name", sorted(whole_state()))
def test_a_checkpoint_that_lacks_a_part_is_named_with_it(tmp_path: Path, name: str) -> None:
    state = whole_state()
    checkpoint.save(tmp_path / "last.pt", state)
    assert checkpoint.load(tmp_path / "last.pt")["epoch"] == 1
    for changed in ({key: value for key, value in state.items() if key != name}, state | {name: 1.5}):
        checkpoint.save(tmp_path / "last.pt", changed)
        with pytest.raises(
            TrainError, match=f"last.pt: not a whole checkpoint: {name} is missing, or is no "
        ):
            checkpoint.load(tmp_path / "last.pt")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_checkpoint_with_damaged_bytes_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "last.pt"
    checkpoint.save(path, whole_state())
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    # inside of the archive, whose checksums would find it before torch's unpickler does
    name = next(name for name in members if name.endswith("data.pkl"))
    content = bytearray(members[name])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content)))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with zipfile.ZipFile(path, "w") as archive:
        for member, its in (members | {name: bytes(content)}).items():
            archive.writestr(member, its)
    with suppress(TrainError), warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint.load(path)


def with_member(folder: Path, name: str, content: bytes) -> Path:
    """Put one more member at the head of the training shard, and make dataset.json agree with it."""
    path = folder / "train-000000.tar"
    head = io.BytesIO()
    with tarfile.open(fileobj=head, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
        end = archive.offset
    path.write_bytes(head.getvalue()[:end] + path.read_bytes())
    return agreed(folder, path)


def agreed(folder: Path, path: Path) -> Path:
    """Make dataset.json agree with the bytes of a shard that was changed by hand."""
    index = folder / "dataset.json"
    body = json.loads(index.read_text())
    entry = next(entry for entry in body["shards"] if entry["file"] == path.name)
    data = path.read_bytes()
    entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    index.write_text(json.dumps(body))
    return path


@pytest.mark.parametrize(
    "extension", ["pyd", "pickle", "pkl", "pth", "pt", "npy", "000.pyd", "PYD", "pth.jpg"]
)
def test_a_shard_that_brings_a_pickle_is_refused_by_both_readers(
    toys: Any, trace: Path, extension: str
) -> None:
    folder = toys.write()
    path = with_member(folder, f"a.{extension}", pickle.dumps(Payload(trace)))
    with pytest.raises(TrainError, match=r"train-000000\.tar: .* is a pickle, which could run code"):
        open_splits(folder, read_dataset(folder, verify=True))
    with pytest.raises(ClipError, match="is a pickle, which could run code"):
        list(FORMS["webdataset"].read(path, per_frame=False))
    assert not trace.exists()


@pytest.mark.parametrize(
    "name",
    [
        "../x.000.jpg",
        "/etc/x.000.jpg",
        "a/b.jpg",
        "..",
        "a\n.jpg",
        "a b.jpg",
        "-rf *.jpg",
        ".jpg",
        "a\\b.jpg",
        "ä.jpg",
    ],
)
def test_a_shard_with_a_name_that_is_no_clips_is_refused_by_both_readers(toys: Any, name: str) -> None:
    folder = toys.write()
    before = sorted(folder.parent.rglob("*"))
    path = with_member(folder, name, b"x")
    with pytest.raises(TrainError, match="is not named as a file of a sample"):
        open_splits(folder, read_dataset(folder))
    with pytest.raises(ClipError, match="is not named as a file of a sample"):
        list(FORMS["webdataset"].read(path, per_frame=False))
    assert sorted(folder.parent.rglob("*")) == before


def test_a_parquet_column_whose_type_is_a_pickle_is_not_unpickled(toys: Any, trace: Path) -> None:
    folder = toys.write(storage="parquet")
    path = folder / "train-000000.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("clip_id")
    field = table.schema.field(place).with_metadata(
        {
            "ARROW:extension:name": "arrow.py_extension_type",
            "ARROW:extension:metadata": pickle.dumps(Payload(trace)),
        }
    )
    schema = table.schema.set(place, field)
    pq.write_table(pa.Table.from_arrays(table.columns, schema=schema), path)
    agreed(folder, path)
    clips = open_splits(folder, read_dataset(folder))["train"].clips
    assert [clip.clip_id for clip in clips] == table["clip_id"].to_pylist()
    assert not trace.exists()


def test_class_names_reach_no_terminal_as_they_are(
    toys: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = build_model(TrainConfig(), 3).state_dict()
    names = ["\x1b]0;title\x07", "two\nlines", "\u202e"]
    checkpoint.save(tmp_path / "best.pt", {**whole_state(), "model": model, "classes": names})
    with pytest.raises(SystemExit):
        main(["--shards", str(toys.write()), "--eval-only", "--checkpoint", str(tmp_path / "best.pt")])
    shown = capsys.readouterr().err
    assert r"only in the checkpoint: \x1b]0;title\x07, two\nlines, \u202e;" in shown
    assert len(shown.splitlines()) == 1

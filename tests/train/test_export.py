"""An export says what the network says, tells what is to be known of it, and appears whole or not at all."""

from __future__ import annotations

import dataclasses
import io
import json
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from mocrop_manifests import read_dataset
from mocrop_manifests.files import sha256
from mocrop_train.cli import main
from mocrop_train.config import MODELS, TrainConfig
from mocrop_train.errors import TrainError
from mocrop_train.export import description, exporting, programs
from mocrop_train.models import build_model
from mocrop_train.run import checkpoint
from torch.nn import functional as F

from tests.commands import DEFAULT

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

TINY = ("--model", "resnet18", "--epochs", 1, "--batch-size", 8, "--segments", 2, "--device", "cpu")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def lively(model: torch.nn.Module, side: int) -> torch.nn.Module:
    """Give an untrained network the statistics of what it sees, so that its logits differ between frames."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    model.train()
    with torch.no_grad():
        for seed in range(2):
            rng = torch.Generator().manual_seed(seed)
            model(torch.randint(0, 256, (8, 3, side, side), generator=rng, dtype=torch.uint8))
    return model.eval()


def test_the_files_alone_are_enough_to_run_the_model(film_run: Path, film_export: Path) -> None:
    """Nothing of the trainer is used here but its checkpoint, to know what is right."""
    about = json.loads((film_export / "model.json").read_text())
    body = checkpoint.load(film_run / "best.pt")
    model = build_model(TrainConfig(**body["config"]), 2, load=False)
    model.load_state_dict(body["model"])
    size = about["preprocessing"]["size"]
    rng = np.random.default_rng(0)
    session = onnxruntime.InferenceSession(film_export / "model.onnx", providers=["CPUExecutionProvider"])
    program = torch.export.load(film_export / "model.pt2").module()
    for count in (1, 3):
        frames = rng.integers(0, 256, (count, 3, size, size), np.uint8)
        with torch.inference_mode():
            expected = model.eval()(torch.from_numpy(frames)).numpy()
            found = program(torch.from_numpy(frames)).numpy()
        np.testing.assert_array_equal(found, expected)
        (other,) = session.run([about["output"]["name"]], {about["input"]["name"]: frames})
        np.testing.assert_allclose(other, expected, rtol=0, atol=1e-3 * abs(expected).max())
        assert expected.std() > 0


def test_the_constants_are_those_that_the_graph_applies(film_run: Path, film_export: Path) -> None:
    """The bare backbone, fed with what the JSON says of the normalisation, comes to the same logits."""
    before = json.loads((film_export / "model.json").read_text())["preprocessing"]
    body = checkpoint.load(film_run / "best.pt")
    model = build_model(TrainConfig(**body["config"]), 2, load=False)
    model.load_state_dict(body["model"])
    frames = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    mean, std = (torch.tensor(before[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    with torch.inference_mode():
        by_hand = model.eval().head(model.backbone((frames / 255 - mean) / std))
        torch.testing.assert_close(programs.open_onnx(film_export / "model.onnx")(frames), by_hand)


def test_model_json_tells_all_that_is_to_be_known(film_run: Path, film_export: Path) -> None:
    body = json.loads((film_export / "model.json").read_text())
    assert body["classes"] == ["run", "walk"]
    assert body["input"] == {
        "name": "frames",
        "dtype": "uint8",
        "shape": ["n", 3, 32, 32],
        "layout": "NCHW",
        "colour": "RGB",
    }
    assert body["output"] == {"name": "logits", "dtype": "float32", "shape": ["n", 2]}
    assert body["preprocessing"]["mean"] == [0.485, 0.456, 0.406]
    assert body["preprocessing"]["std"] == [0.229, 0.224, 0.225]
    assert body["made"] == read_dataset(film_run.parent / "shards" / DEFAULT).config
    assert body["checkpoint"]["sha256"] == sha256(film_run / "best.pt")
    assert {"mocrop", "torch"} <= body["versions"].keys()
    for name, told in body["files"].items():
        assert told["sha256"] == sha256(film_export / name)
        assert told["max_difference"] <= told["tolerance"] * told["largest_logit"]
    assert sorted(path.name for path in film_export.iterdir()) == [
        "README.md",
        "model.json",
        "model.onnx",
        "model.pt2",
    ]
    about = description.read_description(film_export)
    assert description.write_description(about) == (film_export / "model.json").read_text()
    assert all(name in (film_export / "README.md").read_text() for name in (*body["files"], "model.json"))


def test_the_onnx_file_is_valid_and_says_what_goes_in(film_export: Path) -> None:
    model = onnx.load(film_export / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {part.domain: part.version for part in model.opset_import}[""] == programs.OPSET
    (frames,) = model.graph.input
    assert [dim.dim_param or dim.dim_value for dim in frames.type.tensor_type.shape.dim] == ["n", 3, 32, 32]
    assert frames.type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_no_path_of_this_machine_leaves_it(film_export: Path) -> None:
    with zipfile.ZipFile(film_export / "model.pt2") as archive:
        graph = archive.read(next(name for name in archive.namelist() if name.endswith("models/model.json")))
    for content in (
        graph,
        (film_export / "model.onnx").read_bytes(),
        (film_export / "model.json").read_bytes(),
    ):
        assert b"site-packages" not in content
        assert b"mocrop_train/models" not in content
        assert str(film_export.parent.parent).encode() not in content


def test_a_frozen_network_keeps_its_head(toys: Any, tmp_path: Path) -> None:
    assert call("--shards", toys.write(), "--out", tmp_path / "run", *TINY, "--freeze").exit_code == 0
    formats = ("--export-formats", "pt2")
    result = call("--export", tmp_path / "e", "--checkpoint", tmp_path / "run/best.pt", *formats)
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "e/model.onnx").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "side"),
    [
        *((name, 192 if name.startswith("swin") else 64) for name in MODELS),
        ("swin_b", 224),
    ],
)
def test_every_backbone_says_the_same_in_every_form(tmp_path: Path, name: str, side: int) -> None:
    torch.manual_seed(1)
    model = lively(build_model(TrainConfig(model=name), 7, load=False), side)
    graph = programs.trace(model, side)
    for form in exporting.FORMATS.values():
        form.write(graph, tmp_path / form.file)
        found = exporting.compare(model, form.open(tmp_path / form.file), side)
        assert found.difference <= (1e-4 if form.packages else 0) * found.largest
        assert found.same_top1 == found.frames
    spread = model(exporting.drawn_frames(4, side)).std(0).max()
    assert spread > 20 * found.difference  # else the agreement says nothing


def test_weights_that_were_changed_on_the_way_are_noticed(
    film_run: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """The file that was written is what is compared, and nothing of a bad export is left."""

    def write(program: Any, path: Path) -> None:
        weights = program.state_dict
        with torch.no_grad():
            weights["head.linear.bias"][1] += 0.5
        programs.write_pt2(program, path)

    spoilt = dataclasses.replace(exporting.FORMATS["pt2"], write=write)
    monkeypatch.setitem(exporting.FORMATS, "pt2", spoilt)

    # the graph shares its weights with the network: the network keeps its own here
    trace = programs.trace
    monkeypatch.setattr(programs, "trace", lambda model, side: trace(pickle.loads(pickle.dumps(model)), side))
    with pytest.raises(TrainError, match=r"model\.pt2: logits differ by 0\.5 .* nothing was exported"):
        exporting.export_checkpoint(film_run / "best.pt", tmp_path / "e", ["pt2"])
    assert not list(tmp_path.iterdir())


def test_an_interrupted_export_leaves_nothing(film_run: Path, tmp_path: Path, monkeypatch: Any) -> None:
    def write(program: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setitem(
        exporting.FORMATS, "onnx", dataclasses.replace(exporting.FORMATS["onnx"], write=write)
    )
    with pytest.raises(KeyboardInterrupt):
        exporting.export_checkpoint(film_run / "best.pt", tmp_path / "e")
    assert not list(tmp_path.iterdir())


def refused(*arguments: object) -> str:
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr


def test_what_cannot_be_exported_is_told_in_one_line(
    film_run: Path, film_export: Path, tmp_path: Path
) -> None:
    best = ("--checkpoint", film_run / "best.pt")
    assert "there is something already; delete it" in refused("--export", film_export, *best)
    assert "--export needs --checkpoint" in refused("--export", tmp_path / "e")
    assert "no such checkpoint" in refused("--export", tmp_path / "e", "--checkpoint", tmp_path / "x.pt")
    assert "'tflite' is not one of pt2, onnx" in refused(
        "--export", tmp_path / "e", *best, "--export-formats", "tflite"
    )
    assert "--export-formats goes with --export" in refused("--shards", tmp_path, "--export-formats", "pt2")
    assert "--eval-only and --export exclude each other" in refused(
        "--export", tmp_path / "e", *best, "--eval-only"
    )
    assert "--model swin_t: evaluation keeps" in refused(
        "--export", tmp_path / "e", *best, "--model", "swin_t"
    )
    assert not list(tmp_path.iterdir())


def test_without_the_packages_of_onnx_one_line_says_what_to_install(
    film_run: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    best = ("--checkpoint", film_run / "best.pt")
    assert "pip install 'mocrop[onnx]'" in refused("--export", tmp_path / "e", *best)
    assert call("--export", tmp_path / "e", *best, "--export-formats", "pt2").exit_code == 0


class Payload:
    """Leaves a folder behind where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.mkdir, (str(self.trace),)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("where", ["inputs", "hidden inputs", "constant", "native code", "no zip"])
def test_a_program_that_brings_a_pickle_or_native_code_is_refused(
    film_export: Path, tmp_path: Path, where: str
) -> None:
    trace, path = tmp_path / "it ran", tmp_path / "model.pt2"
    with zipfile.ZipFile(film_export / "model.pt2") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    top = next(iter(members)).partition("/")[0]
    inputs = f"{top}/data/sample_inputs/model.pt"
    torch.save(Payload(trace), payload := io.BytesIO())
    if where == "inputs":
        members[inputs] = payload.getvalue()
    elif where == "constant":
        name = f"{top}/data/constants/model_constants_config.json"
        body = json.loads(members[name])
        first = next(iter(body["config"]))
        body["config"][first]["use_pickle"] = True
        members[name] = json.dumps(body).encode()
        members[f"{top}/data/constants/{body['config'][first]['path_name']}"] = pickle.dumps(Payload(trace))
    elif where == "native code":
        members[f"{top}/data/aotinductor/model/model.so"] = b"\x7fELF"
    if where == "no zip":
        path.write_bytes(pickle.dumps(Payload(trace)))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            if where == "hidden inputs":  # Python reads the last member of a name, torch the first
                archive.writestr(inputs, payload.getvalue())
            for name, content in members.items():
                archive.writestr(name, content)
    with pytest.raises(TrainError, match=r"model\.pt2: "):
        programs.open_pt2(path, torch.device("cpu"))
    assert not trace.exists()


def test_drawn_frames_are_of_every_grain() -> None:
    frames = exporting.drawn_frames(4, 64).float()
    halves = F.avg_pool2d(frames, 16).flatten(1).std(1)
    assert halves[0] > 1.5 * halves[1] > 2 * halves[2]
    torch.testing.assert_close(exporting.drawn_frames(4, 64).float(), frames)


def test_the_checkpoint_knows_how_its_clips_were_made(film_run: Path) -> None:
    made = read_dataset(film_run.parent / "shards" / DEFAULT).config
    assert made["shard"]["size"] == 32
    assert checkpoint.load(film_run / "last.pt")["made"] == made

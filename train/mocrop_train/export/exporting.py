"""A checkpoint becomes a folder of programs, each held against the network before any of it is published."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mocrop_manifests.files import publish_folder, sha256
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.nn import functional as F

from mocrop_train.errors import TrainError
from mocrop_train.evaluation import evaluate
from mocrop_train.export import description, programs
from mocrop_train.export.description import Description
from mocrop_train.export.programs import Program
from mocrop_train.progress import log
from mocrop_train.run import runfolder

_BATCHES = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Format:
    """One form of a program: its file, what it is in words, how it is written and run.

    `tolerance`: how far its logits may be from the network's, as a share of the largest one.
    """

    file: str
    about: str
    write: Callable[[ExportedProgram, Path], None]
    open: Callable[[Path], Program]
    tolerance: float
    packages: tuple[str, ...] = ()


FORMATS = {
    # the same operators on the same machine: the same bits but for the room that torch may choose to take
    "pt2": Format(
        "model.pt2",
        "a program of torch.export: `torch.export.load(file).module()`",
        programs.write_pt2,
        lambda path: programs.open_pt2(path, torch.device("cpu")),
        1e-5,
    ),
    "onnx": Format(
        "model.onnx",
        f"ONNX, opset {programs.OPSET}: `onnxruntime.InferenceSession(file)`",
        programs.write_onnx,
        programs.open_onnx,
        1e-3,
        programs.ONNX_PACKAGES,
    ),
}


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a program's logits compare with the network's.

    difference: the largest one between two logits; largest: the largest absolute logit of the network;
    same_top1 of `frames` have the same likeliest class.
    """

    difference: float
    largest: float
    same_top1: int
    frames: int


def export_checkpoint(
    path: Path, folder: Path, formats: Sequence[str] = tuple(FORMATS), options: dict[str, Any] | None = None
) -> Description:
    """Write `folder`: the programs of a checkpoint, model.json and README.md; all of it or nothing.

    The weights are those that evaluation takes; they and all arithmetic are float32. `options` may set the
    machine's settings. Raises TrainError if the folder holds something, a package is missing, or a program
    does not say what the network says.
    """
    for name in formats:
        programs.require_onnx(*FORMATS[name].packages)
    loaded = evaluate.load(path, {**(options or {}), "device": "cpu", "amp": "off"})
    model, side = loaded.model.eval(), loaded.settings.side
    try:
        with publish_folder(folder) as temporary:
            graph = programs.trace(model, side)
            files = {}
            for name in formats:
                log.info("%s: written and compared", FORMATS[name].file)
                files[FORMATS[name].file] = _write(FORMATS[name], graph, model, side, temporary)
            about = _describe(loaded, files)
            (temporary / "README.md").write_bytes(description.readme(about).encode())
            (temporary / description.FILE).write_bytes(description.write_description(about).encode())
    except FileExistsError as error:
        raise TrainError(f"{folder}: {error.strerror}; delete it, or give another --export") from None
    return about


def format_export(folder: Path, about: Description) -> str:
    """Return what was written, and how well it agrees, as text for people."""
    lines = [f"{folder}: {about.model}, {len(about.classes)} classes, {about.side} px"]
    for name, told in about.files.items():
        apart = f"within {told['max_difference']:.2g} of the network's (up to {told['largest_logit']:.2g})"
        agreed = f"same top-1 in {told['same_top1']} of {told['frames']} drawn frames"
        lines.append(f"  {name}  {told['bytes'] / 1e6:.1f} MB  logits {apart}, {agreed}")
    return "\n".join(lines)


@torch.inference_mode()
def compare(model: Program, program: Program, side: int) -> Agreement:
    """Hold a program against the network on drawn frames, in batches of several sizes."""
    frames = drawn_frames(sum(_BATCHES), side)
    batches = torch.split(frames, list(_BATCHES))
    expected = torch.cat([model(batch) for batch in batches])
    found = torch.cat([program(batch) for batch in batches])
    if found.shape != expected.shape:
        raise TrainError(f"the program returns {tuple(found.shape)} for {tuple(expected.shape)}")
    return Agreement(
        difference=(found - expected).abs().max().item(),
        largest=expected.abs().max().item(),
        same_top1=int((found.argmax(1) == expected.argmax(1)).sum()),
        frames=len(frames),
    )


def drawn_frames(count: int, side: int) -> Tensor:
    """Return uint8 frames (count, 3, side, side) of coarse to fine noise, always the same."""
    rng = torch.Generator().manual_seed(0)
    frames = []
    for number in range(count):
        cells = max(1, side // 4 ** (2 - number % 3))
        noise = torch.randint(0, 256, (1, 3, cells, cells), generator=rng, dtype=torch.uint8)
        frames.append(F.interpolate(noise.float(), size=(side, side)).to(torch.uint8))
    return torch.cat(frames)


def _write(form: Format, graph: ExportedProgram, model: nn.Module, side: int, folder: Path) -> dict[str, Any]:
    """Write one program, read it again and hold it against the network; return what is to be told of it."""
    path = folder / form.file
    form.write(graph, path)
    found = compare(model, form.open(path), side)
    if not found.difference <= form.tolerance * found.largest:  # not a number is no agreement
        raise TrainError(
            f"{form.file}: logits differ by {found.difference:.3g} from the network's, whose largest is "
            f"{found.largest:.3g}: more than {form.tolerance:g} of it; nothing was exported"
        )
    return {
        "is": form.about,
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "max_difference": found.difference,
        "largest_logit": found.largest,
        "same_top1": found.same_top1,
        "frames": found.frames,
        "tolerance": form.tolerance,
        "versions": {name: importlib.metadata.version(name) for name in form.packages},
    }


def _describe(loaded: evaluate.Loaded, files: dict[str, dict[str, Any]]) -> Description:
    saved, path, model = loaded.saved, loaded.path, loaded.model
    return Description(
        model=loaded.settings.model,
        classes=saved["classes"],
        side=loaded.settings.side,
        mean=_shares(model.get_buffer("mean")),
        std=_shares(model.get_buffer("std")),
        made=saved["made"],
        files=files,
        checkpoint={
            "file": f"{path.resolve().parent.name}/{path.name}",
            "sha256": sha256(path),
            "epoch": saved["epoch"],
            "weights": "ema" if saved.get("ema") else "model",
            "shards": saved["shards"],
        },
        versions=runfolder.versions(),
    )


def _shares(levels: Tensor) -> list[float]:
    return [round(level / 255, 6) for level in levels.flatten().tolist()]

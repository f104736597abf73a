"""A network as a program that needs no code of the trainer: torch.export and ONNX, written and run."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from mocrop_train.errors import TrainError
from mocrop_train.export.description import BATCH, INPUT, OUTPUT

Program = Callable[[Tensor], Tensor]
"""From uint8 RGB frames (n, 3, side, side) to float32 logits (n, classes)."""

OPSET = 18
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
# what the archives of any torch since 2.7 hold: tensors, numbers and the graph; others may be native code
_PLAIN = re.compile(
    r"(.*/)?(weight_\d+|tensor_\d+|\w+\.(json|pt)|archive_format|(archive_)?version|byteorder|serialization_id)"
)


def trace(model: nn.Module, side: int) -> ExportedProgram:
    """Return a network in evaluation mode as a graph that takes any number of frames of a size."""
    frames = torch.zeros(2, 3, side, side, dtype=torch.uint8)
    program = torch.export.export(model.eval(), (frames,), dynamic_shapes={INPUT: {0: Dim(BATCH, min=1)}})
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of this machine
    return program


def write_pt2(program: ExportedProgram, path: Path) -> None:
    """Write a graph with its weights as torch.export does."""
    with warnings.catch_warnings():
        # weights in channels_last are no slices of one another, which is what this is about
        warnings.filterwarnings("ignore", "No complete tensor found", UserWarning)
        torch.export.save(program, path)


def write_onnx(program: ExportedProgram, path: Path) -> None:
    """Write a graph with its weights as ONNX of OPSET; takes ONNX_PACKAGES."""
    made = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=OPSET,
        input_names=[INPUT],
        dynamic_shapes={INPUT: {0: BATCH}},  # else the graph's own name of the dimension
        output_names=[OUTPUT],
        external_data=False,
        verbose=False,
    )
    if made is None:
        raise TrainError("torch.onnx made no program; --export-formats pt2 does without")
    for node in made.model.graph.all_nodes():
        node.metadata_props.clear()  # names of the graph before, and paths of this machine
    made.save(path)


def open_pt2(path: Path, where: torch.device) -> Program:
    """Return a .pt2 as a function on a device.

    Raises TrainError if it is none, or holds pickles or native code. It is a program nevertheless: it is to
    come from somebody whom one trusts.
    """
    _refuse_code(path)
    try:
        program = torch.export.load(path)
    except Exception as error:  # damaged archives make torch fail in every way there is
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise TrainError(f"{path}: not a program of torch.export: {reason}") from error
    if where.type != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, str(where))
    module: Program = program.module()
    return module


def open_onnx(path: Path) -> Program:
    """Return an ONNX file as a function on the CPU, by onnxruntime with as many threads as torch."""
    require_onnx("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no base of their own
        reason = str(error).strip().partition("\n")[0]
        raise TrainError(f"{path}: onnxruntime does not read it: {reason}") from error

    def run(frames: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: frames.contiguous().numpy()})[0])

    return run


def require_onnx(*packages: str) -> None:
    """Raise TrainError that says what to install unless the packages are there."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise TrainError(f"ONNX takes {', '.join(missing)}: pip install 'mocrop[onnx]', or do with pt2 alone")


def _refuse_code(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            # of two members of one name torch may read the other one
            if len({name.casefold() for name in names}) < len(names):
                raise TrainError(f"{path}: holds members of the same name, which no export of ours does")
            for name in names:
                if not _PLAIN.fullmatch(name):
                    raise TrainError(f"{path}: holds {name!r}, which no export of ours does")
                if name.endswith(".json") and _says_pickle(json.loads(archive.read(name))):
                    raise TrainError(f"{path}: {name} tells of a pickle, which could run code")
                if name.endswith(".pt"):  # torch would fall back to unpickle all that it holds
                    torch.load(io.BytesIO(archive.read(name)), "cpu", weights_only=True)
    except TrainError:
        raise
    except OSError as error:
        raise TrainError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # as in open_pt2
        raise TrainError(f"{path}: not a program of torch.export") from error


def _says_pickle(body: object) -> bool:
    if isinstance(body, dict):
        return bool(body.get("use_pickle")) or any(map(_says_pickle, body.values()))
    return isinstance(body, list) and any(map(_says_pickle, body))

"""model.json and the README.md of an export: what goes in, what comes out, and where it is from."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mocrop_manifests.records import read_document, typed_fields

from mocrop_train.errors import TrainError, printable

FILE = "model.json"
FORMAT = "mocrop-model"
VERSION = 1
INPUT, OUTPUT, BATCH = "frames", "logits", "n"
VIEW = (
    "bilinear resize of the short side to `size`, with antialiasing and on bytes, then the square of "
    "`size` in the centre; frames that are `size` by `size` already need nothing"
)
NORMALISATION = (
    "inside the graph: (frames / 255 - mean) / std for each channel; hand in bytes, not normalised floats"
)
SCORES = (
    "the logits of a clip are the mean of the logits of its frames (all frames that `made` stores of it); "
    "their softmax is the probability of each class"
)


@dataclass(frozen=True, slots=True)
class Description:
    """What model.json says; `side` is the network's input size in px.

    made: the `config` of the shard set that the model was trained on, empty if not known. files: by name,
    bytes, sha256, and how far the file's logits are from the trainer's own. checkpoint: its name, sha256,
    epoch, and which of its weights were taken.
    """

    model: str
    classes: list[str]
    side: int
    mean: list[float]
    std: list[float]
    made: dict[str, Any]
    files: dict[str, dict[str, Any]]
    checkpoint: dict[str, Any]
    versions: dict[str, str]


def write_description(about: Description) -> str:
    """Return the text of model.json."""
    fields = dataclasses.asdict(about)
    shape = [BATCH, 3, about.side, about.side]
    body = {
        "format": FORMAT,
        "version": VERSION,
        **{name: fields.pop(name) for name in ("model", "classes")},
        "input": {"name": INPUT, "dtype": "uint8", "shape": shape, "layout": "NCHW", "colour": "RGB"},
        "output": {"name": OUTPUT, "dtype": "float32", "shape": [BATCH, len(about.classes)]},
        "preprocessing": {
            "size": fields.pop("side"),
            "view": VIEW,
            "mean": fields.pop("mean"),
            "std": fields.pop("std"),
            "normalisation": NORMALISATION,
        },
        "scores": SCORES,
        **fields,
    }
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def read_description(folder: Path) -> Description:
    """Read the model.json of an export; raises TrainError that names the file and what is wrong with it."""
    path = folder / FILE
    body = read_document(
        path,
        TrainError,
        what="the description of a model of mocrop-train",
        form=FORMAT,
        version=VERSION,
        missing=f"no such file; is {folder} an export of mocrop-train?",
    )
    before = body.get("preprocessing")
    known = {name: before.get(name) for name in ("mean", "std", "size")} if isinstance(before, dict) else {}
    try:
        about = Description(**typed_fields(Description, {**body, **known, "side": known.get("size")}))
    except KeyError as error:
        raise TrainError(f"{path}: incomplete: {error}") from None
    except TypeError as error:
        raise TrainError(f"{path}: {error}") from None
    if not about.classes or about.side < 1:
        raise TrainError(f"{path}: a model without classes, or without a size")
    return about


def readme(about: Description) -> str:
    """Return the text of an export's README.md."""
    inputs = f"`{INPUT}`: uint8 RGB, ({BATCH}, 3, {about.side}, {about.side})"
    rows = [f"| `{name}` | {told['is']} |" for name, told in about.files.items()]
    return "\n".join(
        [
            f"# {about.model}, {len(about.classes)} classes",
            "",
            f"Made by mocrop-train {about.versions['mocrop']} of `{printable(about.checkpoint['file'])}`.",
            "",
            "| file | what it is |",
            "|---|---|",
            *rows,
            f"| `{FILE}` | classes, input, preprocessing, how the model's clips were made, checksums |",
            "",
            f"- In: {inputs}; any number of frames. Normalisation is {NORMALISATION}.",
            f"- View: {VIEW}.",
            f"- Out: `{OUTPUT}`: float32, ({BATCH}, {len(about.classes)}), in the order of `classes`.",
            f"- A clip: {SCORES}.",
            "",
            "A `.pt2` is a program: load only what comes from somebody you trust.",
            "",
        ]
    )

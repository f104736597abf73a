"""The files of a run besides its checkpoints: what it was made of, how it went."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import platform
from pathlib import Path

import numpy as np
import PIL
import torch
import torchvision
from mocrop_manifests import DatasetIndex, __version__
from mocrop_manifests.files import publish_text

from mocrop_train.config import TrainConfig
from mocrop_train.data.splits import Selection


def write_config(path: Path, config: TrainConfig, index: DatasetIndex, selection: Selection) -> None:
    """Write the resolved settings, the shard set, what the epoch is chosen on, and the versions."""
    body = {
        "config": dataclasses.asdict(config),
        "shards": {"name": index.name, "crops": index.crops, "classes": index.classes},
        "selection": dataclasses.asdict(selection),
        "versions": {
            "mocrop": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "numpy": np.__version__,
            "pillow": PIL.__version__,
        },
    }
    publish_text(path, json.dumps(body, indent=2, ensure_ascii=False) + "\n")


def write_log(path: Path, history: list[dict[str, float]]) -> None:
    """Write one line per epoch; always the whole file, so that it never disagrees with the checkpoint."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: value if isinstance(value, int) else f"{value:.6g}" for name, value in row.items()}
        for row in history
    )
    publish_text(path, out.getvalue())

"""The files of a run besides its checkpoints: what it was made of, how it went."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import fcntl
import io
import json
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL
import torch
import torchvision
from mocrop_manifests import DatasetIndex, __version__
from mocrop_manifests.files import publish_text

from mocrop_train.config import TrainConfig
from mocrop_train.data.splits import Selection
from mocrop_train.errors import TrainError
from mocrop_train.progress import log

# the descriptors of run folders that this process holds
_held: set[int] = set()


@contextlib.contextmanager
def alone(out: Path, *, holds: bool = True) -> Iterator[None]:
    """Make a run folder and hold it while the context is open; with `holds` false do neither.

    What is held is the folder itself, so no file is left, and it is free as soon as its holder is dead: the
    processes that read for it do not keep it. On a file system without locks nothing is held. Raises
    TrainError if another run has the folder.
    """
    if not holds:
        yield
        return
    out.mkdir(parents=True, exist_ok=True)
    folder = os.open(out, os.O_RDONLY)
    _held.add(folder)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainError(
                f"{out}: another run is at work in it; wait for it, stop it first, or take another --out"
            ) from None
        except OSError as error:
            log.debug("%s cannot be locked: %s", out, error)
        yield
    finally:
        _held.discard(folder)
        os.close(folder)


def _let_go() -> None:
    """Close what a forked process has inherited of the folders held by its parent."""
    for folder in _held:
        os.close(folder)
    _held.clear()


os.register_at_fork(after_in_child=_let_go)


def write_config(
    path: Path, config: TrainConfig, index: DatasetIndex, shards: Path, selection: Selection
) -> None:
    """Write the resolved settings, the shard set at `shards`, what selects the epoch, and the versions."""
    body = {
        "config": dataclasses.asdict(config),
        "shards": {
            "name": index.name,
            "path": str(shards.resolve()),
            "crops": index.crops,
            "classes": index.classes,
        },
        "selection": dataclasses.asdict(selection),
        "versions": versions(),
    }
    publish_text(path, json.dumps(body, indent=2, ensure_ascii=False) + "\n")


def versions() -> dict[str, str]:
    """Return the versions of this package and of the libraries that decide what it computes."""
    return {
        "mocrop": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


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


def read_log(path: Path) -> list[dict[str, float]]:
    """Read what write_log wrote, without empty cells; raises TrainError that names a line that is no row."""
    with path.open(encoding="utf-8", newline="") as stream:
        lines = csv.DictReader(stream)
        try:
            return [_row(line) for line in lines]
        except (TypeError, ValueError, csv.Error):
            raise TrainError(f"{path}: line {lines.line_num} is no row of numbers") from None


def _row(line: dict[str, str]) -> dict[str, float]:
    return {name: int(text) if name == "epoch" else float(text) for name, text in line.items() if text != ""}

"""TensorBoard's events of a run, if it is asked for them: what log.csv holds, to watch while it trains."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from mocrop_train.config import TrainConfig
from mocrop_train.errors import TrainError


def check_installed(config: TrainConfig) -> None:
    """Raise TrainError if events are asked for and the package that writes them is missing."""
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise TrainError("--tensorboard: tensorboard is not installed: pip install 'mocrop[tensorboard]'")


class Events:
    """The events of a run, in the folder tensorboard of its own; none, unless the settings ask for them.

    Every epoch is one step. What an earlier process wrote is taken back and all epochs are written again,
    so events never disagree with the checkpoint that was resumed; neither do they lack epochs of before
    they were asked for.
    """

    def __init__(self, folder: Path, config: TrainConfig) -> None:
        self._folder = folder / "tensorboard" if config.tensorboard else None
        self._writer: Any = None
        self._written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, history: Sequence[dict[str, float]]) -> None:
        """Write the epochs that are new; `history` has the columns of log.csv."""
        if self._folder is None:
            return
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # readers drop what an earlier file holds of this step and later ones
            self._writer = SummaryWriter(self._folder, purge_step=0)
        for row in history[self._written :]:
            for name, value in row.items():
                if name != "epoch":
                    self._writer.add_scalar(_title(name), value, int(row["epoch"]))
        self._written = len(history)
        self._writer.flush()


def _title(column: str) -> str:
    """Return the name of a column as TensorBoard groups plots: loss/train beside loss/val."""
    split, _, what = column.partition("_")
    if split in ("train", "val"):
        return f"{what}/{split}"
    return column if column == "lr" else f"speed/{column}"

"""A clip, or a video file, to the probability of each class: what a trained model is for.

    from mocrop_prep.frames import read_frames
    from mocrop_train.classify import Classifier

    classifier = Classifier.load(Path("runs/first/best.pt"))
    scores = classifier.classify(Path("video.mp4"), read_frames)
    print(max(scores, key=scores.get))

The pipeline cuts the pictures, the trainer looks at them. Neither imports the other: whoever has both hands
the one to the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from mocrop_manifests.files import sha256
from numpy.typing import NDArray
from torch import Tensor

from mocrop_train.config import TrainConfig
from mocrop_train.data import transforms
from mocrop_train.errors import TrainError
from mocrop_train.evaluation import evaluate
from mocrop_train.export import description, programs
from mocrop_train.export.exporting import FORMATS
from mocrop_train.export.programs import Program
from mocrop_train.run import device as devices

ReadFrames = Callable[[Path, Mapping[str, Any]], NDArray[Any]]
"""Pictures of a video as a shard set of the configuration `made` has them: mocrop_prep.frames.read_frames."""

_AT_ONCE = 64  # frames: clips that are stored whole may have thousands


class Classifier:
    """A trained model in evaluation: every frame in the view of evaluation, the mean of the logits, softmax.

    `classes` are the names in the order of the logits, `side` is the network's input size in px, `made` the
    configuration of the shards that it was trained on, empty if not known.
    """

    def __init__(
        self,
        network: Program,
        classes: list[str],
        side: int,
        made: Mapping[str, Any] | None = None,
        *,
        where: torch.device | None = None,
    ) -> None:
        """Take any function from uint8 frames (n, 3, side, side) on `where` to logits (n, classes)."""
        self.classes, self.side, self.made = classes, side, made or {}
        self._network = network
        self._view = transforms.evaluation(side)
        self._where = where or torch.device("cpu")

    @classmethod
    def load(cls, path: Path, *, device: str = "auto", backend: str = "torch") -> Classifier:
        """Load a checkpoint of a run, or the folder of an export.

        device: auto, cpu or cuda. backend: of an export, `torch` runs its model.pt2, `onnx` its model.onnx,
        on the CPU. Arithmetic is float32. A .pt2 is a program: it is to come from somebody whom one trusts.
        Raises TrainError.
        """
        if backend not in ("torch", "onnx"):
            raise TrainError(f"backend {backend!r} is not one of torch, onnx")
        if path.is_dir():
            return cls._load_export(path, device, backend)
        if backend == "onnx":
            raise TrainError(f"{path}: backend onnx takes the folder of an export: mocrop-train --export DIR")
        loaded = evaluate.load(path, {"device": device, "amp": "off"})
        saved, side = loaded.saved, loaded.settings.side
        return cls(loaded.model.eval(), saved["classes"], side, saved["made"], where=loaded.where)

    @classmethod
    def _load_export(cls, folder: Path, device: str, backend: str) -> Classifier:
        about = description.read_description(folder)
        form = FORMATS["onnx" if backend == "onnx" else "pt2"]
        told, file = about.files.get(form.file), folder / form.file
        if told is None:
            raise TrainError(f"{folder}: holds no {form.file}; there are {', '.join(about.files) or 'none'}")
        if not file.is_file() or sha256(file) != told.get("sha256"):
            raise TrainError(f"{file}: is not the file that model.json tells of; export again")
        if backend == "onnx" and device == "cuda":
            raise TrainError("backend onnx computes on the CPU here; leave device out, or take backend torch")
        where = devices.prepare(TrainConfig(device="cpu" if backend == "onnx" else device))
        network = programs.open_onnx(file) if backend == "onnx" else programs.open_pt2(file, where)
        return cls(network, about.classes, about.side, about.made, where=where)

    def classify(self, video: Path, read_frames: ReadFrames) -> dict[str, float]:
        """Return the probability of each class for a video file, as evaluation has it for its clip.

        read_frames: `mocrop_prep.frames.read_frames`, or what does the same. Methods that draw (mocrop-v1
        and -v2, random) do so by clip id: where that is not `<folder>__<name>`, hand in
        `functools.partial(read_frames, clip_id=ID)`. Raises TrainError, and whatever `read_frames` does:
        ClipError for a video that cannot be used.
        """
        if not self.made:
            raise TrainError(
                "the model does not say how its shards were made: cut the frames, and use scores()"
            )
        return self.scores(read_frames(video, self.made))

    def scores(self, frames: NDArray[Any] | Tensor) -> dict[str, float]:
        """Return the probability of each class for the frames of one clip.

        frames: uint8 RGB, (n, height, width, 3) or (n, 3, height, width), of any size. Raises TrainError for
        others.
        """
        pictures = self._view(_channels_first(torch.as_tensor(frames)))
        logits = self._logits(pictures).double()
        if len(logits) != len(self.classes):
            raise TrainError(f"the network tells {len(logits)} classes apart, {len(self.classes)} are named")
        if not logits.isfinite().all():
            raise TrainError("the network's output is not finite: what are its weights?")
        return dict(zip(self.classes, logits.softmax(0).tolist(), strict=True))

    @torch.inference_mode()
    def _logits(self, frames: Tensor) -> Tensor:
        """Return the mean of the logits of frames, float32 (classes,)."""
        parts = [self._network(part.to(self._where)).float().cpu() for part in torch.split(frames, _AT_ONCE)]
        return torch.cat(parts).mean(0)


def _channels_first(frames: Tensor) -> Tensor:
    """Return frames as (n, 3, height, width), in memory (n, height, width, 3) as decoders write them.

    Resizing rounds alike for all who see them so.
    """
    shape = tuple(frames.shape)
    if frames.dtype != torch.uint8 or len(shape) != 4 or 3 not in (shape[1], shape[3]) or 0 in shape:
        raise TrainError(
            f"frames of shape {shape} and {frames.dtype}: uint8 RGB frames of one clip are wanted, "
            "(n, height, width, 3) or (n, 3, height, width)"
        )
    first = frames.permute(0, 3, 1, 2) if shape[3] == 3 else frames
    return first.contiguous(memory_format=torch.channels_last)

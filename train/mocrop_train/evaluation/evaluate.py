"""Evaluation: every stored frame of every clip, the mean of their logits, accuracy over clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mocrop_manifests import DatasetIndex, read_dataset
from mocrop_manifests.files import sha256
from numpy.typing import NDArray
from torch import Tensor, nn

from mocrop_train import overrides
from mocrop_train.config import TrainConfig
from mocrop_train.data import feeds, loading
from mocrop_train.data.loading import Batches
from mocrop_train.data.shards import ClipEntry
from mocrop_train.data.splits import OPTIMISTIC, TEST
from mocrop_train.errors import TrainError, printable
from mocrop_train.evaluation import metrics
from mocrop_train.evaluation.predictions import ClipPrediction, Predictions, rounded
from mocrop_train.models import FrameClassifier, build_model
from mocrop_train.progress import log, track
from mocrop_train.run import checkpoint, device, parallel


@dataclass(frozen=True, slots=True)
class Scores:
    """Accuracy over clips, shares from 0 to 1; `loss` is the mean cross-entropy."""

    loss: float
    top1: float
    top5: float
    per_class: list[float | None]


def clip_logits(logits: Tensor, counts: Tensor) -> Tensor:
    """Average the logits of frames (sum of counts, classes) over each clip: (clips, classes)."""
    return torch.stack([frames.mean(0) for frames in torch.split(logits, counts.tolist())])


@torch.inference_mode()
def predict(
    network: nn.Module, batches: Batches, settings: TrainConfig, where: torch.device, label: str
) -> Tensor:
    """Return the logits of every clip, float32 (clips, classes), in the order of the split.

    Each process of a run computes those of its own batches; every one gets all of them.
    """
    ranks = parallel.current()
    ranks.agree(network)
    network.eval()
    at_once = settings.batch_size * settings.segments
    found = []
    with device.shortages_told(settings, f"evaluation of {label}"):
        for batch in track(batches, label, len(batches)):
            parts = []
            for frames in torch.split(batch.frames, at_once):
                with device.autocast(settings, where):
                    parts.append(network(frames.to(where, non_blocking=True)).float().cpu())
            found.append(clip_logits(torch.cat(parts), batch.counts))
    return torch.cat([logits for part in ranks.gather(found) for logits in part])


def score(logits: Tensor, clips: Sequence[ClipEntry]) -> Scores:
    """Hold logits (clips, classes) against the labels; `per_class` is None for a class without clips.

    Raises TrainError for logits that are not finite.
    """
    labels, shares = _labels_of(clips), _probabilities(logits, clips)
    matrix = metrics.confusion_of(labels, shares.argmax(1), logits.shape[1])
    return Scores(
        loss=float(metrics.nll_per_clip(labels, shares).mean()),
        top1=float(matrix.trace() / len(labels)),
        top5=metrics.top_k(labels, shares, 5),
        per_class=metrics.recalls(matrix),
    )


def predictions_of(
    logits: Tensor,
    clips: Sequence[ClipEntry],
    index: DatasetIndex,
    *,
    split: str,
    path: Path,
    saved: dict[str, Any],
    shards_sha256: str,
) -> Predictions:
    """Put the logits of a split into the form of a prediction file.

    `path` is the checkpoint that made them and `saved` its content; shards_sha256 is that of dataset.json.
    All numbers are of the scores as the file holds them, so that whoever reads it finds the same ones.
    """
    rows = [[rounded(share) for share in shares] for shares in _probabilities(logits, clips).tolist()]
    labels, shares = _labels_of(clips), np.array(rows)
    predicted = shares.argmax(1)
    matrix = metrics.confusion_of(labels, predicted, len(index.classes))
    found = [
        ClipPrediction(clip.clip_id, clip.group, clip.label, best, row, clip.frames)
        for clip, best, row in zip(clips, predicted.tolist(), rows, strict=True)
    ]
    return Predictions(
        shards=index.name,
        split=split,
        classes=index.classes,
        model=saved["config"]["model"],
        checkpoint=f"{path.resolve().parent.name}/{path.name}",
        top1=float(matrix.trace() / len(labels)),
        top5=metrics.top_k(labels, shares, 5),
        per_class={
            name: share
            for name, share in zip(index.classes, metrics.recalls(matrix), strict=True)
            if share is not None
        },
        clips=sorted(found, key=lambda clip: clip.clip_id),
        calibration=metrics.calibration_of(labels, predicted, shares).numbers(),
        crops=index.crops["name"],
        shards_sha256=shards_sha256,
        weights_sha256=checkpoint.digest(checkpoint.weights(saved)),
        selected_on=saved["selected_on"],
        seed=saved["config"].get("seed"),
    )


def _labels_of(clips: Sequence[ClipEntry]) -> NDArray[np.int64]:
    return np.array([clip.label for clip in clips], dtype=np.int64)


def _probabilities(logits: Tensor, clips: Sequence[ClipEntry]) -> NDArray[np.float64]:
    """Return the softmax of logits (clips, classes) in float64, in which the least likely class is not 0."""
    finite = logits.isfinite().all(1)
    if not finite.all():
        first = clips[int(finite.int().argmin())].clip_id
        raise TrainError(
            f"clip {first}: the network's output is not finite; try --amp off, or another checkpoint"
        )
    shares: NDArray[np.float64] = logits.double().softmax(1).numpy()
    return shares


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checkpoint that is ready to evaluate: its content, its model on its device, the settings to use."""

    path: Path
    saved: dict[str, Any]
    settings: TrainConfig
    where: torch.device
    model: FrameClassifier


@dataclass(frozen=True, slots=True)
class Held:
    """One split of a shard set that has been held against a checkpoint: its clips are `source.clips`."""

    folder: Path
    index: DatasetIndex
    split: str
    source: loading.ClipFrames


def load(path: Path, options: dict[str, Any] | None = None) -> Loaded:
    """Load a checkpoint to evaluate it.

    Settings come from the checkpoint, except the machine's and `limit`; `options` may change those of
    overrides.WHEN_EVALUATED. Raises TrainError.
    """
    saved = checkpoint.load(path)
    settings = overrides.evaluated(saved["config"], options or {})
    where = device.prepare(settings)
    model = build_model(settings, len(saved["classes"]), load=False)
    checkpoint.fill(model, checkpoint.weights(saved), path)
    return Loaded(path, saved, settings, where, model.to(where))


def hold(shards: Path, loaded: Loaded, *, split: str = "test", verify: bool = False) -> Held:
    """Open a split of a shard set for a checkpoint.

    Raises TrainError or ManifestError if the two do not go together or the split has no clips.
    """
    index = read_dataset(shards, verify=verify)
    checkpoint.check_classes(loaded.path, loaded.saved["classes"], index.classes)
    source = loading.ClipFrames(shards, index, split, limit=loaded.settings.limit)
    if not source.clips:
        raise TrainError(
            f"{shards}: no clips in split {split}; there are {', '.join(index.splits()) or 'none'}"
        )
    present = {clip.label for clip in source.clips}
    if len(present) == 1:
        log.warning(
            "%s: all clips of split %s are of one class, %s; its accuracy tells nothing about the others",
            shards,
            split,
            printable(index.classes[present.pop()]),
        )
    return Held(shards, index, split, source)


def evaluate(loaded: Loaded, held: Held, label: str) -> Predictions:
    """Return what a checkpoint says of the clips of a split; `label` is shown with the progress."""
    settings, where = loaded.settings, loaded.where
    network, batches = feeds.unseen(loaded.model, held.source, settings, where, label)
    return predictions_of(
        predict(network, batches, settings, where, label),
        held.source.clips,
        held.index,
        split=held.split,
        path=loaded.path,
        saved=loaded.saved,
        shards_sha256=sha256(held.folder / "dataset.json"),
    )


def evaluate_checkpoint(
    shards: Path,
    path: Path,
    options: dict[str, Any] | None = None,
    *,
    split: str = "test",
    verify: bool = False,
) -> Predictions:
    """Evaluate a checkpoint on one split of any shard set with the same classes; see `load` and `hold`."""
    loaded = load(path, options)
    return evaluate(loaded, hold(shards, loaded, split=split, verify=verify), split)


def format_result(predictions: Predictions) -> str:
    """Return accuracies as text for people: of the split, and of every class, worst first."""
    clips = len(predictions.clips)
    lines = [
        f"{predictions.split}: top-1 {predictions.top1:.1%}, top-5 {predictions.top5:.1%} of {clips} clips"
    ]
    if predictions.selected_on == TEST:
        lines.insert(0, OPTIMISTIC)
    shares = [(printable(name), share) for name, share in predictions.per_class.items()]
    width = max(len(name) for name, _ in shares)
    lines += [f"  {name:{width}}  {share:6.1%}" for name, share in sorted(shares, key=lambda item: item[1])]
    return "\n".join(lines)

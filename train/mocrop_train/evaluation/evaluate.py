"""Evaluation: every stored frame of every clip, the mean of their logits, accuracy over clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mocrop_manifests import DatasetIndex, read_dataset
from torch import Tensor, nn
from torch.nn import functional as F

from mocrop_train import config
from mocrop_train.config import TrainConfig
from mocrop_train.data import loading, ondevice, transforms
from mocrop_train.data.loading import Batches
from mocrop_train.data.shards import ClipEntry
from mocrop_train.errors import TrainError, printable
from mocrop_train.evaluation.predictions import ClipPrediction, Predictions
from mocrop_train.models import build_model
from mocrop_train.progress import track
from mocrop_train.run import checkpoint, device


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
    """Return the logits of every clip, float32 (clips, classes), in the order of the loader."""
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
    return torch.cat(found)


def score(logits: Tensor, clips: Sequence[ClipEntry]) -> Scores:
    """Hold logits (clips, classes) against the labels; `per_class` is None for a class without clips."""
    labels = torch.tensor([clip.label for clip in clips])
    classes = logits.shape[1]
    ranked = logits.topk(min(5, classes)).indices
    right = ranked[:, 0] == labels
    seen = torch.bincount(labels, minlength=classes).tolist()
    hits = torch.bincount(labels[right], minlength=classes).tolist()
    return Scores(
        loss=F.cross_entropy(logits, labels).item(),
        top1=right.float().mean().item(),
        top5=(ranked == labels[:, None]).any(1).float().mean().item(),
        per_class=[hit / count if count else None for hit, count in zip(hits, seen, strict=True)],
    )


def predictions_of(
    logits: Tensor,
    clips: Sequence[ClipEntry],
    index: DatasetIndex,
    *,
    split: str,
    model: str,
    checkpoint: str,
) -> Predictions:
    """Put the logits of a split into the form of a prediction file."""
    scores = score(logits, clips)
    rows = zip(clips, logits.argmax(1).tolist(), logits.softmax(1).tolist(), strict=True)
    found = [
        ClipPrediction(clip.clip_id, clip.group, clip.label, best, [round(share, 6) for share in shares])
        for clip, best, shares in rows
    ]
    return Predictions(
        shards=index.name,
        split=split,
        classes=index.classes,
        model=model,
        checkpoint=checkpoint,
        top1=scores.top1,
        top5=scores.top5,
        per_class={
            name: share
            for name, share in zip(index.classes, scores.per_class, strict=True)
            if share is not None
        },
        clips=sorted(found, key=lambda clip: clip.clip_id),
    )


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checkpoint that is ready to evaluate: its content, its model on its device, the settings to use."""

    path: Path
    saved: dict[str, Any]
    settings: TrainConfig
    where: torch.device
    model: nn.Module


def load(path: Path, options: dict[str, Any] | None = None) -> Loaded:
    """Load a checkpoint to evaluate it.

    Settings come from the checkpoint, except the machine's and `limit`; `options` may change those of
    config.WHEN_EVALUATED. Raises TrainError.
    """
    saved = checkpoint.load(path)
    settings = config.evaluated(saved["config"], options or {})
    where = device.prepare(settings)
    model = build_model(settings, len(saved["classes"]), load=False)
    model.load_state_dict(checkpoint.weights(saved))
    return Loaded(path, saved, settings, where, model.to(where))


def evaluate_checkpoint(
    shards: Path,
    path: Path,
    options: dict[str, Any] | None = None,
    *,
    split: str = "test",
    verify: bool = False,
) -> Predictions:
    """Evaluate a checkpoint on one split of any shard set with the same classes.

    Settings come from the checkpoint, except the machine's and `limit`; `options` may change those of
    config.WHEN_EVALUATED. Raises TrainError or ManifestError if checkpoint and shards do not go together
    or the split has no clips.
    """
    loaded = load(path, options)
    settings, where = loaded.settings, loaded.where
    index = read_dataset(shards, verify=verify)
    checkpoint.check_classes(path, loaded.saved["classes"], index.classes)
    source = loading.ClipFrames(shards, index, split, limit=settings.limit)
    if not source.clips:
        raise TrainError(
            f"{shards}: no clips in split {split}; there are {', '.join(index.splits()) or 'none'}"
        )
    clips = loading.EvalClips(source, transforms.evaluation(settings.side))
    batches = ondevice.batches(clips, settings, where, workers=device.loader_workers(settings, where))
    logits = predict(loaded.model, batches, settings, where, split)
    name = f"{path.resolve().parent.name}/{path.name}"
    return predictions_of(logits, source.clips, index, split=split, model=settings.model, checkpoint=name)


def format_result(predictions: Predictions) -> str:
    """Return accuracies as text for people: of the split, and of every class, worst first."""
    clips = len(predictions.clips)
    lines = [
        f"{predictions.split}: top-1 {predictions.top1:.1%}, top-5 {predictions.top5:.1%} of {clips} clips"
    ]
    shares = [(printable(name), share) for name, share in predictions.per_class.items()]
    width = max(len(name) for name, _ in shares)
    lines += [f"  {name:{width}}  {share:6.1%}" for name, share in sorted(shares, key=lambda item: item[1])]
    return "\n".join(lines)

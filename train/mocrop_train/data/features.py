"""Features of a frozen backbone: computed once, stored, and kept in memory by a run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import PIL
import torch
import torchvision
from torch import Tensor

from mocrop_train.config import TrainConfig
from mocrop_train.data import loading, ondevice, transforms
from mocrop_train.data.featurestore import FeatureStore
from mocrop_train.data.loading import FrameSource
from mocrop_train.data.sampling import Stretch
from mocrop_train.errors import TrainError
from mocrop_train.models import FrameClassifier
from mocrop_train.progress import log, track
from mocrop_train.run import checkpoint, device, parallel

# of all that is done between a JPEG and its features; to be raised when any of it changes what comes out
_VERSION = 1
_SECONDS_BETWEEN_SAVES = 20.0


class CachedFeatures:
    """The features of one split: float32 (frames, views, width); view 1, where there is one, is mirrored."""

    def __init__(self, source: FrameSource, features: list[Tensor]) -> None:
        self.clips = source.clips
        self.content = source.content
        self.chunks = [range(len(source.clips))]
        self._features = features

    def read(self, clip: int, positions: Sequence[int]) -> Tensor:
        """Return the features of the stored frames at `positions` of a clip."""
        return self._features[clip][list(positions)]


def random_view(features: Tensor, rng: torch.Generator) -> Tensor:
    """Take the plain or the mirrored features, alike for all frames of the clip: the flip of training."""
    return features[:, int(torch.randint(features.shape[1], (), generator=rng))]


def plain_view(features: Tensor) -> Tensor:
    """Take the features of the frames as stored."""
    return features[:, 0]


def cache_features(
    model: FrameClassifier,
    source: FrameSource,
    config: TrainConfig,
    where: torch.device,
    cache: Path,
    *,
    label: str,
    mirrored: bool = False,
) -> CachedFeatures:
    """Return the features of all stored frames of some clips, and of their mirror images if asked.

    What the folder `cache` holds is read; the backbone runs over the other clips, and what it finds is added.
    The processes of a run share the work. Raises TrainError if the cache loses clips meanwhile.
    """
    ranks, clips, views = parallel.current(), source.clips, 1 + mirrored
    store = FeatureStore(cache, what_features_depend_on(model, source, config, where))
    found = store.load(clips, views)
    # another run may be adding to the cache: what is left to do is what rank 0 has not seen
    missing = ranks.gather([at for at, clip in enumerate(clips) if clip.clip_id not in found])[0]
    log.info(
        "features of %s: %d of %d clips are in %s", label, len(clips) - len(missing), len(clips), store.folder
    )
    if missing:
        _compute(model, source, missing, config, where, store, label=label, mirrored=mirrored)
        ranks.barrier()
        found |= store.load([clip for clip in clips if clip.clip_id not in found], views)
    lost = sum(clip.clip_id not in found for clip in clips)
    if lost:
        raise TrainError(f"{store.folder}: lost {lost} clips while in use; start again, or on another folder")
    return CachedFeatures(source, [found[clip.clip_id] for clip in clips])


def what_features_depend_on(
    model: FrameClassifier, source: FrameSource, config: TrainConfig, where: torch.device
) -> dict[str, Any]:
    """Return what decides the features of a clip, besides its id; which clips are wanted does not."""
    return {
        "version": _VERSION,
        "shards": source.content,
        "model": config.model,
        "weights": checkpoint.digest(model.backbone.state_dict()),
        "input_size": config.side,
        "amp": config.amp,
        "device": where.type,
        "decode": "cuda" if device.decodes(config, where) else "cpu",
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "pillow": PIL.__version__,
    }


@torch.inference_mode()
def _compute(
    model: FrameClassifier,
    source: FrameSource,
    missing: list[int],
    config: TrainConfig,
    where: torch.device,
    store: FeatureStore,
    *,
    label: str,
    mirrored: bool,
) -> None:
    """Run the backbone over this process's part of the clips, and store features every now and then."""
    model.eval()
    clips = loading.EvalClips(source, transforms.evaluation(config.side))
    workers = device.loader_workers(config, where)
    batches = ondevice.batches(clips, config, where, workers=workers, sampler=missing)
    mine = Stretch(missing, config.batch_size, parallel.current())
    done: dict[str, Tensor] = {}
    saved = time.monotonic()
    tracked = track(batches, f"features of {label}", len(batches))
    try:
        for members, batch in zip(mine, tracked, strict=True):
            found = _views(model, batch.frames, config, where, mirrored=mirrored)
            ids = [source.clips[clip].clip_id for clip in members]
            done |= zip(ids, torch.split(found, batch.counts.tolist()), strict=True)
            if time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
                store.add(done)
                done, saved = {}, time.monotonic()
    finally:  # an interruption too
        store.add(done)


def _views(
    model: FrameClassifier, frames: Tensor, config: TrainConfig, where: torch.device, *, mirrored: bool
) -> Tensor:
    """Return the features of frames and of their mirror images, float32 (frames, views, width)."""
    parts = []
    for some in torch.split(frames, config.batch_size * config.segments):
        pixels = some.to(where, non_blocking=True)
        with device.autocast(config, where), device.shortages_told(config, "the backbone"):
            views = [model.features(pixels), *([model.features(pixels.flip(-1))] if mirrored else [])]
        parts.append(torch.stack(views, dim=1).float().cpu())
    return torch.cat(parts)

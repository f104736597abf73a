"""Features of a frozen backbone, computed once and kept in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mocrop_train.config import TrainConfig
from mocrop_train.data import loading, ondevice, transforms
from mocrop_train.data.loading import FrameSource
from mocrop_train.data.shards import ClipEntry
from mocrop_train.models import FrameClassifier
from mocrop_train.progress import track
from mocrop_train.run import device


class CachedFeatures:
    """The features of one split: float32 (frames, views, width); view 1, where there is one, is mirrored."""

    def __init__(self, clips: Sequence[ClipEntry], features: list[Tensor]) -> None:
        self.clips = clips
        self.chunks = [range(len(clips))]
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


@torch.inference_mode()
def cache_features(
    model: FrameClassifier,
    source: FrameSource,
    config: TrainConfig,
    where: torch.device,
    *,
    label: str,
    mirrored: bool = False,
) -> CachedFeatures:
    """Run the backbone once over all stored frames of a split, and over their mirror images if asked."""
    model.eval()
    clips = loading.EvalClips(source, transforms.evaluation(config.side))
    workers = device.loader_workers(config, where)
    batches = ondevice.batches(clips, config, where, workers=workers)
    at_once = config.batch_size * config.segments
    features: list[Tensor] = []
    with device.shortages_told(config, f"features of {label}"):
        for batch in track(batches, f"features of {label}", len(batches)):
            parts = []
            for frames in torch.split(batch.frames, at_once):
                pixels = frames.to(where, non_blocking=True)
                with device.autocast(config, where):
                    views = [model.features(pixels), *([model.features(pixels.flip(-1))] if mirrored else [])]
                parts.append(torch.stack(views, dim=1).float().cpu())
            features.extend(torch.split(torch.cat(parts), batch.counts.tolist()))
    return CachedFeatures(source.clips, features)

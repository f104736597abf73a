"""Features of whole shard sets by a frozen backbone, computed once by the trainer and kept on disk."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from mocrop_manifests import read_dataset
from mocrop_train.config import TrainConfig
from mocrop_train.data.features import CachedFeatures, cache_features
from mocrop_train.data.loading import ClipFrames
from mocrop_train.models import FrameClassifier, build_model
from mocrop_train.run import device
from torch import Tensor


@dataclass(frozen=True, slots=True)
class SetFeatures:
    """The clips of a set and the features of each: float32 (frames, views, width), view 1 mirrored."""

    source: ClipFrames
    features: list[Tensor]

    def tested(self, clip_ids: Collection[str]) -> CachedFeatures:
        """Return the clips among `clip_ids` as the trainer caches a split of them."""
        return self._part([clip.clip_id in clip_ids for clip in self.source.clips])

    def left(self, clip_ids: Collection[str]) -> CachedFeatures:
        """Return the clips that are not among `clip_ids`."""
        return self._part([clip.clip_id not in clip_ids for clip in self.source.clips])

    def _part(self, members: list[bool]) -> CachedFeatures:
        kept = [number for number, member in enumerate(members) if member]
        return CachedFeatures(self.source.part(kept), [self.features[number] for number in kept])


@functools.lru_cache(maxsize=32)
def set_features(shards: Path, classes: int, config: TrainConfig, folder: Path) -> SetFeatures:
    """Return the features of every clip of a set; what is not in `folder` yet is computed and kept there.

    A process reads them once.
    """
    source = ClipFrames(shards, read_dataset(shards), "train")
    where = device.prepare(config)
    model = _backbone(dataclasses.replace(config, input_size=None), classes).to(where)
    cached = cache_features(model, source, config, where, folder, label=shards.name, mirrored=True)
    return SetFeatures(source, [cached.read(n, range(clip.frames)) for n, clip in enumerate(source.clips)])


@functools.lru_cache(maxsize=1)
def _backbone(config: TrainConfig, classes: int) -> FrameClassifier:
    """Return the network of a config; it takes pictures of any size."""
    return build_model(config, classes)

"""Heads on the features of a frozen backbone: trained as `mocrop-train --freeze` does, tested on any set."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from mocrop_train.config import TrainConfig
from mocrop_train.data import loading, ondevice
from mocrop_train.data.features import CachedFeatures, plain_view, random_view
from mocrop_train.data.sampling import ShuffledClips
from mocrop_train.evaluation import evaluate
from mocrop_train.evaluation.predictions import Predictions
from mocrop_train.models import FrameClassifier, build_model
from mocrop_train.run import device, optim
from torch import nn
from torch.nn import functional as F

from tests.benchmarks.table_one.design import Division, Variant
from tests.benchmarks.table_one.features import SetFeatures, set_features
from tests.benchmarks.table_one.outcomes import predictions_of


@dataclass
class FrozenTester:
    """Trains heads on cached features and tests them, one division at a time.

    `sets` are the folders of the shard sets; `features` is where features are kept.
    """

    sets: dict[Variant, Path]
    classes: list[str]
    config: TrainConfig
    features: Path

    def __post_init__(self) -> None:
        self._where = device.prepare(self.config)
        self._known: dict[Variant, SetFeatures] = {}

    def settings(self, train: Variant, seed: int) -> TrainConfig:
        """Return the resolved settings of a training."""
        return dataclasses.replace(self.config, seed=seed).resolved(train.size)

    def test(
        self, train: Variant, tests: Sequence[Variant], division: Division, seed: int
    ) -> dict[Variant, Predictions]:
        """Train on the clips that the division leaves, and return what the head says of the others."""
        config = self.settings(train, seed)
        known = self._of(train)
        left = known.some({clip.clip_id for clip in known.clips} - division.tested)
        head = train_head(left, config, len(self.classes), self._where)
        found = {}
        for variant in tests:
            held = self._of(variant).some(division.tested)
            clips = loading.EvalClips(held, plain_view)
            batches = ondevice.batches(clips, config, self._where, workers=0)
            logits = evaluate.predict(head, batches, config, self._where, str(variant))
            found[variant] = predictions_of(logits, held.clips, self.classes, variant, config, train)
        return found

    def _of(self, variant: Variant) -> SetFeatures:
        if variant not in self._known:
            config = self.config.resolved(variant.size)
            model = _backbone(self.config, len(self.classes)).to(self._where)
            made = set_features(self.sets[variant], model, config, self._where, self.features)
            self._known[variant] = made
        return self._known[variant]


def train_head(
    source: CachedFeatures, config: TrainConfig, classes: int, where: torch.device
) -> nn.Sequential:
    """Return the head of a resolved config, trained on the features of its training clips.

    It is the head that `loop.train` ends with for the same clips and settings (a test holds it to that),
    without a checkpoint of the whole backbone after every epoch.
    """
    head = copy.deepcopy(_untrained(dataclasses.replace(config, input_size=None), classes)).to(where)
    optimizer = optim.optimizer(head, config)
    order = ShuffledClips(source.chunks, config.seed)
    clips = loading.TrainClips(source, config.segments, random_view)
    batches = ondevice.batches(clips, config, where, workers=0, sampler=order)
    steps = config.epochs * len(batches)
    head.train()
    for epoch in range(config.epochs):
        order.epoch = epoch
        for number, batch in enumerate(batches):
            step = epoch * len(batches) + number
            optim.set_lr(optimizer, config.peak_lr * optim.lr_factor(step, steps, config))
            with device.autocast(config, where):
                logits = evaluate.clip_logits(head(batch.frames.to(where)), batch.counts).float()
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(F.cross_entropy(logits, batch.labels.to(where)))
            optimizer.step()
    return head


@functools.cache
def _untrained(config: TrainConfig, classes: int) -> nn.Sequential:
    """Return the head with which a run of this seed begins."""
    torch.manual_seed(config.seed)
    return build_model(config, classes, load=False).head


@functools.lru_cache(maxsize=1)
def _backbone(config: TrainConfig, classes: int) -> FrameClassifier:
    return build_model(config, classes)

"""Heads on the features of a frozen backbone: trained as `mocrop-train --freeze` does, tested on any set."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from mocrop_train import loop
from mocrop_train.config import TrainConfig
from mocrop_train.data import loading, ondevice
from mocrop_train.data.features import CachedFeatures, plain_view, random_view
from mocrop_train.data.feeds import Feeds
from mocrop_train.data.sampling import ShuffledClips
from mocrop_train.evaluation import evaluate
from mocrop_train.evaluation.predictions import Predictions
from mocrop_train.run import device, state
from torch import nn

from tests.benchmarks.table_one.design import Division, Variant
from tests.benchmarks.table_one.features import SetFeatures, set_features
from tests.benchmarks.table_one.outcomes import predictions_of


@dataclass(frozen=True)
class FrozenTester:
    """Trains heads on cached features and tests them, one division at a time.

    `sets` are the folders of the shard sets; `features` is where features are kept; `jobs` heads are trained
    side by side.
    """

    sets: dict[Variant, Path]
    classes: list[str]
    config: TrainConfig
    features: Path
    jobs: int

    def prepare(self) -> None:
        """Compute the features that are missing, which is the long part."""
        for variant in self.sets:
            self._of(variant)

    def settings(self, train: Variant, seed: int) -> TrainConfig:
        """Return the resolved settings of a training."""
        return dataclasses.replace(self.config, seed=seed).resolved(train.size)

    def test(
        self, train: Variant, tests: Sequence[Variant], division: Division, seed: int
    ) -> dict[Variant, Predictions]:
        """Train on the clips that the division leaves, and return what the head says of the others."""
        config, where = self.settings(train, seed), device.prepare(self.config)
        head = train_head(self._of(train).left(division.tested), config, len(self.classes), where)
        found = {}
        for variant in tests:
            held = self._of(variant).tested(division.tested)
            batches = ondevice.batches(loading.EvalClips(held, plain_view), config, where, workers=0)
            logits = evaluate.predict(head, batches, config, where, str(variant))
            found[variant] = predictions_of(logits, held.clips, self.classes, variant, config, train)
        return found

    def _of(self, variant: Variant) -> SetFeatures:
        config = self.config.resolved(variant.size)
        return set_features(self.sets[variant], len(self.classes), config, self.features)


def train_head(source: CachedFeatures, config: TrainConfig, classes: int, where: torch.device) -> nn.Module:
    """Return the head of a resolved config, trained on the features of its training clips.

    It is the head that `loop.train` ends with for the same clips and settings (a test holds it to that),
    without a checkpoint of the whole backbone after every epoch.
    """
    run = state.start(config, classes, where, load=False)
    order = ShuffledClips(source.chunks, config.seed)
    clips = loading.TrainClips(source, config.segments, random_view)
    batches = ondevice.batches(clips, config, where, workers=0, sampler=order)
    fed = Feeds(batches, order, {}, {"train": source.clips})
    for epoch in range(config.epochs):
        fed.begin(epoch, 0)
        loop.train_epoch(run, fed, config, lambda: None)
        run.end_epoch({})
    return run.evaluated

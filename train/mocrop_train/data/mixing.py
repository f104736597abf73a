"""Mixup: pairs of clips blended, and their labels with them, on the device that trains.

Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018. One share and one pairing per batch, drawn
from (seed, epoch, batch) alone: neither workers nor an interruption change them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mocrop_train.data.loading import Batch


@dataclass(frozen=True, slots=True)
class Targets:
    """What the clips of a batch are: `share` of each is of `labels`, the rest of `others`; int64 (clips,)."""

    labels: Tensor
    others: Tensor
    share: float = 1.0

    def loss(self, logits: Tensor, label_smoothing: float) -> Tensor:
        """Return the mean cross-entropy of logits (clips, classes), weighted by the shares."""
        loss = F.cross_entropy(logits, self.labels, label_smoothing=label_smoothing)
        if self.share == 1.0:
            return loss
        other = F.cross_entropy(logits, self.others, label_smoothing=label_smoothing)
        return self.share * loss + (1 - self.share) * other

    def right(self, logits: Tensor) -> Tensor:
        """Count the clips that are predicted right, a blended one by the share of the label that was."""
        best = logits.argmax(1)
        return self.share * (best == self.labels).sum() + (1 - self.share) * (best == self.others).sum()


def mix(
    frames: Tensor, batch: Batch, labels: Tensor, *, alpha: float, draw: tuple[int, int, int]
) -> tuple[Tensor, Targets]:
    """Blend every clip with another of the batch, frame by frame; alpha 0 leaves all as it is.

    frames and labels are those of `batch`, where the network is. With a share s drawn from Beta(alpha,
    alpha), clip i becomes s * clip[i] + (1 - s) * clip[p[i]] for a permutation p: float32, pixels from 0
    to 255 or features. `draw` is (seed, epoch, batch of the epoch). Raises ValueError if clips differ in
    their number of frames.
    """
    if not alpha:
        return frames, Targets(labels, labels)
    clips, each = len(batch.counts), len(frames) // len(batch.counts)
    if not bool((batch.counts == each).all()):
        raise ValueError("mixup needs clips of one number of frames")
    seed, *place = draw
    # a spawn key, so that these numbers are not those of the order of the epoch, which has the same seed
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))
    share = float(rng.beta(alpha, alpha))
    partners = torch.from_numpy(rng.permutation(clips)).to(labels.device)
    pixels = frames.float()
    # only clips change places: the layout of a frame in memory stays what it is
    others = pixels[(partners[:, None] * each + torch.arange(each, device=partners.device)).flatten()]
    return torch.lerp(others, pixels, share), Targets(labels, labels[partners], share)

"""Mixup: what is blended with what, and what a blend is worth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mocrop_train.data import mixing
from mocrop_train.data.loading import Batch
from mocrop_train.data.mixing import Targets
from mocrop_train.data.sampling import ShuffledClips
from torch import Tensor
from torch.nn import functional as F


def batch_of(clips: int, frames: int = 2, *shape: int) -> Batch:
    rng = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (clips * frames, *(shape or (3, 4, 5))), generator=rng)
    counts = torch.full((clips,), frames)
    return Batch(pixels.to(torch.uint8), counts, torch.arange(clips))


def mixed(batch: Batch, alpha: float = 0.4, draw: tuple[int, int, int] = (0, 1, 2)) -> tuple[Tensor, Targets]:
    return mixing.mix(batch.frames, batch, batch.labels, alpha=alpha, draw=draw)


def test_every_frame_is_blended_with_the_same_frame_of_its_clips_partner() -> None:
    batch = batch_of(6, 3)
    frames, targets = mixed(batch)
    assert sorted(targets.others.tolist()) == list(range(6))  # a permutation: labels are the clips' numbers
    assert 0 < targets.share < 1
    clips = batch.frames.double().reshape(6, 3, *batch.frames.shape[1:])
    for clip, partner in enumerate(targets.others.tolist()):
        expected = targets.share * clips[clip] + (1 - targets.share) * clips[partner]
        torch.testing.assert_close(frames[3 * clip : 3 * clip + 3].double(), expected, rtol=1e-5, atol=1e-3)


def test_without_alpha_frames_stay_bytes_and_labels_whole() -> None:
    batch = batch_of(4)
    frames, targets = mixed(batch, alpha=0.0)
    assert frames is batch.frames
    logits = torch.randn(4, 4)
    expected = F.cross_entropy(logits, batch.labels, label_smoothing=0.1)
    torch.testing.assert_close(targets.loss(logits, 0.1) / 4, expected)
    assert targets.right(logits) == (logits.argmax(1) == batch.labels).sum()


def test_a_draw_depends_on_seed_epoch_and_batch_alone_and_leaves_the_global_generator() -> None:
    batch = batch_of(8)
    before = torch.get_rng_state()
    draws = [(seed, epoch, number) for seed in (0, 1) for epoch in (0, 1) for number in (0, 1)]
    shares = [mixed(batch, draw=draw)[1].share for draw in draws]
    assert len(set(shares)) == len(draws)
    assert shares == [mixed(batch, draw=draw)[1].share for draw in draws]
    assert torch.equal(torch.get_rng_state(), before)
    # nor do pairs go with the order of the epoch, which has the same seed
    order = [clip for clip, _ in ShuffledClips([range(8)], 0)]
    assert mixed(batch, draw=(0, 0, 0))[1].others.tolist() != order


def test_shares_are_of_the_beta_distribution() -> None:
    shares = [mixed(batch_of(2, 1, 1), 0.2, (0, 0, number))[1].share for number in range(4000)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    # the variance of Beta(a, a) is 1 / (4 (2 a + 1))
    assert np.var(shares) == pytest.approx(1 / (4 * 1.4), rel=0.05)


def test_the_loss_and_the_accuracy_of_a_blend_are_weighted_by_its_shares() -> None:
    logits = torch.randn(5, 3)
    labels, others = torch.tensor([0, 1, 2, 0, 1]), torch.tensor([1, 1, 0, 2, 0])
    targets = Targets(labels, others, 0.3)
    # cross-entropy is linear in the target: that of the blended one-hot targets
    soft = 0.3 * F.one_hot(labels, 3) + 0.7 * F.one_hot(others, 3)
    for smoothing in (0.0, 0.2):
        expected = F.cross_entropy(logits, soft, label_smoothing=smoothing)
        torch.testing.assert_close(targets.loss(logits, smoothing) / 5, expected)
    best = logits.argmax(1).tolist()
    assert targets.right(logits).item() == pytest.approx(sum(soft[i][best[i]].item() for i in range(5)))


def test_clips_of_unequal_length_are_refused() -> None:
    batch = Batch(torch.zeros(5, 3, 4, 4), torch.tensor([2, 3]), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="one number of frames"):
        mixed(batch)

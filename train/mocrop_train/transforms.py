"""Augmentation in training, one fixed view in evaluation; both on uint8 frames of one clip.

A transform takes (frames, 3, height, width) and treats every frame alike.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from mocrop_train.data import Transform

SCALES = (1.0, 0.875, 0.75, 0.66)


class MultiScaleCrop(nn.Module):
    """Cut a square of a random scale from a corner or the centre, and resize it to `size`.

    Scale jitter and corner cropping of Wang et al., "Temporal Segment Networks", 2016, sec. 3.2, without
    the change of aspect: the shape of a motion crop is settled in the shards.
    """

    def __init__(self, size: int, scales: tuple[float, ...]) -> None:
        super().__init__()
        self.size = size
        self.scales = scales

    def forward(self, frames: Tensor) -> Tensor:
        """Return frames of (size, size)."""
        height, width = frames.shape[-2:]
        scale = self.scales[int(torch.randint(len(self.scales), ()))]
        side = max(1, round(scale * min(height, width)))
        down, right = height - side, width - side
        corners = ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2))
        top, left = corners[int(torch.randint(len(corners), ()))]
        resized: Tensor = F.resized_crop(
            frames, top, left, side, side, [self.size, self.size], antialias=True
        )
        return resized


def training(size: int, *, min_scale: float, flip: bool, color_jitter: float) -> Transform:
    """Return the augmentation of a run: multi-scale crop, mirror, colour."""
    steps: list[nn.Module] = [MultiScaleCrop(size, tuple(scale for scale in SCALES if scale >= min_scale))]
    if flip:
        steps.append(v2.RandomHorizontalFlip())
    if color_jitter:
        steps.append(v2.ColorJitter(brightness=color_jitter, contrast=color_jitter, saturation=color_jitter))
    return nn.Sequential(*steps)


def evaluation(size: int) -> Transform:
    """Return the one view of evaluation: short side to `size`, centre square."""
    return nn.Sequential(v2.Resize(size, antialias=True), v2.CenterCrop(size))

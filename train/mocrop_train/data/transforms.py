"""Augmentation in training, one fixed view in evaluation; both on uint8 frames of one clip, on any device.

A transform takes (frames, 3, height, width) and treats every frame alike. What is random is drawn from the
generator that is handed in, on the CPU: the draws are the same wherever the frames are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import CenterCrop, Resize
from torchvision.transforms.v2 import functional as F

from mocrop_train.data.loading import Augmentation, View

SCALES = (1.0, 0.875, 0.75, 0.66)
# ITU-R BT.601, as torchvision and Pillow make grey
_GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class Training:
    """The augmentation of a run: multi-scale crop to `size`, mirror, colour."""

    size: int
    scales: tuple[float, ...]
    shape: str
    flip: bool
    color_jitter: float
    hue: float

    def __call__(self, frames: Tensor, rng: torch.Generator) -> Tensor:
        """Return frames of (size, size)."""
        crop = free_crop if self.shape == "free" else multi_scale_crop
        frames = crop(frames, self.size, self.scales, rng)
        if self.flip and torch.rand((), generator=rng) < 0.5:
            frames = F.horizontal_flip(frames)
        if self.color_jitter:
            low, high = max(0.0, 1 - self.color_jitter), 1 + self.color_jitter
            brightness, contrast, saturation = torch.empty(3).uniform_(low, high, generator=rng).tolist()
            frames = change_colours(frames, brightness, contrast, saturation)
        if self.hue:
            turn = torch.empty(()).uniform_(-self.hue, self.hue, generator=rng).item()
            frames = F.adjust_hue(frames, turn)
        return frames


def training(
    size: int,
    *,
    min_scale: float,
    flip: bool,
    color_jitter: float,
    shape: str = "square",
    hue: float = 0.0,
) -> Augmentation:
    """Return the augmentation of a run; the settings are those of TrainConfig."""
    scales = tuple(scale for scale in SCALES if scale >= min_scale)
    return Training(size, scales, shape, flip, color_jitter, hue)


def evaluation(size: int) -> View:
    """Return the one view of evaluation: short side to `size`, centre square."""
    return nn.Sequential(Resize(size, antialias=True), CenterCrop(size))


def multi_scale_crop(frames: Tensor, size: int, scales: tuple[float, ...], rng: torch.Generator) -> Tensor:
    """Cut a square of a random scale from a corner or the centre, and resize it to (size, size).

    Scale jitter and corner cropping of Wang et al., "Temporal Segment Networks", 2016, sec. 3.2, without
    the change of aspect: the shape of a motion crop is settled in the shards.
    """
    height, width = frames.shape[-2:]
    scale = scales[int(torch.randint(len(scales), (), generator=rng))]
    side = max(1, round(scale * min(height, width)))
    down, right = height - side, width - side
    corners = ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2))
    top, left = corners[int(torch.randint(len(corners), (), generator=rng))]
    resized: Tensor = F.resized_crop(frames, top, left, side, side, [size, size], antialias=True)
    return resized


def free_crop(frames: Tensor, size: int, scales: tuple[float, ...], rng: torch.Generator) -> Tensor:
    """Cut a rectangle anywhere, each side of a random scale of the short side, and resize it to (size, size).

    The scale and aspect jitter of Wang et al., 2016, sec. 3.2, as MoCrop's training code has it: any two
    scales go together, since none is twice another, and the place is uniform.
    """
    height, width = frames.shape[-2:]
    base = min(height, width)
    down, across = (
        max(1, round(scales[int(torch.randint(len(scales), (), generator=rng))] * base)) for _ in "hw"
    )
    top = int(torch.randint(height - down + 1, (), generator=rng))
    left = int(torch.randint(width - across + 1, (), generator=rng))
    resized: Tensor = F.resized_crop(frames, top, left, down, across, [size, size], antialias=True)
    return resized


def change_colours(frames: Tensor, brightness: float, contrast: float, saturation: float) -> Tensor:
    """Scale the brightness, the contrast about a frame's mean grey, and the distance of colours from grey.

    The three are those of Pillow's ImageEnhance. All are linear and keep one grey, so they commute and are
    done in one pass, rounded and clipped once at its end.
    """
    gain = brightness * contrast
    changed = torch.empty(frames.shape, dtype=torch.uint8, device=frames.device)
    # on a CPU frame by frame: the floats of one stay in its cache, those of a clip do not
    at_once = 1 if frames.device.type == "cpu" else len(frames)
    parts = torch.split(frames.contiguous(), at_once)
    for before, after in zip(parts, torch.split(changed, at_once), strict=True):
        pixels = before.float()
        grey = pixels[:, :1] * _GREY[0]
        grey.add_(pixels[:, 1:2], alpha=_GREY[1]).add_(pixels[:, 2:], alpha=_GREY[2])
        mean = grey.mean((1, 2, 3), keepdim=True)
        # bytes are made by cutting off: half a level more, and they are the nearest ones
        offset = grey.mul_(gain * (1 - saturation)).add_(mean.mul_(brightness * (1 - contrast)).add_(0.5))
        after.copy_(torch.add(offset, pixels, alpha=gain * saturation, out=pixels).clamp_(0, 255))
    return changed

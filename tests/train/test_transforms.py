"""Augmentation treats the frames of a clip alike; evaluation does nothing random."""

from __future__ import annotations

import colorsys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mocrop_train.data import transforms
from torch import Tensor
from torchvision.transforms.v2 import functional as F


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(frames: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (frames, 3, height, width), dtype=torch.uint8, generator=generator)


@settings(deadline=None, max_examples=40)
@given(height=st.integers(20, 90), width=st.integers(20, 90), seed=st.integers(0, 1000))
def test_every_frame_of_a_clip_is_augmented_alike(height: int, width: int, seed: int) -> None:
    one = pictures(1, height, width)
    augment = transforms.training(
        32, min_scale=0.66, flip=True, color_jitter=0.4, hue=0.2, shape=("square", "free")[seed % 2]
    )
    out = augment(one.expand(3, -1, -1, -1), seeded(seed))
    assert out.shape == (3, 3, 32, 32)
    assert out.dtype == torch.uint8
    assert torch.equal(out[0], out[1])
    assert torch.equal(out[0], out[2])


def test_augmentation_differs_from_draw_to_draw() -> None:
    frames = pictures(1, 64, 64)
    augment = transforms.training(32, min_scale=0.66, flip=True, color_jitter=0.2)
    rng = seeded(0)
    assert len({augment(frames, rng).numpy().tobytes() for _ in range(8)}) > 6


def test_without_scale_flip_and_colour_a_square_clip_is_left_as_it_is() -> None:
    frames = pictures(2, 32, 32)
    augment = transforms.training(32, min_scale=1.0, flip=False, color_jitter=0.0)
    assert torch.equal(augment(frames, seeded(0)), frames)


def test_multi_scale_crops_are_the_corners_and_the_centre_at_every_scale() -> None:
    frames = torch.arange(100).view(1, 1, 10, 10).expand(1, 3, 10, 10).to(torch.uint8)
    rng = seeded(0)
    corners = {int(transforms.multi_scale_crop(frames, 5, (0.5,), rng)[0, 0, 0, 0]) for _ in range(100)}
    assert corners == {0, 5, 50, 55, 22}


def coordinates(height: int, width: int) -> Tensor:
    """Return a frame in which the colours of a pixel tell its row and its column."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, columns, rows * 0]).to(torch.uint8)[None]


@settings(deadline=None, max_examples=30)
@given(height=st.integers(40, 120), width=st.integers(40, 120), seed=st.integers(0, 1000))
def test_free_crops_have_sides_of_the_scales_and_lie_within_the_frame(
    height: int, width: int, seed: int
) -> None:
    scales = (1.0, 0.75, 0.5)
    found = transforms.free_crop(coordinates(height, width), 20, scales, seeded(seed))[0].int()
    sides = {round(scale * min(height, width)) for scale in scales}
    for axis, most in ((0, height), (1, width)):
        low, high = int(found[axis].min()), int(found[axis].max())
        # a resized pixel is a mean of a few of the crop, half the ratio of sizes away from its edge
        assert any(abs(high - low + side / 20 - side) <= 3 for side in sides)
        assert 0 <= low <= high < most


def test_free_crops_take_every_pair_of_scales_and_every_place() -> None:
    rng = seeded(0)
    frame = coordinates(24, 24)
    pairs = set()
    places = set()
    for _ in range(600):
        rows, columns = transforms.free_crop(frame, 24, (1.0, 0.5), rng)[0, :2].int()
        down, across = (int(axis.max() - axis.min()) > 12 for axis in (rows, columns))
        pairs.add((down, across))
        if not down:
            places.add(int(rows.min()))
    assert len(pairs) == 4
    assert places == set(range(13))


def test_no_crop_of_the_published_scales_is_stretched_beyond_twice() -> None:
    ratios = {one / other for one in transforms.SCALES for other in transforms.SCALES}
    assert max(ratios) - 1 <= 1  # the published code drops pairs beyond that: there are none


@pytest.mark.parametrize("turn", [0.1, -0.25])
def test_hues_turn_as_the_circle_of_colours_does(turn: float, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = pictures(2, 16, 16)
    monkeypatch.setattr(torch.Tensor, "uniform_", lambda self, low, high, generator: self.fill_(turn))
    plain = transforms.training(16, min_scale=1.0, flip=False, color_jitter=0.0, hue=0.3)(frames, seeded(0))
    for before, after in zip(frames[0].reshape(3, -1).T, plain[0].reshape(3, -1).T, strict=True):
        hue, *rest = colorsys.rgb_to_hsv(*(before / 255).tolist())
        expected = 255 * torch.tensor(colorsys.hsv_to_rgb((hue + turn) % 1, *rest))
        assert (after - expected).abs().max() <= 1.01


def test_the_hue_is_turned_by_at_most_what_is_asked_for_either_way() -> None:
    red = torch.tensor([200, 20, 20], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    augment = transforms.training(8, min_scale=1.0, flip=False, color_jitter=0.0, hue=0.1)
    turns = []
    for seed in range(200):
        pixel = augment(red, seeded(seed))[0, :, 0, 0] / 255
        hue = colorsys.rgb_to_hsv(*pixel.tolist())[0]
        turns.append(hue - 1 if hue > 0.5 else hue)
    assert -0.105 <= min(turns) < -0.08
    assert 0.08 < max(turns) <= 0.105


def test_evaluation_takes_the_centre_square_of_the_short_side() -> None:
    frames = pictures(2, 32, 52)
    assert torch.equal(transforms.evaluation(32)(frames), frames[..., 10:42])


def test_evaluation_leaves_squashed_frames_of_the_right_size_alone() -> None:
    frames = pictures(3, 48, 48)
    assert torch.equal(transforms.evaluation(48)(frames), frames)


def test_evaluation_resizes_the_short_side() -> None:
    assert transforms.evaluation(24)(pictures(1, 48, 96)).shape == (1, 3, 24, 24)
    assert transforms.evaluation(64)(pictures(1, 48, 32)).shape == (1, 3, 64, 64)


factors = st.floats(0.8, 1.2)


@settings(deadline=None, max_examples=40)
@given(factors, factors, factors)
def test_colours_change_as_in_torchvision_step_by_step(
    brightness: float, contrast: float, saturation: float
) -> None:
    frames = pictures(3, 20, 30) // 4 + 90  # so that no step clips, which torchvision does after each
    steps = F.adjust_brightness(frames, brightness)
    steps = F.adjust_contrast(steps, contrast)
    steps = F.adjust_saturation(steps, saturation)
    found = transforms.change_colours(frames, brightness, contrast, saturation)
    assert found.dtype == torch.uint8
    assert (found.int() - steps.int()).abs().max() <= 4  # torchvision cuts to whole levels after each step


def test_colours_that_change_by_nothing_stay() -> None:
    frames = pictures(2, 20, 30)
    assert torch.equal(transforms.change_colours(frames, 1.0, 1.0, 1.0), frames)


def test_colours_leave_the_levels_of_a_byte_at_neither_end() -> None:
    frames = pictures(1, 20, 30)
    assert transforms.change_colours(frames, 2.0, 2.0, 2.0).amax() == 255
    assert transforms.change_colours(frames, 0.0, 1.0, 1.0).amax() == 0


def test_without_saturation_a_picture_is_grey_and_as_bright() -> None:
    frames = pictures(1, 20, 30)
    grey = transforms.change_colours(frames, 1.0, 1.0, 0.0)
    assert torch.equal(grey[:, 0], grey[:, 1])
    assert (grey[:, :1].int() - F.rgb_to_grayscale(frames).int()).abs().max() <= 1


def test_draws_come_from_the_generator_that_is_handed_in_alone() -> None:
    frames = pictures(2, 40, 40)
    augment = transforms.training(32, min_scale=0.66, flip=True, color_jitter=0.4)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = augment(frames, seeded(3))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(9)
    assert torch.equal(augment(frames, seeded(3)), first)
    assert any(not torch.equal(augment(frames, seeded(seed)), first) for seed in range(4, 8))


def test_frames_in_either_order_of_memory_are_augmented_alike() -> None:
    frames = pictures(3, 48, 40)
    augment = transforms.training(32, min_scale=0.66, flip=True, color_jitter=0.2)
    other = frames.contiguous(memory_format=torch.channels_last)
    for seed in range(8):
        wrong = (augment(frames, seeded(seed)).int() - augment(other, seeded(seed)).int()).abs()
        assert wrong.max() <= 1

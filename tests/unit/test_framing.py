"""From foreground motion to a crop: where it lies, how large it is, how sure, and what it falls back to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mocrop_prep.appearance import Appearance
from mocrop_prep.config import CropSettings, parse_shape
from mocrop_prep.errors import FALLBACKS
from mocrop_prep.foreground.density import Parts
from mocrop_prep.foreground.framing import LEAST_CONFIDENCE, ForegroundChooser, Framing
from mocrop_prep.geometry import Box
from mocrop_prep.methods import Choice
from mocrop_prep.vectors import ClipInfo, Vectors

from tests.fields import Block, Floats, Motion, acting, clip, field, looks, panning, still, stuck, vectors_of

ACTOR = Box(208, 48, 48, 64)
AREAS = (1.0, 0.75, 0.5, 0.35, 0.25, 0.1)


def choose(
    info: ClipInfo, vectors: Vectors | None, seen: Appearance | None = None, **options: object
) -> Choice:
    chooser = ForegroundChooser(CropSettings(**options), info)  # type: ignore[arg-type]
    if vectors is not None:
        chooser.add(vectors)
    return chooser.choose(seen)


def framed(motion: Motion, seen: Appearance | None = None, **options: object) -> Choice:
    info = clip()
    return choose(info, field(info, motion), seen, **options)


def within(box: Box, bounds: Box) -> bool:
    right, below = box.x + box.w, box.y + box.h
    return (
        bounds.x <= box.x
        and bounds.y <= box.y
        and right <= bounds.x + bounds.w
        and below <= bounds.y + bounds.h
        and min(box.w, box.h) > 0
    )


def central(box: Box, bounds: Box, step: int = 1) -> bool:
    """Whether the left and right margins differ by no more than the step, and so the upper and lower."""
    across = (box.x - bounds.x) - (bounds.x + bounds.w - box.x - box.w)
    down = (box.y - bounds.y) - (bounds.y + bounds.h - box.y - box.h)
    return max(abs(across), abs(down)) <= step


def summed(one: Motion, other: Motion) -> Motion:
    def motion(n: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        (u, v), (more_u, more_v) = one(n, x, y), other(n, x, y)
        return u + more_u, v + more_v

    return motion


FRAME = Box(0, 0, 320, 240)
DEFAULTS = CropSettings()


class TestPlace:
    @pytest.mark.parametrize("area", [None, 0.75, 0.5, 0.35, 0.25])
    @pytest.mark.parametrize("camera", [still, panning(5, -2)], ids=["still", "pan"])
    @pytest.mark.parametrize(("x", "y"), [(16, 16), (256, 16), (16, 160), (256, 160), (128, 80)])
    def test_the_actor_is_in_the_crop_wherever_he_is(
        self, x: int, y: int, camera: Motion, area: float | None
    ) -> None:
        actor = Box(x, y, 48, 64)
        choice = framed(acting(actor, camera=camera), area=area)
        assert choice.reason == ""
        assert within(actor, choice.box)
        assert within(choice.box, FRAME)
        assert choice.motion_inside is not None
        assert choice.motion_inside > 0.9
        assert choice.score is not None
        assert choice.score > 0.9

    def test_among_equal_places_the_crop_takes_the_most_central(self) -> None:
        for area in (None, 0.75, 0.35, 0.1):
            for shape in ("square", "frame", "1:3"):
                box = framed(acting(Box(144, 112, 32, 16)), area=area, shape=shape).box
                assert central(box, FRAME, step=8)

    def test_two_actors_are_both_in_a_crop_that_has_room_for_them(self) -> None:
        left, right = Box(48, 96, 32, 48), Box(208, 96, 32, 48)
        for area in (0.75, None):
            box = framed(acting(left, right), area=area).box
            assert within(left, box)
            assert within(right, box)

    def test_of_two_actors_a_small_crop_takes_one_always_the_same(self) -> None:
        left, right = Box(16, 96, 32, 48), Box(272, 96, 32, 48)
        boxes = {framed(acting(*actors), area=0.25).box for actors in ((left, right), (right, left))}
        assert len(boxes) == 1
        box = boxes.pop()
        assert within(left, box) != within(right, box)

    def test_of_two_actors_the_crop_takes_the_one_who_moves_more(self) -> None:
        left, right = Box(16, 96, 32, 48), Box(272, 96, 32, 48)
        for more, less in ((left, right), (right, left)):
            strong, weak = acting(more, stride=6), acting(less, stride=2)
            assert within(more, framed(summed(strong, weak), area=0.25).box)

    def test_the_one_nearer_to_the_centre_is_preferred(self) -> None:
        near, far = Box(128, 96, 32, 48), Box(272, 96, 32, 48)
        box = framed(acting(near, far), area=0.15).box
        assert within(near, box)
        assert not within(far, box)

    def test_without_the_prior_the_centre_is_not_preferred(self) -> None:
        info, near, far = clip(), Box(112, 96, 32, 48), Box(256, 88, 32, 64)
        vectors = field(info, acting(near, far))
        boxes = []
        for framing in (Framing(), Framing(prior=0)):
            chooser = ForegroundChooser(CropSettings(area=0.2), info, framing=framing)
            chooser.add(vectors)
            boxes.append(chooser.choose().box)
        assert within(near, boxes[0])
        assert within(far, boxes[1])

    def test_another_grid_gives_nearly_the_same_crop(self) -> None:
        own = framed(acting(ACTOR), area=0.35)
        for grid in ("60x80", "15x20", "12x16", "6x8"):
            other = framed(acting(ACTOR), area=0.35, grid=grid)
            assert "x".join(map(str, other.density.cells.shape)) == grid
            assert within(ACTOR, other.box)
            assert max(abs(other.box.x - own.box.x), abs(other.box.y - own.box.y)) <= 40


class TestOverlays:
    """A logo that stays where it is under a moving camera moves against it, as a followed actor does."""

    LOGO = Box(272, 16, 32, 32)
    STEADY = np.zeros((15, 20), bool)
    STEADY[1:3, 17:19] = True
    SEEN = looks(clip(), steady=STEADY)

    @pytest.mark.parametrize("area", [0.75, 0.5, 0.35, 0.25])
    def test_an_actor_near_the_centre_outweighs_a_logo(self, area: float) -> None:
        actor = Box(112, 80, 48, 96)
        for camera in (panning(1), panning(4), panning(-3, 2)):
            assert within(actor, framed(stuck(self.LOGO, acting(actor, camera=camera)), area=area).box)

    def test_under_a_still_camera_a_logo_is_nothing(self) -> None:
        assert framed(stuck(self.LOGO, acting(ACTOR))).box == framed(acting(ACTOR)).box

    def test_a_logo_alone_attracts_no_crop(self) -> None:
        for camera in (panning(1.5), panning(4), panning(-3, 2)):
            alone = stuck(self.LOGO, camera)
            assert framed(alone, self.SEEN, area=0.35).reason == "no-motion"
            assert within(self.LOGO, framed(alone, area=0.35).box)

    @pytest.mark.parametrize("area", [None, 0.35, 0.25])
    def test_a_logo_does_not_change_the_crop_of_an_actor(self, area: float | None) -> None:
        actor = acting(Box(32, 144, 48, 64), camera=panning(4))
        alone, unseen = framed(actor, area=area), framed(stuck(self.LOGO, actor), area=area)
        beside = framed(stuck(self.LOGO, actor), self.SEEN, area=area)
        assert beside.box == alone.box
        assert beside.motion_inside == pytest.approx(alone.motion_inside, abs=0.005)
        assert (unseen.motion_inside or 0) < (alone.motion_inside or 0) - 0.05 or unseen.box.w > alone.box.w

    def test_whom_the_camera_follows_is_no_logo_for_he_changes(self) -> None:
        choice = framed(stuck(self.LOGO, panning(4)), looks(clip(), steady=False), area=0.35)
        assert choice.reason == ""
        assert within(self.LOGO, choice.box)

    def test_what_never_changes_and_moves_is_no_logo(self) -> None:
        seen = looks(clip(), steady=True)  # as a grid, that looks the same when it has moved by a mesh
        for camera in (still, panning(4)):
            motion = acting(ACTOR, camera=camera)
            one, other = framed(motion, seen, area=0.35), framed(motion, looks(clip()), area=0.35)
            assert (one.box, one.confidence, one.score) == (other.box, other.confidence, other.score)
            assert within(ACTOR, one.box)


class TestBursts:
    """One slot of 80 ms in which much or all of the picture leaps: a cut, a flash."""

    @staticmethod
    def leaping(kind: str) -> Motion:
        def motion(n: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
            rng = np.random.default_rng(n)
            leaps: dict[str, Floats] = {
                "all as one": np.ones_like(x),
                "all anyhow": rng.choice((-1.0, 1.0), x.shape),
                "some anyhow": rng.choice((-1.0, 0.0, 0.0, 1.0), x.shape),
                "left side": 1.0 * (x < 100),
                "lower left": 1.0 * (x < 120) * (y > 100),
            }
            if n not in (20, 21):
                return acting(ACTOR)(n, x, y)
            return 30 * leaps[kind], 30 * rng.permuted(leaps[kind]) if "anyhow" in kind else 30 * leaps[kind]

        return motion

    @pytest.mark.parametrize("area", [None, 0.35])
    @pytest.mark.parametrize("kind", ["all as one", "all anyhow", "some anyhow", "left side", "lower left"])
    def test_one_does_not_move_the_crop(self, kind: str, area: float | None) -> None:
        info = clip(frames=48)
        calm = choose(info, field(info, acting(ACTOR)), area=area)
        choice = choose(info, field(info, self.leaping(kind)), area=area)
        assert within(ACTOR, choice.box)
        assert (choice.box.w, choice.box.h) == (calm.box.w, calm.box.h)
        assert max(abs(choice.box.x - calm.box.x), abs(choice.box.y - calm.box.y)) <= 16
        assert choice.confidence is not None
        assert choice.confidence > 0.75

    @pytest.mark.parametrize("kind", ["left side", "lower left"])
    def test_without_the_balance_one_does(self, kind: str) -> None:
        info = clip(frames=48)
        chooser = ForegroundChooser(CropSettings(area=0.35), info, parts=Parts(balance=False))
        chooser.add(field(info, self.leaping(kind)))
        assert chooser.choose().box.x < choose(info, field(info, acting(ACTOR)), area=0.35).box.x - 30


class TestFixedArea:
    @pytest.mark.parametrize("area", AREAS)
    @pytest.mark.parametrize("size", [(320, 240), (240, 320), (320, 180), (97, 83), (640, 480)])
    def test_it_is_the_area_asked_for_within_rounding(self, size: tuple[int, int], area: float) -> None:
        info = clip(*size)
        box = choose(info, field(info, acting(Box(16, 16, 48, 48))), area=area).box
        assert within(box, Box(0, 0, *size))
        assert box.w * box.h == pytest.approx(area * size[0] * size[1], abs=1.2 * max(box.w, box.h))

    @pytest.mark.parametrize("shape", ["square", "4:3", "3:4", "16:9", "frame"])
    @pytest.mark.parametrize("area", [0.5, 0.35, 0.25])
    def test_it_has_the_shape_asked_for(self, shape: str, area: float) -> None:
        box = framed(acting(ACTOR), shape=shape, area=area).box
        low, _ = parse_shape(shape, 320, 240)
        assert box.w == round(box.h * low)
        if shape == "square":
            assert box.w == box.h

    def test_a_range_of_shapes_follows_the_motion(self) -> None:
        wide, tall = Box(64, 112, 192, 16), Box(144, 16, 16, 208)
        for area in (0.35, 0.25):
            lying = framed(acting(wide), shape="1:2-2:1", area=area).box
            upright = framed(acting(tall), shape="1:2-2:1", area=area).box
            assert 0.5 <= upright.w / upright.h < 0.8 < 1.25 < lying.w / lying.h <= 2

    def test_where_the_frame_is_too_low_for_the_shape_the_area_is_kept(self) -> None:
        info = clip(320, 96)
        box = choose(info, field(info, acting(Box(16, 16, 48, 48))), area=0.75).box
        assert (box.w, box.h) == (240, 96)


class TestOwnSize:
    @pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 0.99])
    @pytest.mark.parametrize("actor", [Box(112, 64, 96, 112), Box(128, 48, 32, 32), Box(96, 32, 128, 176)])
    def test_it_is_the_smallest_that_holds_the_share(self, actor: Box, share: float) -> None:
        choice = framed(acting(actor), share=share, least_side=0.05, most_side=1.0)
        assert choice.motion_inside is not None
        assert choice.motion_inside >= share - 0.02  # the place is the search's, not that of the most density
        smaller = choice.box.w - 8
        fixed = framed(acting(actor), area=smaller * smaller / (320 * 240))
        assert fixed.motion_inside is not None
        assert fixed.motion_inside < share

    @pytest.mark.parametrize("share", [0.3, 0.9, 1.0])
    def test_it_stays_between_the_least_and_the_greatest_side(self, share: float) -> None:
        for actor in (Box(144, 96, 16, 16), Box(16, 16, 288, 208)):
            box = framed(acting(actor), share=share, least_side=0.4, most_side=0.7).box
            assert 0.4 * 240 <= box.w == box.h <= 0.7 * 240
        small = framed(acting(Box(144, 96, 16, 16)), share=share, least_side=0.6).box
        assert (small.w, small.h) == (144, 144) or share == 1
        large = framed(acting(Box(48, 16, 224, 208)), share=1.0, most_side=0.6).box
        assert (large.w, large.h) == (144, 144)

    def test_a_larger_actor_has_a_larger_crop(self) -> None:
        sides = [framed(acting(Box(160 - n, 120 - n, 2 * n, 2 * n))).box.w for n in (16, 64, 80, 96)]
        assert sides[0] == DEFAULTS.least_side * 240 < sides[1] < sides[2] < sides[3]

    @pytest.mark.parametrize("size", [(320, 240), (340, 256), (426, 240), (250, 250), (640, 360), (178, 144)])
    @pytest.mark.parametrize("side", [0.3, 0.6, 0.85])
    def test_one_exact_side_is_met_within_a_step(self, size: tuple[int, int], side: float) -> None:
        info = clip(*size)
        actor = Box(size[0] // 2, size[1] // 3, size[0] // 5, size[1] // 4)
        box = choose(info, field(info, acting(actor)), least_side=side, most_side=side).box
        step = max(1, min(size) // 60)
        assert box.w == box.h
        assert round(side * min(size)) - step < box.w <= round(side * min(size))

    def test_a_shape_that_the_frame_cannot_hold_takes_the_frame_s_side(self) -> None:
        box = framed(acting(Box(144, 112, 32, 16)), shape="4:1").box
        assert (box.w, box.h) == (320, 80)

    @pytest.mark.parametrize(("shape", "low", "high"), [("4:3", 4 / 3, 4 / 3), ("2:3-3:2", 2 / 3, 3 / 2)])
    def test_it_has_the_shape_asked_for(self, shape: str, low: float, high: float) -> None:
        for actor in (Box(64, 112, 160, 32), Box(144, 16, 32, 192), ACTOR):
            box = framed(acting(actor), shape=shape).box
            assert low - 0.01 <= box.w / box.h <= high + 0.01
            assert DEFAULTS.least_side * 240 <= min(box.w, box.h) <= DEFAULTS.most_side * 240


class TestContent:
    LETTERBOX, PILLARBOX, WINDOW = Box(0, 30, 320, 180), Box(45, 0, 230, 240), Box(40, 30, 240, 180)

    @pytest.mark.parametrize("content", [LETTERBOX, PILLARBOX, WINDOW])
    @pytest.mark.parametrize("area", [*AREAS, None])
    @pytest.mark.parametrize("actor", [Box(0, 0, 32, 32), Box(288, 208, 32, 32), Box(144, 96, 32, 32)])
    def test_the_border_is_in_no_crop(self, content: Box, area: float | None, actor: Box) -> None:
        assert within(framed(acting(actor), looks(clip(), content=content), area=area).box, content)

    @pytest.mark.parametrize("content", [LETTERBOX, PILLARBOX, WINDOW])
    @pytest.mark.parametrize("shape", ["square", "frame", "1:2-2:1"])
    def test_an_area_larger_than_the_content_is_the_content(self, content: Box, shape: str) -> None:
        share = content.w * content.h / (320 * 240)
        for area in (1.0, share + 0.01):
            assert (
                framed(acting(ACTOR), looks(clip(), content=content), area=area, shape=shape).box == content
            )

    @pytest.mark.parametrize("area", [0.5, 0.35])
    def test_the_area_is_a_share_of_the_frame_not_of_the_content(self, area: float) -> None:
        box = framed(acting(ACTOR), looks(clip(), content=self.LETTERBOX), area=area).box
        assert box.w * box.h == pytest.approx(area * 320 * 240, rel=0.01)

    def test_sides_of_its_own_are_shares_of_the_content_s(self) -> None:
        for motion in (acting(Box(144, 96, 16, 16)), acting(Box(32, 32, 256, 176))):
            box = framed(motion, looks(clip(), content=self.LETTERBOX), least_side=0.5, most_side=0.8).box
            assert 90 <= box.w == box.h <= 144

    def test_a_fallback_is_in_the_middle_of_the_content(self) -> None:
        content = Box(0, 10, 300, 200)
        choice = framed(still, looks(clip(), content=content))
        assert choice.reason == "no-motion"
        assert central(choice.box, content)

    def test_what_the_clip_s_description_says_is_used(self) -> None:
        info = ClipInfo(320, 240, 25.0, 25, (0, 12, 24), looks(clip(), content=self.WINDOW))
        assert choose(info, field(info, still), area=1.0).box == self.WINDOW


class TestFallbacks:
    @staticmethod
    def fallen(choice: Choice, area: float | None, frame: Box = FRAME) -> str:
        """The reason, once it is certain that the crop is the largest of its kind in the frame's middle."""
        assert choice.reason in FALLBACKS
        assert choice.score is None
        assert central(choice.box, frame)
        if area is None:
            assert choice.box.w == choice.box.h == round(DEFAULTS.most_side * min(frame.w, frame.h))
        else:
            assert choice.box.w * choice.box.h == pytest.approx(area * frame.w * frame.h, rel=0.02)
        assert choice.confidence is not None
        assert 0 <= choice.confidence < LEAST_CONFIDENCE
        return choice.reason

    @pytest.mark.parametrize("area", [None, 0.75, 0.35])
    def test_a_clip_without_vectors_falls_back(self, area: float | None) -> None:
        for vectors in (None, vectors_of([])):
            for frames in (1, 25):
                choice = choose(clip(frames=frames), vectors, area=area)
                assert self.fallen(choice, area) == "no-vectors"
                assert choice.motion_inside is None
                assert (choice.density.vectors, choice.density.kept) == (0, 0)

    @pytest.mark.parametrize("area", [None, 0.35])
    @pytest.mark.parametrize("seen", [None, looks(clip(), steady=True), looks(clip(), texture=0)])
    def test_a_frozen_or_black_clip_falls_back(self, area: float | None, seen: Appearance | None) -> None:
        assert self.fallen(framed(still, seen, area=area), area) == "no-motion"

    def test_motion_in_nothing_but_flat_blocks_says_nothing(self) -> None:
        assert self.fallen(framed(acting(ACTOR), looks(clip(), texture=0)), None) == "unsure-motion"

    @pytest.mark.parametrize("area", [None, 0.35])
    def test_a_camera_alone_falls_back(self, area: float | None) -> None:
        def shaken(n: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
            u, v = np.random.default_rng(n).normal(0, 5, 2)
            return np.full_like(x, u) + (y - 120) / 90, np.full_like(y, v) - (x - 160) / 90

        assert self.fallen(framed(shaken, area=area), area) in ("no-motion", "unsure-motion")
        assert self.fallen(framed(panning(7, 2), area=area), area) == "no-motion"

    @pytest.mark.parametrize("area", [None, 0.35])
    @pytest.mark.parametrize("strength", [2, 10, 40])
    def test_blocks_that_move_anyhow_all_over_the_frame_are_unsure(
        self, strength: float, area: float | None
    ) -> None:
        def some(n: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
            rng = np.random.default_rng(n)
            u, v = rng.normal(0, strength, (2, len(x))) * (rng.random(len(x)) < 0.25)
            return u, v

        choice = framed(some, area=area)
        assert choice.density.sampled > 1000
        assert self.fallen(choice, area) == "unsure-motion"

    @pytest.mark.parametrize("strength", [2, 10, 40])
    def test_noise_in_every_block_stays_under_its_own_median(self, strength: float) -> None:
        def noise(n: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
            u, v = np.random.default_rng(n).uniform(-strength, strength, (2, len(x)))
            return u, v

        assert self.fallen(framed(noise), None) == "no-motion"

    def test_the_outliers_of_noise_with_long_tails_are_unsure(self) -> None:
        def noise(n: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
            u, v = np.random.default_rng(n).normal(0, 10, (2, len(x)))
            return u, v

        choice = framed(noise)
        assert choice.density.kept < 0.01 * choice.density.vectors
        assert choice.reason == "unsure-motion"

    @pytest.mark.parametrize("area", [None, 0.35])
    def test_of_a_range_of_shapes_the_squarest_is_taken(self, area: float | None) -> None:
        box = framed(still, shape="1:3-3:1", area=area).box
        assert central(box, FRAME)
        assert box == FRAME if area is None else 0.9 < box.w / box.h < 1.1

    @pytest.mark.parametrize("size", [(15, 240), (320, 14), (2, 2), (1, 1), (8, 8)])
    @pytest.mark.parametrize("area", [None, 0.35, 1.0])
    def test_a_frame_under_sixteen_pixels_falls_back(self, size: tuple[int, int], area: float | None) -> None:
        info = clip(*size)
        for vectors in (None, vectors_of([Block(n, 4, 4, u=9) for n in range(1, 12)])):
            choice = choose(info, vectors, area=area)
            assert choice.reason == "too-small"
            assert within(choice.box, Box(0, 0, *size))
            assert central(choice.box, Box(0, 0, *size))

    def test_a_frame_of_sixteen_pixels_does_not(self) -> None:
        info = clip(16, 16)
        blocks = [Block(n, x, y, 4, 4, u=9 * (x < 8 and y < 8)) for n in range(1, 12) for y, x in SPOTS]
        choice = choose(info, vectors_of(blocks))
        assert choice.reason == ""
        assert (choice.box.x, choice.box.y) == (0, 0)


SPOTS: Sequence[tuple[int, int]] = [(y, x) for y in range(2, 16, 4) for x in range(2, 16, 4)]


class TestConfidence:
    def test_one_compact_actor_gives_more_than_motion_everywhere(self) -> None:
        rng = np.random.default_rng(0)
        places = [Box(int(16 * x), int(16 * y), 32, 32) for x, y in rng.integers(0, (18, 13), (12, 2))]
        levels = [framed(acting(*places[:count])).confidence or 0 for count in (1, 4, 12)]
        assert levels[0] > levels[1] > levels[2]
        assert levels[0] > 0.85

    def test_much_motion_gives_more_than_faint_motion(self) -> None:
        steady = framed(acting(ACTOR)).confidence or 0
        once = framed(lambda n, x, y: (acting(Box(208, 48, 16, 16)) if n == 5 else still)(n, x, y))
        assert 0 < (once.confidence or 0) < steady

    def test_a_clear_actor_gives_more_than_one_beside_whom_much_is_left_unexplained(self) -> None:
        def trembling(strength: float) -> Motion:
            def motion(n: int, x: Floats, y: Floats) -> tuple[Floats, Floats]:
                u, v = np.random.default_rng(n).normal(0, strength, (2, len(x)))
                return u, v

            return motion

        actor = acting(Box(208, 48, 32, 32))
        levels = [framed(summed(actor, trembling(strength))).confidence or 0 for strength in (0, 1, 3)]
        assert levels[0] > levels[1] > levels[2]

    @settings(max_examples=60)
    @given(
        st.lists(
            st.builds(
                Block,
                st.integers(0, 9),
                st.integers(-9, 60),
                st.integers(-9, 50),
                st.just(16),
                st.sampled_from((8, 16)),
                st.integers(-200, 200),
                st.integers(-200, 200),
                st.sampled_from((1, 2, 4)),
            ),
            max_size=60,
        ),
        st.sampled_from((None, 0.35, 1.0)),
        st.sampled_from(("square", "frame", "1:3-3:1")),
    )
    def test_any_vectors_give_a_crop_inside_the_frame_and_a_confidence_from_0_to_1(
        self, blocks: list[Block], area: float | None, shape: str
    ) -> None:
        info = ClipInfo(48, 36, 25.0, 10, (0,))
        blocks.sort(key=lambda block: block.frame)
        choice = choose(info, vectors_of(blocks), area=area, shape=shape)
        assert within(choice.box, Box(0, 0, 48, 36))
        assert choice.confidence is not None
        assert 0 <= choice.confidence <= 1
        assert (choice.reason == "") == (choice.confidence >= LEAST_CONFIDENCE)
        assert choice.motion_inside is None or 0 <= choice.motion_inside <= 1
        assert choice.density.kept <= choice.density.vectors == len(blocks)


def test_parts_that_are_left_out_are_left_out_of_the_crop() -> None:
    info = clip()
    vectors = field(info, acting(ACTOR, camera=panning(6)))
    chooser = ForegroundChooser(
        CropSettings(area=0.2), info, parts=Parts(camera="none", noise=0.0), framing=Framing(1, 0)
    )
    chooser.add(vectors)
    assert not within(ACTOR, chooser.choose().box)
    assert within(ACTOR, choose(info, vectors, area=0.2).box)

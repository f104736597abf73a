"""The camera's motion from fields of which it is known, with much of the picture moving on its own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mocrop_prep.foreground.camera import KINDS, Field, Model, camera_motion, fit_camera
from numpy.typing import NDArray

ROWS, COLUMNS = 15, 20
X, Y = (part.ravel() for part in np.meshgrid(*((np.arange(n) + 0.5) / 7.5 - n / 15 for n in (COLUMNS, ROWS))))
RIGHT = 0.75
"""Pixels by which the camera may be wrong at the most: what is below does not count as motion."""


class Affine(NamedTuple):
    """A camera: at the centre, and its change towards the right and the lower edge, in pixels."""

    u: tuple[float, float, float]
    v: tuple[float, float, float]

    def field(self) -> tuple[Field, Field]:
        u, v = (a + along_x * X + along_y * Y for a, along_x, along_y in (self.u, self.v))
        return u, v


CAMERAS = {
    "pan": Affine((-6, 0, 0), (0, 0, 0)),
    "tilt": Affine((0, 0, 0), (2.5, 0, 0)),
    "zoom": Affine((0, 3, 0), (0, 0, 3)),
    "rotation": Affine((0, 0, -2), (0, 2, 0)),
    "shear": Affine((0, 0, 2), (0, 0, 0)),
    "all at once": Affine((3.5, 1, -0.75), (-2, 1.25, 0.5)),
}


EDGES = ((0.35, 1.0), (0.6, 0.6), (1.0, 0.35))
"""Width and height of about a third of the frame at the left, in the top left corner, at the top."""


def fit(u: Field, v: Field, weights: Field | None = None, kind: str = "affine", unit: float = 1.0) -> Model:
    u, v = np.atleast_2d(u), np.atleast_2d(v)
    weights = np.full_like(u, 256) if weights is None else np.atleast_2d(weights)
    return fit_camera(weights, u, v, X, Y, unit=unit, kind=kind)


def error(model: Model, u: Field, v: Field) -> float:
    """The greatest distance in pixels of a fit from the true camera, over the whole frame."""
    fitted_u, fitted_v = camera_motion(model, X, Y)
    return float(np.hypot(fitted_u - u, fitted_v - v).max())


def plain_error(seen_u: Field, seen_v: Field, u: Field, v: Field) -> float:
    """The same of a plain least squares fit."""
    basis = np.stack([np.ones_like(X), X, Y], axis=1)
    fitted = basis @ np.linalg.lstsq(basis, np.stack([seen_u, seen_v], axis=1), rcond=None)[0]
    return float(np.hypot(fitted[:, 0] - u, fitted[:, 1] - v).max())


def within(width: float, height: float, *, centre: bool) -> NDArray[np.bool_]:
    """Cells of a box of so much of each side: in the middle, or in the top left corner."""
    x, y = X * ROWS / COLUMNS, Y
    inside = (abs(x) < width) & (abs(y) < height) if centre else (x < 2 * width - 1) & (y < 2 * height - 1)
    return np.asarray(inside, np.bool_)


@pytest.mark.parametrize("name", CAMERAS)
def test_a_known_camera_is_found(name: str) -> None:
    u, v = CAMERAS[name].field()
    assert error(fit(u, v), u, v) < 0.02


@settings(max_examples=50)
@given(st.tuples(*[st.floats(-5, 5)] * 6), st.integers(0, 2**32))
def test_any_camera_is_found_through_the_noise_of_the_vectors(terms: tuple[float, ...], seed: int) -> None:
    u, v = Affine((terms[0], terms[1], terms[2]), (terms[3], terms[4], terms[5])).field()
    noise = np.random.default_rng(seed).normal(0, 0.2, (2, len(X)))
    assert error(fit(u + noise[0], v + noise[1]), u, v) < 0.25


def test_a_camera_that_stands_still_is_exactly_still() -> None:
    for kind in KINDS:
        for motion in fit(np.zeros_like(X), np.zeros_like(X), kind=kind):
            assert [float(term[0, 0]) for term in motion] == [0, 0, 0]


@pytest.mark.parametrize("own", [6.0, 12.0, 30.0])
@pytest.mark.parametrize(
    ("width", "height", "centre"),
    [(0.6, 0.6, True), (0.35, 1.0, True), (1.0, 0.35, True), (0.35, 0.4, False)],
)
@pytest.mark.parametrize("name", CAMERAS)
def test_a_large_actor_does_not_move_the_camera(
    name: str, width: float, height: float, centre: bool, own: float
) -> None:
    u, v = CAMERAS[name].field()
    actor = within(width, height, centre=centre)
    assert 0.13 < actor.mean() < 0.41
    seen_u, seen_v = u + own * actor, v - own / 2 * actor
    assert error(fit(seen_u, seen_v), u, v) < 0.1
    assert plain_error(seen_u, seen_v, u, v) > RIGHT


@pytest.mark.parametrize("own", [12.0, 30.0])
@pytest.mark.parametrize(("width", "height"), EDGES)
@pytest.mark.parametrize("name", CAMERAS)
def test_a_third_of_the_frame_at_its_edge_does_not_move_the_camera(
    name: str, width: float, height: float, own: float
) -> None:
    u, v = CAMERAS[name].field()
    actor = within(width, height, centre=False)
    assert 0.32 < actor.mean() < 0.37
    assert error(fit(u + own * actor, v - own / 2 * actor), u, v) < RIGHT


@pytest.mark.parametrize(("width", "height"), [(0.4, 1.0), (0.64, 0.6), (1.0, 0.4)])
@pytest.mark.parametrize("own", [6.0, 12.0, 30.0])
def test_two_fifths_at_the_edge_do_not_move_a_camera_without_slopes(
    width: float, height: float, own: float
) -> None:
    actor = within(width, height, centre=False)
    assert 0.38 < actor.mean() < 0.41
    for name in ("pan", "tilt"):
        u, v = CAMERAS[name].field()
        assert error(fit(u + own * actor, v - own / 2 * actor), u, v) < RIGHT


@pytest.mark.parametrize(("width", "height"), [(0.15, 1.0), (0.4, 0.4), (1.0, 0.15)])
@pytest.mark.parametrize("name", CAMERAS)
def test_of_those_who_move_slowly_an_eighth_at_the_edge_does_not(
    name: str, width: float, height: float
) -> None:
    u, v = CAMERAS[name].field()
    actor = within(width, height, centre=False)
    assert 0.12 < actor.mean() < 0.17
    assert error(fit(u + 3 * actor, v - 1.5 * actor), u, v) < RIGHT


@pytest.mark.parametrize("name", CAMERAS)
def test_what_most_of_the_frame_does_is_the_camera(name: str) -> None:
    u, v = CAMERAS[name].field()
    most = within(0.7, 1.0, centre=False)
    assert error(fit(u + 12 * most, v), u + 12, v) < RIGHT


def test_a_third_of_the_cells_scattered_at_random_does_not_move_the_camera() -> None:
    u, v = CAMERAS["all at once"].field()
    rng = np.random.default_rng(3)
    actor = rng.random(len(X)) < 0.35
    seen_u, seen_v = np.where(actor, rng.uniform(10, 40, (2, len(X))), (u, v))
    assert error(fit(seen_u, seen_v), u, v) < 0.1
    assert plain_error(seen_u, seen_v, u, v) > 5


def test_cells_without_blocks_have_no_say() -> None:
    u, v = CAMERAS["all at once"].field()
    there = np.random.default_rng(1).random(len(X)) < 0.3
    weights = 256.0 * there
    found = fit(u * there, v * there, weights)
    assert error(found, u, v) < 0.02
    for wild in (1e3, -1e6):
        again = fit(np.where(there, u, wild), np.where(there, v, -wild), weights)
        assert np.array_equal(np.array(again), np.array(found))


def test_small_blocks_have_less_say() -> None:
    left = X < 0
    u, v = np.where(left, 3.0, 5.0), np.zeros_like(X)
    weights = np.where(left, 256.0, 16.0)
    (across, _, _), _ = fit(u, v, weights, "translation")
    assert across[0, 0] == pytest.approx(3, abs=0.05)


def test_a_translation_has_no_slopes_and_none_has_no_motion() -> None:
    u, v = CAMERAS["all at once"].field()
    (across, *slopes), (down, *more) = fit(u, v, kind="translation")
    assert (across[0, 0], down[0, 0]) == pytest.approx((3.5, -2), abs=0.1)
    assert not np.array([slopes, more]).any()
    assert not np.array(fit(u, v, kind="none")).any()


def test_each_frame_is_fitted_on_its_own() -> None:
    fields = [camera.field() for camera in CAMERAS.values()]
    u, v = (np.stack(part) for part in zip(*fields, strict=True))
    together = np.array(fit(u, v))
    assert together.shape == (2, 3, len(CAMERAS), 1)
    for number, (one_u, one_v) in enumerate(fields):
        assert np.array_equal(np.array(fit(one_u, one_v))[:, :, 0], together[:, :, number])


@pytest.mark.parametrize("cells", [0, 1, 2, 3])
def test_few_blocks_in_one_corner_are_followed_and_not_extrapolated(cells: int) -> None:
    weights = np.zeros_like(X)
    weights[:cells] = 256
    u, v = np.array([2.0, -1.0, 4.0, *[0.0] * (len(X) - 3)]), np.zeros_like(X)
    with np.errstate(all="raise", under="ignore"):
        motion_u, motion_v = camera_motion(fit(u, v, weights), X, Y)
    assert not motion_v.any()
    assert abs(motion_u).max() < 150
    if cells < 2:
        assert motion_u[0] == pytest.approx(np.full(len(X), u[0] if cells else 0), abs=1e-3)


def test_a_larger_frame_with_the_same_scene_has_the_same_camera() -> None:
    u, v = CAMERAS["all at once"].field()
    actor = within(0.5, 0.5, centre=True)
    seen = u + 5 * actor, v + 2 * actor
    small, large = np.array(fit(*seen)), np.array(fit(4 * seen[0], 4 * seen[1], unit=4.0))
    assert large / 4 == pytest.approx(small, abs=2 / 1024)

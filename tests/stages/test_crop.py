"""The crop follows what moves, and says so where nothing does."""

from __future__ import annotations

from pathlib import Path

import pytest
from mocrop_manifests import Clip, CropRow, read_crops
from mocrop_prep.config import CropSettings, TranscodeSettings
from mocrop_prep.errors import ClipError
from mocrop_prep.stages.crop import crop_clip, failed_row
from mocrop_prep.stages.extract import extract_clip
from mocrop_prep.stages.transcode import transcode_clip

from tests.commands import DEFAULT, ok
from tests.films import SQUARE, WIDTH, XVID, Film, Picture, encode, moving_square, square_corner, texture

COUNT = 20


def motion_of(folder: Path, pictures: list[Picture], film: Film = XVID, *, gop: int = 12) -> Path:
    """Take a film through the first two stages."""
    source = encode(folder / "clip.avi", pictures, film)
    transcode_clip(source, folder / "clip.mp4", TranscodeSettings(gop=gop))
    extract_clip(folder / "clip.mp4", folder / "clip.parquet")
    return folder / "clip.parquet"


def there_and_back(*, flip: bool) -> list[Picture]:
    """Move the square along its path and back, three times."""
    path = moving_square(COUNT, flip=flip)
    return [*path, *path[::-1]] * 3


def crop(motion: Path, method: str = "mocrop-v1", **settings: object) -> CropRow:
    clip = Clip("clip", "walk/clip.avi", 0, "walk", "train", "")
    return crop_clip(motion, clip, CropSettings(method=method, **settings))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def motions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Vectors of films with a square that moves over the left or the right, and of films where none does."""
    films = {
        "left": there_and_back(flip=False),
        "right": there_and_back(flip=True),
        "black": [texture(128, 96, 0) * 0] * 26,
        "frozen": [texture(128, 96, 0)] * 26,
        "single": moving_square(1),
    }
    return {name: motion_of(tmp_path_factory.mktemp(name), film) for name, film in films.items()}


def seen(row: CropRow, *, flip: bool) -> float:
    """Return the share of frames whose square lies in the crop, but for a rim of two pixels."""
    assert row.x is not None
    assert row.y is not None
    assert row.w is not None
    assert row.h is not None
    inside = 0
    for number in range(COUNT):
        left, top = square_corner(number)
        left = WIDTH - left - SQUARE if flip else left
        inside += (
            row.x <= left + 2
            and left + SQUARE - 2 <= row.x + row.w
            and row.y <= top + 2
            and top + SQUARE - 2 <= row.y + row.h
        )
    return inside / COUNT


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("method", ["foreground", "mocrop-v1", "mocrop-v2"])
def test_the_crop_keeps_what_moves(motions: dict[str, Path], method: str, side: str) -> None:
    row = crop(motions[side], method, area=0.75)
    assert (row.status, row.reason) == ("ok", "")
    assert seen(row, flip=side == "right") > 0.8
    assert row.motion_inside is not None
    assert row.motion_inside > 0.9


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("method", ["foreground", "mocrop-v1"])
def test_a_small_crop_stands_on_the_side_that_moves(motions: dict[str, Path], method: str, side: str) -> None:
    row = crop(motions[side], method, area=0.45)
    assert row.area == pytest.approx(0.45, rel=0.1)
    assert seen(row, flip=side == "right") > 0.5
    assert seen(row, flip=side == "right") > 2 * seen(row, flip=side != "right")


@pytest.mark.parametrize(
    ("film", "reason"), [("black", "no-motion"), ("frozen", "no-motion"), ("single", "no-vectors")]
)
@pytest.mark.parametrize("method", ["mocrop-v1", "mocrop-v2"])
def test_a_film_without_motion_falls_back_to_the_centre_and_says_why(
    motions: dict[str, Path], method: str, film: str, reason: str
) -> None:
    row, center = crop(motions[film], method), crop(motions[film], "center")
    assert (row.status, row.reason) == ("fallback", reason)
    assert (row.x, row.y, row.w, row.h) == (center.x, center.y, center.w, center.h)
    assert row.score is None
    assert (center.status, center.reason) == ("ok", "")


@pytest.mark.parametrize(
    ("film", "reason"), [("black", "no-motion"), ("frozen", "no-motion"), ("single", "no-vectors")]
)
@pytest.mark.parametrize(
    ("settings", "box"),
    [
        ({"most_side": 0.85}, (23, 7, 82, 82)),  # the largest that it may take
        ({"most_side": 1.0}, (16, 0, 96, 96)),
        ({"area": 0.25}, (36, 20, 55, 55)),
        ({"area": 0.25, "shape": "frame"}, (32, 24, 64, 48)),
    ],
)
def test_foreground_falls_back_to_the_middle_in_its_own_size_and_shape(
    motions: dict[str, Path], film: str, reason: str, settings: dict[str, object], box: tuple[int, ...]
) -> None:
    row = crop(motions[film], "foreground", **settings)
    assert (row.status, row.reason, row.score, row.confidence) == ("fallback", reason, None, 0.0)
    assert (row.x, row.y, row.w, row.h) == box


def test_the_size_of_a_foreground_crop_follows_the_motion(motions: dict[str, Path]) -> None:
    sides = {"least_side": 0.5, "most_side": 0.85}
    widths = [crop(motions["left"], "foreground", share=share, **sides).w for share in (0.5, 0.95, 1.0)]
    assert (widths[0], widths[-1]) == (48, 82)
    assert 48 < (widths[1] or 0) < 82


def test_foreground_says_how_sure_it_is_and_the_papers_methods_do_not(motions: dict[str, Path]) -> None:
    row = crop(motions["left"], "foreground")
    assert row.confidence is not None
    assert 0.5 < row.confidence <= 1
    assert row.score is not None
    assert 0 < row.score <= 1
    for method in ("mocrop-v1", "mocrop-v2", "full", "random"):
        assert crop(motions["left"], method).confidence is None


@pytest.mark.parametrize(("grid", "cells"), [("", "30x40"), ("6x8", "6x8"), ("20x1000", "20x1000")])
def test_the_row_names_the_grid_that_was_used(motions: dict[str, Path], grid: str, cells: str) -> None:
    assert crop(motions["left"], "foreground", grid=grid).grid == cells
    assert crop(motions["black"], "foreground", grid=grid).grid == cells


def test_a_failed_row_has_no_grid_and_says_why() -> None:
    clip = Clip("clip", "walk/clip.avi", 0, "walk", "train", "")
    row = failed_row(clip, "corrupt", CropSettings(grid="6x8"))
    assert (row.status, row.reason, row.grid, row.method) == ("failed", "corrupt", "", "foreground")
    assert (row.x, row.area, row.vectors, row.motion_inside, row.confidence) == (None,) * 5


def test_motion_that_is_the_same_everywhere_is_unsure(motions: dict[str, Path]) -> None:
    row = crop(motions["left"], "foreground", grid="1x1", most_side=0.85)
    assert (row.status, row.reason, row.confidence) == ("fallback", "unsure-motion", 0.0)
    assert (row.x, row.y, row.w, row.h) == (23, 7, 82, 82)
    assert row.motion_inside == pytest.approx(82 * 82 / (128 * 96))


def test_key_frames_alone_have_no_vectors(tmp_path: Path) -> None:
    row = crop(motion_of(tmp_path, moving_square(6), gop=1))
    assert (row.status, row.reason, row.key_frames) == ("fallback", "no-vectors", 6)


def test_a_grid_finer_than_the_frame_falls_back(tmp_path: Path) -> None:
    motion = motion_of(tmp_path, [texture(32, 24, seed) for seed in range(5)], Film(codec="mpeg4"))
    assert crop(motion, grid="20x40").reason == "too-small"
    assert crop(motion, grid="20x32").reason != "too-small"


def test_equal_motion_everywhere_is_no_reason_for_a_window(tmp_path: Path) -> None:
    world = texture(400, 300, seed=5, contrast=70)
    film = [world[4 * n : 4 * n + 96, 4 * n : 4 * n + 128] for n in range(13)]
    row = crop(motion_of(tmp_path, [picture.copy() for picture in film]), grid="1x1", area=1.0)
    assert (row.status, row.reason) == ("fallback", "flat-motion")


def test_the_row_describes_the_clip_and_its_counts(motions: dict[str, Path]) -> None:
    row = crop(motions["left"], samples=50)
    assert (row.width, row.height, row.fps, row.frames, row.key_frames) == (128, 96, 25.0, 6 * COUNT, 10)
    assert row.vectors is not None
    assert row.kept is not None
    assert row.sampled == 50
    assert row.vectors > row.kept > 50
    assert row.area == pytest.approx((row.w or 0) * (row.h or 0) / (128 * 96))
    assert (row.method, row.grid) == ("mocrop-v1", "6x8")


def test_a_seed_decides_a_sample_and_nothing_else_does(motions: dict[str, Path]) -> None:
    first, again = (crop(motions["left"], samples=40) for _ in range(2))
    assert first == again
    other = crop(motions["left"], samples=40, seed=1)
    assert other.seed != first.seed
    assert crop(motions["left"], "random") == crop(motions["left"], "random")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_cut_vectors_file_is_a_bad_intermediate(
    motions: dict[str, Path], tmp_path: Path, share: float
) -> None:
    content = motions["left"].read_bytes()
    damaged = tmp_path / "clip.parquet"
    damaged.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ClipError, match="bad-intermediate"):
        crop(damaged)


def test_a_missing_vectors_file_is_a_bad_intermediate(tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"bad-intermediate.*mocrop-prep extract"):
        crop(tmp_path / "clip.parquet")


def test_the_manifest_has_a_row_for_every_clip_in_order(kept: Path) -> None:
    rows = read_crops(kept / f"crops/{DEFAULT}.csv")
    assert [row.clip_id for row in rows] == sorted(row.clip_id for row in rows)
    assert {row.clip_id.split("__")[0]: row.label_name for row in rows} == {"run": "run", "walk": "walk"}
    assert {row.label_name: row.label for row in rows} == {"run": 0, "walk": 1}
    assert {row.clip_id: row.split for row in rows if row.split == "test"}.keys() == {
        "run__v_run_g01_c01",
        "walk__v_walk_g01_c01",
    }
    assert all(row.status == "ok" for row in rows)


@pytest.mark.parametrize("method", [DEFAULT, "mocrop-v1"])
def test_every_crop_stands_on_the_side_where_the_square_moves(workdir: Path, method: str) -> None:
    ok("crop", workdir, "--method", method, "--name", "again")
    for row in read_crops(workdir / "crops/again.csv"):
        assert None not in (row.x, row.w, row.width)
        left, right = row.x or 0, (row.width or 0) - (row.x or 0) - (row.w or 0)
        near, far = (left, right) if row.label_name == "walk" else (right, left)
        assert near < far
        assert near == 0 or method != "mocrop-v1"

"""The ablations: every variant leaves out what it says, and the script's figures are evaluate-crops's."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import pytest
from mocrop_manifests import Clip, read_clips
from mocrop_prep.config import CropSettings
from mocrop_prep.evaluation import AREAS
from mocrop_prep.foreground.density import Parts
from mocrop_prep.foreground.framing import Framing
from mocrop_prep.methods import Choice
from mocrop_prep.stages.crop import clip_chooser
from mocrop_prep.stages.extract import extract_clip
from mocrop_prep.vectors import AV_MOTION_VECTOR, ClipInfo, VectorBatch, Vectors, read_vectors

from tests.benchmarks import ablate
from tests.benchmarks.ablation.builds import Foreground
from tests.benchmarks.ablation.cost import LOOKING
from tests.benchmarks.ablation.variants import FAMILIES, OURS, PROBED, TIMED, Build
from tests.commands import ok
from tests.films import Film, Picture, encode, square_corner, texture

WIDTH, HEIGHT, BAR = 256, 192, 16
CLIP = Clip("walk", "walk.mp4", 0, "walk", "train", "")
FIELDS = (*(field.name for field in fields(Parts)), *Framing._fields, "fineness", "border")
LEFT_OUT = [(title, name) for title, family in FAMILIES.items() for name in list(family)[1:]]


@dataclass(frozen=True)
class Seen:
    """A clip's description and vectors."""

    info: ClipInfo
    vectors: tuple[Vectors, ...]

    def choice(self, build: Build, area: float | None = 0.35) -> Choice:
        chooser = build(CLIP, self.info, area)
        for batch in self.vectors:
            chooser.add(batch)
        return chooser.choose()


def busy_pictures(count: int = 48) -> Iterator[Picture]:
    """Draw a zoom, ripples that never agree, a plain wall that flickers, a walker who then runs, and bars."""
    ground = texture(2 * WIDTH, 2 * HEIGHT, seed=1, contrast=90)
    walker, ripples = texture(48, 48, seed=2, contrast=110), texture(3 * WIDTH, 80, seed=3, contrast=90)
    rng = np.random.default_rng(4)
    for number in range(count):
        scale = 1.2 + 0.006 * number
        view = np.array([[scale, 0, -80 - 2 * number], [0, scale, -60 - number]])
        picture = np.asarray(cv2.warpAffine(ground, view, (WIDTH, HEIGHT)), np.uint8)
        start = int(rng.integers(0, WIDTH))
        picture[100:150, :90] = ripples[:50, start : start + 90]
        picture[:90, 190:] = 120 + rng.integers(0, 3, (90, WIDTH - 190, 1), np.uint8)
        x = 100 + (number if number < 36 else 36 + 14 * (number - 36)) % 100
        picture[60:108, x : x + 48] = walker
        picture[:BAR] = picture[-BAR:] = 16
        yield picture


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """A film in which every part has something to do."""
    folder = tmp_path_factory.mktemp("busy")
    film = encode(folder / "walk.mp4", busy_pictures(), Film(options={"preset": "veryfast", "refs": "1"}))
    extract_clip(film, folder / "walk.parquet")
    info, batches = read_vectors(folder / "walk.parquet")
    return Seen(info, tuple(batches))


@pytest.fixture(scope="module")
def snow() -> Seen:
    """Vectors of three blocks in ten in every frame, anywhere, in all directions, many of them short."""
    rng = np.random.default_rng(0)
    y, x = (axis.ravel() for axis in np.mgrid[8:HEIGHT:16, 8:WIDTH:16])
    batches: list[Vectors] = []
    batch = VectorBatch(batches.append)
    for number in range(1, 250):
        raw = np.zeros(len(x), AV_MOTION_VECTOR)
        raw["source"], raw["w"], raw["h"], raw["scale"] = -1, 16, 16, 4
        raw["dst_x"], raw["dst_y"] = x, y
        flakes = rng.random(len(x)) < 0.3
        raw["motion_x"], raw["motion_y"] = np.rint(rng.normal(0, 8, (2, len(x)))) * flakes
        batch.add(number, raw.data)
    batch.flush()
    return Seen(ClipInfo(WIDTH, HEIGHT, 25.0, 250, (0,)), tuple(batches))


def outcome(choice: Choice) -> tuple[object, ...]:
    return choice.box, choice.reason, choice.score, choice.density.cells.tobytes()


@pytest.mark.parametrize(("title", "name"), LEFT_OUT)
def test_every_variant_chooses_otherwise_than_the_whole_method(
    title: str, name: str, busy: Seen, snow: Seen
) -> None:
    whole, variant = FAMILIES[title][title], FAMILIES[title][name]
    assert any(outcome(seen.choice(whole)) != outcome(seen.choice(variant)) for seen in (busy, snow))


def test_every_variant_of_ours_changes_one_setting_unless_it_says_more() -> None:
    whole = Foreground()
    changed = {
        name: sum(
            getattr(now, field) != getattr(before, field)
            for now, before in ((build.parts, whole.parts), (build.framing, whole.framing), (build, whole))
            for field in FIELDS
            if hasattr(now, field)
        )
        for name, build in OURS.items()
        if isinstance(build, Foreground)
    }
    assert changed.pop("foreground") == 0
    assert changed.pop("least motion and noise: 0") == 2
    assert changed.pop("all off: area times motion") == len(FIELDS) - 1
    assert set(changed.values()) == {1}


@pytest.mark.parametrize("title", FAMILIES)
def test_the_first_of_a_family_is_the_method_itself(title: str, busy: Seen) -> None:
    whole = next(iter(FAMILIES[title].values()))
    for area in (None, *AREAS):

        def method(clip: Clip, info: ClipInfo, area: float | None) -> object:
            return clip_chooser(clip, info, CropSettings(method=title, area=area))

        assert outcome(busy.choice(whole, area)) == outcome(busy.choice(method, area))  # type: ignore[arg-type]


@pytest.mark.parametrize("title", ["mocrop-v1", "mocrop-v2"])
def test_without_the_adaptive_window_the_crop_has_its_area_and_the_density_is_the_same(
    title: str, busy: Seen
) -> None:
    family = FAMILIES[title]
    whole = busy.choice(family[title])
    pixels = whole.box.w * whole.box.h
    for name in ("AC out: the centre", "AC out: the best square"):
        other = busy.choice(family[name])
        assert other.density.cells.tolist() == whole.density.cells.tolist()
        assert other.box.w * other.box.h == pytest.approx(pixels, rel=0.01)
    centre, square = (busy.choice(family[name]).box for name in list(family)[-2:])
    assert (2 * centre.x + centre.w, 2 * centre.y + centre.h) == pytest.approx((WIDTH, HEIGHT), abs=1)
    assert square.w == square.h


def test_without_denoising_or_sampling_the_counts_say_so(busy: Seen) -> None:
    every = sum(len(batch) for batch in busy.vectors)
    moving = sum(int(((batch.motion_x != 0) | (batch.motion_y != 0)).sum()) for batch in busy.vectors)
    for title in ("mocrop-v1", "mocrop-v2"):
        family = FAMILIES[title]
        whole, all_kept = (
            busy.choice(family[title]).density,
            busy.choice(family["DM out: all that move at all"]),
        )
        assert whole.vectors == every
        assert whole.kept < all_kept.density.kept == moving
        counted = busy.choice(family["MCS out: all counted"]).density
        assert counted.kept == counted.sampled == whole.kept
        neither = busy.choice(family["DM and MCS out"]).density
        assert neither.kept == neither.sampled == moving


def test_what_is_timed_and_probed_are_variants_of_ours() -> None:
    assert set(TIMED) | set(PROBED) <= set(OURS)
    assert TIMED[0] == PROBED[0] == next(iter(OURS)) == CropSettings().method


def test_the_script_prints_and_writes_the_figures_of_evaluate_crops(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes = tmp_path / "boxes.csv"
    with boxes.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("clip", "actor", "frame", "x", "y", "w", "h"))
        for clip in read_clips(kept / "clips.csv")[1:]:
            rows.writerows((clip.clip_id, 0, frame, *square_corner(frame), 28, 28) for frame in range(12))
    ok("evaluate-crops", kept, "--boxes", boxes, "--json", tmp_path / "whole.json")
    quick = ("--jobs", "1", "--timed", "1", "--rounds", "1", "--json", str(tmp_path / "parts.json"))
    capsys.readouterr()
    ablate.main(["--set", str(kept), str(boxes), *quick])
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "parts.json").read_text())["sets"][str(kept)]
    lines = json.loads((tmp_path / "whole.json").read_text())["lines"]
    expected = {(one["crop"], one["area"]): (one["covers"], one["inside"]) for one in lines}
    for title, family in FAMILIES.items():
        table = found["kept"]["tables"][title]
        assert list(table) == list(family)
        assert all(f"\n| {name} | " in printed for name in family)
        for area in AREAS:
            whole = table[title][f"{area:g}"]
            assert (whole["covers"], whole["inside"]) == expected[title, area]
            for name in list(family)[1:]:
                other = table[name][f"{area:g}"]
                apart = other["inside"]["value"] - whole["inside"]["value"]
                assert other["apart"]["value"] == pytest.approx(apart, abs=1e-12)
    assert set(found["cost"]) > {*TIMED, *FAMILIES, LOOKING}
    assert all(seconds > 0 for seconds in found["cost"].values())
    assert "`foreground` takes " in printed


def test_a_folder_that_is_no_workdir_ends_the_script_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="is not a WORKDIR"):
        ablate.main(["--set", str(tmp_path), str(tmp_path / "boxes.csv")])

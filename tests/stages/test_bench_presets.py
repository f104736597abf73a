"""The bench of x264 settings: candidates keep to the contract, and figures and choice are what they say."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mocrop_prep.config import TranscodeSettings
from mocrop_prep.evaluation.bootstrap import Estimate
from mocrop_prep.stages.extract import extract_clip
from mocrop_prep.stages.transcode import transcode_clip
from mocrop_prep.vectors import read_vectors
from mocrop_prep.video import contract_violations, encode_clip, inspect_source
from numpy.typing import NDArray

from tests.benchmarks.bench_presets import main
from tests.benchmarks.preset_bench.candidates import BASE, CANDIDATES, DEFAULT, REDRAWN, REFERENCE
from tests.benchmarks.preset_bench.likeness import psnr, ssim
from tests.benchmarks.preset_bench.report import worth_table
from tests.benchmarks.preset_bench.verdict import losses, quickest
from tests.benchmarks.preset_bench.worth import Measure, Worth, correlation
from tests.commands import ok
from tests.films import SQUARE, XVID, encode, moving_square, square_corner

FRAMES = 26
ALIKE = "veryfast, no psy"  # psychovisual decisions begin above the subme of veryfast
OTHER = "superfast, no CABAC"


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films of a moving square, and its boxes."""
    root = tmp_path_factory.mktemp("films")
    with (root / "boxes.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("clip", "actor", "frame", "x", "y", "w", "h"))
        for number in range(2):
            film = f"v_walk_g0{number}_c01"
            encode(root / "clips" / "walk" / f"{film}.avi", moving_square(FRAMES, seed=number), XVID)
            rows.writerows((film, 0, frame, *square_corner(frame), SQUARE, SQUARE) for frame in range(FRAMES))
    return root


@pytest.fixture(scope="module")
def measured(films: Path) -> tuple[dict[str, Any], Path]:
    """The figures of two candidates and the default on two films, and the folder of what was computed."""
    work = films / "work"
    words = ("--set", films / "clips", films / "boxes.csv", "--work", work, "--jobs", 1, "--rounds", 1)
    main(
        [
            *map(str, words),
            "--candidate",
            ALIKE,
            "--candidate",
            OTHER,
            "--json",
            str(films / "all.json"),
        ]
    )
    return json.loads((films / "all.json").read_text()), work


def plane(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(16, 235, (48, 64), np.uint8)


@pytest.mark.parametrize("name", [*CANDIDATES, REFERENCE.name])
def test_every_candidate_keeps_to_the_contract_and_x264_says_what_it_was_told(
    name: str, films: Path, tmp_path: Path
) -> None:
    candidate = {**CANDIDATES, REFERENCE.name: REFERENCE}[name]
    source = next(films.glob("clips/walk/*.avi"))
    target = tmp_path / "clip.mp4"
    encode_clip(source, target, inspect_source(source), candidate.settings, tuning=candidate.tuning)
    assert contract_violations(inspect_source(target), gop=12, short_side=None) == []
    said = target.read_bytes()
    for word in candidate.tuning.split(":"):
        key, _, value = word.partition("=")
        if key in ("cabac", "me", "subme", "trellis", "8x8dct", "weightp", "me_range"):
            assert f" {key}={value} ".encode() in said


def test_the_candidate_called_the_default_is_what_the_transcode_stage_writes(
    films: Path, tmp_path: Path
) -> None:
    source = next(films.glob("clips/walk/*.avi"))
    default = CANDIDATES[DEFAULT]
    encode_clip(source, tmp_path / "a.mp4", inspect_source(source), default.settings, tuning=default.tuning)
    transcode_clip(source, tmp_path / "b.mp4", TranscodeSettings())
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("preset", ["ultrafast", "superfast", "veryfast", "medium"])
def test_clips_have_blocks_of_8x8_whatever_the_preset(preset: str, films: Path, tmp_path: Path) -> None:
    video, motion = tmp_path / "clip.mp4", tmp_path / "clip.parquet"
    transcode_clip(next(films.glob("clips/walk/*.avi")), video, TranscodeSettings(preset=preset))
    extract_clip(video, motion)
    _, batches = read_vectors(motion)
    blocks = {
        size for vectors in batches for size in zip(vectors.w.tolist(), vectors.h.tolist(), strict=True)
    }
    assert blocks == {(16, 16), (16, 8), (8, 16), (8, 8)}


@pytest.mark.parametrize(("entropy", "cabac"), [("cabac", b" cabac=1 "), ("cavlc", b" cabac=0 ")])
def test_the_entropy_coder_is_the_one_asked_for(
    entropy: str, cabac: bytes, films: Path, tmp_path: Path
) -> None:
    source = next(films.glob("clips/walk/*.avi"))
    transcode_clip(source, tmp_path / "clip.mp4", TranscodeSettings(entropy=entropy))
    assert cabac in (tmp_path / "clip.mp4").read_bytes()


def test_what_the_default_keeps_of_the_actors_is_what_evaluate_crops_says(
    films: Path, measured: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    ok("run", films / "clips", tmp_path / "work", "--keep")
    boxes = ("--boxes", films / "boxes.csv", "--areas", ".35", "--json", tmp_path / "kept.json")
    ok("evaluate-crops", tmp_path / "work", *boxes)
    lines = json.loads((tmp_path / "kept.json").read_text())["lines"]
    expected = {
        (one["crop"], "own" if one["area"] is None else f"{one['area']:g}"): one["inside"] for one in lines
    }
    (one,) = measured[0]["sets"].values()
    kept = one["worth"][DEFAULT]["kept"]
    assert len(kept) == 6
    for what in (("foreground", "own"), ("foreground", "0.35"), ("mocrop-v1", "0.35"), ("mocrop-v2", "0.35")):
        assert kept[" ".join(what)]["value"] == expected[what]


def test_candidates_differ_from_the_default_by_what_is_said_and_the_same_ones_not_at_all(
    measured: tuple[dict[str, Any], Path],
) -> None:
    (one,) = measured[0]["sets"].values()
    worth = one["worth"]
    assert list(worth) == [BASE, ALIKE, OTHER, REFERENCE.name, REDRAWN.name]
    assert [found["same_as"] for found in worth.values()] == ["", BASE, "", "", ""]
    assert worth[BASE]["size"] == 1
    assert worth[REFERENCE.name]["overlap"]["value"]["value"] == 1
    for method, found in worth[OTHER]["likeness"].items():
        apart = found["value"]["value"] - worth[BASE]["likeness"][method]["value"]["value"]
        assert found["apart"]["value"] == pytest.approx(apart)
        assert worth[REFERENCE.name]["likeness"][method]["value"]["value"] == pytest.approx(1)
    assert set(one["time"]) == {BASE, ALIKE, OTHER}
    assert one["time"][BASE]["speed"] == {"median": 1, "least": 1, "most": 1}
    assert all(
        found["extract_frames_per_s"] > found["encode_frames_per_s"] > 0 for found in one["time"].values()
    )


def test_the_time_of_a_run_has_that_of_its_codecs_in_it(measured: tuple[dict[str, Any], Path]) -> None:
    (seconds,) = (one["seconds"] for one in measured[0]["floor"].values())
    assert list(seconds) == ["run", "decode the source", "x264", "decode with vectors"]
    assert 0 < sum(list(seconds.values())[1:]) < seconds["run"]


def test_what_was_computed_is_not_computed_again_and_prints_the_same(
    films: Path, measured: tuple[dict[str, Any], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    body, work = measured
    before = {path: path.stat().st_mtime_ns for path in work.rglob("output.pkl")}
    words = ("--set", films / "clips", films / "boxes.csv", "--work", work, "--jobs", 1, "--rounds", 0)
    main(
        [
            *map(str, words),
            "--candidate",
            ALIKE,
            "--candidate",
            OTHER,
            "--json",
            str(films / "again.json"),
        ]
    )
    printed = capsys.readouterr().out
    again = json.loads((films / "again.json").read_text())
    assert {path: path.stat().st_mtime_ns for path in work.rglob("output.pkl")} == before
    assert len(before) == 10
    for name, one in again["sets"].items():
        assert one["worth"] == body["sets"][name]["worth"]
        assert one["time"] == {}
    assert f"\n| {ALIKE} | the same as {BASE} |" in printed
    assert f"\n| {OTHER} | - | - | - | " in printed


def test_an_unknown_candidate_is_refused_with_the_names_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--candidate", "quick"])
    assert end.value.code == 2
    assert "'superfast, no CABAC'" in capsys.readouterr().err


def measure(value: float, apart: float, low: float, high: float) -> Measure:
    return Measure(Estimate(value, (value, value)), Estimate(apart, (low, high)))


SAME = measure(0.9, 0, 0, 0)
SOUND = Worth(
    {"foreground": SAME, "mocrop-v1": SAME}, {("foreground", None): SAME}, SAME, SAME, SAME, 1, 9, ""
)


def test_a_loss_lies_below_nothing_and_is_large_enough_and_doubt_counts_for_the_default_alone() -> None:
    slight, clear, unclear = (
        measure(0.9, *values)
        for values in ((-0.004, -0.006, -0.001), (-0.05, -0.08, -0.02), (-0.005, -0.05, 0.04))
    )
    assert losses(SOUND) == []
    assert losses(replace(SOUND, likeness={"foreground": slight, "mocrop-v1": slight})) == []
    assert losses(replace(SOUND, likeness={"foreground": clear, "mocrop-v1": clear})) == [
        "likeness foreground",
        "likeness mocrop-v1",
    ]
    assert losses(replace(SOUND, likeness={"foreground": unclear, "mocrop-v1": unclear})) == [
        "likeness foreground unclear"
    ]
    assert losses(replace(SOUND, kept={("mocrop-v1", 0.35): clear})) == ["kept mocrop-v1 0.35"]
    assert losses(replace(SOUND, psnr=measure(40, -0.9, -1.0, -0.8))) == ["PSNR"]
    assert losses(replace(SOUND, size=1.2)) == ["bytes"]


def test_the_quickest_is_one_without_a_loss_and_not_the_same_as_another() -> None:
    lossy = replace(SOUND, psnr=measure(40, -0.9, -1.0, -0.8))
    worths = {"a": SOUND, "b": SOUND, "c": lossy, "d": replace(SOUND, same_as="b"), "never timed": SOUND}
    assert quickest(worths, {"a": 1, "b": 1.2, "c": 3, "d": 1.3}) == "b"


def test_equal_pictures_are_as_like_as_can_be_and_noise_makes_them_less_so() -> None:
    noisy = plane() // 2 + plane(1) // 2
    assert psnr(plane(), plane()) == 100
    assert ssim(plane(), plane()) == pytest.approx(1)
    assert psnr(plane(), noisy) < 30
    assert ssim(plane(), noisy) < ssim(plane(), np.where(plane(2) < 200, plane(), noisy)) < 1


def test_flat_pictures_have_the_similarity_that_its_formula_gives_their_means() -> None:
    a, b = np.full((20, 30), 100, np.uint8), np.full((20, 30), 120, np.uint8)
    constant = (0.01 * 255) ** 2
    expected = (2 * 100 * 120 + constant) / (100**2 + 120**2 + constant)
    assert ssim(a, b) == pytest.approx(expected, abs=1e-9)


def test_a_flat_map_is_like_no_other_and_a_scaled_one_as_like_as_can_be() -> None:
    cells = np.arange(12).reshape(3, 4)
    assert correlation(np.full((3, 4), 7), cells) == 0
    assert correlation(cells * 3 + 1, cells) == pytest.approx(1)
    assert correlation(-cells, cells) == pytest.approx(-1)


def test_a_difference_is_bold_where_its_interval_leaves_out_nothing() -> None:
    sure, open_ended = measure(0.9, -0.02, -0.03, -0.01), measure(0.9, -0.02, -0.05, 0.01)
    likeness = {"foreground": sure, "mocrop-v1": open_ended, "mocrop-v2": SAME}
    row = worth_table({"x": replace(SOUND, likeness=likeness, kept={})})[-1]
    assert "**-0.020 [-0.030, -0.010]** |" in row
    assert "| -0.020 [-0.050, +0.010] |" in row

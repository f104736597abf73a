"""`evaluate-crops` on real WORKDIRs: the figures are those of the manifests, and nothing there changes."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from mocrop_manifests import read_clips, read_crops
from mocrop_prep.boxes import read_boxes
from mocrop_prep.config import METHODS, CropSettings
from mocrop_prep.evaluation.annotations import by_clip
from mocrop_prep.evaluation.candidates import DEFAULT_METHOD, MATCHED, Candidate, reference_of
from mocrop_prep.evaluation.judge import ClipJob, judge_clip

from tests.commands import ok, prep, tree
from tests.films import HEIGHT, SQUARE, WIDTH, square_corner

Row = tuple[object, ...]
HEAD: Row = ("clip", "actor", "frame", "x", "y", "w", "h")


def write_boxes(path: Path, rows: Iterable[Row]) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([HEAD, *rows])
    return path


def square_box(name: str, frame: int, *, flip: bool) -> Row:
    """The moving square's box in a frame of one of the session's films."""
    x, y = square_corner(frame)
    x, y = min(x, WIDTH - SQUARE), min(y, HEIGHT - SQUARE)
    return (name, 0, frame, WIDTH - SQUARE - x if flip else x, y, SQUARE, SQUARE)


@pytest.fixture
def boxes(kept: Path, tmp_path: Path) -> Path:
    """Boxes of all clips but one, by the names of their files."""
    stems = [Path(clip.path).stem for clip in read_clips(kept / "clips.csv")]
    rows = [square_box(stem, frame, flip="run" in stem) for stem in stems[1:] for frame in range(12)]
    return write_boxes(tmp_path / "boxes.csv", rows)


def evaluate(workdir: Path, boxes: Path, tmp_path: Path, *options: object) -> dict[str, Any]:
    ok("evaluate-crops", workdir, "--boxes", boxes, "--json", tmp_path / "found.json", *options)
    body: dict[str, Any] = json.loads((tmp_path / "found.json").read_text())
    return body


def figures(body: dict[str, Any]) -> dict[tuple[str, float | None], dict[str, Any]]:
    measures = ("covers", "inside", "whole", "tenth")
    return {(line["crop"], line["area"]): {name: line[name] for name in measures} for line in body["lines"]}


def test_it_prints_every_method_at_every_area_and_says_who_was_left_out(kept: Path, boxes: Path) -> None:
    outcome = prep("evaluate-crops", kept, "--boxes", boxes, "--jobs", 1)
    assert outcome.status == 0
    assert outcome.out.startswith("5 clips, 60 frames, 60 boxes\n")
    for area in ("0.75", "0.5", "0.35", "0.25"):
        for method in set(METHODS) - {"full"}:
            assert any(line.split()[:2] == [method, area] for line in outcome.out.splitlines())
    assert "note: clips without boxes, left out: 1 (run__v_run_g01_c01)" in outcome.err


def test_the_crops_are_those_of_the_crop_stage(workdir: Path, boxes: Path, tmp_path: Path) -> None:
    methods = [method for method in METHODS if method != "full"]
    before = figures(evaluate(workdir, boxes, tmp_path, "--areas", "0.5"))
    for method in methods:
        ok("crop", workdir, "--method", method, "--area", "0.5", "--name", f"{method}.half")
    names = [part for method in methods for part in ("--crops", f"{method}.half")]
    after = figures(evaluate(workdir, boxes, tmp_path, *names))
    assert {key[0]: value for key, value in before.items() if key[1] == 0.5} == {
        key[0].removesuffix(".half"): value for key, value in after.items()
    }
    areas = [row.area for row in read_crops(workdir / "crops/mocrop-v1.half.csv")][1:]
    assert after["mocrop-v1.half", None]["covers"] == pytest.approx(sum(map(float, areas)) / 5, abs=1e-6)  # type: ignore[arg-type]


def test_a_crop_that_follows_the_motion_keeps_more_than_the_middle(
    kept: Path, boxes: Path, tmp_path: Path
) -> None:
    body = evaluate(kept, boxes, tmp_path, "--areas", ".25")
    apart = {one["minus"]["crop"]: one["inside"] for one in body["differences"]}
    assert set(apart) >= set(METHODS) - {"full", DEFAULT_METHOD}
    assert apart["center"]["value"] > 0.05
    full = figures(body)["full", 1.0]
    assert (full["covers"], full["inside"]["value"], full["tenth"]["value"]) == (1.0, 1.0, 1.0)


def test_the_twin_of_a_method_with_sizes_of_its_own_is_the_centred_square_of_each(
    kept: Path, boxes: Path
) -> None:
    own, twin = Candidate(DEFAULT_METHOD, None, CropSettings()), Candidate(MATCHED, None, None)
    clip = next(one for one in read_clips(kept / "clips.csv") if one.clip_id == "walk__v_walk_g01_c01")
    annotation = by_clip([clip], read_boxes(boxes))[0][clip.clip_id]
    motion = kept / "motion" / f"{clip.clip_id}.parquet"
    verdict = judge_clip(ClipJob(clip, annotation, motion, {}, None), [twin, own])
    middle, crop = verdict.crops
    assert middle.w == middle.h == round(math.sqrt(crop.w * crop.h))
    assert (middle.x, middle.y) == ((WIDTH - middle.w) // 2, (HEIGHT - middle.h) // 2)
    assert reference_of(twin, [twin, own]) is own


def test_nothing_in_the_workdir_changes_and_jobs_make_no_difference(
    kept: Path, boxes: Path, tmp_path: Path
) -> None:
    before = tree(kept)
    files = ("--json", tmp_path / "a.json", "--csv", tmp_path / "a.csv")
    one = prep("evaluate-crops", kept, "--boxes", boxes, "--jobs", 1, *files)
    two = prep("evaluate-crops", kept, "--boxes", boxes, "--jobs", 2)
    assert one.out == two.out
    assert tree(kept) == before
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert {row["clip_id"] for row in rows} == set(json.loads((tmp_path / "a.json").read_text())["clips"])
    full = [row for row in rows if row["crop"] == "full"]
    assert [(row["w"], row["h"], row["frames"], row["inside"]) for row in full] == [
        (str(WIDTH), str(HEIGHT), "12", "1.000000")
    ] * 5


def test_without_vectors_it_names_the_command_and_manifests_still_work(
    workdir: Path, boxes: Path, tmp_path: Path
) -> None:
    shutil.rmtree(workdir / "motion")
    outcome = prep("evaluate-crops", workdir, "--boxes", boxes)
    assert outcome.status == 2
    assert f"run `mocrop-prep extract {workdir}`" in outcome.errors[-1]
    name = read_crops(next((workdir / "crops").glob("*.csv")))[0].method
    assert [line["crop"] for line in evaluate(workdir, boxes, tmp_path, "--crops", name)["lines"]] == [name]


def test_a_damaged_file_costs_its_clip_alone(workdir: Path, boxes: Path) -> None:
    (workdir / "motion" / "walk__v_walk_g02_c01.parquet").write_bytes(b"not a table")
    outcome = prep("evaluate-crops", workdir, "--boxes", boxes, "--areas", ".5", "--jobs", 1)
    assert outcome.status == 1
    assert outcome.out.startswith("4 clips, 48 frames")
    assert "left out: 1 (walk__v_walk_g02_c01)" in outcome.err


def test_boxes_of_a_scaled_clip_are_those_of_its_source(own_source: Path, tmp_path: Path) -> None:
    stems = {path.stem for path in own_source.rglob("v_*")}
    rows = [square_box(stem, frame, flip="run" in stem) for stem in stems for frame in range(12)]
    boxes = write_boxes(tmp_path / "boxes.csv", rows)
    inside = {}
    for side in (HEIGHT, HEIGHT // 2):
        work = tmp_path / str(side)
        ok("transcode", own_source, work, "--short-side", side)
        ok("extract", work)
        found = figures(evaluate(work, boxes, tmp_path, "--areas", ".25", "--method", "center"))
        inside[side] = found["center", 0.25]["inside"]["value"]
    assert 0.1 < inside[HEIGHT] < 0.9
    assert inside[HEIGHT // 2] == pytest.approx(inside[HEIGHT], abs=0.01)
    shutil.rmtree(own_source)
    outcome = prep("evaluate-crops", tmp_path / str(HEIGHT // 2), "--boxes", boxes, "--jobs", 1)
    assert outcome.status == 2
    assert "--short-side" in outcome.errors[-1]


def test_odd_boxes_are_noted_and_the_rest_is_used(kept: Path, tmp_path: Path) -> None:
    name = "walk__v_walk_g01_c01"  # a clip_id serves as well
    rows: list[Row] = [square_box(name, frame, flip=False) for frame in range(5)]
    rows += [(name, 0, 500, 1, 1, 5, 5), (name, 0, 6, 4000, 1, 5, 5), (name, 0, 7, -2, 1, 5, 5)]
    outcome = prep("evaluate-crops", kept, "--boxes", write_boxes(tmp_path / "b.csv", rows), "--jobs", 1)
    assert outcome.out.startswith("1 clips, 6 frames, 6 boxes")
    assert "[" not in outcome.out.split("inside:")[0]  # one clip has no interval
    for kind in ("their clip does not have", "outside the picture", "over the edge"):
        assert any(kind in line and line.endswith(": 1") for line in outcome.err.splitlines())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,frame\n", "missing columns actor"),
        ("clip,actor,frame,x,y,w,h\nv_walk_g01_c01,0,zero,1,1,5,5\n", ":2: "),
        ("clip,actor,frame,x,y,w,h\nsomebody,0,0,1,1,5,5\n", "the name of the video's file"),
        ("clip,actor,frame,x,y,w,h\nv_walk_g01_c01,0,900,1,1,5,5\n", "none of 1 clips with boxes"),
    ],
    ids=["columns", "number", "names", "frames"],
)
def test_boxes_that_do_not_serve_are_refused_in_one_line(
    text: str, message: str, kept: Path, tmp_path: Path
) -> None:
    (tmp_path / "boxes.csv").write_text(text)
    outcome = prep("evaluate-crops", kept, "--boxes", tmp_path / "boxes.csv", "--jobs", 1, "--quiet")
    assert (outcome.status, outcome.out, len(outcome.errors)) == (2, "", 1)
    assert message in outcome.err


def test_splits_and_limits_take_a_part_of_the_clips_with_boxes(
    kept: Path, boxes: Path, tmp_path: Path
) -> None:
    test = {clip.clip_id for clip in read_clips(kept / "clips.csv") if clip.split == "test"}
    some = evaluate(kept, boxes, tmp_path, "--split", "test", "--areas", ".5")["clips"]
    assert set(some) == test - {"run__v_run_g01_c01"}
    assert len(evaluate(kept, boxes, tmp_path, "--limit", 3, "--areas", ".5")["clips"]) == 3


def test_an_unknown_manifest_is_refused_with_those_there_are(kept: Path, boxes: Path) -> None:
    outcome = prep("evaluate-crops", kept, "--boxes", boxes, "--crops", "mine")
    assert outcome.status == 2
    assert "manifests there: " in outcome.errors[-1]

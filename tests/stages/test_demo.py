"""The demo set: small videos as they come from the wild, with the action away from the centre."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from mocrop_manifests.files import sha256
from mocrop_manifests.tables import parse_rows, read_text
from mocrop_prep.demo import ActorBox, DemoClip, make_demo, plan_demo, write_clip
from mocrop_prep.demo.actions import ACTIONS, Moment
from mocrop_prep.demo.figure import Body, Outfit, extent, figure
from mocrop_prep.demo.scene import HEIGHT, WIDTH, Scene, make_scene, make_setting
from mocrop_prep.errors import UsageError
from mocrop_prep.video.write import write_video
from numpy.typing import NDArray

CLOTHES = ("skin", "hair", "shirt", "trousers", "shoes")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the smallest set."""
    folder = tmp_path_factory.mktemp("demo")
    assert make_demo(folder, groups=1, clips_per_group=1) == len(ACTIONS)
    return folder


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """Return one clip of every class in every group, not yet drawn."""
    settings = [make_setting(0, group) for group in range(1, 13)]
    return [
        make_scene(setting, action, np.random.default_rng([number, group]))
        for group, setting in enumerate(settings)
        for number, action in enumerate(ACTIONS)
    ]


def videos(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/v_*"))


def boxes_of(folder: Path) -> dict[str, list[ActorBox]]:
    boxes: dict[str, list[ActorBox]] = {}
    for row in parse_rows(ActorBox, read_text(folder / "boxes.csv"), "boxes.csv").values():
        boxes.setdefault(row.clip, []).append(row)
    return boxes


def union(scene: Scene) -> tuple[int, int, int, int]:
    corners = np.array([(x, y, x + w, y + h) for x, y, w, h in scene.boxes()])
    left, top = corners[:, :2].min(axis=0).tolist()
    right, bottom = corners[:, 2:].max(axis=0).tolist()
    return left, top, right, bottom


def share_inside(boxes: list[tuple[int, int, int, int]], window: tuple[int, int, int, int]) -> float:
    """Return the mean share of boxes that lies inside a window (x, y, width, height)."""
    x, y, w, h = np.array(boxes, float).T
    across = np.minimum(x + w, window[0] + window[2]) - np.maximum(x, window[0])
    down = np.minimum(y + h, window[1] + window[3]) - np.maximum(y, window[1])
    return float((across.clip(0) * down.clip(0) / (w * h)).mean())


def test_files_are_named_like_ucf101_in_one_folder_a_class(demo: Path) -> None:
    names = [f"{path.parent.name}/{path.name}" for path in videos(demo)]
    assert len(names) == len(ACTIONS) >= 6
    for name in names:
        assert re.fullmatch(r"([A-Za-z]+)/v_\1_g01_c01\.(avi|mp4)", name)


def test_nothing_but_videos_and_boxes_is_left_behind(demo: Path) -> None:
    files = [path for path in demo.rglob("*") if path.is_file()]
    assert sorted(files) == sorted([*videos(demo), demo / "boxes.csv"])


def test_a_plan_has_every_class_in_every_group_once_for_each_clip() -> None:
    plan = plan_demo(groups=12, clips_per_group=2)
    assert len(plan) == len({clip.stem for clip in plan}) == 12 * 2 * len(ACTIONS)
    assert set(Counter((clip.label, clip.group) for clip in plan).values()) == {2}


@pytest.mark.parametrize("clips_per_group", [1, 2])
def test_both_codecs_are_even_in_every_class_and_every_group(clips_per_group: int) -> None:
    plan = plan_demo(groups=12, clips_per_group=clips_per_group)
    for key in ("label", "group"):
        parts = Counter((getattr(clip, key), clip.encoding.codec) for clip in plan)
        assert len(set(parts.values())) == 1
        assert {codec for _, codec in parts} == {"mpeg4", "libx264"}


def test_the_same_seed_gives_the_same_bytes_in_another_process_and_order(demo: Path, tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, mocrop_prep.demo as demo\n"
        "clips = demo.plan_demo(groups=1, clips_per_group=1)[::-1]\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "demo.write_boxes(folder, [box for clip in clips for box in demo.write_clip(folder, clip)])\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    for path in (*videos(demo), demo / "boxes.csv"):
        assert sha256(tmp_path / path.relative_to(demo)) == sha256(path), path.name


def test_another_seed_or_number_gives_another_clip(demo: Path, tmp_path: Path) -> None:
    first = plan_demo(groups=1, clips_per_group=1)[0]
    content = {(demo / first.path).read_bytes()}
    # two numbers on, the codec is the same again
    for clip in (replace(first, seed=1), replace(first, number=3)):
        write_clip(tmp_path, clip)
        assert clip.encoding == first.encoding
        content.add((tmp_path / clip.path).read_bytes())
    assert len(content) == 3


def test_videos_are_ordinary_mpeg4_avis_and_h264_mp4s_with_b_frames(demo: Path) -> None:
    kinds = set()
    for path in videos(demo):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            pictures = [PictureType(frame.pict_type) for frame in container.decode(stream)]
            assert (stream.width, stream.height, stream.average_rate) == (WIDTH, HEIGHT, Fraction(25))
            kinds.add((path.suffix, stream.codec_context.name))
        assert 50 <= len(pictures) <= 62
        assert pictures.count(PictureType.I) == 1, "the GOP is longer than the clip"
        assert pictures.count(PictureType.B) > len(pictures) / 3
    assert kinds == {(".avi", "mpeg4"), (".mp4", "h264")}


def test_videos_carry_motion_vectors(demo: Path) -> None:
    for path in videos(demo):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.options = {"flags2": "+export_mvs"}
            stream.codec_context.thread_count = 1
            with_vectors = sum("MOTION_VECTORS" in frame.side_data for frame in container.decode(stream))
        assert with_vectors >= 49


def test_every_frame_has_one_box_inside_the_picture(demo: Path) -> None:
    boxes = boxes_of(demo)
    assert sorted(boxes) == [path.stem for path in sorted(videos(demo), key=lambda path: path.stem)]
    for path in videos(demo):
        with av.open(str(path)) as container:
            frames = sum(1 for _ in container.decode(video=0))
        rows = boxes[path.stem]
        assert [(row.actor, row.frame) for row in rows] == [(0, frame) for frame in range(frames)]
        for row in rows:
            assert row.x >= 0
            assert row.y >= 0
            assert row.w > 8
            assert row.h > 8
            assert row.x + row.w <= WIDTH
            assert row.y + row.h <= HEIGHT


def test_the_columns_of_the_boxes_are_those_of_the_annotated_real_clips(demo: Path) -> None:
    assert (demo / "boxes.csv").read_text().splitlines()[0] == "clip,actor,frame,x,y,w,h"


@pytest.mark.parametrize("number", range(len(ACTIONS)))
def test_a_box_is_where_the_picture_changes_with_the_actors_colours(number: int) -> None:
    setting = make_setting(0, 2)
    scene = make_scene(setting, ACTIONS[number], np.random.default_rng(number))
    red, blue = (repainted(scene, colour).frames() for colour in ((255.0, 0.0, 0.0), (0.0, 0.0, 255.0)))
    for (x, y, w, h), one, other in zip(scene.boxes(), red, blue, strict=True):
        difference = np.abs(one.astype(int) - other).max(axis=2) > 30
        rows, columns = np.flatnonzero(difference.any(axis=1)), np.flatnonzero(difference.any(axis=0))
        found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        np.testing.assert_allclose(found, [x, y, x + w, y + h], atol=2.5)


def repainted(scene: Scene, colour: tuple[float, float, float]) -> Scene:
    """Return the same scene with an actor in one colour; the props keep theirs."""
    outfit = scene.setting.outfit
    painted = replace(outfit, colours=outfit.colours | dict.fromkeys(CLOTHES, colour))
    return replace(scene, setting=replace(scene.setting, outfit=painted))


def test_actors_stand_off_centre_so_that_a_centre_square_cuts_them(scenes: list[Scene]) -> None:
    kept = [share_inside(scene.boxes(), (40, 0, 240, 240)) for scene in scenes]
    assert 0.45 < np.mean(kept) < 0.75
    centres = np.array([(left + right) / 2 for left, _, right, _ in map(union, scenes)])
    assert np.mean(np.abs(centres - WIDTH / 2) > WIDTH / 6) > 0.65
    assert abs(np.mean(centres < WIDTH / 2) - 0.5) < 0.2, "left and right are equally likely"


def test_a_square_in_the_right_place_keeps_the_whole_actor(scenes: list[Scene]) -> None:
    fits = [right - left <= 240 and bottom - top <= 240 for left, top, right, bottom in map(union, scenes)]
    assert np.mean(fits) > 0.95


def test_actors_are_small(scenes: list[Scene]) -> None:
    heights = [h for scene in scenes for _, _, _, h in scene.boxes()]
    assert 45 < np.mean(heights) < 85
    assert max(heights) < HEIGHT / 2


def test_a_group_shares_place_and_clothes_and_no_other_group_has_them() -> None:
    first, again, other = make_setting(0, 1), make_setting(0, 1), make_setting(0, 2)
    assert np.array_equal(first.canvas, again.canvas)
    assert first.outfit == again.outfit
    assert not np.array_equal(first.canvas, other.canvas)
    assert first.outfit.colours["shirt"] != other.outfit.colours["shirt"]
    assert first.camera is not other.camera


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_no_pose_sinks_into_the_ground_or_leaves_it_far_below(action: object) -> None:
    assert isinstance(action, type(ACTIONS[0]))
    body, outfit = Body(), Outfit({}, True, True)
    lows, highs = [], []
    for phase in np.arange(0, 1, 1 / 24):
        moment = Moment(float(phase), body, 1.0)
        behind, front = action.props(moment)
        _, low, _, high = extent((*behind, *figure(action.pose(moment), body, outfit), *front))
        lows.append(low)
        highs.append(high)
    assert -0.06 < min(lows) < 0.06
    assert 0.4 < max(highs) < 1.9


def test_a_set_that_is_there_is_left_alone_and_a_stopped_one_is_finished(demo: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(demo, copy)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    assert make_demo(copy, groups=1) == 0
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before
    (copy / "boxes.csv").unlink()
    assert make_demo(copy, groups=1, jobs=2) == len(ACTIONS)
    assert sha256(copy / "boxes.csv") == sha256(demo / "boxes.csv")


def test_a_folder_with_other_files_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match=r"mine\.txt"):
        make_demo(tmp_path, groups=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"groups": 0}, "0 groups asked for; give a number from 1 to 99"),
        ({"clips_per_group": 100}, "100 clips per group asked for; give a number from 1 to 99"),
        ({"seed": -1}, "seed -1 asked for; give 0 or a positive number"),
    ],
)
def test_a_plan_out_of_range_says_what_to_give(request_: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        plan_demo(**request_)


def test_a_clip_that_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    clip = DemoClip(seed=0, action=0, group=1, number=1)
    (tmp_path / clip.label).write_text("a file where the class's folder should be")
    with pytest.raises(OSError, match=clip.label):
        write_clip(tmp_path, clip)
    assert [path.name for path in tmp_path.iterdir()] == [clip.label]


def picture(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 90, np.uint8)


@pytest.mark.parametrize(
    ("pictures", "codec", "message"),
    [
        ([], "mpeg4", "no picture to encode"),
        ([picture(48, 64), picture(48, 32)], "mpeg4", "picture 2 has the shape"),
        ([picture(48, 64)], "aac", "aac encodes no video"),
    ],
)
def test_a_writer_refuses_what_is_no_video(
    pictures: list[NDArray[np.uint8]], codec: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / "a.avi", pictures, fps=Fraction(25), codec=codec, options={}, b_frames=0)

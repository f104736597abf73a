"""A video file gives the pictures that a run stores of it, to the bit, without leaving a trace."""

from __future__ import annotations

import dataclasses
import io
import resource
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mocrop_manifests import CropRow, read_crops, read_dataset, write_crops
from mocrop_prep.config import TranscodeSettings
from mocrop_prep.errors import ClipError, UsageError
from mocrop_prep.frames import crop_video, read_frames
from mocrop_prep.shards import FORMS
from numpy.typing import NDArray
from PIL import Image

from tests.commands import DEFAULT, ok
from tests.conftest import HOLDOUT
from tests.films import XVID, encode, moving_square

HOW: list[tuple[str, ...]] = [
    (),
    ("--direct",),
    ("--frames", "uniform:5", "--aspect", "keep"),
    ("--direct", "--frames", "uniform:5"),
    ("--method", "mocrop-v1", "--samples", "40"),
    ("--direct", "--method", "mocrop-v2", "--format", "parquet", "--sample", "frame", "--quality", "60"),
    ("--method", "random", "--transcode", "always", "--short-side", "64", "--seed", "3"),
    ("--frames", "all", "--shape", "4:3", "--aspect", "keep", "--area", "0.4"),
]


def pictures(jpegs: tuple[bytes, ...]) -> NDArray[np.uint8]:
    return np.stack([np.asarray(Image.open(io.BytesIO(jpeg))) for jpeg in jpegs])


def config(folder: Path) -> dict[str, Any]:
    return read_dataset(folder).config


@pytest.mark.parametrize("how", HOW, ids=" ".join)
def test_the_pictures_of_a_video_are_those_of_its_shard(
    source: Path, tmp_path: Path, how: tuple[str, ...]
) -> None:
    assert all(row.damaged == 0 for row in rows_held_to_shards(source, tmp_path, how))


@pytest.mark.parametrize("how", [(), ("--direct",)], ids=" ".join)
def test_of_a_damaged_video_as_of_its_shard_there_is_what_decodes(
    source: Path, tmp_path: Path, how: tuple[str, ...]
) -> None:
    own = Path(shutil.copytree(source, tmp_path / "own"))
    for name in ("walk/v_walk_g01_c01.avi", "walk/v_walk_g02_c01.mp4"):
        content = bytearray((own / name).read_bytes())
        content[len(content) // 2 : len(content) // 2 + 400] = bytes(400)
        (own / name).write_bytes(content)
    rows = rows_held_to_shards(own, tmp_path / "work", (*how, "--on-corrupt", "keep"))
    assert sum((row.damaged or 0) > 0 for row in rows) == 2


def rows_held_to_shards(source: Path, tmp_path: Path, how: tuple[str, ...]) -> list[CropRow]:
    """Hold the pictures of all videos against those of a run, and return the rows of its manifest."""
    ok("run", source, tmp_path, *HOLDOUT, "--size", 48, *how)
    name = how[how.index("--method") + 1] if "--method" in how else DEFAULT
    rows = {row.clip_id: row for row in read_crops(tmp_path / f"crops/{name}.csv")}
    folder = tmp_path / "shards" / name
    index = read_dataset(folder)
    seen = 0
    for shard in index.shards:
        for sample in FORMS[index.storage].read(folder / shard.file, per_frame=index.sample == "frame"):
            row = rows[sample.info.clip_id]
            found = crop_video(source / row.path, index.config)
            np.testing.assert_array_equal(found.frames, pictures(sample.jpegs))
            assert (found.frame_index, found.pts) == (sample.info.frame_index, sample.info.pts)
            who = {name: getattr(row, name) for name in ("path", "label", "label_name", "split", "group")}
            assert write_crops([dataclasses.replace(found.row, **who)]) == write_crops([row])
            seen += 1
    assert seen == len(rows) == 6
    return list(rows.values())


def test_what_is_drawn_at_random_depends_on_the_clip_id(source: Path, tmp_path: Path) -> None:
    ok("run", source, tmp_path, *HOLDOUT, "--method", "random", "--size", 32)
    made, video = config(tmp_path / "shards/random"), source / "walk/v_walk_g01_c01.avi"
    named = crop_video(video, made, clip_id="walk__v_walk_g01_c01")
    assert named.row == crop_video(video, made).row
    others = [crop_video(video, made, clip_id=f"clip{number}").row for number in range(4)]
    assert len({(row.x, row.y, row.w, row.h) for row in [named.row, *others]}) > 1


def test_nothing_is_left_behind(kept: Path, walks: Path, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert read_frames(walks / "walk/1.avi", config(kept / "shards" / DEFAULT)).shape[1:] == (224, 224, 3)
    (tmp_path / "empty.avi").touch()
    with pytest.raises(ClipError):
        read_frames(tmp_path / "empty.avi", config(kept / "shards" / DEFAULT))
    assert [path.name for path in tmp_path.iterdir()] == ["empty.avi"]
    assert not [path for path in walks.rglob("*") if path.suffix not in ("", ".avi")]


def test_a_video_that_cannot_be_used_is_a_clip_error_with_its_code(kept: Path, tmp_path: Path) -> None:
    made = config(kept / "shards" / DEFAULT)
    (tmp_path / "text.mp4").write_text("no film")
    for name, code in (("nowhere.mp4", "missing-file"), ("text.mp4", "not-video")):
        with pytest.raises(ClipError) as found:
            read_frames(tmp_path / name, made)
        assert found.value.code == code
    film = encode(tmp_path / "film.avi", moving_square(), XVID)
    never = {**made, "transcode": dataclasses.asdict(TranscodeSettings(transcode="never"))}
    with pytest.raises(ClipError, match="needs-transcode"):
        read_frames(film, never)


def test_a_full_disk_is_a_clip_error(kept: Path, walks: Path) -> None:
    made = config(kept / "shards" / DEFAULT)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(ClipError) as found:
            read_frames(walks / "walk/1.avi", made)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert found.value.code == "disk"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"crop": None}, "no settings of crop"),
        ({"shard": {"size": 32, "shape": "round"}}, "does not know: shape"),
        ({"shard": {"size": 4}}, "--size 4: must be at least 8"),
    ],
)
def test_settings_that_say_too_little_are_refused(
    kept: Path, walks: Path, change: dict[str, Any], words: str
) -> None:
    made = {**config(kept / "shards" / DEFAULT), **change}
    with pytest.raises(UsageError, match=words):
        read_frames(walks / "walk/1.avi", made)

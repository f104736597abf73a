"""The vectors on disk are those that libavcodec exports, all of them, readable by anybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from av.codec.context import Flags2
from mocrop_prep.config import TranscodeSettings
from mocrop_prep.errors import ClipError
from mocrop_prep.stages.extract import extract_clip
from mocrop_prep.stages.transcode import transcode_clip

from tests.films import Film, Picture, encode, moving_square, texture

NAMES = ("source", "w", "h", "dst_x", "dst_y", "motion_x", "motion_y", "scale")
COLUMNS = {
    "frame": pa.int32(),
    "source": pa.int32(),
    "w": pa.uint8(),
    "h": pa.uint8(),
    "dst_x": pa.int16(),
    "dst_y": pa.int16(),
    "motion_x": pa.int32(),
    "motion_y": pa.int32(),
    "scale": pa.uint16(),
}
_ONE_REFERENCE = "keyint=12:min-keyint=12:scenecut=0:bframes=0:ref=1:weightp=0"


def drifting(count: int = 30) -> list[Picture]:
    """Draw a picture that drifts by fractions of a pixel, with a square that moves against it."""
    world = texture(3 * (160 + count), 3 * (120 + count), seed=3, contrast=60)
    square = texture(40, 40, seed=9, contrast=90)
    pictures = []
    for n in range(count):
        view = world[2 * n : 2 * n + 3 * 120 : 3, 4 * n : 4 * n + 3 * 160 : 3].copy()
        view[30 + n : 70 + n, 100 - 2 * n : 140 - 2 * n] = square
        pictures.append(np.ascontiguousarray(view))
    return pictures


CODINGS = {
    "cabac": Film(options={"x264-params": _ONE_REFERENCE, "preset": "medium"}),
    "cavlc": Film(options={"x264-params": f"{_ONE_REFERENCE}:cabac=0", "preset": "medium"}),
    "8x8dct": Film(options={"x264-params": f"{_ONE_REFERENCE}:8x8dct=1:partitions=all", "preset": "slow"}),
    "baseline": Film(options={"profile": "baseline", "x264-params": _ONE_REFERENCE}),
    "odd blocks": Film(options={"x264-params": f"{_ONE_REFERENCE}:partitions=all", "crf": "4"}),
}


def note_of(file: Path) -> dict[str, Any]:
    note: dict[str, Any] = json.loads(pq.read_metadata(file).metadata[b"mocrop"])
    return note


def plain_decode(video: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Decode in one thread with everything on, and take the vectors as PyAV hands them over."""
    parts: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    with av.open(str(video)) as container:
        context = container.streams.video[0].codec_context
        context.thread_count = 1
        context.flags2 |= Flags2.export_mvs
        for number, frame in enumerate(container.decode(video=0)):
            data: Any = frame.side_data.get("MOTION_VECTORS")
            if data is None:
                continue
            vectors = data.to_ndarray()
            parts["frame"].append(np.full(len(vectors), number))
            for name in NAMES:
                parts[name].append(vectors["motion_scale" if name == "scale" else name].copy())
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


@pytest.mark.parametrize("coding", CODINGS)
def test_every_vector_is_there_as_a_plain_decode_exports_it(tmp_path: Path, coding: str) -> None:
    video = encode(tmp_path / "clip.mp4", drifting(), CODINGS[coding])
    report = extract_clip(video, tmp_path / "clip.parquet")
    table, wanted = pq.read_table(tmp_path / "clip.parquet"), plain_decode(video)
    assert report == {"frames": 30, "key_frames": 3, "vectors": len(table)}
    assert len(table) == len(wanted["frame"]) > 2000
    for name in COLUMNS:
        np.testing.assert_array_equal(table.column(name).to_numpy(), wanted[name], err_msg=name)
    assert set(wanted["frame"].tolist()) == set(range(30)) - {0, 12, 24}
    assert set(wanted["source"].tolist()) == {-1}
    assert set(wanted["scale"].tolist()) == {4}


def test_a_transcoded_clip_gives_the_same_vectors_as_a_plain_decode(tmp_path: Path) -> None:
    source = encode(tmp_path / "clip.avi", drifting(), Film(codec="mpeg4", b_frames=2))
    transcode_clip(source, tmp_path / "clip.mp4", TranscodeSettings())
    extract_clip(tmp_path / "clip.mp4", tmp_path / "clip.parquet")
    table, wanted = pq.read_table(tmp_path / "clip.parquet"), plain_decode(tmp_path / "clip.mp4")
    for name in COLUMNS:
        np.testing.assert_array_equal(table.column(name).to_numpy(), wanted[name], err_msg=name)


def test_the_columns_are_libavcodecs_fields(kept: Path) -> None:
    files = sorted((kept / "motion").glob("*.parquet"))
    assert len(files) == 6
    for file in files:
        schema = pq.read_schema(file)
        assert dict(zip(schema.names, schema.types, strict=True)) == COLUMNS


def test_the_file_says_what_clip_it_is_of(kept: Path) -> None:
    note = note_of(kept / "motion/walk__v_walk_g02_c01.parquet")
    looks = note.pop("appearance")
    assert note == {"width": 128, "height": 96, "fps": 25.0, "frames": 30, "key_frames": [0, 12, 24]}
    assert looks.keys() == {"grid", "texture", "steady", "content"}
    rows, columns = looks["grid"]
    assert len(looks["texture"]) == len(looks["steady"]) == rows * columns
    texture = np.reshape(looks["texture"], (rows, columns))
    assert texture[1:-1, 1:-1].min() > 0
    assert not texture[[0, -1]].any(), "what a camera brings into view at the edge cannot be matched"


def test_the_file_says_where_the_picture_has_texture_and_where_a_border(tmp_path: Path) -> None:
    picture = np.zeros((96, 128, 3), np.uint8)
    picture[24:72] = 150  # between black bars
    picture[24:72, :64] = texture(64, 48, 3)
    video = encode(tmp_path / "clip.mp4", [picture] * 30, CODINGS["cabac"])
    extract_clip(video, tmp_path / "clip.parquet")
    looks = note_of(tmp_path / "clip.parquet")["appearance"]
    strength = np.reshape(looks["texture"], looks["grid"]) / 16
    high, wide = strength.shape
    middle = strength[high // 3 : 2 * high // 3]
    assert middle[:, : wide // 2 - 1].mean() > 4
    assert middle[:, wide // 2 + 1 :].max() < 1
    assert max(strength[: high // 4 - 1].max(), strength[3 * high // 4 + 1 :].max()) < 1
    left, top, wide, high = looks["content"]
    assert (left, wide) == (0, 128)
    assert (top, top + high) == pytest.approx((24, 72), abs=2)  # coding blurs an edge


def test_pandas_and_duckdb_read_the_vectors(tmp_path: Path) -> None:
    video = encode(tmp_path / "clip.mp4", moving_square(), CODINGS["cabac"])
    file = tmp_path / "clip.parquet"
    extract_clip(video, file)
    frame = pd.read_parquet(file)
    assert list(frame.columns) == list(COLUMNS)
    moving = frame[frame.motion_x != 0]
    shift = (moving.motion_x / moving.scale).median()
    assert abs(shift) == pytest.approx(2, abs=0.5)
    query = f"SELECT count(*), avg(motion_x / scale), max(frame) FROM '{file}' WHERE motion_x <> 0"
    row = duckdb.connect().execute(query).fetchone()
    assert row is not None
    assert row[0] == len(moving)
    assert row[1] == pytest.approx((moving.motion_x / moving.scale).mean())
    assert row[2] == moving.frame.max()


@pytest.mark.parametrize(("count", "gop"), [(1, 12), (10, 1)])
def test_a_clip_without_p_frames_has_no_vectors_and_no_error(tmp_path: Path, count: int, gop: int) -> None:
    film = Film(options={"x264-params": f"keyint={gop}:bframes=0:ref=1"})
    video = encode(tmp_path / "clip.mp4", moving_square(count), film)
    report = extract_clip(video, tmp_path / "clip.parquet")
    assert report == {"frames": count, "key_frames": count, "vectors": 0}
    table = pq.read_table(tmp_path / "clip.parquet")
    assert (len(table), table.column_names) == (0, list(COLUMNS))


def test_the_same_clip_gives_the_same_bytes(tmp_path: Path) -> None:
    video = encode(tmp_path / "clip.mp4", drifting(), CODINGS["cabac"])
    for name in ("a", "b"):
        extract_clip(video, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_clip_whose_frames_do_not_all_decode_is_refused(tmp_path: Path) -> None:
    video = encode(tmp_path / "clip.mp4", drifting(), CODINGS["cabac"])
    content = bytearray(video.read_bytes())
    start, stop = content.index(b"mdat") + 4000, content.index(b"moov") - 4000
    content[start:stop] = bytes(stop - start)
    video.write_bytes(content)
    with pytest.raises(ClipError, match="corrupt"):
        extract_clip(video, tmp_path / "clip.parquet")


def test_vectors_of_real_clips_take_less_than_two_bytes_each(real_clips: Path, tmp_path: Path) -> None:
    sizes = vectors = 0
    for source in sorted((real_clips / "ucf101").glob("*/*_g08_c*.avi"))[:3]:
        transcode_clip(source, tmp_path / "clip.mp4", TranscodeSettings(preset="superfast"))
        vectors += extract_clip(tmp_path / "clip.mp4", tmp_path / "clip.parquet")["vectors"]
        sizes += (tmp_path / "clip.parquet").stat().st_size
    assert vectors > 100_000
    assert sizes / vectors < 2

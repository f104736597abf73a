"""However a clip is decoded, its vectors and key frames are those of a plain decode, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from mocrop_prep import vectors
from mocrop_prep.appearance import AppearanceGauge
from mocrop_prep.vectors import Vectors
from mocrop_prep.video import decode, decode_clip, open_clip

from tests.films import Film, encode
from tests.stages.test_extract import CODINGS, COLUMNS, drifting, plain_decode

Sink = Callable[[Vectors], None]

_B = "keyint=24:min-keyint=24:scenecut=0:open-gop=0:bframes=3:b-pyramid=normal:weightb=1"
FOREIGN = {
    "b-frames": Film(options={"x264-params": f"{_B}:ref=1:direct=spatial", "preset": "medium"}),
    "b-frames, cavlc": Film(options={"x264-params": f"{_B}:ref=2:cabac=0:direct=temporal"}),
    "references": Film(options={"x264-params": "keyint=24:bframes=0:ref=5:partitions=all:8x8dct=1"}),
    "references and b-frames": Film(options={"x264-params": f"{_B}:ref=4:b-adapt=0:8x8dct=1:partitions=all"}),
    "weighted": Film(options={"x264-params": "keyint=12:bframes=0:ref=3:weightp=2"}),
    "interlaced": Film(options={"x264-params": "keyint=12:bframes=0:ref=1:tff=1"}),
    "interlaced b-frames, cavlc": Film(options={"x264-params": f"{_B}:ref=3:tff=1:cabac=0"}),
    "slices": Film(options={"x264-params": "keyint=12:bframes=0:ref=1:slices=4"}),
    "mpeg4": Film(codec="mpeg4", b_frames=2, options={"qmin": "2", "qmax": "6"}),
}
"""Codings that transcoding never makes, but that can be read in place or copied."""


def gathered(decode: Callable[[Sink], object]) -> dict[str, np.ndarray[Any, Any]]:
    """Collect the columns of what a decode hands to its sink."""
    parts: list[Vectors] = []
    decode(parts.append)
    return {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}


def small_batches(sink: Sink, video: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, open_clip(video) as clip:
        patch.setattr(vectors, "BATCH", 100)
        clip.decode(sink=sink)


def opened_again(sink: Sink, video: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, open_clip(video) as clip:
        patch.setattr(decode, "_MOST_WAITING", 0)
        assert clip.decode(sink=None) == {}  # takes the packets that wait
        clip.decode(sink=sink)


def long_clip(sink: Sink, video: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "_MOST_WAITING", 5000)  # broken off within the clip
        with open_clip(video) as clip:
            clip.decode(sink=sink)


def one_decode(sink: Sink, video: Path, *, loop_filter: bool) -> None:
    with open_clip(video) as clip:
        info = clip.index.info
        gauge = AppearanceGauge(info.width, info.height, info.key_frames)
        clip.decode(sink=sink, keep=range(0, info.frames, 3), gauge=gauge, loop_filter=loop_filter)


def without_index(sink: Sink, video: Path) -> None:
    decode_clip(video, frames=30, sink=sink)


WAYS: dict[str, Callable[..., object]] = {
    "one decode": partial(one_decode, loop_filter=False),
    "one decode, every picture exact": partial(one_decode, loop_filter=True),
    "long clip": long_clip,
    "opened again": opened_again,
    "small batches": small_batches,
    "without index": without_index,
}


@pytest.mark.parametrize("coding", [*CODINGS, *FOREIGN])
def test_every_way_to_decode_exports_the_vectors_of_a_plain_decode(tmp_path: Path, coding: str) -> None:
    video = encode(tmp_path / "clip.mkv", drifting(), (CODINGS | FOREIGN)[coding])
    wanted = plain_decode(video)
    assert len(wanted["frame"]) > 1000
    for way, decoding in WAYS.items():
        found = gathered(partial(decoding, video=video))
        for name in COLUMNS:
            np.testing.assert_array_equal(found[name], wanted[name], err_msg=f"{way}: {name}")


@pytest.mark.parametrize("coding", CODINGS)
def test_key_frames_are_those_of_a_plain_decode_to_the_bit(tmp_path: Path, coding: str) -> None:
    video = encode(tmp_path / "clip.mp4", drifting(), CODINGS[coding])
    with av.open(str(video)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        wanted = [frame.to_ndarray() for frame in container.decode(video=0) if frame.key_frame]
    with open_clip(video) as clip:
        numbers = clip.index.info.key_frames
        kept = clip.decode(sink=lambda _: None, keep=numbers)
        chosen = clip.decode_exact(numbers)
    assert sorted(kept) == sorted(chosen) == list(numbers)
    assert len(wanted) == len(numbers) == 3
    for found in (kept, chosen):
        for picture, exact in zip([found[number] for number in numbers], wanted, strict=True):
            np.testing.assert_array_equal(
                np.concatenate([plane.reshape(-1) for plane in picture]), exact.reshape(-1)
            )

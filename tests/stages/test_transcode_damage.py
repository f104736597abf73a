"""Damage is found, counted, and refused or kept, as asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from mocrop_prep.config import TranscodeSettings
from mocrop_prep.errors import ClipError
from mocrop_prep.stages.transcode import transcode_clip
from mocrop_prep.video import decode_clip, index_stream

from tests.corpus import corpus
from tests.films import DVD, VP9, WEB, XVID, Film, decode, encode, moving_square, packets

PLAIN = Film(options={"x264-params": "keyint=12:min-keyint=12:scenecut=0:bframes=0:ref=1:weightp=1"})


def zeroed(path: Path, start: float, stop: float) -> Path:
    """Overwrite a range of a file, given as shares of its length, with zeros."""
    content = bytearray(path.read_bytes())
    first, last = int(len(content) * start), int(len(content) * stop)
    content[first:last] = bytes(last - first)
    path.write_bytes(content)
    return path


def cut(path: Path, share: float) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


DAMAGED: dict[str, Callable[[Path], Path]] = {
    "zeroed avi": lambda p: zeroed(encode(p / "a.avi", moving_square(40), XVID), 0.5, 0.6),
    "zeroed h264 avi": lambda p: zeroed(encode(p / "a.avi", moving_square(40), WEB), 0.5, 0.6),
    "zeroed mpg": lambda p: zeroed(encode(p / "a.mpg", moving_square(40), DVD), 0.5, 0.6),
    "zeroed mp4": lambda p: zeroed(encode(p / "a.mp4", moving_square(40), WEB), 0.5, 0.6),
    "zeroed mkv": lambda p: zeroed(encode(p / "a.mkv", moving_square(40), WEB), 0.5, 0.6),
    "cut avi": lambda p: cut(encode(p / "a.avi", moving_square(40), XVID), 0.55),
    "cut mpg": lambda p: cut(encode(p / "a.mpg", moving_square(40), DVD), 0.55),
    "cut mkv": lambda p: cut(encode(p / "a.mkv", moving_square(40), WEB), 0.55),
    "cut webm": lambda p: cut(encode(p / "a.webm", moving_square(40), VP9), 0.55),
    "cut mp4 with its index first": lambda p: cut(
        encode(p / "a.mp4", moving_square(40), WEB, movflags="faststart"), 0.55
    ),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_source_is_corrupt_unless_what_decodes_is_asked_for(tmp_path: Path, kind: str) -> None:
    source, target = DAMAGED[kind](tmp_path), tmp_path / "out.mp4"
    with pytest.raises(ClipError) as refused:
        transcode_clip(source, target, TranscodeSettings())
    assert refused.value.code == "corrupt"
    assert "--on-corrupt keep" in refused.value.detail
    done = transcode_clip(source, target, TranscodeSettings(on_corrupt="keep"))
    assert done["damaged"] > 0
    found = packets(target)
    assert len(found) == done["frames"] > 5
    assert [n for n, packet in enumerate(found) if packet["key"]] == list(range(0, len(found), 12))
    decode_clip(target, frames=len(found), sink=None)


@pytest.mark.parametrize("start", [0.2, 0.3, 0.4, 0.5, 0.6])
def test_keep_keeps_what_decodes_of_a_damaged_plain_source_too(tmp_path: Path, start: float) -> None:
    source, target = encode(tmp_path / "a.mp4", moving_square(40), PLAIN), tmp_path / "out.mp4"
    transcode_clip(zeroed(source, start, start + 0.05), target, TranscodeSettings(on_corrupt="keep"))
    decode_clip(target, frames=index_stream(target).info.frames, sink=None)


REDUNDANT = Film(codec="libx265", options={"preset": "ultrafast", "x265-params": "log-level=none:hash=1"})
NOISY: dict[str, Film] = {
    "h264.mp4": WEB,
    "h264.ts": WEB,
    "mpeg4.avi": XVID,
    "mpeg2.mpg": DVD,
    "hevc.mp4": REDUNDANT,
    "mjpeg.avi": Film(codec="mjpeg", pix_fmt="yuvj420p"),
    "wmv.asf": Film(codec="wmv2", options={"qmin": "2", "qmax": "4"}),
    "av1.mkv": Film(codec="libsvtav1", options={"preset": "12"}),
}


@pytest.mark.parametrize("name", NOISY)
def test_noise_in_a_packet_is_found_whatever_the_codec_conceals(tmp_path: Path, name: str) -> None:
    source, target = encode(tmp_path / name, moving_square(20), NOISY[name]), tmp_path / "out.mp4"
    content, rng = bytearray(source.read_bytes()), np.random.default_rng(0)
    for payload in [packet["payload"] for packet in packets(source)][2::3]:
        place = content.find(payload[len(payload) // 3 :][:40])  # not there where it runs over TS packets
        if place > 0 and len(payload) > 60:
            content[place : place + 40] = rng.bytes(40)
    source.write_bytes(content)
    with pytest.raises(ClipError, match="damaged") as refused:
        transcode_clip(source, target, TranscodeSettings())
    assert refused.value.code == "corrupt"
    assert 0 < refused.value.data["damaged"] <= 20
    kept = transcode_clip(source, target, TranscodeSettings(on_corrupt="keep"))
    assert kept["damaged"] >= refused.value.data["damaged"]
    assert kept["frames"] > 4


@pytest.mark.parametrize("name", ["a.avi", "a.mkv", "a.webm"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.8])
def test_a_file_that_ends_between_two_packets_is_known_to_be_cut(
    tmp_path: Path, name: str, share: float
) -> None:
    source = encode(tmp_path / name, moving_square(12), VP9 if name == "a.webm" else XVID)
    with av.open(str(source)) as container:
        starts = [packet.pos or 0 for packet in container.demux(video=0) if packet.size]
    start = starts[int(share * len(starts))] - (8 if name == "a.avi" else 0)
    source.write_bytes(source.read_bytes()[:start])
    with pytest.raises(ClipError, match="damaged"):
        transcode_clip(source, tmp_path / "out.mp4", TranscodeSettings())
    kept = transcode_clip(source, tmp_path / "out.mp4", TranscodeSettings(on_corrupt="keep"))
    assert 0 < kept["frames"] < 12
    assert kept["damaged"] > 0


@pytest.mark.parametrize("size", [bytes(4), b"\xff" * 4])
def test_an_avi_that_does_not_tell_its_length_is_not_taken_for_cut(tmp_path: Path, size: bytes) -> None:
    source = encode(tmp_path / "a.avi", moving_square(12), XVID)
    content = source.read_bytes()
    source.write_bytes(content[:4] + size + content[8:])
    assert transcode_clip(source, tmp_path / "out.mp4", TranscodeSettings())["damaged"] == 0


def test_a_plain_stream_that_changes_its_size_is_encoded_not_copied(tmp_path: Path) -> None:
    source, target = tmp_path / "grown.ts", tmp_path / "out.mp4"
    grown = next(case for case in corpus() if case.name == "grown.ts")
    grown.make(source)
    done = transcode_clip(source, target, TranscodeSettings())
    assert (done["action"], done["frames"], done["damaged"]) == ("encode", 48, 0)
    assert {picture.shape for picture in decode(target)} == {(96, 128, 3)}


def test_a_plain_clip_with_an_edit_list_is_encoded_and_shows_what_a_player_does(tmp_path: Path) -> None:
    source, target = tmp_path / "trimmed.mp4", tmp_path / "out.mp4"
    trimmed = next(case for case in corpus() if case.path == "packets/before-zero-plain.mp4")
    trimmed.make(source)
    with av.open(str(source)) as container:
        shown = sum(1 for _ in container.decode(video=0))
    done = transcode_clip(source, target, TranscodeSettings())
    assert (done["action"], done["frames"]) == ("encode", shown)
    decode_clip(target, frames=shown, sink=None)


def test_a_damaged_plain_source_is_not_copied_where_damage_is_kept_and_says_why(tmp_path: Path) -> None:
    source = zeroed(encode(tmp_path / "a.mp4", moving_square(40), PLAIN), 0.4, 0.45)
    with pytest.raises(ClipError, match="not all of it decodes") as refused:
        transcode_clip(source, tmp_path / "out.mp4", TranscodeSettings(transcode="never", on_corrupt="keep"))
    assert refused.value.code == "needs-transcode"


def test_a_whole_source_has_no_damage(tmp_path: Path) -> None:
    for name, film in {"a.avi": XVID, "a.mpg": DVD, "a.mkv": WEB}.items():
        source = encode(tmp_path / name, moving_square(40), film)
        assert transcode_clip(source, tmp_path / "out.mp4", TranscodeSettings())["damaged"] == 0

"""When a source is copied, re-encoded or refused, and what becomes of damaged ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from mocrop_prep.config import TranscodeSettings
from mocrop_prep.errors import ClipError
from mocrop_prep.stages.transcode import transcode_clip
from mocrop_prep.video import decode_clip, index_stream

from tests.corpus import corpus
from tests.films import WEB, XVID, Film, corner_mark, encode, moving_square, packets, restamp

PLAIN = Film(options={"x264-params": "keyint=12:min-keyint=12:scenecut=0:bframes=0:ref=1:weightp=1"})


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip as stage 1 writes it."""
    root = tmp_path_factory.mktemp("contract")
    source = encode(root / "film.avi", moving_square(30), XVID)
    transcode_clip(source, root / "film.mp4", TranscodeSettings())
    return root / "film.mp4"


def remux(source: Path, target: Path) -> Path:
    """Copy a film's stream into another container."""
    with av.open(str(source)) as film, av.open(str(target), "w") as out:
        stream = film.streams.video[0]
        copied = out.add_stream_from_template(stream)
        for packet in film.demux(stream):
            if packet.size:
                packet.stream = copied
                out.mux(packet)
    return target


def pixels(path: Path) -> bytes:
    with av.open(str(path)) as container:
        return b"".join(frame.to_ndarray().tobytes() for frame in container.decode(video=0))


def test_auto_copies_what_is_plain_already_bit_by_bit(contract: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.mp4"
    done = transcode_clip(contract, target, TranscodeSettings())
    assert (done["action"], done["frames"]) == ("copy", 30)
    before, after = packets(contract), packets(target)
    assert [p["payload"] for p in after] == [p["payload"] for p in before]
    assert [p["seconds"] for p in after] == [p["seconds"] for p in before]
    again = tmp_path / "again.mp4"
    transcode_clip(contract, again, TranscodeSettings())
    assert again.read_bytes() == target.read_bytes()


@pytest.mark.parametrize("suffix", [".mkv", ".mov", ".ts", ".flv"])
def test_a_plain_stream_is_copied_out_of_any_container_that_has_times(
    contract: Path, tmp_path: Path, suffix: str
) -> None:
    source = remux(contract, tmp_path / f"plain{suffix}")
    target = tmp_path / "out.mp4"
    assert transcode_clip(source, target, TranscodeSettings())["action"] == "copy"
    assert pixels(target) == pixels(contract)
    info = index_stream(target).info
    assert (info.frames, info.key_frames) == (30, (0, 12, 24))
    decode_clip(target, frames=30, sink=None)


def test_a_copy_leaves_the_sound_behind(tmp_path: Path) -> None:
    film = Film(options=PLAIN.options, sound="aac")
    source, target = encode(tmp_path / "loud.mp4", moving_square(25), film), tmp_path / "out.mp4"
    assert transcode_clip(source, target, TranscodeSettings())["action"] == "copy"
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    assert [p["payload"] for p in packets(target)] == [p["payload"] for p in packets(source)]


def test_an_uneven_plain_stream_is_copied_with_its_times(tmp_path: Path) -> None:
    stamps = [0, 40, 70, 150, 160, 333, 400, 401, 500, 900, 933, 966, 1000]
    film = Film(options=PLAIN.options, milliseconds=stamps)
    source, target = encode(tmp_path / "uneven.mkv", moving_square(13), film), tmp_path / "out.mp4"
    assert transcode_clip(source, target, TranscodeSettings())["action"] == "copy"
    assert index_stream(target).times == pytest.approx([stamp / 1000 for stamp in stamps], abs=1e-6)


def test_a_plain_stream_that_starts_late_starts_at_zero(contract: Path, tmp_path: Path) -> None:
    source = restamp(contract, tmp_path / "late.mkv", [5000 + 40 * n for n in range(30)])
    target = tmp_path / "out.mp4"
    transcode_clip(source, target, TranscodeSettings())
    assert index_stream(target).times[0] == 0
    assert index_stream(target).times[-1] == pytest.approx(29 * 0.04, abs=1e-6)


def test_frames_that_an_edit_list_hides_do_not_break_the_clip(contract: Path, tmp_path: Path) -> None:
    source = restamp(contract, tmp_path / "edited.mp4", [40 * n - 480 for n in range(30)])
    with av.open(str(source)) as container:
        shown = sum(1 for _ in container.decode(video=0))
    assert shown == 18
    target = tmp_path / "out.mp4"
    transcode_clip(source, target, TranscodeSettings())
    frames = index_stream(target).info.frames
    decode_clip(target, frames=frames, sink=None)
    assert frames == shown


def test_always_encodes_again(contract: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    done = transcode_clip(contract, target, TranscodeSettings(transcode="always"))
    assert (done["action"], done["frames"]) == ("encode", 30)
    assert [p["payload"] for p in packets(target)] != [p["payload"] for p in packets(contract)]


DIFFERENT = {
    "the codec is mpeg4": ("a.mp4", Film(codec="mpeg4")),
    "yuv444p": ("a.mp4", Film(pix_fmt="yuv444p", options=PLAIN.options)),
    "B-frames": ("a.mkv", WEB),
    "reference frames": ("a.mp4", Film(options={"x264-params": "keyint=12:scenecut=0:bframes=0:ref=4"})),
    "key frames are not 12 apart": ("a.mp4", Film(options={"x264-params": "keyint=10:bframes=0:ref=1"})),
    "not square": ("a.mp4", Film(options=PLAIN.options, aspect=Fraction(4, 3))),
    "rotated": ("a.mp4", Film(options=PLAIN.options, rotation=90)),
    "mirrored": ("a.mp4", Film(options=PLAIN.options, flipped=True)),
    "colours are not BT.601": ("a.mp4", Film(options=PLAIN.options, colorspace=1)),
    "full range": ("a.mp4", Film(pix_fmt="yuvj420p", options=PLAIN.options)),
    "interlaced": ("a.mp4", Film(options={"x264-params": PLAIN.options["x264-params"] + ":tff=1"})),
    "timestamps": ("a.avi", PLAIN),
}


@pytest.mark.parametrize("rule", DIFFERENT)
def test_never_refuses_what_is_not_plain_and_names_the_rule(tmp_path: Path, rule: str) -> None:
    name, film = DIFFERENT[rule]
    source = encode(tmp_path / name, moving_square(25), film)
    with pytest.raises(ClipError) as refused:
        transcode_clip(source, tmp_path / "out.mp4", TranscodeSettings(transcode="never"))
    assert refused.value.code == "needs-transcode"
    assert rule in refused.value.detail
    assert str(source) in refused.value.detail
    assert transcode_clip(source, tmp_path / "out.mp4", TranscodeSettings())["action"] == "encode"


def test_never_accepts_what_is_plain_and_short_enough(contract: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    assert transcode_clip(contract, target, TranscodeSettings(transcode="never"))["action"] == "copy"
    for settings, rule in (
        (TranscodeSettings(transcode="never", short_side=64), "short side"),
        (TranscodeSettings(transcode="never", gop=6), "key frames are not 6 apart"),
    ):
        with pytest.raises(ClipError, match=rule):
            transcode_clip(contract, target, settings)


def plant(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def only_sound(path: Path) -> Path:
    loud = encode(path.with_suffix(".mkv"), moving_square(3), Film(sound="aac"))
    with av.open(str(loud)) as film, av.open(str(path), "w") as out:
        stream = film.streams.audio[0]
        copied = out.add_stream_from_template(stream)
        for packet in film.demux(stream):
            if packet.size:
                packet.stream = copied
                out.mux(packet)
    return path


def script(path: Path) -> Path:
    encode(path.with_name("b.mp4"), moving_square(3), PLAIN)
    return plant(path, b"ffconcat version 1.0\nfile b.mp4\n")


def still(path: Path) -> Path:
    return plant(path, cv2.imencode(".png", corner_mark(1)[0])[1].tobytes())


NOISE = np.random.default_rng(0).bytes(20_000)
USELESS: dict[str, Callable[[Path], Path]] = {
    "missing-file": lambda p: p / "absent.mp4",
    "empty-file": lambda p: plant(p / "a.mp4", b""),
    "not-video": lambda p: plant(p / "a.mp4", NOISE),
    "no-video-stream": lambda p: only_sound(p / "a.mp4"),
    "too-small": lambda p: encode(p / "a.mkv", corner_mark(size=(96, 14)), Film(codec="ffv1")),
}


@pytest.mark.parametrize("code", USELESS)
def test_a_useless_source_has_its_own_code(tmp_path: Path, code: str) -> None:
    source = USELESS[code](tmp_path)
    with pytest.raises(ClipError) as refused:
        transcode_clip(source, tmp_path / "out.mp4", TranscodeSettings())
    assert refused.value.code == code
    assert str(source) in refused.value.detail or code == "too-small"


@pytest.mark.parametrize("make", [script, still])
def test_playlists_and_still_pictures_are_no_video_whatever_libav_makes_of_them(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    with pytest.raises(ClipError, match="not-video"):
        transcode_clip(make(tmp_path / "a.mp4"), tmp_path / "out.mp4", TranscodeSettings())


def test_a_stream_that_begins_on_the_way_does_no_harm(tmp_path: Path) -> None:
    source = next(case for case in corpus() if case.name == "late-sound.mpg").write(tmp_path)
    for _ in range(30):  # PyAV reads memory that was never written there
        assert transcode_clip(source, tmp_path / "out.mp4", TranscodeSettings())["frames"] == 28


def test_a_name_that_libav_would_read_as_a_protocol_is_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("concat:b.mp4", "data:video", "http:", "-"):
        source = encode(Path("a.mp4"), moving_square(3), PLAIN).rename(name)
        assert transcode_clip(source, Path("out.mp4"), TranscodeSettings())["frames"] == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_source_that_may_not_be_read_is_unreadable(tmp_path: Path) -> None:
    source = encode(tmp_path / "a.mp4", moving_square(3), PLAIN)
    source.chmod(0)
    with pytest.raises(ClipError, match="unreadable"):
        transcode_clip(source, tmp_path / "out.mp4", TranscodeSettings())


@pytest.mark.parametrize("count", [1, 2, 12, 13])
def test_the_shortest_clips_come_through(tmp_path: Path, count: int) -> None:
    for name, film in {"a.avi": XVID, "b.mp4": WEB, "c.mp4": PLAIN}.items():
        source, target = encode(tmp_path / name, moving_square(count), film), tmp_path / f"{name}.out.mp4"
        assert transcode_clip(source, target, TranscodeSettings())["frames"] == count
        info = index_stream(target).info
        assert info.frames == count
        decode_clip(target, frames=count, sink=None)

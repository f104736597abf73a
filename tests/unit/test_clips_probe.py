"""Telling video from other files by what is in them, with files that real encoders wrote."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.stream import VideoStream
from mocrop_prep.clips import find_clips
from mocrop_prep.probe import is_video, kind_of, no_film


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small real files: videos, sound with and without cover art, still pictures."""
    folder = tmp_path_factory.mktemp("media")
    for name, codec, pixels in (
        ("clip.mp4", "libx264", "yuv420p"),
        ("clip.avi", "mpeg4", "yuv420p"),
        ("clip.gif", "gif", "rgb8"),
    ):
        with av.open(folder / name, "w") as container:
            stream = container.add_stream(codec, rate=10, width=64, height=48, pix_fmt=pixels)
            assert isinstance(stream, VideoStream)
            for shade in range(4):
                picture = np.full((48, 64, 3), 40 * shade, np.uint8)
                container.mux(
                    stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels))
                )
            container.mux(stream.encode())
    picture = np.zeros((48, 64, 3), np.uint8)
    for name in ("still.png", "still.jpg"):
        cv2.imwrite(str(folder / name), picture)
    for name in ("sound.mp3", "cover.mp3"):
        with av.open(folder / name, "w") as container:
            sound = container.add_stream("libmp3lame", rate=16000, layout="mono")
            cover = (
                container.add_stream("mjpeg", width=64, height=48, pix_fmt="yuvj420p")
                if name[0] == "c"
                else None
            )
            if cover is not None:
                cover.disposition = av.stream.Disposition.attached_pic
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuvj420p")
                frame.pts, frame.time_base = 0, Fraction(1, 1000)
                container.mux([*cover.encode(frame), *cover.encode()])
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), format="s16p", layout="mono")
            tone.sample_rate = 16000
            container.mux([*sound.encode(tone), *sound.encode()])
    return folder


@pytest.mark.parametrize("name", ["clip.mp4", "clip.avi", "clip.gif"])
@pytest.mark.parametrize("disguise", ["noextension", "clip.dat", "clip.001", os.fsdecode(b"caf\xe9")])
def test_a_video_is_known_by_its_content_under_any_name(
    media: Path, tmp_path: Path, name: str, disguise: str
) -> None:
    shutil.copy(media / name, tmp_path / disguise)
    assert is_video(tmp_path / disguise)


@pytest.mark.parametrize("name", ["sound.mp3", "cover.mp3", "still.png", "still.jpg"])
def test_sound_cover_art_and_still_pictures_are_not_video(media: Path, tmp_path: Path, name: str) -> None:
    shutil.copy(media / name, tmp_path / "noextension")
    assert not is_video(tmp_path / "noextension")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello world\n" * 200,
        bytes(10_000),
        np.random.default_rng(0).bytes(50_000),
        b"ffconcat version 1.0\nfile clip.mp4\n",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nclip.mp4\n#EXT-X-ENDLIST\n",
        b"[metadata]\ntitle=x\n",
    ],
    ids=["empty", "text", "zeros", "random", "concat script", "playlist", "config"],
)
def test_data_that_is_no_video_is_not_taken_for_one(
    media: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    shutil.copy(media / "clip.mp4", tmp_path)
    monkeypatch.chdir(tmp_path)  # where a script that may open files would find its clip
    (tmp_path / "LICENSE").write_bytes(content)
    assert not is_video(tmp_path / "LICENSE")


@pytest.mark.parametrize("name", ["a.cdg", "a.imx", "a.art", "a.v"])
def test_text_is_not_video_under_names_for_which_libav_believes_anything(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("hello world\n" * 300)
    assert not is_video(tmp_path / name)


def test_a_video_with_metadata_that_is_not_utf8_is_still_video(media: Path, tmp_path: Path) -> None:
    with av.open(media / "clip.avi") as source, av.open(tmp_path / "t.avi", "w") as target:
        target.metadata["title"] = "PLACEHOLDER"
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    content = (tmp_path / "t.avi").read_bytes()
    assert b"PLACEHOLDER" in content
    (tmp_path / "t").write_bytes(content.replace(b"PLACEHOLDER", b"\xe9\xff" * 5 + b"\xe9"))
    assert is_video(tmp_path / "t")


def test_raw_h263_is_believed_only_under_its_own_name(tmp_path: Path) -> None:
    assert no_film("h263", "noise.mp4")
    assert not no_film("h263", "clip.H263")
    assert not no_film("mov,mp4,m4a,3gp,3g2,mj2", "clip.mp4")


def test_what_cannot_be_opened_is_not_video(tmp_path: Path) -> None:
    assert not is_video(tmp_path / "absent")
    assert not is_video(tmp_path)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.MP4", "media"),
        ("a.b.webm", "media"),
        ("a.Wav", "media"),
        ("notes.TXT", "other"),
        ("a.mp4.zip", "other"),
        ("a", "unknown"),
        ("a.dat", "unknown"),
        ("a.", "unknown"),
    ],
)
def test_extensions_of_any_case_tell_media_from_other_files(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_unknown_names_become_clips_only_if_they_hold_video(media: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(media / "clip.avi", folder / "take1")
    shutil.copy(media / "clip.mp4", folder / "take2.dat")
    shutil.copy(media / "sound.mp3", folder / "sound.dat")
    shutil.copy(media / "still.png", folder / "thumbnail")
    (folder / "README").write_text("about this class\n" * 20)
    (folder / "broken.mp4").write_bytes(b"")
    shutil.copy(media / "sound.mp3", folder)
    found = find_clips(tmp_path)
    assert [clip.path for clip in found.clips] == [
        "run/broken.mp4",
        "run/sound.mp3",
        "run/take1",
        "run/take2.dat",
    ]
    assert any("files that are not video, ignored: 3" in note for note in found.notes)


def test_a_source_of_known_names_is_listed_without_loading_libav(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "v.avi").touch()
    program = (
        "import sys, pathlib; from mocrop_prep.clips import find_clips\n"
        "print(len(find_clips(pathlib.Path(sys.argv[1])).clips), 'av' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["1", "False"]

"""The sound films that the corpus starts from: one for each codec and container that people bring."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.films import DVD, VP9, WEB, XVID, Film, Picture, encode, moving_square

COUNT = 26
PLAIN = Film(
    options={
        "preset": "veryfast",
        "crf": "20",
        "x264-params": "keyint=12:min-keyint=12:scenecut=0:open-gop=0:bframes=0:ref=1:weightp=1",
    }
)
"""H.264 that meets the contract, so that it is copied."""
HEVC = Film(codec="libx265", options={"preset": "ultrafast", "x265-params": "log-level=none:pools=1"})

FILMS: dict[str, Film] = {
    "web.mp4": WEB,
    "plain.mp4": PLAIN,
    "xvid.avi": XVID,
    "dvd.mpg": DVD,
    "vp9.webm": VP9,
    "web.mkv": WEB,
    "sound.mov": Film(b_frames=2, sound="aac", options={"preset": "veryfast"}),
    "web.ts": WEB,
    "old.flv": Film(codec="flv", options={"qmin": "2", "qmax": "4"}),
    "mjpeg.avi": Film(codec="mjpeg", pix_fmt="yuvj420p"),
    "hevc.mp4": HEVC,
    "raw.h264": PLAIN,
    "media.asf": Film(codec="wmv2", options={"qmin": "2", "qmax": "4"}),
}


@cache
def base(name: str) -> bytes:
    """Return the bytes of a sound film."""
    return film(name, moving_square(COUNT, seed=len(name)), FILMS[name])


def film(name: str, pictures: Sequence[Picture], how: Film, **muxer: str) -> bytes:
    """Encode a film and return its bytes; the suffix of `name` decides the container."""
    with TemporaryDirectory() as folder:
        return encode(Path(folder) / name, pictures, how, **muxer).read_bytes()


@cache
def other(name: str) -> bytes:
    """Return a film in the same form as a base, but of another size, length and rate."""
    how = FILMS[name]
    rate = how.rate if how.codec in ("mpeg2video", "flv") else Fraction(15)
    changed = Film(
        codec=how.codec, pix_fmt=how.pix_fmt, rate=rate, b_frames=how.b_frames, options=how.options
    )
    return film(name, moving_square(14, size=(176, 144), seed=7), changed)

"""Files that are no damaged copy of anything: useless, extreme, or sound and rare."""

from __future__ import annotations

import gzip
import os
import random
import zipfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np
from av.audio.frame import AudioFrame

from tests.corpus.bases import PLAIN, base, film
from tests.corpus.case import ANYTHING, OK, REFUSED, Case, Make
from tests.films import DVD, VP9, WEB, XVID, Film, Picture, corner_mark, encode, moving_square, restamp

NO_FILM = frozenset({"not-video", "no-video-stream", "unsupported-codec"})
TOO_SMALL, TOO_LARGE = frozenset({"too-small"}), frozenset({"too-large"})
DAMAGED = frozenset({"corrupt"})


def cases() -> Iterator[Case]:
    """Return every oddity with what it must come to."""
    for expected, makers in (
        (NO_FILM, USELESS),
        (REFUSED, EMPTY),
        (OK, SOUND),
        (ANYTHING, EXTREME),
        (TOO_SMALL, SMALL),
        (TOO_LARGE, LARGE),
    ):
        for name, make in makers.items():
            yield Case("odd", name, make, expected)


def _text(text: str | bytes) -> Make:
    content = text.encode() if isinstance(text, str) else text
    return lambda path: path.write_bytes(content)


def _shot(
    how: Film, count: int = 12, size: tuple[int, int] = (128, 96), **muxer: str
) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        drawable = min(size) >= 64 and max(size) <= 1000
        pictures = moving_square(count, size=size) if drawable else corner_mark(count, size=size)
        encode(path, pictures, how, **muxer)

    return make


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("clip.mp4"), base("web.mp4"))


def _array(path: Path) -> None:
    with path.open("wb") as stream:
        np.save(stream, np.zeros((64, 64)))


def _picture(suffix: str) -> Make:
    def make(path: Path) -> None:
        picture = np.ascontiguousarray(corner_mark(1, size=(320, 240))[0])
        path.write_bytes(cv2.imencode(suffix, picture)[1].tobytes())

    return make


def _sound(path: Path, *, cover: bool = False) -> None:
    with av.open(str(path), "w", format="mp3" if cover else None, options={"fflags": "+bitexact"}) as out:
        sound = out.add_stream("libmp3lame" if cover else "aac", rate=16000, layout="mono")
        picture = out.add_stream("mjpeg", width=64, height=48, pix_fmt="yuvj420p") if cover else None
        if picture is not None:
            picture.disposition = av.stream.Disposition.attached_pic
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
            frame = frame.reformat(format="yuvj420p")
            frame.pts, frame.time_base = 0, Fraction(1, 1000)
            out.mux([*picture.encode(frame), *picture.encode()])
        tone = AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        tone.sample_rate, tone.pts, tone.time_base = 16000, 0, Fraction(1, 16000)
        out.mux([*sound.encode(tone), *sound.encode()])


def _beside(text: str) -> Make:
    """Return a script that names a clip which lies beside it."""

    def make(path: Path) -> None:
        path.with_name("beside.txt").write_bytes(base("web.mp4"))
        path.write_text(text)

    return make


def _patched(name: str, old: bytes, new: bytes, after: bytes = b"") -> Make:
    """Return a base with the first `old` (behind `after`) overwritten by `new`."""

    def make(path: Path) -> None:
        content = bytearray(base(name))
        place = content.index(old, content.index(after))
        content[place : place + len(new)] = new
        path.write_bytes(content)

    return make


def _grown(path: Path) -> None:
    """Write plain H.264 that meets the contract but for its size, which changes on the way; times go on."""
    with TemporaryDirectory() as folder, av.open(str(path), "w") as out:
        copied = None
        for part, size in enumerate([(128, 96), (176, 144)]):
            how = Film(options=PLAIN.options, milliseconds=[40 * (24 * part + n) for n in range(24)])
            made = encode(Path(folder) / f"{part}.ts", moving_square(24, size=size), how)
            with av.open(str(made)) as source:
                copied = copied or out.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.size:
                        packet.stream = copied
                        out.mux(packet)


def _two_videos(path: Path) -> None:
    with av.open(str(path), "w") as out:
        streams = [out.add_stream("mpeg4", rate=25, options={}) for _ in range(2)]
        for stream, size in zip(streams, ((64, 48), (128, 96)), strict=True):
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number in range(12):
            for stream in streams:
                picture = moving_square(number + 1, size=(stream.width, stream.height))[number]
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        for stream in streams:
            out.mux(stream.encode())


def _same_times(path: Path) -> None:
    with TemporaryDirectory() as folder:
        sound = encode(Path(folder) / "film.mkv", moving_square(12), Film(codec="mpeg4"))
        restamp(sound, path, [40 * (n // 3) for n in range(12)])


def _late_sound(path: Path) -> None:
    """Write a film whose sound begins in its second half: a stream that no header announced."""
    silent = film(path.name, moving_square(14), DVD)
    loud = Film(codec="mpeg2video", b_frames=2, sound="mp2")
    path.write_bytes(silent + film(path.name, moving_square(14), loud))


def _flat(path: Path) -> None:
    encode(path, [np.full((96, 128, 3), 90, np.uint8)] * 12, WEB)


def _noise(count: int) -> Make:
    return lambda path: path.write_bytes(random.Random(count).randbytes(count))


def _sparse(path: Path) -> None:
    path.write_bytes(base("web.mp4")[:400])
    os.truncate(path, 64 << 20)


def _many(path: Path) -> None:
    pictures: list[Picture] = corner_mark(10_000, size=(32, 32))
    encode(path, pictures, Film(codec="mpeg4", gop=600))


EMPTY: dict[str, Make] = {
    "empty.mp4": _text(b""),
    "one-byte.mp4": _text(b"\x00"),
    "zeros.mp4": _text(bytes(10_000)),
    "zeros.ts": _text(bytes(10_000)),
    "sync.ts": _text((b"\x47" + bytes(187)) * 200),
    "noise.mp4": _noise(30_000),
    "noise.avi": _noise(30_001),
    "noise.mkv": _noise(30_002),
    "noise.mpg": _noise(30_003),
    "sparse.mp4": _sparse,
    "unknown-codec.mp4": _patched("web.mp4", b"avc1", b"zzzz", after=b"stsd"),
}
USELESS: dict[str, Make] = {
    "text.mp4": _text("not a film\n" * 300),
    "page.mp4": _text("<!DOCTYPE html><html><body>404 Not Found</body></html>\n" * 20),
    "drawing.mp4": _text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>\n' * 9),
    "titles.mp4": _text("1\n00:00:01,000 --> 00:00:02,000\nHello\n\n" * 30),
    "table.mp4": _text("path,label\na.mp4,walk\n" * 30),
    "archive.mp4": _zip,
    "packed.mp4": lambda path: path.write_bytes(gzip.compress(base("web.mp4"), mtime=0)),
    "array.mp4": _array,
    "picture.mp4": _picture(".png"),
    "photo.mp4": _picture(".jpg"),
    "bitmap.mp4": _picture(".bmp"),
    "script.mp4": _beside("ffconcat version 1.0\nfile beside.txt\n"),
    "playlist.mp4": _beside("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nbeside.txt\n#EXT-X-ENDLIST\n"),
    "session.mp4": _text("v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 4242 RTP/AVP 96\n"),
    "sound.mp4": _sound,
    "cover.mp3": partial(_sound, cover=True),
}
LOSSLESS = Film(codec="ffv1")
SMALL: dict[str, Make] = {
    "2x2.mkv": _shot(LOSSLESS, size=(2, 2)),
    "15x15.mkv": _shot(LOSSLESS, size=(15, 15)),
    "14x96.mp4": _shot(WEB, size=(14, 96)),
}
LARGE: dict[str, Make] = {"16400x16.mkv": _shot(LOSSLESS, count=2, size=(16_400, 16))}
SOUND: dict[str, Make] = {
    "16x16.mp4": _shot(WEB, size=(16, 16)),
    "97x81.mkv": _shot(LOSSLESS, size=(97, 81)),
    "4096x16.mp4": _shot(WEB, size=(4096, 16)),
    "8k.avi": _shot(Film(codec="mjpeg", pix_fmt="yuvj420p"), count=1, size=(7680, 4320)),
    "frame.mp4": _shot(WEB, count=1),
    "frame.avi": _shot(XVID, count=1),
    "frame.mpg": _shot(DVD, count=1),
    "frame.webm": _shot(VP9, count=1),
    "ten-bit.mp4": _shot(Film(pix_fmt="yuv420p10le")),
    "yuv444.mp4": _shot(Film(pix_fmt="yuv444p")),
    "grey.mkv": _shot(Film(codec="ffv1", pix_fmt="gray")),
    "alpha.mov": _shot(Film(codec="qtrle", pix_fmt="argb")),
    "alpha.mkv": _shot(Film(codec="ffv1", pix_fmt="yuva420p")),
    "prores.mov": _shot(Film(codec="prores_ks", pix_fmt="yuv422p10le")),
    "interlaced.mp4": _shot(Film(options={"x264-params": "interlaced=1"})),
    "fields.mpg": _shot(Film(codec="mpeg2video", options={"flags": "+ildct+ilme"})),
    "upright.mp4": _shot(Film(rotation=90)),
    "wide-pixels.mp4": _shot(Film(aspect=Fraction(16, 11))),
    "refresh.mp4": _shot(Film(options={"x264-params": "intra-refresh=1:keyint=12:bframes=0"}), count=30),
    "open-gop.ts": _shot(Film(options={"x264-params": "open-gop=1:keyint=8:bframes=3:scenecut=0"}), count=30),
    "fragments.mp4": _shot(WEB, movflags="frag_keyframe+empty_moov"),
    "index-first.mp4": _shot(WEB, movflags="faststart"),
    "live.mkv": _shot(WEB, live="1"),
    "animation.gif": _shot(Film(codec="gif", pix_fmt="rgb8")),
    "uneven.mkv": _shot(Film(milliseconds=[0, 5, 6, 300, 301, 900, 905, 2000, 2001, 2002, 2600, 9000])),
    "same-times.mkv": _same_times,
    "fast.mp4": _shot(Film(rate=Fraction(1000))),
    "slow.mp4": _shot(Film(rate=Fraction(1, 8))),
    "flat.mp4": _flat,
    "late-sound.mpg": _late_sound,
    "two-videos.mkv": _two_videos,
    "grown.ts": _grown,
    "bad-text.mkv": _patched("web.mkv", b"Lavf", b"\xff\xfe\xe9\x80"),
    "long-claim.mp4": _patched("web.mp4", b"mvhd", b"mvhd" + bytes(12) + b"\x00\x00\x03\xe8\x7f\xff\xff\xff"),
    "10000-packets.mkv": _many,
    os.fsdecode(b"caf\xe9 \xff.mp4"): lambda path: path.write_bytes(base("web.mp4")),
    "line\nbreak.mp4": lambda path: path.write_bytes(base("web.mp4")),
    "concat:a|b.mp4": lambda path: path.write_bytes(base("web.mp4")),
    "x" * 240 + ".mp4": lambda path: path.write_bytes(base("web.mp4")),
}
EXTREME: dict[str, Make] = {
    "claims-65000x65000.avi": _patched("mjpeg.avi", b"\xff\xc0", b"\xff\xc0\x00\x11\x08\xfd\xe8\xfd\xe8"),
    "claims-64x48.mp4": _patched("plain.mp4", b"\x00\x80\x00\x60", b"\x00\x40\x00\x30", after=b"avc1"),
    "claims-1x1.mp4": _patched("web.mp4", b"\x00\x80\x00\x60", b"\x00\x01\x00\x01", after=b"avc1"),
    "late-sound.ts": _late_sound,
    "claims-years.mkv": _patched("web.mkv", b"\x44\x89\x88", b"\x44\x89\x88\x43\x80" + bytes(6)),
    "no-time-scale.mp4": _patched("web.mp4", b"mdhd", b"mdhd" + bytes(16)),
}

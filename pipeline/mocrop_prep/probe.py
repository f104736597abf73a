"""Tell video files from other files: by name where that is safe, by asking libav where it is not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

from mocrop_prep.remote import Location

_AUDIO = """
aac ac3 aif aiff amr ape au caf dts eac3 flac m4a m4b mka mp2 mp3 oga ogg opus ra spx tta wav wma wv
"""
_VIDEO = """
264 265 266 3g2 3gp 3gpp amv asf av1 avc avi bik cavs dav divx dv evo f4v flc fli flv gif gifv gxf h261
h263 h264 h265 h266 hevc ismv ivf m1v m2p m2t m2ts m2v m4v mj2 mjpeg mjpg mk3d mkv mov mp4 mpe mpeg mpg
mpg4 mpv mts mxf nsv nut nuv obu ogm ogv ogx qt rm rmvb roq swf tod tp trp ts vc1 vob vro vvc webm wmv
wtv xvid y4m yuv4mpeg
"""
_OTHER = """
avif bmp cr2 dng exr heic heif ico jfif jpeg jpg pbm pgm png pnm ppm psd svg tga tif tiff webp
ans ass bib cfg conf csv htm html idx ini json jsonl log lst m3u m3u8 md mpd nfo pls rst sdp sfv srt ssa sub
toml tsv txt url vtt xml yaml yml
7z bz2 gz lz4 rar tar tgz xz zip zst
doc docx key odp ods odt pdf ppt pptx rtf xls xlsx
arrow ckpt db feather h5 hdf5 mat md5 npy npz onnx parquet pickle pkl pt pth safetensors sha1 sha256 sqlite
bat c cc cpp cs css dll exe go h hpp ipynb java js lock m o php pl ps1 py pyc r rb rs sh so sql swift
"""

AUDIO_EXTENSIONS = frozenset(_AUDIO.split())
"""Media files that rarely hold pictures: they count as clips, and fail with a code where they do not."""
MEDIA_EXTENSIONS = AUDIO_EXTENSIONS.union(_VIDEO.split())
"""Files that always count as clips, broken or not."""
OTHER_EXTENSIONS = frozenset(_OTHER.split())
"""Files that are never opened: pictures, text, archives, documents, arrays, code."""

# Libav draws text as pictures, reads stills as one-frame videos, and plays lists of other files.
_NO_FILM = frozenset(
    {"adf", "apng", "bin", "concat", "dash", "hls", "idf", "image2", "imf", "sdp", "tty", "xbin"}
)
_WEAK = "h263"  # raw H.263 has no start code, so that one random file in a few hundred passes for it


def kind_of(name: str) -> Literal["media", "other", "unknown"]:
    """Judge a file by the extension of its name alone; `unknown` asks for `is_video`."""
    extension = os.path.splitext(name)[1][1:].lower()
    if extension in MEDIA_EXTENSIONS:
        return "media"
    return "other" if extension in OTHER_EXTENSIONS else "unknown"


def no_film(format_name: str, name: str) -> bool:
    """Say that a file holds no film, by libav's name of its format and by its own."""
    weak = format_name == _WEAK and os.path.splitext(name)[1].lower() != f".{_WEAK}"
    return weak or format_name in _NO_FILM


def is_video(path: Location) -> bool:
    """Open a regular file with libav and say whether it holds a moving picture.

    Only the content counts, never the name. Still pictures, cover art, sound, text that libav would draw and
    playlists are not video; neither is a file that cannot be opened. Of one in a store little more than the
    head is read.
    """
    # Here and not above: commands that find every clip by its name never wait for libav to load.
    import av
    from av.stream import Disposition

    # PyAV 19 always tolerates metadata that is not UTF-8; earlier releases raise unless told otherwise.
    tolerant: dict[str, Any] = (
        {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "ignore"}
    )
    still = Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails
    # With no protocol allowed a playlist can reach neither other files nor the network.
    limits = {"protocol_whitelist": "none"}
    try:
        with (
            _nameless(path) as stream,
            av.open(stream, "r", container_options=limits, **tolerant) as container,
        ):
            name = container.format.name
            if no_film(name, path.name) or name.endswith("_pipe"):
                return False
            return any(
                not video.disposition & still and (video.codec_context is None or video.width > 0)
                for video in container.streams.video
            )
    except MemoryError:
        raise
    except (OSError, av.FFmpegError):
        return False


@contextmanager
def _nameless(path: Location) -> Iterator[IO[bytes]]:
    """Open a file without a name: libav cannot guess by it, and bytes that are not UTF-8 do no harm."""
    if not isinstance(path, Path):
        from mocrop_prep.remote import store

        with store.opened(path) as stream:
            yield stream
        return
    with path.open("rb") as file, open(file.fileno(), "rb", closefd=False) as stream:
        yield stream

"""Open a file and its video stream, safely: whatever it is, it hangs nothing and reads nothing but itself."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.sidedata.sidedata import SideDataContainer, Type
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mocrop_prep.errors import ClipError
from mocrop_prep.probe import no_film

# PyAV 19 always tolerates metadata that is not UTF-8; earlier releases raise unless told otherwise.
_TOLERANT: dict[str, Any] = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "ignore"}


@contextmanager
def open_video(
    path: Path, options: Mapping[str, str] | None = None
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and its best video stream for decoding in one thread; any fault is a ClipError.

    `options` go to the decoder under libavcodec's names. Memory that is refused while the stream is read
    stays a MemoryError, here and in all that reads it: it is no damage.
    """
    _check_file(path)
    with _open(path) as container:
        stream = _best_stream(container, path)
        context = stream.codec_context
        if context is None:
            raise ClipError("unsupported-codec", f"{path}: no decoder for its video stream")
        context.thread_count = 1
        context.thread_type = "NONE"
        context.options = dict(options or {})
        yield container, stream


def _check_file(path: Path) -> None:
    """Raise ClipError unless there is a file with something in it: to open a pipe would wait for ever."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ClipError("missing-file", f"{path} is not there") from None
    except OSError as error:
        raise ClipError("unreadable", f"{path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, a socket or a device"
        raise ClipError("not-video", f"{path} is {kind}, not a file")
    if status.st_size == 0:
        raise ClipError("empty-file", f"{path} has no bytes")
    try:
        path.open("rb").close()
    except OSError as error:
        raise ClipError("unreadable", f"{path}: {error.strerror}") from None


def _open(path: Path) -> InputContainer:
    try:
        # with its protocol named, no path can be read as that of another one, such as concat:
        container: InputContainer = av.open(f"file:{path}", **_TOLERANT)
    except MemoryError:  # libav says so of headers that claim tables which no memory holds, too
        raise ClipError("out-of-memory", f"{path}: to open it takes more memory than there is") from None
    except (FFmpegError, OSError, ValueError) as error:  # libav's own PermissionError is about what is in it
        raise ClipError("not-video", f"{path}: {message(error)}") from None
    form = container.format.name
    if no_film(form, path.name):
        container.close()
        raise ClipError("not-video", f"{path} is no film: libav takes it for {form}")
    return container


def read_packets(container: InputContainer, stream: VideoStream | None = None) -> Iterator[Packet[Any]]:
    """Demux a stream, or all of them; an empty packet comes last for each."""
    demuxed: Iterator[Packet[Any]] = container.demux() if stream is None else container.demux(stream)
    while True:
        try:
            packet = next(demuxed)
        except StopIteration:
            return
        except IndexError:
            # PyAV stumbles at the very end over streams that began on the way, as in MPEG-TS and -PS; all of
            # those that were there at the start has been read
            return
        yield packet


def side_data(frame: VideoFrame, kind: Type) -> memoryview | None:
    """Return a frame's side data of a kind, or None; valid as long as it is held itself.

    `frame.side_data` would do as well, but the frame keeps it, and it the frame: only the collector could
    free the two, and memory would grow with the clip.
    """
    container: Any = SideDataContainer  # its stub leaves out that it takes the frame
    data: Any = container(frame).get(kind)
    return None if data is None else memoryview(data)


def message(error: Exception) -> str:
    """Return what an error of libav, or of Python where PyAV lets one through, says: one line."""
    return getattr(error, "strerror", None) or str(error).splitlines()[0]


def _best_stream(container: InputContainer, path: Path) -> VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise ClipError("no-video-stream", f"{path}: {len(container.streams)} streams, none of them video")
    best = container.streams.best("video")
    return best if best in streams else streams[0]

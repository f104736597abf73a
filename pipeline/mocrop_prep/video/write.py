"""Encode pictures to a video file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.codec.context import Flags
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


def write_video(
    path: Path,
    frames: Iterable[NDArray[np.uint8]],
    *,
    fps: Fraction,
    codec: str,
    options: Mapping[str, str],
    b_frames: int,
) -> None:
    """Encode RGB frames as yuv420p (BT.601, limited range); the suffix of `path` decides the container.

    `frames` are uint8 arrays (height, width, 3) of one size, `options` go to the encoder under its own names,
    `b_frames` is the most B-frames in a row. One thread and bit-exact: the same frames and library versions
    give the same bytes. Raises ValueError without a frame, when the size changes, or when `codec` encodes no
    video; av.FFmpegError when FFmpeg refuses.
    """
    if av.Codec(codec, "w").type != "video":
        raise ValueError(f"{path}: {codec} encodes no video")
    count, size, converter = 0, None, VideoReformatter()
    with av.open(str(path), "w", container_options={"fflags": "+bitexact"}) as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=fps, options=dict(options)))
        context = stream.codec_context
        context.thread_count = 1
        context.max_b_frames = b_frames
        context.pix_fmt = "yuv420p"
        context.flags |= Flags.bitexact
        for count, picture in enumerate(frames, start=1):
            if size is None:
                size = picture.shape
                context.height, context.width = size[:2]
            elif picture.shape != size:
                raise ValueError(f"{path}: picture {count} has the shape {picture.shape} after {size}")
            frame = converter.reformat(
                av.VideoFrame.from_ndarray(picture, format="rgb24"),
                format="yuv420p",
                dst_colorspace=Colorspace.ITU601,
                dst_color_range=ColorRange.MPEG,
                interpolation=_EXACT,
                threads=1,
            )
            frame.pts, frame.time_base = count - 1, 1 / fps
            container.mux(stream.encode(frame))
        if not count:
            raise ValueError(f"{path}: no picture to encode")
        container.mux(stream.encode(None))

"""Stage 4: the cropped frames of a clip become one sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mocrop_manifests import CropRow

from mocrop_prep.config import ShardSettings, parse_frames
from mocrop_prep.errors import ClipError
from mocrop_prep.evenly import evenly_spread
from mocrop_prep.geometry import Box
from mocrop_prep.pictures import Planes, render_jpeg
from mocrop_prep.samples import Sample, SampleInfo, clip_members, tar_bytes
from mocrop_prep.video import StreamIndex, open_clip


def frames_to_keep(index: StreamIndex, settings: ShardSettings) -> list[int]:
    """Return the decoded frame numbers that the sample stores, in the order of time."""
    kind, count = parse_frames(settings.frames)
    numbers: Sequence[int] = index.info.key_frames if kind == "key" else range(index.info.frames)
    return [numbers[place] for place in evenly_spread(count or len(numbers), len(numbers))]


def needs_loop_filter(settings: ShardSettings) -> bool:
    """Say whether frames other than key frames are stored, which must be decoded in full."""
    return parse_frames(settings.frames)[0] != "key"


def shard_clip(video: Path, row: CropRow, target: Path, settings: ShardSettings) -> dict[str, Any]:
    """Write `target`, the sample of a transcoded clip and its crop; return its frames.

    Only what is stored is decoded where that are key frames. Raises ClipError.
    """
    with open_clip(video) as film:
        index = film.index
        if (index.info.width, index.info.height, index.info.frames) != (row.width, row.height, row.frames):
            raise ClipError("bad-intermediate", f"{video} is not the clip that was cropped; run crop again")
        numbers = frames_to_keep(index, settings)
        if needs_loop_filter(settings):
            found = film.decode(sink=None, keep=set(numbers), loop_filter=True)
            pictures = [found[number] for number in numbers]
        else:
            pictures = film.decode_key_frames([index.info.key_frames.index(number) for number in numbers])
    return write_sample(row, index, numbers, pictures, target, settings)


def write_sample(
    row: CropRow,
    index: StreamIndex,
    numbers: Sequence[int],
    pictures: Sequence[Planes],
    target: Path,
    settings: ShardSettings,
) -> dict[str, Any]:
    """Render the crop of each picture and write them as one sample; return its frames."""
    box = box_of(row)
    jpegs = tuple(
        render_jpeg(picture, box, size=settings.pixels, aspect=settings.aspect, quality=settings.quality)
        for picture in pictures
    )
    info = SampleInfo(
        clip_id=row.clip_id,
        label=row.label,
        label_name=row.label_name,
        split=row.split,
        group=row.group,
        frame_index=tuple(numbers),
        pts=tuple(index.times[number] for number in numbers),
        crop=(box.x, box.y, box.w, box.h),
        width=index.info.width,
        height=index.info.height,
        method=row.method,
    )
    target.write_bytes(tar_bytes(clip_members(Sample(info, jpegs))))
    return {"frames": len(jpegs)}


def box_of(row: CropRow) -> Box:
    """Return the crop of a row; raises ClipError if it has none."""
    if row.x is None or row.y is None or row.w is None or row.h is None:
        raise ClipError("bad-intermediate", f"{row.clip_id} has no crop in the manifest")
    return Box(row.x, row.y, row.w, row.h)

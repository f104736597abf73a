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
from mocrop_prep.vectors import ClipInfo
from mocrop_prep.video import Film, StreamIndex, inspect_source, read_clip


def frames_to_keep(index: StreamIndex, settings: ShardSettings) -> list[int]:
    """Return the decoded frame numbers that the sample stores, in the order of time.

    A source that is read in place may have one key frame in ten seconds: a number that does not say of which
    kind is then one of any kind.
    """
    kind, count = parse_frames(settings.frames)
    if index.direct and settings.frames.isdigit() and len(index.info.key_frames) < (count or 0):
        kind = "uniform"
    numbers: Sequence[int] = index.info.key_frames if kind == "key" else range(index.info.frames)
    return [numbers[place] for place in evenly_spread(count or len(numbers), len(numbers))]


def needs_loop_filter(settings: ShardSettings) -> bool:
    """Say whether frames other than key frames are stored, which must be decoded in full."""
    return parse_frames(settings.frames)[0] != "key"


def shard_clip(
    video: Path, row: CropRow, target: Path, settings: ShardSettings, *, direct: bool = False
) -> dict[str, Any]:
    """Write `target`, the sample of a clip and its crop; return its frames.

    Only what is stored is decoded where that are key frames of a transcoded clip; `direct` says that `video`
    is a source, read in place. Raises ClipError.
    """

    def look(film: Film) -> list[Planes]:
        if not direct:
            _check_extent(film.index.info, row, video)
        numbers = frames_to_keep(film.index, settings)
        if needs_loop_filter(settings):
            found = film.decode(sink=None, keep=set(numbers), loop_filter=True)
        else:
            found = film.decode_exact(set(numbers))
        return [found[number] for number in numbers]

    index, pictures = read_clip(video, look, source=inspect_source(video) if direct else None)
    _check_extent(index.info, row, video)
    return write_sample(row, index, frames_to_keep(index, settings), pictures, target, settings)


def _check_extent(info: ClipInfo, row: CropRow, video: Path) -> None:
    if (info.width, info.height, info.frames) != (row.width, row.height, row.frames):
        raise ClipError("bad-intermediate", f"{video} is not the clip that was cropped; run crop again")


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

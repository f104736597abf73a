"""Shards read in full: every clip once, in its split, with the frames, label and crop of its manifest row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mocrop_manifests import CropRow, DatasetIndex, ShardEntry

from mocrop_prep.errors import ClipError
from mocrop_prep.samples import Sample
from mocrop_prep.shards import FORMS

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


class Recount:
    """Counts the clips of a set, shard by shard; `clip_ids` are those seen so far.

    Without `rows`, those of the crop manifest by clip, a clip is held against its own shard alone.
    """

    def __init__(self, index: DatasetIndex, rows: Mapping[str, CropRow] | None) -> None:
        self._index, self._rows = index, rows
        self.clip_ids: set[str] = set()

    def problem(self, path: Path, shard: ShardEntry) -> str:
        """Read a shard that is as it was written; return its first problem, or an empty text."""
        per_frame = self._index.sample == "frame"
        count = frames = 0
        try:
            for sample in FORMS[self._index.storage].read(path, per_frame=per_frame):
                problem = self._sample_problem(sample, shard)
                if problem:
                    return f"clip {sample.info.clip_id}: {problem}"
                frames += len(sample.jpegs)
                count += len(sample.jpegs) if per_frame else 1
        except ClipError as error:
            return error.detail
        if (count, frames) != (shard.rows, shard.frames):
            said = f"{shard.rows} and {shard.frames}"
            return f"{count} samples and {frames} frames where dataset.json says {said}"
        return ""

    def _sample_problem(self, sample: Sample, shard: ShardEntry) -> str:
        info = sample.info
        if info.clip_id in self.clip_ids:
            return "there twice"
        self.clip_ids.add(info.clip_id)
        if info.split != shard.split:
            return f"belongs to split {info.split}"
        if len(sample.jpegs) != len(info.frame_index):
            return f"{len(sample.jpegs)} frames where its description has {len(info.frame_index)}"
        if not all(jpeg.startswith(_JPEG_START) and jpeg.endswith(_JPEG_END) for jpeg in sample.jpegs):
            return "a frame is not a whole JPEG"
        return self._row_problem(sample)

    def _row_problem(self, sample: Sample) -> str:
        if self._rows is None:
            return ""
        info, row = sample.info, self._rows.get(sample.info.clip_id)
        if row is None:
            return "not in the crop manifest"
        if (info.label, info.split, info.crop) != (row.label, row.split, (row.x, row.y, row.w, row.h)):
            return "label, split or crop differ from the manifest"
        return ""

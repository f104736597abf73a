"""The dataset card: a README beside the shards, for people and for Hugging Face's tools."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from mocrop_manifests import CropRow, DatasetIndex

_FORM_NOTES: dict[str, list[str]] = {
    "webdataset": [
        "- Clips hold different numbers of frames. The webdataset reader of Hugging Face `datasets` gives "
        "all samples the columns of the first and drops further frames: use Parquet with it, or samples of "
        "one frame. The `webdataset` library reads everything."
    ],
    "parquet": [],
}
_SUFFIX = {"webdataset": "tar", "parquet": "parquet"}


@dataclass(slots=True)
class Tally:
    """How crops came out: clips by status and by reason, and the method, empty if there is no row."""

    status: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    method: str = ""

    def add(self, status: str, reason: str, method: str) -> None:
        """Count a row of a crop manifest."""
        self.status[status] += 1
        self.method = self.method or method
        if reason:
            self.reasons[reason] += 1

    def update(self, other: Tally) -> None:
        """Add the counts of other rows."""
        self.status.update(other.status)
        self.reasons.update(other.reasons)
        self.method = self.method or other.method


def tally(rows: Iterable[CropRow]) -> Tally:
    """Count the rows of a crop manifest."""
    counts = Tally()
    for row in rows:
        counts.add(row.status, row.reason, row.method)
    return counts


def dataset_card(index: DatasetIndex, counts: Tally) -> str:
    """Return the card of a shard set as Markdown with the front matter that `datasets` reads."""
    return "\n".join([*_front_matter(index), "", *_body(index, counts), ""])


def _front_matter(index: DatasetIndex) -> list[str]:
    suffix = _SUFFIX[index.storage]
    files = [
        line
        for split in index.splits()
        for line in (f"      - split: {split}", f"        path: {split}-*.{suffix}")
    ]
    return [
        "---",
        "task_categories: [video-classification]",
        "tags: [mocrop, motion-vectors]",
        "configs:",
        "  - config_name: default",
        "    data_files:",
        *files,
        "---",
    ]


def _body(index: DatasetIndex, counts: Tally) -> list[str]:
    status, reasons = counts.status, counts.reasons
    shard, crop = index.config.get("shard", {}), index.config.get("crop", {})
    method = _word(crop.get("method") or counts.method or "unknown")
    table = ["| split | samples | frames | shards |", "|---|---|---|---|"]
    for split in index.splits():
        shards = [entry for entry in index.shards if entry.split == split]
        table.append(f"| {split} | {index.rows(split)} | {sum(s.frames for s in shards)} | {len(shards)} |")
    why = "; ".join(f"{_word(reason)}: {count}" for reason, count in sorted(reasons.items())) or "none"
    return [
        f"# {index.name}",
        "",
        f"Video clips as cropped frames: {len(index.classes)} classes, one crop per clip, chosen by "
        f"`{method}` from the motion vectors of the compressed video.",
        "",
        *table,
        "",
        f"- One sample is one {index.sample}; frames are {shard.get('size')} px JPEGs "
        f"(`{shard.get('aspect')}`, quality {shard.get('quality')}), frames `{shard.get('frames')}`.",
        f"- Clips: {status['ok']} ok, {status['fallback']} fell back to the centre, {status['failed']} "
        f"failed ({why}).",
        "- `dataset.json` holds the classes in the order of their labels, sizes and SHA-256 of every shard, "
        "the settings, and the versions of the libraries.",
        "- `crop` is x, y, w, h in pixels of the upright clip (`width` x `height`); `frame_index` counts "
        "decoded frames from 0; `pts` is in seconds.",
        *_FORM_NOTES[index.storage],
        "",
        "Made with MoCrop. The licence of the pictures is that of the source videos.",
    ]


def _word(text: str) -> str:
    """Return a word of a manifest, which anybody may have written, without what makes Markdown or HTML."""
    return re.sub(r"[^\w.+-]", "-", text)[:80]

"""Find the clips of a source: what there is, its class, split and group, and its name in every output."""

from mocrop_prep.clips.find import ClipList, find_clips, spread
from mocrop_prep.clips.paths import source_path

__all__ = ["ClipList", "find_clips", "source_path", "spread"]

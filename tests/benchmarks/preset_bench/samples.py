"""The clips that settings are measured on: some to choose by, others to report on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mocrop_manifests import Clip
from mocrop_prep.boxes import read_boxes
from mocrop_prep.clips import find_clips, source_path, spread
from mocrop_prep.demo import make_demo
from mocrop_prep.demo.write import BOXES
from mocrop_prep.evaluation.annotations import Annotation, by_clip

from tests.benchmarks.crop_bench.sets import SHARED, weizmann_table

SETS = ("demo", "weizmann", "diving")


@dataclass(frozen=True, slots=True)
class Sample:
    """Some clips of a set below `root`; the boxes of actors, by clip_id, are empty where nobody drew any.

    `chooses` says whether the settings may be chosen by these clips; on the others they are only reported.
    """

    name: str
    root: Path
    clips: tuple[Clip, ...]
    boxes: dict[str, Annotation]
    chooses: bool

    def source(self, clip: Clip) -> Path:
        """Return the video of a clip."""
        return Path(str(source_path(self.root, clip)))


def named(names: Sequence[str], demo: Path, work: Path, most: int, jobs: int) -> Iterator[Sample]:
    """Yield the sets of these names that are here, at most `most` clips of each, from all classes in turn."""
    if "demo" in names:
        videos = demo / "videos"
        make_demo(videos, jobs=jobs, quiet=False)
        yield given(videos, videos / BOXES, most, name="demo set")
    weizmann = weizmann_table(work) if "weizmann" in names else None
    if weizmann is not None:
        yield given(weizmann, None, most, name="Weizmann")
    divers, boxes = SHARED / "data" / "ucf101" / "Diving", SHARED / "data" / "actor_boxes.csv"
    if "diving" in names and divers.is_dir() and boxes.is_file():
        yield given(divers.parent, boxes, most, name="UCF101 Diving", label=divers.name, chooses=False)


def given(
    source: Path, boxes: Path | None, most: int, *, name: str = "", label: str = "", chooses: bool = True
) -> Sample:
    """Return a sample of the clips of a source; of one label, if it is named, and of those with boxes."""
    found = find_clips(source)
    clips = [clip for clip in found.clips if label in ("", clip.label_name)]
    annotations = by_clip(clips, read_boxes(boxes))[0] if boxes else {}
    if boxes:
        clips = [clip for clip in clips if clip.clip_id in annotations]
    return Sample(
        name or str(source), Path(str(found.root)), tuple(spread(clips, most)), annotations, chooses
    )

"""Write the demo set: videos named like UCF101's, and the actors' boxes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from mocrop_manifests.files import TEMPORARY, publish, publish_text
from mocrop_manifests.tables import column, format_rows

from mocrop_prep.config import JobSettings
from mocrop_prep.demo.actions import ACTIONS
from mocrop_prep.demo.scene import FPS, make_scene, make_setting
from mocrop_prep.errors import UsageError
from mocrop_prep.progress import Progress
from mocrop_prep.runner import start_work, workers
from mocrop_prep.video import write_video

BOXES = "boxes.csv"
MOST_GROUPS = 99
"""Group and clip numbers have two digits in UCF101's names."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a clip is encoded: the file's suffix, the encoder with its options, the most B-frames in a row."""

    suffix: str
    codec: str
    options: tuple[tuple[str, str], ...]
    b_frames: int


MPEG4 = Encoding(".avi", "mpeg4", (("qmin", "3"), ("qmax", "3"), ("g", "250"), ("mbd", "rd")), 2)
# mbtree=0: x264's macroblock tree (core 165) reads memory that was never written, and the same pictures
# encode to other bytes in another process.
H264 = Encoding(
    ".mp4", "libx264", (("preset", "fast"), ("crf", "20"), ("g", "250"), ("x264-params", "mbtree=0")), 3
)


@dataclass(frozen=True, slots=True)
class DemoClip:
    """One clip to be made; everything in it follows from these values."""

    seed: int
    action: int
    group: int
    number: int

    @property
    def label(self) -> str:
        """Name of the class, and of the clip's folder."""
        return ACTIONS[self.action].name

    @property
    def stem(self) -> str:
        """Name of the file without its suffix, as in UCF101."""
        return f"v_{self.label}_g{self.group:02d}_c{self.number:02d}"

    @property
    def encoding(self) -> Encoding:
        """The clip's codec: both alternate within every class and within every group."""
        return (MPEG4, H264)[(self.action + self.group + self.number) % 2]

    @property
    def path(self) -> str:
        """The video's path below the set's folder."""
        return f"{self.label}/{self.stem}{self.encoding.suffix}"


@dataclass(frozen=True, slots=True)
class ActorBox:
    """Where one actor is in one frame."""

    clip: str = column("stem of the video's file name")
    actor: int = column("number of the actor in the clip, from 0")
    frame: int = column("frame, from 0")
    x: int = column("left edge", unit="px")
    y: int = column("top edge", unit="px")
    w: int = column("width", unit="px")
    h: int = column("height", unit="px")


def plan_demo(*, seed: int = 0, groups: int = 24, clips_per_group: int = 1) -> list[DemoClip]:
    """Return the clips of a demo set, group by group; raises UsageError for counts out of 1 to 99."""
    for name, value in (("groups", groups), ("clips per group", clips_per_group)):
        if not 1 <= value <= MOST_GROUPS:
            raise UsageError(f"{value} {name} asked for; give a number from 1 to {MOST_GROUPS}")
    if seed < 0:
        raise UsageError(f"seed {seed} asked for; give 0 or a positive number")
    return [
        DemoClip(seed, action, group, number)
        for group in range(1, groups + 1)
        for action in range(len(ACTIONS))
        for number in range(1, clips_per_group + 1)
    ]


def write_clip(folder: Path, clip: DemoClip) -> list[ActorBox]:
    """Write one video below `folder` and return its actor's boxes, one for each frame.

    The file appears whole under its name or not at all. The same clip gives the same bytes
    on the same kind of processor: drawing rounds differently without AVX2.
    """
    rng = np.random.default_rng([clip.seed, clip.group, clip.action, clip.number])
    scene = make_scene(make_setting(clip.seed, clip.group), ACTIONS[clip.action], rng)
    encoding = clip.encoding
    with publish(folder / clip.path) as temporary:
        write_video(
            temporary,
            scene.frames(),
            fps=FPS,
            codec=encoding.codec,
            options=dict(encoding.options),
            b_frames=encoding.b_frames,
        )
    return [ActorBox(clip.stem, 0, frame, *box) for frame, box in enumerate(scene.boxes())]


def write_boxes(folder: Path, boxes: Iterable[ActorBox]) -> None:
    """Write the table of boxes, sorted by clip, actor and frame."""
    rows = sorted(boxes, key=lambda box: (box.clip, box.actor, box.frame))
    publish_text(folder / BOXES, format_rows(ActorBox, rows))


def make_demo(
    folder: Path,
    *,
    seed: int = 0,
    groups: int = 24,
    clips_per_group: int = 1,
    jobs: int = 1,
    quiet: bool = True,
) -> int:
    """Write a whole demo set below `folder` and return how many clips were made: 0 if it is there already.

    The table of boxes is written last: a set without it is not finished. Raises UsageError for counts out of
    range, or a folder that holds anything else; OSError when the folder cannot be written.
    """
    clips = plan_demo(seed=seed, groups=groups, clips_per_group=clips_per_group)
    wanted = {clip.path for clip in clips}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    foreign = sorted(name for name in found - wanted - {BOXES} if TEMPORARY not in name)
    if foreign:
        raise UsageError(f"{folder} holds other files, such as {foreign[0]}; take an empty or new folder")
    if BOXES in found and wanted <= found:
        return 0
    boxes: list[ActorBox] = []
    with Progress("demo", len(clips), quiet=quiet) as progress, workers(JobSettings(), jobs):
        calls = (joblib.delayed(write_clip)(folder, clip) for clip in clips)
        for made in start_work(calls, return_as="generator_unordered"):
            boxes += made
            progress.advance()
    write_boxes(folder, boxes)
    return len(clips)

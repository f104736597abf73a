"""What can be shown of a clip: a frame, how it moves on, and the density that each crop was chosen from.

Intermediates are used where WORKDIR has them. Where it has none, the clip is transcoded once more into a
temporary folder, with the settings on record, unless it is read in place, and decoded as the stages do.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from mocrop_manifests import Clip, CropRow
from numpy.typing import NDArray

from mocrop_prep.appearance import Appearance, AppearanceGauge
from mocrop_prep.clips import source_path
from mocrop_prep.clips.paths import escape
from mocrop_prep.config import CropSettings, Settings, TranscodeSettings
from mocrop_prep.errors import ClipError
from mocrop_prep.geometry import Box
from mocrop_prep.methods import Choice
from mocrop_prep.pictures import Planes, crop_bgr
from mocrop_prep.preview.arrows import NO_FLOW, Flow, flow_of, moving
from mocrop_prep.remote.fetch import readable
from mocrop_prep.stages.crop import clip_chooser
from mocrop_prep.stages.shard import box_of
from mocrop_prep.stages.transcode import transcode_clip
from mocrop_prep.vectors import ClipInfo, Vectors, read_vectors
from mocrop_prep.video import (
    Film,
    SourceInfo,
    inspect_source,
    read_clip,
)
from mocrop_prep.workdir import Workdir

S = TypeVar("S", bound=Settings)
Bgr = NDArray[np.uint8]

_CANDIDATES = 5  # key frames, of which the first with motion after it is shown
_LIVELY = 0.02  # of the blocks


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings on record: how clips were transcoded, and cropped for each manifest; None if unknown."""

    transcode: TranscodeSettings | None
    crops: Mapping[str, CropSettings | None]


@dataclass(frozen=True, slots=True)
class Testimony:
    """What a clip's vectors say: the choices they lead to, and the motion from frame `frame` to the next."""

    frame: int
    choices: Mapping[str, Choice]
    flow: Flow


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a clip.

    `picture` is frame number `frame`, (height, width, 3) BGR uint8, None if it cannot be had; `flow` is the
    motion from it to the next frame, None if no vectors can be had; `choices` are those that agree with the
    manifests; `notes` say what is amiss.
    """

    picture: Bgr | None
    frame: int
    flow: Flow | None
    choices: Mapping[str, Choice]
    notes: tuple[str, ...]


def read_recipe(workdir: Workdir, names: Sequence[str]) -> Recipe:
    """Return the settings on record for transcoding and for the manifests in `names`."""
    crops = {name: workdir.settings_of(f"crop-{name}", CropSettings) for name in names}
    return Recipe(workdir.settings_of("transcode", TranscodeSettings), crops)


def gather(workdir: Workdir, rows: Mapping[str, CropRow], recipe: Recipe) -> Evidence:
    """Look at one clip again; `rows` are its crops by manifest name. What is missing becomes a note.

    The density of a crop is shown only if it leads to the very crop in the manifest.
    """
    clip = _clip_of(next(iter(rows.values())))
    settings = {
        name: known
        for name, row in rows.items()
        if (known := recipe.crops[name]) is not None and known.digest() == row.config
    }
    notes = [
        f"{name}: no density, the settings on record are not those of the manifest; run crop again"
        for name in rows
        if name not in settings
    ]
    testimony = _heard_from_file(workdir.motion(clip.clip_id), clip, settings)
    picture = None
    try:
        direct = any(row.route == "direct" for row in rows.values())
        with _video(workdir, clip, recipe.transcode, direct=direct) as (video, source):
            picture, testimony = _watch(video, source, clip, rows.values(), settings, testimony)
    except (ClipError, OSError) as error:
        notes.append(_why_unseen(error))
    if testimony is None:
        return Evidence(None, 0, None, {}, tuple(notes))
    doubts = {name: _doubt(rows[name], choice) for name, choice in testimony.choices.items()}
    notes += [f"{name}: {doubt}" for name, doubt in doubts.items() if doubt]
    agreeing = {
        name: choice for name, choice in testimony.choices.items() if choice.box == box_of(rows[name])
    }
    return Evidence(picture, testimony.frame, testimony.flow, agreeing, tuple(notes))


def _doubt(row: CropRow, choice: Choice) -> str:
    """Say how a crop chosen again differs from the manifest; empty if it does not."""
    if choice.box != box_of(row):
        return "no density, the vectors there now lead to another crop; run crop again"
    if choice.density.vectors != row.vectors:
        return (
            f"this density is of {choice.density.vectors:,} vectors, the manifest's of {row.vectors:,}: "
            "the source or the video library has changed"
        )
    return ""


def _clip_of(row: CropRow) -> Clip:
    return Clip(row.clip_id, row.path, row.label, row.label_name, row.split, row.group)


class _Witness:
    """Takes in all vectors of a clip: for every crop to be chosen, and some that can be drawn."""

    def __init__(self, clip: Clip, info: ClipInfo, settings: Mapping[str, CropSettings]) -> None:
        self._choosers = {name: clip_chooser(clip, info, known) for name, known in settings.items()}
        self._flows = dict.fromkeys(frames_to_show(info), NO_FLOW)

    def add(self, vectors: Vectors) -> None:
        for chooser in self._choosers.values():
            chooser.add(vectors)
        for frame, flow in self._flows.items():
            self._flows[frame] = flow.joined(flow_of(vectors, frame + 1))

    def says(self, appearance: Appearance | None = None) -> Testimony:
        choices = {name: chooser.choose(appearance) for name, chooser in self._choosers.items()}
        # many a film repeats frames: nothing moves from one to its copy
        lively = (
            frame for frame, flow in self._flows.items() if moving(flow).sum() > _LIVELY * len(flow.points)
        )
        frame = next(lively, next(iter(self._flows)))
        return Testimony(frame, choices, self._flows[frame])


def frames_to_show(info: ClipInfo) -> list[int]:
    """Return the numbers of some key frames, the best to show first: near the middle, with a P-frame next."""
    keys = set(info.key_frames)
    followed = [key for key in info.key_frames if key + 1 < info.frames and key + 1 not in keys]
    frames = followed or info.key_frames
    middle = len(frames) // 2
    return sorted(frames, key=lambda frame: abs(frame - frames[middle]))[:_CANDIDATES]


def _heard_from_file(motion: Path, clip: Clip, settings: Mapping[str, CropSettings]) -> Testimony | None:
    """Return what the vectors say that were kept; None if they were not, or are damaged."""
    try:
        info, batches = read_vectors(motion)
        witness = _Witness(clip, info, settings)
        for vectors in batches:
            witness.add(vectors)
    except ClipError:
        return None
    return witness.says()


@contextmanager
def _video(
    workdir: Workdir, clip: Clip, settings: TranscodeSettings | None, *, direct: bool
) -> Iterator[tuple[Path, SourceInfo | None]]:
    """Yield what a clip is read from, and what is known of it if that is its source; raises ClipError.

    That is the transcoded clip, the one that was kept or one made now, or the source if it is read in place.
    """
    place, kept = source_path(workdir.source, clip), workdir.transcoded(clip.clip_id)
    if not direct and kept.exists():
        yield kept, None
        return
    if not direct and settings is None:
        raise ClipError(
            "bad-intermediate", f"{kept} is missing, and so are the settings that it was made with"
        )
    with (
        tempfile.TemporaryDirectory(prefix="mocrop-preview-") as folder,
        readable(place, Path(folder)) as source,
    ):
        if direct or settings is None:
            yield source, inspect_source(source)
            return
        video = Path(folder) / "clip.mp4"
        transcode_clip(source, video, replace(settings, direct=False))
        yield video, None


def _watch(
    video: Path,
    source: SourceInfo | None,
    clip: Clip,
    rows: Iterable[CropRow],
    settings: Mapping[str, CropSettings],
    testimony: Testimony | None,
) -> tuple[Bgr, Testimony]:
    """Decode the key frame to show, and on the way all vectors if nothing is known of them."""

    def watch(film: Film) -> tuple[Testimony, dict[int, Planes]]:
        info = film.index.info
        if source is None:  # its index is no guess, which the decode may prove wrong
            _check_extent(info, rows)
        if testimony is not None:
            return testimony, film.decode_exact({testimony.frame})
        witness = _Witness(clip, info, settings)
        gauge = AppearanceGauge(info.width, info.height, film.index.exact)
        kept = film.decode(sink=witness.add, keep=frames_to_show(info), gauge=gauge)
        return witness.says(gauge.result()), kept

    index, (said, kept) = read_clip(video, watch, source=source)
    _check_extent(index.info, rows)
    return crop_bgr(kept[said.frame], Box(0, 0, index.info.width, index.info.height)), said


def _check_extent(info: ClipInfo, rows: Iterable[CropRow]) -> None:
    if all((row.width, row.height, row.frames) != (info.width, info.height, info.frames) for row in rows):
        raise ClipError("bad-intermediate", "the video is no longer the one that was cropped")


def _why_unseen(error: ClipError | OSError) -> str:
    if isinstance(error, OSError):
        return f"no frame: {error.strerror or error}"
    if error.code == "missing-file":
        return f"no frame: the clip was not kept, and its source is gone ({escape(error.detail)})"
    return f"no frame: {escape(error.detail)}"

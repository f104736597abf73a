"""What can be shown of a clip: a frame, the density that each crop was chosen from, and what is in the way.

Intermediates are used where WORKDIR has them. Where it has none, the clip is transcoded once more into a
temporary folder, with the settings on record, and decoded as the stages do.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from mocrop_manifests import Clip, CropRow
from numpy.typing import NDArray

from mocrop_prep.clips import source_path
from mocrop_prep.clips.paths import escape
from mocrop_prep.config import CropSettings, Settings, TranscodeSettings
from mocrop_prep.errors import ClipError, UsageError
from mocrop_prep.methods import Box, Choice, CropChooser
from mocrop_prep.pictures import crop_bgr
from mocrop_prep.stages.crop import clip_chooser
from mocrop_prep.stages.shard import box_of
from mocrop_prep.stages.transcode import transcode_clip
from mocrop_prep.vectors import ClipInfo, Vectors, read_vectors
from mocrop_prep.video import decode_clip, decode_key_frames, index_stream
from mocrop_prep.workdir import Workdir

S = TypeVar("S", bound=Settings)
Bgr = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings on record: how clips were transcoded, and cropped for each manifest; None if unknown."""

    transcode: TranscodeSettings | None
    crops: Mapping[str, CropSettings | None]


@dataclass(frozen=True, slots=True)
class View:
    """A frame of a clip, (height, width, 3) BGR uint8, its number, and the crops chosen on the way to it."""

    picture: Bgr | None = None
    frame: int = 0
    choices: Mapping[str, Choice] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a clip: a view of it, the choices that agree with the manifests, and what is amiss."""

    view: View
    choices: Mapping[str, Choice]
    notes: tuple[str, ...]


def read_recipe(workdir: Workdir, names: Sequence[str]) -> Recipe:
    """Return the settings on record for transcoding and for the manifests in `names`."""
    crops = {name: _on_record(CropSettings, workdir.settings_file(f"crop-{name}")) for name in names}
    return Recipe(_on_record(TranscodeSettings, workdir.settings_file("transcode")), crops)


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
    choices = _choose_from_file(workdir.motion(clip.clip_id), clip, settings)
    try:
        with _video(workdir, clip, recipe.transcode) as video:
            view = _watch(video, clip, rows.values(), {} if choices else settings)
    except (ClipError, OSError) as error:
        view = View()
        notes.append(_why_unseen(error))
    choices |= view.choices
    doubts = {name: _doubt(rows[name], choice) for name, choice in choices.items()}
    notes += [f"{name}: {doubt}" for name, doubt in doubts.items() if doubt]
    agreeing = {name: choice for name, choice in choices.items() if choice.box == box_of(rows[name])}
    return Evidence(view, agreeing, tuple(notes))


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


def _on_record(kind: type[S], path: Path) -> S | None:
    try:
        return kind(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, UsageError):  # none, or another release's: unknown
        return None


def _clip_of(row: CropRow) -> Clip:
    return Clip(row.clip_id, row.path, row.label, row.label_name, row.split, row.group)


def _choose_from_file(motion: Path, clip: Clip, settings: Mapping[str, CropSettings]) -> dict[str, Choice]:
    """Choose the crops from the vectors that were kept; empty if they were not, or are damaged."""
    try:
        info, batches = read_vectors(motion)
        choosers = _choosers(clip, info, settings)
        for vectors in batches:
            _add_to_all(choosers, vectors)
    except ClipError:
        return {}
    return {name: chooser.choose() for name, chooser in choosers.items()}


@contextmanager
def _video(workdir: Workdir, clip: Clip, settings: TranscodeSettings | None) -> Iterator[Path]:
    """Yield the transcoded clip: the one that was kept, or one made now; raises ClipError."""
    kept = workdir.transcoded(clip.clip_id)
    if kept.exists():
        yield kept
        return
    if settings is None:
        raise ClipError(
            "bad-intermediate", f"{kept} is missing, and so are the settings that it was made with"
        )
    with tempfile.TemporaryDirectory(prefix="mocrop-preview-") as folder:
        video = Path(folder) / "clip.mp4"
        transcode_clip(source_path(workdir.source, clip), video, settings)
        yield video


def _watch(video: Path, clip: Clip, rows: Iterable[CropRow], settings: Mapping[str, CropSettings]) -> View:
    """Decode the middle key frame, and on the way all vectors if there are crops to choose."""
    info = index_stream(video).info
    if all((row.width, row.height, row.frames) != (info.width, info.height, info.frames) for row in rows):
        raise ClipError("bad-intermediate", "the video is no longer the one that was cropped")
    ordinal = len(info.key_frames) // 2
    frame = info.key_frames[ordinal]
    choosers = _choosers(clip, info, settings)
    if choosers:
        planes = decode_clip(
            video, frames=info.frames, sink=lambda vectors: _add_to_all(choosers, vectors), keep={frame}
        )[frame]
    else:
        planes = decode_key_frames(video, {ordinal})[0]
    picture = crop_bgr(planes, Box(0, 0, info.width, info.height))
    return View(picture, frame, {name: chooser.choose() for name, chooser in choosers.items()})


def _choosers(clip: Clip, info: ClipInfo, settings: Mapping[str, CropSettings]) -> dict[str, CropChooser]:
    return {name: clip_chooser(clip, info, known) for name, known in settings.items()}


def _add_to_all(choosers: Mapping[str, CropChooser], vectors: Vectors) -> None:
    for chooser in choosers.values():
        chooser.add(vectors)


def _why_unseen(error: ClipError | OSError) -> str:
    if isinstance(error, OSError):
        return f"no frame: {error.strerror or error}"
    if error.code == "missing-file":
        return f"no frame: the clip was not kept, and its source is gone ({escape(error.detail)})"
    return f"no frame: {escape(error.detail)}"

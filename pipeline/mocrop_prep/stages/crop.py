"""Stage 3: a clip's motion vectors become one row of the crop manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mocrop_manifests import Clip, CropRow
from mocrop_manifests.tables import columns

from mocrop_prep.config import CropSettings
from mocrop_prep.foreground.framing import ForegroundChooser
from mocrop_prep.methods import Choice, Chooser, CropChooser
from mocrop_prep.motion import clip_seed
from mocrop_prep.vectors import ClipInfo, read_vectors


def crop_clip(motion: Path, clip: Clip, settings: CropSettings) -> CropRow:
    """Choose the crop of one clip from its vectors file; raises ClipError."""
    info, batches = read_vectors(motion)
    chooser = clip_chooser(clip, info, settings)
    for vectors in batches:
        chooser.add(vectors)
    return crop_row(clip, info, chooser.choose(), settings)


def clip_chooser(clip: Clip, info: ClipInfo, settings: CropSettings) -> Chooser:
    """Return the chooser for one clip, with its own sampling seed."""
    if needs_appearance(settings):
        return ForegroundChooser(settings, info)
    return CropChooser(settings, info.width, info.height, clip_seed(settings.seed, clip.clip_id))


def needs_appearance(settings: CropSettings) -> bool:
    """Say whether the method looks at pictures too."""
    return settings.method == "foreground"


def crop_row(clip: Clip, info: ClipInfo, choice: Choice, settings: CropSettings) -> CropRow:
    """Return the manifest row of a clip and its crop."""
    box = choice.box
    return CropRow(
        **_known(clip, settings),
        grid="x".join(map(str, choice.density.cells.shape)),
        status="fallback" if choice.reason else "ok",
        reason=choice.reason,
        width=info.width,
        height=info.height,
        fps=info.fps,
        frames=info.frames,
        key_frames=len(info.key_frames),
        x=box.x,
        y=box.y,
        w=box.w,
        h=box.h,
        area=box.w * box.h / (info.width * info.height),
        vectors=choice.density.vectors,
        kept=choice.density.kept,
        sampled=choice.density.sampled,
        motion_inside=choice.motion_inside,
        score=choice.score,
        confidence=choice.confidence,
    )


def failed_row(clip: Clip, code: str, settings: CropSettings) -> CropRow:
    """Return the manifest row of a clip that failed in this stage or an earlier one."""
    values: dict[str, Any] = dict.fromkeys(columns(CropRow))
    return CropRow(**values | _known(clip, settings) | {"grid": "", "status": "failed", "reason": code})


def packed(row: CropRow) -> list[Any]:
    """Return a row as it stands in a record: its values in the order of the columns."""
    return [getattr(row, name) for name in columns(CropRow)]


def unpacked(values: Mapping[str, Any] | Sequence[Any], **known: Any) -> CropRow:
    """Return the row that a record holds, with what is known better; older releases recorded names too."""
    named = values if isinstance(values, Mapping) else dict(zip(columns(CropRow), values, strict=False))
    return CropRow(**{**named, **known})


def _known(clip: Clip, settings: CropSettings) -> dict[str, Any]:
    return {
        "clip_id": clip.clip_id,
        "path": clip.path,
        "label": clip.label,
        "label_name": clip.label_name,
        "split": clip.split,
        "group": clip.group,
        "method": settings.method,
        "seed": clip_seed(settings.seed, clip.clip_id),
        "config": settings.digest(),
    }

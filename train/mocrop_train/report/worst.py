"""The test clips that a model does worst on, and what it saw of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mocrop_manifests import read_dataset
from PIL import Image

from mocrop_train.data import jpegs
from mocrop_train.data.crops import Crop, crops_of
from mocrop_train.data.loading import ClipFrames
from mocrop_train.errors import TrainError
from mocrop_train.evaluation import metrics
from mocrop_train.evaluation.predictions import ClipPrediction, Predictions

MOST = 24
_SIDE = 224  # longest side of a thumbnail in px
_QUALITY = 82


@dataclass(frozen=True, slots=True)
class WorstClip:
    """A clip and its loss, -ln(probability of the true class) in nats; `why` says what it is shown for."""

    clip: ClipPrediction
    loss: float
    why: str


@dataclass(frozen=True, slots=True)
class Sight:
    """What a model saw of a clip: the frame at `position` of `stored`, as JPEG, and where its crop lies.

    size: (width, height) of the JPEG. `problem` says why there is no JPEG.
    """

    position: int
    stored: int
    jpeg: bytes = b""
    size: tuple[int, int] = (0, 0)
    crop: Crop | None = None
    problem: str = ""


def worst_clips(predictions: Predictions, most: int = MOST) -> list[WorstClip]:
    """Return clips to look at, at most so many: half by loss, then the surest mistakes that are left.

    A clip that is right and sure of it is not among them, however few there are.
    """
    labels, predicted, scores = metrics.arrays(predictions)
    losses = metrics.nll_per_clip(labels, scores)
    wrong = predicted != labels
    sure = np.where(wrong, scores.max(1, initial=0), -1)
    by_loss = [place for place in np.argsort(-losses, kind="stable") if wrong[place] or losses[place] > 0.7]
    first = by_loss[: (most + 1) // 2]
    by_sureness = [place for place in np.argsort(-sure, kind="stable") if wrong[place] and place not in first]
    chosen = [(place, "highest loss") for place in first]
    chosen += [(place, "sure and wrong") for place in by_sureness[: most - len(first)]]
    return [WorstClip(predictions.clips[place], float(losses[place]), why) for place, why in chosen]


def sights(shards: Path, predictions: Predictions, clips: Sequence[str]) -> dict[str, Sight]:
    """Return what there is to see of clips, by clip_id; without those that the shard set does not hold.

    Raises TrainError or ManifestError if the set cannot be read.
    """
    index = read_dataset(shards)
    source = ClipFrames(shards, index, predictions.split)
    places = {entry.clip_id: place for place, entry in enumerate(source.clips)}
    held = [name for name in clips if name in places]
    crops = crops_of(shards, index, predictions.split, held)
    return {name: _sight(source, places[name], crops.get(name)) for name in held}


def _sight(source: ClipFrames, place: int, crop: Crop | None) -> Sight:
    stored = source.clips[place].frames
    position = stored // 2
    try:
        jpeg, size = _thumbnail(source.encoded(place, [position])[0])
    except (TrainError, jpegs.PictureError) as error:
        return Sight(position, stored, crop=crop, problem=str(error))
    return Sight(position, stored, jpeg, size, crop)


def _thumbnail(jpeg: bytes) -> tuple[bytes, tuple[int, int]]:
    """Return a JPEG scaled down, and its width and height; raises PictureError for what is none."""
    picture = Image.fromarray(jpegs.decode(jpeg).permute(1, 2, 0).contiguous().numpy())
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=_QUALITY, optimize=True)
    return out.getvalue(), picture.size

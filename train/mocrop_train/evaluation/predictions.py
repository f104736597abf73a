"""Prediction files: what a model said of every clip of a split, for people and for mocrop-compare."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mocrop_manifests.clips import CLIP_ID
from mocrop_manifests.records import read_document, typed_fields

from mocrop_train.errors import TrainError

FORMAT = "mocrop-predictions"
VERSION = 2
_DIGITS = 6
_FAR_FROM_1 = 0.01  # rounding alone moves the sum of a thousand scores by less
_LEAST_OF_V1 = 5e-7  # six decimals: what was less was written as 0


@dataclass(frozen=True, slots=True)
class ClipPrediction:
    """One clip: its true label, the predicted one, and a probability for every class.

    frames: how many were looked at; 0 where that is not known, in files of version 1.
    """

    clip_id: str
    group: str
    label: int
    prediction: int
    scores: list[float]
    frames: int = 0


@dataclass(frozen=True, slots=True)
class Predictions:
    """All clips of a split, sorted by clip_id; accuracies are shares of clips, from 0 to 1.

    `shards` is the name of the shard set, `checkpoint` RUN/FILE. `per_class` holds the top-1 accuracy of
    every class that has clips; `top5` counts a clip as right if its class is among the five likeliest, so
    with five classes or fewer it is 1.

    What follows `clips` is empty, or None, in files of version 1. calibration: nll, ece and brier, see
    metrics.Calibration. crops: the name of the set's crop manifest. shards_sha256: of dataset.json;
    weights_sha256: see checkpoint.digest. selected_on: what the checkpoint was chosen by among the epochs of
    its run, one of splits.SELECTED_ON; test makes its accuracy on test too good. seed: of the run.
    """

    shards: str
    split: str
    classes: list[str]
    model: str
    checkpoint: str
    top1: float
    top5: float
    per_class: dict[str, float]
    clips: list[ClipPrediction]
    calibration: dict[str, float] = field(default_factory=dict)
    crops: str = ""
    shards_sha256: str = ""
    weights_sha256: str = ""
    selected_on: str = ""
    seed: int | None = None


def rounded(score: float) -> float:
    """Return a probability as files hold it: with six significant digits, so that its logarithm is kept."""
    return float(f"{score:.{_DIGITS}g}")


def write_predictions(predictions: Predictions) -> str:
    """Return the text of a prediction file; the same predictions give the same bytes."""
    body = {"format": FORMAT, "version": VERSION, **dataclasses.asdict(predictions)}
    clips = [json.dumps(clip, ensure_ascii=False) for clip in body.pop("clips")]
    head = json.dumps(body, indent=1, ensure_ascii=False).removesuffix("\n}")
    # one line per clip: files that people can diff
    return head + ',\n "clips": [\n  ' + ",\n  ".join(clips) + "\n ]\n}\n"


def read_predictions(path: Path) -> Predictions:
    """Read a prediction file of any version; raises TrainError that names the file and what is wrong with it.

    Version 1 rounded scores to six decimals; a score of 0 there is read as 5e-7, the most it can have been.
    """
    body = _read_body(path)
    try:
        fields = typed_fields(Predictions, body)
        clips = [ClipPrediction(**typed_fields(ClipPrediction, clip)) for clip in fields.pop("clips")]
    except KeyError as error:
        raise TrainError(f"{path}: incomplete: {error}") from None
    except TypeError as error:
        raise TrainError(f"{path}: {error}") from None
    for clip in clips:
        _check_clip(path, clip, len(fields["classes"]))
    if len({clip.clip_id for clip in clips}) < len(clips):
        raise TrainError(f"{path}: a clip occurs twice")
    return Predictions(**fields, clips=sorted(clips, key=lambda clip: clip.clip_id))


def _read_body(path: Path) -> dict[str, Any]:
    """Return what a prediction file says, in the form of the newest version."""
    body = read_document(
        path, TrainError, what="a prediction file of mocrop-train", form=FORMAT, version=VERSION, oldest=1
    )
    return _from_version_1(body) if body["version"] == 1 else body


def _from_version_1(body: dict[str, Any]) -> dict[str, Any]:
    texts = ("crops", "shards_sha256", "weights_sha256", "selected_on")
    untold: dict[str, Any] = {"calibration": {}, "seed": None, **dict.fromkeys(texts, "")}
    clips = body.get("clips")
    if isinstance(clips, list):
        clips = [_clip_from_version_1(clip) if isinstance(clip, dict) else clip for clip in clips]
        untold["clips"] = clips
    return body | untold


def _clip_from_version_1(clip: dict[str, Any]) -> dict[str, Any]:
    scores = clip.get("scores")
    if isinstance(scores, list):
        scores = [_LEAST_OF_V1 if score == 0 else score for score in scores]
        clip = clip | {"scores": scores}
    return clip | {"frames": 0}


def _check_clip(path: Path, clip: ClipPrediction, classes: int) -> None:
    if not CLIP_ID.fullmatch(clip.clip_id):
        raise TrainError(f"{path}: {clip.clip_id!r} is no clip id")
    if not (0 <= clip.label < classes and 0 <= clip.prediction < classes == len(clip.scores)):
        raise TrainError(
            f"{path}: clip {clip.clip_id!r} has a label or scores that are not of {classes} classes"
        )
    if not all(0 <= score <= 1 for score in clip.scores) or abs(sum(clip.scores) - 1) > _FAR_FROM_1:
        raise TrainError(f"{path}: clip {clip.clip_id!r} has scores that are no probabilities")

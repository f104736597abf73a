"""Prediction files: what a model said of every clip of a split, for people and for mocrop-compare."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from mocrop_manifests.clips import CLIP_ID
from mocrop_manifests.records import parse_json, typed_fields

from mocrop_train.errors import TrainError

FORMAT = "mocrop-predictions"
VERSION = 1


@dataclass(frozen=True, slots=True)
class ClipPrediction:
    """One clip: its true label, the predicted one, and a probability for every class."""

    clip_id: str
    group: str
    label: int
    prediction: int
    scores: list[float]


@dataclass(frozen=True, slots=True)
class Predictions:
    """All clips of a split, sorted by clip_id; accuracies are shares of clips, from 0 to 1.

    `per_class` holds the top-1 accuracy of every class that has clips; `top5` counts a clip as right if
    its class is among the five likeliest, so with five classes or fewer it is 1.
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


def write_predictions(predictions: Predictions) -> str:
    """Return the text of a prediction file; the same predictions give the same bytes."""
    body = {"format": FORMAT, "version": VERSION, **dataclasses.asdict(predictions)}
    clips = [json.dumps(clip, ensure_ascii=False) for clip in body.pop("clips")]
    head = json.dumps(body, indent=1, ensure_ascii=False).removesuffix("\n}")
    # one line per clip: files that people can diff
    return head + ',\n "clips": [\n  ' + ",\n  ".join(clips) + "\n ]\n}\n"


def read_predictions(path: Path) -> Predictions:
    """Read a prediction file; raises TrainError that names the file and what is wrong with it."""
    try:
        body = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise TrainError(f"{path}: no such file") from None
    except OSError as error:
        raise TrainError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise TrainError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise TrainError(f"{path}: not a prediction file of mocrop-train")
    if body.get("version") != VERSION:
        raise TrainError(f"{path}: version {body.get('version')!r} of {FORMAT}; this release reads {VERSION}")
    try:
        fields = typed_fields(Predictions, body)
        clips = [ClipPrediction(**typed_fields(ClipPrediction, clip)) for clip in fields.pop("clips")]
    except KeyError as error:
        raise TrainError(f"{path}: incomplete: {error}") from None
    except TypeError as error:
        raise TrainError(f"{path}: {error}") from None
    classes = len(fields["classes"])
    for clip in clips:
        if not CLIP_ID.fullmatch(clip.clip_id):
            raise TrainError(f"{path}: {clip.clip_id!r} is no clip id")
        if not (0 <= clip.label < classes and 0 <= clip.prediction < classes == len(clip.scores)):
            raise TrainError(
                f"{path}: clip {clip.clip_id!r} has a label or scores that are not of {classes} classes"
            )
    if len({clip.clip_id for clip in clips}) < len(clips):
        raise TrainError(f"{path}: a clip occurs twice")
    return Predictions(**fields, clips=sorted(clips, key=lambda clip: clip.clip_id))

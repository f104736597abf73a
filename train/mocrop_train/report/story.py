"""What the files of a run folder tell, for the report: config.json, log.csv, predictions.json, best.pt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mocrop_manifests.records import parse_json

from mocrop_train.errors import TrainError, printable
from mocrop_train.evaluation.predictions import Predictions, read_predictions
from mocrop_train.run import checkpoint, runfolder


@dataclass(frozen=True, slots=True)
class Story:
    """A run as its files tell it; what is not there is empty or None.

    settings: resolved, by field. shards: name and path of the set trained on. selected_on: what the epoch was
    chosen by. best: the epoch, from 1, of best.pt. history: one row per epoch, the columns of log.csv.
    """

    name: str
    settings: dict[str, Any]
    shards: dict[str, str]
    versions: dict[str, str]
    selected_on: str
    best: int | None
    history: list[dict[str, float]]
    predictions: Predictions | None


def read_story(folder: Path, predictions: Path | None = None) -> Story:
    """Read a run folder; `predictions` are those on test, predictions.json of the folder by default.

    Raises TrainError if it is no run folder, or a file of it is damaged.
    """
    path = folder / "config.json"
    try:
        body = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise TrainError(f"{folder}: no config.json there, so it is no run folder of mocrop-train") from None
    except ValueError as error:
        raise TrainError(f"{path}: not valid JSON: {error}") from None
    log, scores = folder / "log.csv", predictions or folder / "predictions.json"
    return Story(
        name=folder.resolve().name,
        settings={name: _frozen(value) for name, value in _table(body, "config").items()},
        shards=_texts(_table(body, "shards")),
        versions=_texts(_table(body, "versions")),
        selected_on=str(_table(body, "selection").get("on", "")),
        best=_epoch_of(folder / "best.pt"),
        history=runfolder.read_log(log) if log.exists() else [],
        predictions=_shown(read_predictions(scores)) if scores.exists() else None,
    )


def _epoch_of(best: Path) -> int | None:
    try:
        return int(checkpoint.load(best, mapped=True)["epoch"])
    except TrainError:  # a folder whose weights were left behind has its report nevertheless
        return None


def _shown(predictions: Predictions) -> Predictions:
    """Return predictions whose names can be shown: classes and groups may be called anything."""
    return replace(
        predictions,
        classes=[printable(name) for name in predictions.classes],
        clips=[replace(clip, group=printable(clip.group)) for clip in predictions.clips],
    )


def _table(body: Any, name: str) -> dict[str, Any]:
    found = body.get(name) if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _texts(table: dict[str, Any]) -> dict[str, str]:
    return {name: printable(value) for name, value in table.items() if isinstance(value, str)}

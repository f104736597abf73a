"""What is kept of an evaluation: predictions, numbers, and the pictures of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mocrop_manifests.files import publish_bytes, publish_text

from mocrop_train.errors import TrainError
from mocrop_train.evaluation import metrics
from mocrop_train.evaluation.predictions import Predictions, write_predictions
from mocrop_train.progress import log
from mocrop_train.report import plots
from mocrop_train.tables import csv_text

FORMAT = "mocrop-metrics"
VERSION = 1
BESIDE = ("metrics.json", "confusion.csv", "confusion.png", "reliability.png")
"""What is made of predictions.json alone."""


def write_results(folder: Path, predictions: Predictions, *, path: Path | None = None) -> None:
    """Write what predictions are worth into a folder, each file whole or not at all.

    predictions.json (elsewhere with `path`), metrics.json, confusion.csv (rows true, columns predicted), and
    confusion.png and reliability.png unless matplotlib is missing, which a warning tells.
    """
    publish_text(path or folder / "predictions.json", write_predictions(predictions))
    matrix = metrics.confusion(predictions)
    calibration = metrics.calibration(predictions)
    body = json.dumps(_numbers(predictions, matrix.tolist(), calibration), indent=1, ensure_ascii=False)
    publish_text(folder / "metrics.json", body + "\n")
    rows = zip(predictions.classes, matrix.tolist(), strict=True)
    head = ("true class", *predictions.classes)
    publish_text(folder / "confusion.csv", csv_text([head, *((name, *map(str, row)) for name, row in rows)]))
    try:
        publish_bytes(folder / "confusion.png", plots.confusion_png(matrix, predictions.classes))
        publish_bytes(folder / "reliability.png", plots.reliability_png(calibration))
    except TrainError as error:  # hours of training are worth more than two pictures
        log.warning("%s", error)


def _numbers(
    predictions: Predictions, matrix: list[list[int]], calibration: metrics.Calibration
) -> dict[str, Any]:
    """Return what metrics.json says: shares from 0 to 1, of clips; None where a class has none."""
    clips = len(predictions.clips)
    right = sum(row[label] for label, row in enumerate(matrix))
    said = [sum(column) for column in zip(*matrix, strict=True)]
    return {
        "format": FORMAT,
        "version": VERSION,
        "shards": predictions.shards,
        "split": predictions.split,
        "checkpoint": predictions.checkpoint,
        "selected_on": predictions.selected_on,
        "clips": clips,
        "top1": predictions.top1,
        "top1_interval": metrics.wilson(right, clips),
        "top5": predictions.top5,
        **calibration.numbers(),
        "bins": [
            dict(zip(("confidence", "accuracy", "clips"), each, strict=True)) for each in calibration.bins
        ],
        "classes": [
            {
                "name": name,
                "clips": sum(row),
                "right": row[label],
                "predicted": said[label],
                "recall": row[label] / sum(row) if sum(row) else None,
                "precision": row[label] / said[label] if said[label] else None,
            }
            for label, (name, row) in enumerate(zip(predictions.classes, matrix, strict=True))
        ],
    }

"""Prediction files of the table's cells: whole protocols, made of the parts that its divisions test."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import joblib
import numpy as np
from mocrop_manifests.files import publish_text, sha256
from mocrop_train.config import TrainConfig
from mocrop_train.data.shards import ClipEntry
from mocrop_train.evaluation import metrics
from mocrop_train.evaluation.predictions import (
    ClipPrediction,
    Predictions,
    read_predictions,
    rounded,
    write_predictions,
)
from numpy.typing import NDArray
from torch import Tensor

from tests.benchmarks.table_one.deciding import decisive, short_digest
from tests.benchmarks.table_one.design import Cell, Division, Variant, by_training


class Tester(Protocol):
    """Trains on what a division leaves and tests on what it holds out; so many at once as `jobs`."""

    @property
    def sets(self) -> dict[Variant, Path]:
        """The folders of the shard sets."""
        ...

    @property
    def jobs(self) -> int:
        """How many processes may call `test` side by side."""
        ...

    def prepare(self) -> None:
        """Do what all tests need, once."""
        ...

    def settings(self, train: Variant, seed: int) -> TrainConfig:
        """Return the resolved settings of a training."""
        ...

    def test(
        self, train: Variant, tests: Sequence[Variant], division: Division, seed: int
    ) -> dict[Variant, Predictions]:
        """Return what the network that was trained on `train` says of the held-out clips of each set."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """Who is right in a cell: bool (seeds, clips), in the order of clip ids.

    groups: that of each clip, numbered from 0. top5: the mean over the seeds.
    """

    right: NDArray[np.bool_]
    groups: NDArray[np.int64]
    top5: float


def predict_cells(
    tester: Tester,
    wanted: Sequence[Cell],
    divisions: Sequence[Division],
    seeds: int,
    folder: Path,
    advance: Callable[[], None],
) -> dict[Cell, list[Path]]:
    """Return the prediction files of every cell, one a seed; what is not in `folder` is computed.

    A file holds every clip that the divisions test, once. Its name ends in a digest of all that decides it:
    settings, shard sets and divisions. `advance` is called after each training set and seed.
    """
    files: dict[Cell, list[Path]] = {}
    missing = []
    for train, tests in by_training(wanted).items():
        for seed in range(seeds):
            names = {test: folder / _name(tester, Cell(train, test), divisions, seed) for test in tests}
            for test, file in names.items():
                files.setdefault(Cell(train, test), []).append(file)
            left = {test: file for test, file in names.items() if not file.exists()}
            if left:
                missing.append(joblib.delayed(_predict)(tester, train, left, divisions, seed))
            else:
                advance()
    if missing:
        tester.prepare()
    for _ in joblib.Parallel(n_jobs=tester.jobs, return_as="generator_unordered")(missing):
        advance()
    return files


def _predict(
    tester: Tester, train: Variant, files: dict[Variant, Path], divisions: Sequence[Division], seed: int
) -> None:
    """Train on one set with one seed, division by division, and write what is said of the tested sets."""
    parts = [tester.test(train, list(files), division, seed) for division in divisions]
    for test, file in files.items():
        publish_text(file, write_predictions(joined([part[test] for part in parts])))


def read_outcome(files: Sequence[Path]) -> Outcome:
    """Return who is right in a cell from the prediction files of its seeds."""
    seeds = [read_predictions(file) for file in files]
    _, groups = np.unique([clip.group for clip in seeds[0].clips], return_inverse=True)
    # clips are sorted by id in every file, and the files of a cell are of the same divisions
    right = np.array([[clip.prediction == clip.label for clip in one.clips] for one in seeds])
    return Outcome(right, groups.astype(np.int64), float(np.mean([one.top5 for one in seeds])))


def predictions_of(
    logits: Tensor,
    clips: Sequence[ClipEntry],
    classes: list[str],
    test: Variant,
    config: TrainConfig,
    train: Variant,
) -> Predictions:
    """Return logits (clips, classes) as predictions of the set `test`, by a head that has no file."""
    scores = logits.double().softmax(1).tolist()
    rows = zip(clips, logits.argmax(1).tolist(), scores, strict=True)
    found = [
        ClipPrediction(
            clip_id=clip.clip_id,
            group=clip.group,
            label=clip.label,
            prediction=best,
            scores=[rounded(share) for share in shares],
            frames=clip.frames,
        )
        for clip, best, shares in rows
    ]
    name = f"{config.model} head on {train}, seed {config.seed}"
    said = scored(found, shards=str(test), classes=classes, model=config.model, checkpoint=name)
    return dataclasses.replace(said, crops=test.crop, seed=config.seed)


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Return the predictions of several divisions as those of one test."""
    first = parts[0]
    clips = [clip for part in parts for clip in part.clips]
    whole = scored(
        clips, shards=first.shards, classes=first.classes, model=first.model, checkpoint=first.checkpoint
    )
    return dataclasses.replace(whole, crops=first.crops, seed=first.seed)


def scored(
    clips: Sequence[ClipPrediction], *, shards: str, classes: list[str], model: str, checkpoint: str
) -> Predictions:
    """Return predictions with their accuracies."""
    labels = np.array([clip.label for clip in clips], np.int64)
    predicted = np.array([clip.prediction for clip in clips], np.int64)
    scores = np.array([clip.scores for clip in clips])
    recalls = metrics.recalls(metrics.confusion_of(labels, predicted, len(classes)))
    return Predictions(
        shards=shards,
        split="test",
        classes=classes,
        model=model,
        checkpoint=checkpoint,
        top1=float((labels == predicted).mean()),
        top5=metrics.top_k(labels, scores, 5),
        per_class={name: share for name, share in zip(classes, recalls, strict=True) if share is not None},
        clips=sorted(clips, key=lambda clip: clip.clip_id),
    )


def _name(tester: Tester, cell: Cell, divisions: Sequence[Division], seed: int) -> str:
    decides = {
        "config": decisive(tester.settings(cell.train, seed)),
        "sets": [sha256(tester.sets[variant] / "dataset.json") for variant in (cell.train, cell.test)],
        "divisions": [[division.name, sorted(division.tested)] for division in divisions],
    }
    return f"{cell.train}/{cell.test}/seed{seed}-{short_digest(decides)}.json"

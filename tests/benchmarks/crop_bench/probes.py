"""Who trains and who is tested: group folds with all clips or few of a class, alike for all crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import joblib
import numpy as np
import torch
from mocrop_manifests import Clip
from mocrop_prep.config import RunSettings
from mocrop_prep.runner import worker_count
from numpy.typing import NDArray

from tests.benchmarks.crop_bench.head import predict

SHOTS = (None, 5, 2)
"""Training clips a class: all of the training folds, and few of them."""
DRAWS = 8
SEED = 0


@dataclass(frozen=True, slots=True)
class Split:
    """One training set and the clips it is tested on, as positions in the set; `draw` counts its like."""

    draw: int
    train: NDArray[np.int64]
    test: NDArray[np.int64]


def splits(clips: Sequence[Clip], folds: int, shots: int | None) -> list[Split]:
    """Return the splits of a setting: whole groups are held out in turn, each clip is tested in every draw.

    With `shots`, DRAWS training sets of so many clips a class are drawn from the training folds.
    """
    names = sorted({clip.group for clip in clips})
    groups = np.array([names.index(clip.group) for clip in clips])
    labels = np.array([clip.label for clip in clips])
    found = []
    for fold, held in enumerate(np.array_split(np.arange(len(names)), folds)):
        tested = np.isin(groups, held)
        test, train = np.flatnonzero(tested), np.flatnonzero(~tested)
        if shots is None:
            found.append(Split(0, train, test))
            continue
        for draw in range(DRAWS):
            rng = np.random.default_rng([SEED, fold, draw, shots])
            some = [_drawn(rng, train[labels[train] == label], shots) for label in np.unique(labels)]
            found.append(Split(draw, np.concatenate(some), test))
    return found


def hits(
    features: NDArray[np.float32], clips: Sequence[Clip], parts: Sequence[Split], run: RunSettings
) -> NDArray[np.bool_]:
    """Return who is right: (contenders, draws, clips) from features (contenders, clips, width)."""
    labels = np.array([clip.label for clip in clips], np.int64)
    calls = (joblib.delayed(_hits)(one, labels, parts) for one in features)
    return np.stack(joblib.Parallel(n_jobs=worker_count(run))(calls))


def _hits(
    features: NDArray[np.float32], labels: NDArray[np.int64], parts: Sequence[Split]
) -> NDArray[np.bool_]:
    torch.set_num_threads(1)
    all_features, all_labels = torch.from_numpy(features), torch.from_numpy(labels)
    right = np.zeros((1 + max(part.draw for part in parts), len(labels)), bool)
    for part in parts:
        train = torch.from_numpy(part.train)
        found = predict(
            all_features[train], all_labels[train], all_features[part.test], int(labels.max()) + 1
        )
        right[part.draw, part.test] = (found == all_labels[part.test]).numpy()
    return right


def _drawn(rng: np.random.Generator, some: NDArray[np.int64], shots: int) -> NDArray[np.int64]:
    return np.sort(rng.permutation(some)[:shots])

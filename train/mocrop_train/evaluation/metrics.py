"""What predictions are worth: accuracies, confusions, calibration. Every number over clips, in float64.

The functions of arrays are shared by all who score: an epoch's end, evaluation, reports, comparisons.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mocrop_train.errors import TrainError
from mocrop_train.evaluation.predictions import Predictions

BINS = 15
_Z95 = 1.959963984540054  # the normal distribution has 95 % within so many standard deviations
_LEAST = np.nextafter(0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far the probabilities of a model can be believed; 0 is the best value of each number.

    ece: expected calibration error, the mean distance of confidence and accuracy in equal-width bins of
    confidence, weighted by clips (Guo et al., "On Calibration of Modern Neural Networks", 2017, sec. 2).
    nll: mean of -ln(probability of the true class), nats. brier: mean over clips of the squared distance of
    the probabilities from the truth, summed over classes, 0 to 2 (Brier 1950).
    bins: (mean confidence, accuracy, clips) of the confidences in (i/n, (i+1)/n], i from 0; (0, 0, 0) where
    there are none.
    """

    ece: float
    nll: float
    brier: float
    bins: list[tuple[float, float, int]]

    def numbers(self) -> dict[str, float]:
        """Return the three numbers by name, as prediction files hold them."""
        return {"nll": self.nll, "ece": self.ece, "brier": self.brier}


def confusion(predictions: Predictions) -> NDArray[np.int64]:
    """Count clips by class: int64 (classes, classes), rows the true class, columns the predicted one."""
    labels, predicted, _ = arrays(predictions)
    return confusion_of(labels, predicted, len(predictions.classes))


def calibration(predictions: Predictions, bins: int = BINS) -> Calibration:
    """Return the calibration of predictions, from the scores that their file holds.

    These are rounded, see predictions.rounded: relative errors up to 5e-6, so that nll is off by as much at
    most. Files of version 1 hold six decimals, and their nll is no more than an estimate.
    """
    labels, predicted, scores = arrays(predictions)
    return calibration_of(labels, predicted, scores, bins)


def arrays(predictions: Predictions) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return labels and predicted classes, int64 (clips,), and probabilities, float64 (clips, classes)."""
    labels = np.array([clip.label for clip in predictions.clips], dtype=np.int64)
    predicted = np.array([clip.prediction for clip in predictions.clips], dtype=np.int64)
    scores = np.array([clip.scores for clip in predictions.clips], dtype=np.float64)
    return labels, predicted, scores.reshape(len(labels), len(predictions.classes))


def top_k(labels: NDArray[np.int64], scores: NDArray[np.float64], k: int) -> float:
    """Return the share of clips whose true class is among the k likeliest; of equal ones the first counts."""
    _need_clips(labels)
    own = np.take_along_axis(scores, labels[:, None], 1)
    before = np.arange(scores.shape[1]) < labels[:, None]
    ranks = ((scores > own) | ((scores == own) & before)).sum(1)
    return float((ranks < k).mean())


def confusion_of(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Count clips by true class (rows) and predicted one (columns): int64 (classes, classes)."""
    counts = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return counts.astype(np.int64).reshape(classes, classes)


def recalls(matrix: NDArray[np.int64]) -> list[float | None]:
    """Return the share of each class's clips that are right, from a confusion matrix; None without clips."""
    seen, right = matrix.sum(1).tolist(), matrix.diagonal().tolist()
    return [hits / clips if clips else None for hits, clips in zip(right, seen, strict=True)]


def nll_per_clip(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return -ln(probability of the true class) of each clip, float64 (clips,), in nats.

    A probability that is 0 as a float counts as the least float above 0: a loss of 744.
    """
    own = np.take_along_axis(scores, labels[:, None], 1)[:, 0]
    found: NDArray[np.float64] = -np.log(np.maximum(own, _LEAST))
    return found


def calibration_of(
    labels: NDArray[np.int64],
    predicted: NDArray[np.int64],
    scores: NDArray[np.float64],
    bins: int = BINS,
) -> Calibration:
    """Return the calibration of probabilities (clips, classes); raises TrainError without clips."""
    _need_clips(labels)
    clips = np.arange(len(labels))
    confidence, right = scores[clips, predicted], predicted == labels
    numbers = np.digitize(confidence, np.arange(1, bins) / bins, right=True)
    counts = np.bincount(numbers, minlength=bins)
    share = np.maximum(counts, 1)
    means = np.bincount(numbers, weights=confidence, minlength=bins) / share
    hits = np.bincount(numbers, weights=right, minlength=bins) / share
    truth = np.zeros_like(scores)
    truth[clips, labels] = 1
    return Calibration(
        ece=float((counts * np.abs(means - hits)).sum() / len(labels)),
        nll=float(nll_per_clip(labels, scores).mean()),
        brier=float(((scores - truth) ** 2).sum(1).mean()),
        bins=list(zip(means.tolist(), hits.tolist(), counts.tolist(), strict=True)),
    )


def wilson(right: int, clips: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, here of `right` among `clips` that are independent.

    It stays within 0 to 1 and is sound for few clips and for shares near the ends (Wilson, "Probable
    inference, the law of succession, and statistical inference", 1927).
    """
    share, z2 = right / clips, _Z95**2
    middle = (share + z2 / (2 * clips)) / (1 + z2 / clips)
    half = _Z95 / (1 + z2 / clips) * float(np.sqrt(share * (1 - share) / clips + z2 / (4 * clips**2)))
    return (0.0 if right == 0 else middle - half), (1.0 if right == clips else middle + half)


def _need_clips(labels: NDArray[np.int64]) -> None:
    if not len(labels):
        raise TrainError("no clips to score")

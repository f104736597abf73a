"""How like two pictures are."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_MOST = 100.0  # dB; equal pictures have no end of it
_DATA_RANGE = 255


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the peak signal-to-noise ratio in dB of two planes, 100 at the most."""
    return min(_MOST, float(cv2.PSNR(a, b)))


def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the mean structural similarity of two planes, at most 1.

    With the constants of its authors: Wang et al., "Image Quality Assessment: From Error Visibility to
    Structural Similarity", 2004, sec. III.B: Gaussian windows of 11x11, sigma 1.5.
    """
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = _blurred(x), _blurred(y)
    variance_x, variance_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    small, smaller = (0.01 * _DATA_RANGE) ** 2, (0.03 * _DATA_RANGE) ** 2
    likeness = (2 * mean_x * mean_y + small) * (2 * covariance + smaller)
    likeness /= (mean_x**2 + mean_y**2 + small) * (variance_x + variance_y + smaller)
    return float(likeness.mean())


def _blurred(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(plane, (11, 11), 1.5), np.float64)

"""Motion vectors as the decoder hands them over, for tests that need no video."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from mocrop_prep.vectors import AV_MOTION_VECTOR, Vectors

# a busy machine is no failure
settings.register_profile("unit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")

VectorMaker = Callable[[Sequence[tuple[int, int, int, int, int]]], Vectors]


@pytest.fixture(scope="session")
def make_vectors() -> VectorMaker:
    """Make vectors of (dst_x, dst_y, motion_x, motion_y, scale) by way of libavcodec's memory layout."""

    def make(rows: Sequence[tuple[int, int, int, int, int]]) -> Vectors:
        # 0xAB in every byte that is not set: padding is never zero in a real buffer either
        raw = np.frombuffer(b"\xab" * (40 * len(rows)), AV_MOTION_VECTOR).copy()
        table = np.array(rows, np.int64).reshape(-1, 5)
        for column, name in enumerate(("dst_x", "dst_y", "motion_x", "motion_y", "scale")):
            raw[name] = table[:, column]
        raw["source"], raw["w"], raw["h"] = -1, 16, 16
        return Vectors(
            np.ones(len(raw), np.int32), *(raw[name].copy() for name in AV_MOTION_VECTOR.names or ())
        )

    return make

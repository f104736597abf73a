"""Sources that several reliability tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.films import WEB, XVID, encode, moving_square


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips that take no time, and little room."""
    root = tmp_path_factory.mktemp("tiny") / "clips"
    encode(root / "walk/v_walk_g01_c01.avi", moving_square(8, size=(64, 48)), XVID)
    encode(root / "walk/v_walk_g02_c01.mp4", moving_square(8, size=(64, 48), seed=1), WEB)
    encode(root / "run/v_run_g02_c01.mkv", moving_square(8, size=(64, 48), seed=2), WEB)
    return root

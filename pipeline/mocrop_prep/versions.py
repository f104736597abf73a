"""The versions that outputs depend on."""

from __future__ import annotations

import cv2
import numpy as np
import pyarrow as pa
from mocrop_manifests import __version__

from mocrop_prep.video import library_versions


def tool_versions() -> dict[str, str]:
    """Return the versions of this package and of all that its outputs depend on, by name."""
    libraries = {"numpy": np.__version__, "opencv": cv2.__version__, "pyarrow": pa.__version__}
    return {"mocrop": __version__, **library_versions(), **libraries}

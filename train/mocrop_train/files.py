"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def publish(path: Path, write: Callable[[Path], Any]) -> None:
    """Put what `write` writes to a temporary file in the place of `path`, in one step; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Publish a UTF-8 text file with LF line ends."""
    publish(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))

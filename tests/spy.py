"""What a program asks of the disk, in order: the real calls, done as they are, and noted."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Call:
    """One call; `digest` is the SHA-256 of a file's content at that moment, empty for folders."""

    name: str
    path: Path
    digest: str = ""
    target: Path | None = None


@contextmanager
def disk_calls() -> Iterator[list[Call]]:
    """Note the calls of fsync, replace, mkdir and unlink that this process makes meanwhile."""
    calls: list[Call] = []
    with pytest.MonkeyPatch.context() as patch:
        fsync, replace, mkdir, unlink = os.fsync, os.replace, os.mkdir, os.unlink

        def noting_fsync(descriptor: int) -> None:
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            calls.append(Call("fsync", path, _digest(path)))
            fsync(descriptor)

        def noting_replace(source: Any, target: Any, **options: Any) -> None:
            calls.append(Call("replace", Path(source), _digest(Path(source)), Path(target)))
            replace(source, target, **options)

        def noting_mkdir(path: Any, *arguments: Any, **options: Any) -> None:
            mkdir(path, *arguments, **options)
            calls.append(Call("mkdir", Path(path)))

        def noting_unlink(path: Any, **options: Any) -> None:
            unlink(path, **options)
            calls.append(Call("unlink", Path(path)))

        patch.setattr(os, "fsync", noting_fsync)
        patch.setattr(os, "replace", noting_replace)
        patch.setattr(os, "mkdir", noting_mkdir)
        patch.setattr(os, "unlink", noting_unlink)
        yield calls


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""

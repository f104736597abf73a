"""Small disks: file systems in memory, in a mount namespace of their own, so that any user may have one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Disk:
    """A mounted file system: `path` is its root for commands that are run `through` the namespace.

    seen: the same folder for this process.
    """

    path: Path
    seen: Path
    through: tuple[str, ...]

    def mount(self, options: str) -> None:
        """Mount it again, with other options."""
        subprocess.run([*self.through, "mount", "-o", f"remount,{options}", self.path], check=True)


@contextmanager
def disk(place: Path, options: str) -> Iterator[Disk]:
    """Mount a file system in memory at `place`; skips where that is not allowed."""
    place.mkdir()
    namespace = ["unshare", "--mount", "--map-root-user"]
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("no unshare or nsenter here to mount a small disk with")
    script = 'mount -t tmpfs -o "$1" none "$2" && echo ready && exec sleep infinity'
    with subprocess.Popen(
        [*namespace, "sh", "-c", script, "sh", options, place],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as holder:
        try:
            assert holder.stdout is not None
            if holder.stdout.readline() != "ready\n":
                pytest.skip(f"a small disk cannot be mounted here: {holder.communicate()[1].strip()}")
            enter = ("nsenter", "--target", str(holder.pid), "--user", "--mount", "--preserve-credentials")
            yield Disk(place, Path(f"/proc/{holder.pid}/root{place}"), enter)
        finally:
            holder.kill()

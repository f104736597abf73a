"""What lies in a WORKDIR: every file that has a checksum to match is read once, many at a time."""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
from mocrop_manifests.files import TEMPORARY, sha256

from mocrop_prep.progress import Progress
from mocrop_prep.workdir import Workdir

Finding = tuple[str, str]
"""What was checked, and the problem: an empty text if there is none."""

_FOLDER = "a folder where a file should be"
_LEAST_READERS = 8  # reading waits for the disk; hashing lets go of the interpreter


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it was found: `fault` is why it has no checksum, such as "missing", or an empty text.

    `is_denied` says that there may well be a sound file, which the system does not let us read.
    """

    size: int = 0
    sha256: str = ""
    fault: str = ""
    is_denied: bool = False

    def remedy(self, again: str) -> str:
        """Return the fault and what to do about it: out of the way with it, then do `again`."""
        if self.is_denied:
            return f"{self.fault}: mend that, then verify again"
        return f"{self.fault}: {'' if self.fault == 'missing' else 'move it away, then '}{again}"


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything found in the folders of a WORKDIR; `faults` are folders that could not be listed."""

    workdir: Workdir
    entries: Mapping[Path, Seen]
    faults: Mapping[Path, str]
    quiet: bool

    def of(self, path: Path) -> Seen:
        """Return a file as it was found; one that was not is missing."""
        return self.entries.get(path) or Seen(fault="missing")

    def inside(self, folder: Path) -> list[Path]:
        """Return what a folder holds, sorted."""
        return sorted(path for path in self.entries if path.parent == folder)

    def folders(self, folder: Path) -> list[Path]:
        """Return the folders in a folder, sorted."""
        return [path for path in self.inside(folder) if self.entries[path].fault == _FOLDER]


def take_inventory(workdir: Workdir, *, quiet: bool) -> Inventory:
    """Read the clip list and all of transcoded/, motion/, crops/ and shards/; no state of the disk raises."""
    faults: dict[Path, str] = {}
    paths = [workdir.clips_csv]
    for name in ("transcoded", "motion", "crops"):
        paths += _list(workdir.root / name, faults)
    for path in _list(workdir.root / "shards", faults):
        paths += [path, *_list(path, faults)]
    return Inventory(workdir, dict(look_at(paths, quiet=quiet)), faults, quiet)


def look_at(paths: Sequence[Path], *, quiet: bool) -> Iterator[tuple[Path, Seen]]:
    """Read files, many at a time, with progress on stderr unless `quiet`."""
    workers = max(_LEAST_READERS, joblib.cpu_count())
    parallel = joblib.Parallel(n_jobs=workers, backend="threading", return_as="generator")
    with Progress("verify", len(paths), quiet=quiet, unit="file") as progress:
        for path, seen in zip(paths, parallel(joblib.delayed(look)(path) for path in paths), strict=True):
            yield path, seen
            progress.advance()


def look(path: Path) -> Seen:
    """Read a file; whatever lies there instead is a fault, not an exception."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return Seen(fault=_FOLDER)
        if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
            return Seen(fault="not a file that holds data")
        return Seen(status.st_size, sha256(path))
    except FileNotFoundError:
        return Seen(fault="missing")
    except OSError as error:
        return Seen(fault=f"cannot be read ({error.strerror})", is_denied=error.errno != errno.ELOOP)


def _list(folder: Path, faults: dict[Path, str]) -> Iterator[Path]:
    """Yield what a folder holds, but not what a run is about to write; no folder, and it holds nothing."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        faults[folder] = f"cannot be listed ({error.strerror}): mend that, then verify again"
        return
    yield from (folder / name for name in names if not name.startswith(TEMPORARY))

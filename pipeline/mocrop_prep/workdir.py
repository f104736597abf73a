"""The WORKDIR: where everything lies, whose it is, and who may write to it now."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from mocrop_manifests import Clip, ManifestError, read_clips
from mocrop_manifests.files import publish_text, sweep

from mocrop_prep.config import TABLES, Settings
from mocrop_prep.errors import UsageError
from mocrop_prep.journal import Journal
from mocrop_prep.parts import is_part_folder, refuse_unmerged
from mocrop_prep.remote import Location, location

T = TypeVar("T", bound=Settings)

_FORMAT = "mocrop-workdir"
_VERSION = 1
_ORDER = ("run", "transcode", "extract", "crop", "shard")
_LOOKS, _LOOK_SECONDS = 50, 0.01


@dataclass(frozen=True, slots=True)
class Workdir:
    """A folder that belongs to the pipeline; `source` is the folder that clip paths are relative to."""

    root: Path
    source: Location

    @property
    def clips_csv(self) -> Path:
        """Return the clip list."""
        return self.root / "clips.csv"

    @property
    def reports(self) -> Path:
        """Return the folder of reports."""
        return self.root / "reports"

    @property
    def inflight(self) -> Path:
        """Return the folder in which workers name the clip they are at."""
        return self.root / "journal" / "inflight"

    @property
    def sums(self) -> Path:
        """Return the file with the checksums of the tables."""
        return self.root / "journal" / "sums.json"

    def transcoded(self, clip_id: str) -> Path:
        """Return the transcoded clip."""
        return self.root / "transcoded" / f"{clip_id}.mp4"

    def motion(self, clip_id: str) -> Path:
        """Return the clip's motion vectors."""
        return self.root / "motion" / f"{clip_id}.parquet"

    def crops(self, name: str) -> Path:
        """Return a crop manifest."""
        return self.root / "crops" / f"{name}.csv"

    def shards(self, name: str) -> Path:
        """Return the folder of a shard set."""
        return self.root / "shards" / name

    def samples(self, name: str) -> Path:
        """Return the folder in which the samples of an unfinished shard set wait."""
        return self.root / "journal" / f"samples-{name}"

    def sample(self, name: str, clip_id: str, key: str) -> Path:
        """Return where a sample waits for its shard; the key keeps samples of other settings apart."""
        return self.samples(name) / sample_name(clip_id, key)

    def journal(self, stage: str) -> Journal:
        """Return a stage's journal; crop, shard and run have one for each name, as `crop-NAME`."""
        return Journal(self.root / "journal" / f"{stage}.jsonl")

    def settings_file(self, stage: str) -> Path:
        """Return the file with the resolved settings that a stage last ran with."""
        return self.root / "journal" / f"{stage}.settings.json"

    def read_settings(self, stage: str) -> dict[str, Any]:
        """Return the settings that a stage last ran with, by kind; empty if there are none."""
        try:
            values = json.loads(self.settings_file(stage).read_bytes())
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}

    def settings_of(self, stage: str, kind: type[T]) -> T | None:
        """Return the settings of one kind that a stage last ran with; None if they are not known."""
        name = next(table for table, settings in TABLES.items() if settings is kind)
        try:
            return kind(**self.read_settings(stage)[name])
        except (KeyError, TypeError, UsageError):  # none, or those of another release
            return None

    def stages(self) -> list[str]:
        """Return the stages that have run here, in the order in which they build on each other."""
        names = [path.stem for path in (self.root / "journal").glob("*.jsonl")]
        kinds = {name: name.partition("-")[0] for name in names}
        known = [name for name in names if kinds[name] in _ORDER]
        return sorted(known, key=lambda name: (_ORDER.index(kinds[name]), name))

    def name_of(self, path: Path) -> str:
        """Return the path of a file below WORKDIR, with `/`."""
        return path.relative_to(self.root).as_posix()

    def manifest_names(self) -> list[str]:
        """Return the names of the crop manifests."""
        return sorted(path.stem for path in (self.root / "crops").glob("*.csv"))

    def shard_names(self) -> list[str]:
        """Return the names of the shard sets, finished or not."""
        return sorted(path.name for path in (self.root / "shards").glob("*") if path.is_dir())

    def read_clips(self) -> list[Clip]:
        """Read the clip list; raises UsageError if it is missing or damaged."""
        try:
            return read_clips(self.clips_csv)
        except ManifestError as error:
            raise UsageError(
                f"{error}; run `mocrop-prep transcode SOURCE {self.root}` to make it again"
            ) from None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the WORKDIR for one run; a dead holder's lock is free, a held one is a UsageError."""
        path = self.root / "journal" / "lock"
        with path.open("a+") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    f"{self.root} is in use by process {_holder(stream)}; wait for it, or stop it first"
                ) from None
            except OSError as error:
                raise UsageError(
                    f"{path} cannot be locked: {error.strerror}; take a WORKDIR on a file system with locks"
                ) from None
            stream.truncate(0)
            stream.write(f"{os.getpid()} on {platform.node()}")
            stream.flush()
            self._sweep()
            try:
                yield
            finally:
                with suppress(OSError):  # what dead workers left; the next start tries again
                    self._sweep()

    def _sweep(self) -> None:
        """Remove temporaries wherever they are made; nobody else writes as long as the lock is held."""
        for place in ("", "*/", "shards/*/", "journal/samples-*/"):
            for folder in self.root.glob(place) if place else [self.root]:
                if not is_part_folder(folder) or folder == self.root:  # a part has a lock of its own
                    sweep(folder)


def _holder(lock: IO[str]) -> str:
    """Return what the holder of a lock wrote there; it may be about to."""
    for _ in range(_LOOKS):
        lock.seek(0)
        if holder := lock.read().strip():
            return holder
        time.sleep(_LOOK_SECONDS)
    return "that has not said its number"


def sample_name(clip_id: str, key: str) -> str:
    """Return the name of the file in which a sample waits for its shard."""
    return f"{clip_id}.{key}.tar"


def open_workdir(root: Path) -> Workdir:
    """Open an existing WORKDIR; raises UsageError if the folder is none."""
    marker = marker_of(root)
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; make it with `mocrop-prep transcode SOURCE {root}`")
    try:
        body = json.loads(marker.read_text(encoding="utf-8"))
        if body["format"] != _FORMAT or body["version"] != _VERSION:
            raise UsageError(
                f"{root} was made by another release (version {body['version']} of {body['format']})"
            )
        return Workdir(root, location(body["source"]))
    except PermissionError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}") from None
    except (OSError, ValueError, KeyError, TypeError):
        refuse_unmerged(root)
        raise UsageError(
            f"{root} is not a WORKDIR; make one with `mocrop-prep transcode SOURCE {root}`"
        ) from None


def make_workdir(root: Path, source: Location, *, searched: bool = True, make: bool = True) -> Workdir:
    """Open a WORKDIR for `source`, or make it; raises UsageError if the folder is not free for it.

    A folder with files of somebody else, or a WORKDIR of another source, is refused and left as it is; so is
    one inside a source that is `searched` for videos, which would find its own. Without `make` nothing is
    written: a folder that is not there yet stays away.
    """
    source = source.resolve() if isinstance(source, Path) else source
    marker = marker_of(root)
    if marker.exists():
        workdir = open_workdir(root)
        if workdir.source != source:
            raise UsageError(
                f"{root} was made from {workdir.source}, not from {source}; take another WORKDIR"
            )
        if make:
            _check_writable(root)
        return workdir
    if searched and source in (root.resolve(), *root.resolve().parents):
        raise UsageError(f"{root} lies inside SOURCE; take a WORKDIR elsewhere")
    try:
        refuse_unmerged(root)
        _refuse_foreign_files(root)
        if not make:
            return Workdir(root, source)
        mark_workdir(root, source)
    except (OSError, UsageError) as error:
        if marker.exists():  # a command that was started at the same moment was quicker
            return make_workdir(root, source, searched=searched, make=make)
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{root} cannot be written: {error.strerror}") from None
    return Workdir(root, source)


def marker_of(root: Path) -> Path:
    """Return the file that makes a folder a WORKDIR."""
    return root / "journal" / "workdir.json"


def mark_workdir(root: Path, source: Location) -> None:
    """Make a folder the WORKDIR of a source."""
    body = {"format": _FORMAT, "version": _VERSION, "source": str(source)}
    publish_text(marker_of(root), json.dumps(body, indent=2) + "\n")


def _refuse_foreign_files(root: Path) -> None:
    try:
        if root.exists() and not root.is_dir():
            raise UsageError(f"{root} is a file; WORKDIR must be a folder")
        found = sorted(entry.name for entry in os.scandir(root)) if root.exists() else []
    except OSError as error:
        raise UsageError(f"{root} cannot be read: {error.strerror}") from None
    foreign = [name for name in found if name != "journal"]
    if foreign:
        raise UsageError(
            f"{root} holds files that are not the pipeline's, such as {foreign[0]}; "
            "take an empty or new folder"
        )


def _check_writable(root: Path) -> None:
    if not os.access(root, os.W_OK | os.X_OK):
        raise UsageError(f"{root} cannot be written: permission denied")

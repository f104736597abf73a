"""The WORKDIR: where everything lies, whose it is, and who may write to it now."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mocrop_manifests import Clip, ManifestError, read_clips

from mocrop_prep.errors import UsageError
from mocrop_prep.files import publish_text, sweep
from mocrop_prep.journal import Journal

_FORMAT = "mocrop-workdir"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Workdir:
    """A folder that belongs to the pipeline; `source` is the folder that clip paths are relative to."""

    root: Path
    source: Path

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

    def journal(self, stage: str) -> Journal:
        """Return a stage's journal; crop, shard and run have one for each name, as `crop-NAME`."""
        return Journal(self.root / "journal" / f"{stage}.jsonl")

    def settings_file(self, stage: str) -> Path:
        """Return the file with the resolved settings that a stage last ran with."""
        return self.root / "journal" / f"{stage}.settings.json"

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
            except OSError:
                stream.seek(0)
                holder = stream.read().strip() or "unknown"
                raise UsageError(
                    f"{self.root} is in use by process {holder}; wait for it, or stop it first"
                ) from None
            stream.truncate(0)
            stream.write(str(os.getpid()))
            stream.flush()
            for folder in (self.root, *(path for path in self.root.glob("*") if path.is_dir())):
                sweep(folder)
            for folder in (self.root / "shards").glob("*"):
                sweep(folder)
            yield


def open_workdir(root: Path) -> Workdir:
    """Open an existing WORKDIR; raises UsageError if the folder is none."""
    marker = root / "journal" / "workdir.json"
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; make it with `mocrop-prep transcode SOURCE {root}`")
    try:
        body = json.loads(marker.read_text(encoding="utf-8"))
        if body["format"] != _FORMAT or body["version"] != _VERSION:
            raise UsageError(
                f"{root} was made by another release (version {body['version']} of {body['format']})"
            )
        return Workdir(root, Path(body["source"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"{root} is not a WORKDIR; make one with `mocrop-prep transcode SOURCE {root}`"
        ) from None


def make_workdir(root: Path, source: Path, *, searched: bool = True) -> Workdir:
    """Open a WORKDIR for `source`, or make it; raises UsageError if the folder is not free for it.

    A folder with files of somebody else, or a WORKDIR of another source, is refused and left as it is; so is
    one inside a source that is `searched` for videos, which would find its own.
    """
    source = source.resolve()
    if (root / "journal" / "workdir.json").exists():
        workdir = open_workdir(root)
        if workdir.source != source:
            raise UsageError(
                f"{root} was made from {workdir.source}, not from {source}; take another WORKDIR"
            )
        _check_writable(root)
        return workdir
    if searched and (root.resolve() == source or source in root.resolve().parents):
        raise UsageError(f"{root} lies inside SOURCE; take a WORKDIR elsewhere")
    _refuse_foreign_files(root)
    try:
        (root / "journal").mkdir(parents=True, exist_ok=True)
        body = {"format": _FORMAT, "version": _VERSION, "source": str(source)}
        publish_text(root / "journal" / "workdir.json", json.dumps(body, indent=2) + "\n")
    except OSError as error:
        raise UsageError(f"{root} cannot be written: {error.strerror}") from None
    return Workdir(root, source)


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

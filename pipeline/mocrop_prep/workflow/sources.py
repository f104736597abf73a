"""Whether the videos of SOURCE are what they were when a clip was done: by size and time, or by content."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import joblib
from mocrop_manifests import Clip

from mocrop_prep.clips import source_path
from mocrop_prep.clips.paths import unescape
from mocrop_prep.errors import UsageError
from mocrop_prep.journal import Record, fingerprint, short_digest
from mocrop_prep.progress import Progress
from mocrop_prep.remote import Location, State, Url, is_url, store

_TIME_BITS = 66
_TIME_MASK = (1 << _TIME_BITS) - 1
_TIME_ORIGIN = 1 << 64  # times may be before 1970


class SourceWatch:
    """Compares the videos with what their records say of them.

    With `checksum` they are told apart by content: a copy with another time is the same video, one that was
    changed in place is not, whatever its time says. `listed` holds, by `clip.path`, what is known already of
    videos in a store.
    """

    def __init__(
        self, root: Location, *, checksum: bool, quiet: bool, listed: Mapping[str, State] | None = None
    ) -> None:
        self._root, self._checksum, self._quiet = root, checksum, quiet
        self._listed = listed or {}
        self._states: dict[str, State | int | None] = {}  # those of files on disk packed: half the memory
        self._digests: dict[str, str] = {}

    def path(self, clip: Clip) -> Location:
        """Return where a clip's video is."""
        return source_path(self._root, clip)

    def state(self, clip: Clip) -> State | None:
        """Return size and time of a clip's video, or None if it cannot be had."""
        if clip.clip_id not in self._states:
            self._look([clip])
        state = self._states[clip.clip_id]
        if not isinstance(state, int):
            return state
        return state >> _TIME_BITS, (state & _TIME_MASK) - _TIME_ORIGIN

    def size(self, clip: Clip) -> int:
        """Return the bytes of a clip's video, 0 if it cannot be had."""
        state = self.state(clip)
        return 0 if state is None else state[0]

    def look(self, clips: Sequence[Clip], *known: Mapping[str, Record]) -> None:
        """Look at the videos of clips; with `checksum`, take the digests of those that are on record too."""
        self._look(clips)
        if self._checksum:
            for records in known:
                self._hash([clip for clip in clips if _noted(records.get(clip.clip_id))])

    def likely_fingerprint(self, clip: Clip, records: Mapping[str, Record]) -> str:
        """Return what mostly stands for a clip's video in its key, without a look at its record."""
        if self._checksum:
            return self.fingerprint(clip, records)
        state = self.state(clip)
        if state is None or isinstance(state[1], str):
            return fingerprint(state)
        return short_digest(f"[[{state[0]}, {state[1]}]]")  # as `fingerprint`, for a million of them

    def fingerprint(self, clip: Clip, records: Mapping[str, Record]) -> str:
        """Return what stands for a clip's video in its key: the record's own if it is the same video."""
        record = records.get(clip.clip_id)
        state, noted = self.state(clip), _noted(record)
        if record is None or noted is None:
            return fingerprint(state)
        digest = self._digests.get(clip.clip_id)
        same = _state(noted) == state if digest is None else noted["sha256"] == digest
        if same and "source" in record.inputs:
            return record.inputs["source"]
        return fingerprint(state, digest)

    def renewed(self, clips: Sequence[Clip], records: Mapping[str, Record]) -> list[Record]:
        """Return the records of videos with the same content and another time, with that time."""
        found = []
        for clip in clips if self._digests else ():
            record, state = records.get(clip.clip_id), self.state(clip)
            noted = _noted(record)
            if record and noted and state and clip.clip_id in self._digests and _state(noted) != state:
                source = noted | {"bytes": state[0], _tag(noted): state[1]}
                found.append(replace(record, data=record.data | {"source": source}))
        return found

    def _look(self, clips: Sequence[Clip]) -> None:
        """Take the states of videos that are not known yet; those in a store side by side."""
        urls: dict[str, Url] = {}
        for clip in clips:
            if clip.clip_id in self._states:
                continue
            if clip.path in self._listed:
                self._states[clip.clip_id] = self._listed[clip.path]
                continue
            path = unescape(clip.path)
            if isinstance(self._root, Path) and not is_url(path):  # a million of them: no Path for each
                self._states[clip.clip_id] = self._packed(os.path.join(self._root, path))
                continue
            place = self.path(clip)
            if isinstance(place, Url):
                urls[clip.clip_id] = place
            else:
                self._states[clip.clip_id] = self._packed(place)
        if urls:
            try:
                found = store.states(urls.values())
            except OSError as error:
                raise UsageError(f"{error.filename} cannot be read: {error.strerror}") from None
            self._states |= {clip_id: found[url] for clip_id, url in urls.items()}

    @staticmethod
    def _packed(path: str | Path) -> int | None:
        try:
            status = os.stat(path)
        except OSError:
            return None
        return status.st_size << _TIME_BITS | (status.st_mtime_ns + _TIME_ORIGIN)

    def _hash(self, clips: Sequence[Clip]) -> None:
        paths = {
            clip.clip_id: self.path(clip)
            for clip in clips
            if self.state(clip) and clip.clip_id not in self._digests
        }
        with Progress("checksum", len(paths), quiet=self._quiet) as progress:
            calls = (joblib.delayed(_digest)(clip_id, path) for clip_id, path in paths.items())
            # hashing lets go of the interpreter: threads are enough
            for clip_id, digest in joblib.Parallel(-1, backend="threading", return_as="generator")(calls):
                self._digests[clip_id] = digest
                progress.advance()


def _digest(clip_id: str, path: Location) -> tuple[str, str]:
    try:
        return clip_id, store.digest(path)
    except OSError:  # no content is like it: the clip is tried, and says what is wrong
        return clip_id, ""


def _noted(record: Record | None) -> dict[str, object] | None:
    return record.data.get("source") or None if record is not None else None


def _state(noted: Mapping[str, object]) -> tuple[object, object]:
    return noted["bytes"], noted[_tag(noted)]


def _tag(noted: Mapping[str, object]) -> str:
    """Return the name of what a record has beside the size: a time, or what a store calls the content."""
    return "tag" if "tag" in noted else "mtime_ns"

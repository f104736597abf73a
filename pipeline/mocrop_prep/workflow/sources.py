"""Whether the videos of SOURCE are what they were when a clip was done: by size and time, or by content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import joblib
from mocrop_manifests import Clip

from mocrop_prep.clips import source_path
from mocrop_prep.errors import UsageError
from mocrop_prep.journal import Record, fingerprint
from mocrop_prep.progress import Progress
from mocrop_prep.remote import Location, State, Url, store


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
        self._states: dict[str, State | None] = {}
        self._digests: dict[str, str] = {}

    def path(self, clip: Clip) -> Location:
        """Return where a clip's video is."""
        return source_path(self._root, clip)

    def state(self, clip: Clip) -> State | None:
        """Return size and time of a clip's video, or None if it cannot be had."""
        if clip.clip_id not in self._states:
            self._look([clip])
        return self._states[clip.clip_id]

    def sizes(self, clips: Sequence[Clip]) -> dict[str, int]:
        """Return the bytes of the clips' videos; those that cannot be had are left out."""
        self._look(clips)
        return {clip.clip_id: state[0] for clip in clips if (state := self.state(clip))}

    def fingerprints(self, clips: Sequence[Clip], records: Mapping[str, Record]) -> dict[str, str]:
        """Return what stands for each clip's video in a key: the record's own if it is the same video."""
        self._look(clips)
        if self._checksum:
            self._hash([clip for clip in clips if _noted(records.get(clip.clip_id))])
        return {clip.clip_id: self._fingerprint(clip, records.get(clip.clip_id)) for clip in clips}

    def renewed(self, clips: Sequence[Clip], records: Mapping[str, Record]) -> list[Record]:
        """Return the records of videos with the same content and another time, with that time."""
        found = []
        for clip in clips:
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
            place = self.path(clip)
            if clip.path in self._listed:
                self._states[clip.clip_id] = self._listed[clip.path]
            elif isinstance(place, Url):
                urls[clip.clip_id] = place
            else:
                try:
                    status = place.stat()
                    self._states[clip.clip_id] = (status.st_size, status.st_mtime_ns)
                except OSError:
                    self._states[clip.clip_id] = None
        if urls:
            try:
                found = store.states(urls.values())
            except OSError as error:
                raise UsageError(f"{error.filename} cannot be read: {error.strerror}") from None
            self._states |= {clip_id: found[url] for clip_id, url in urls.items()}

    def _fingerprint(self, clip: Clip, record: Record | None) -> str:
        state, noted = self.state(clip), _noted(record)
        if record is None or noted is None:
            return fingerprint(state)
        digest = self._digests.get(clip.clip_id)
        same = _state(noted) == state if digest is None else noted["sha256"] == digest
        if same and "source" in record.inputs:
            return record.inputs["source"]
        return fingerprint(state, digest)

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

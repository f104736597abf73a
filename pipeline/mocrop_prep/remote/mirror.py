"""A WORKDIR in a store and its copy on disk: pull what is new there, push what is new here.

Objects are whole or not there, and are sent in an order in which no reader meets an index before its shards,
and no record of the journal before the file that it is about.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from mocrop_manifests.files import TEMPORARY, make_folder, publish, sha256, temporary_beside

from mocrop_prep.errors import UsageError
from mocrop_prep.progress import Progress
from mocrop_prep.remote import store
from mocrop_prep.remote.claim import CLAIM
from mocrop_prep.remote.notes import ELSEWHERE, Note, Notes, Stamp
from mocrop_prep.remote.urls import State, Url

T = TypeVar("T")

LARGE = ("transcoded/", "motion/", "shards/")
"""Folders whose files are fetched only for a command that reads them; for others their sizes are enough."""
_OURS = re.compile(
    r"clips\.csv|(?:transcoded|motion|crops|shards|reports)/.+|journal/(?!lock\Z|inflight/).+", re.DOTALL
)
_SMALL = re.compile(r"shards/[^/]+/(?:dataset\.json|README\.md)")
_MARKER = "journal/workdir.json"
_INDEX = "dataset.json"
# in this order, each when all before it are there: the rest of the journal tells of the others
_ORDER = (
    re.compile(re.escape(_MARKER)),
    re.compile(r"(?:transcoded|motion)/.+|journal/samples-.+", re.DOTALL),
    re.compile(rf"clips\.csv|(?:crops|reports)/.+|shards/.+(?<!/{re.escape(_INDEX)})", re.DOTALL),
    re.compile(r"shards/.+", re.DOTALL),
    re.compile(r".+", re.DOTALL),
)


class Mirror:
    """The copy of a WORKDIR at `url`, in `home`; `notes` say what store and copy have in common.

    `work` is the WORKDIR on disk. A file that was changed on both sides since is taken from the store, and
    ours is put aside.
    """

    def __init__(self, url: Url, home: Path, notes: Notes, *, quiet: bool) -> None:
        self.url, self.work = url, home / "work"
        self._home, self._notes, self._quiet = home, notes, quiet
        self.put_aside: list[str] = []

    def pull(self, whole: tuple[str, ...], *, must_exist: bool) -> None:
        """Make the copy what the store has, but for files that were changed here alone.

        Of the LARGE folders only what begins with one of `whole` is fetched; the other files become empty
        ones of their size. Raises UsageError for a place that is no WORKDIR, unless nothing is there at all
        and it need not exist, and OSError.
        """
        there = {name: state for name, state in store.listing(self.url).items() if name != CLAIM}
        self._check(there, must_exist=must_exist)
        there = {name: state for name, state in there.items() if _OURS.fullmatch(name)}
        here = _scan(self.work)
        if _MARKER not in there:
            self._start_anew(here)
        elif _MARKER not in here:  # the copy was deleted, which says nothing of the store
            self._notes.drop(self._notes.all())
        noted = self._notes.all()
        due = [
            name
            for name, state in there.items()
            if _is_due(state, here.get(name), noted.get(name), wanted=_is_wanted(name, whole))
        ]

        def take(name: str) -> None:
            try:
                self._take(name, there[name], here.get(name), noted.get(name), _is_wanted(name, whole))
            except FileNotFoundError as error:
                if error.filename != str(self.url / name):  # else somebody has removed it in this moment
                    raise

        with Progress("fetch", len(due), quiet=self._quiet, unit="file") as progress:
            _side_by_side(take, due, progress)
        for name in noted.keys() - there.keys():
            if here.get(name) == noted[name].stamp:
                (self.work / name).unlink()
        self._notes.drop(noted.keys() - there.keys())

    def push(self, *, only: tuple[str, ...] = (), final: bool) -> tuple[int, int]:
        """Send what is new here; return how many objects were sent and removed. Raises OSError.

        `only` limits it to names that begin so. A push that is not `final`, in the middle of work or after
        it was broken off, removes nothing there and leaves the shard sets as they are: until a set is whole
        here, the old one is whole there.
        """
        frozen = {} if only else self._freeze()
        here = _scan(self.work) | {name: stamp for name, (stamp, _) in frozen.items()}
        noted = self._notes.all()
        changed = {name for name, stamp in here.items() if name not in noted or noted[name].stamp != stamp}
        if not final:
            changed = {name for name in changed if not name.startswith("shards/")}
        if only:
            changed = {name for name in changed if name.startswith(only)}
        gone = noted.keys() - here.keys() if final else set()
        withdrawn = self._withdraw(changed | gone, noted)
        noted |= withdrawn
        changed |= withdrawn.keys() & here.keys()

        def send(name: str) -> bool:
            path = frozen[name][1] if name in frozen else self.work / name
            return self._send(name, path, here[name], noted.get(name))

        with Progress("send", len(changed), quiet=self._quiet or not final, unit="file") as progress:
            sent = sum(sum(_side_by_side(send, phase, progress)) for phase in _phases(changed))
        _side_by_side(lambda name: store.delete(self.url / name), sorted(gone))
        self._notes.drop(gone)
        shutil.rmtree(self._home / "outgoing", ignore_errors=True)
        return sent, len(gone)

    def _check(self, there: Mapping[str, State], *, must_exist: bool) -> None:
        for name in there:
            if _OURS.fullmatch(name) and not _is_safe(name):
                raise UsageError(f"{self.url} holds {name!a}, which no file can be named: delete it there")
        if _MARKER in there:
            return
        foreign = next((name for name in sorted(there) if not name.startswith("journal/")), "")
        if foreign or (must_exist and there):
            raise UsageError(
                f"{self.url} is not a WORKDIR: it holds {ascii(foreign or min(there))[1:-1]}, but no "
                f"{_MARKER}; take a place where nothing is yet"
            )
        if must_exist:
            raise UsageError(
                f"{self.url}: no such WORKDIR; make it with `mocrop-prep transcode SOURCE {self.url}`"
            )

    def _start_anew(self, here: Mapping[str, Stamp]) -> None:
        """Forget a WORKDIR that is no more in the store; what the copy really holds is sent there again."""
        for name, note in self._notes.all().items():
            if not note.whole and here.get(name) == note.stamp:
                (self.work / name).unlink()
            self._notes.drop([name])

    def _take(self, name: str, state: State, here: Stamp | None, note: Note | None, wanted: bool) -> None:
        """Bring one file from the store, whole or as an empty one of its size."""
        path = self.work / name
        if here is not None and (note is None or here != note.stamp):
            self._settle(name, state, here, note)
        elif wanted:
            with publish(path) as temporary:
                digest = store.download(self.url / name, temporary)
            self._notes.enter(name, Note(_stamp(path), digest, state, whole=True))
        else:
            with publish(path) as temporary, temporary.open("wb") as stream:
                stream.truncate(state[0])
            self._notes.enter(name, Note(_stamp(path), "", state, whole=False))

    def _settle(self, name: str, state: State, here: Stamp, note: Note | None) -> None:
        """Take the store's file in place of one that was changed here too, unless they are the same."""
        path = self.work / name
        with temporary_beside(path) as temporary:
            digest = store.download(self.url / name, temporary)
            if digest == sha256(path):
                self._notes.enter(name, Note(here, digest, state, whole=True))
            elif note is not None and digest == note.sending:  # ours, of before a kill; since then it went on
                self._notes.enter(name, Note(ELSEWHERE, digest, state, whole=True))
            else:
                aside = self._home / "aside" / name
                make_folder(aside.parent)
                path.replace(aside)
                temporary.replace(path)
                self._notes.enter(name, Note(_stamp(path), digest, state, whole=True))
                self.put_aside.append(name)

    def _freeze(self) -> dict[str, tuple[Stamp, Path]]:
        """Copy the journals that have grown, before anything else is looked at.

        Whatever a record in them is about is on disk by then, and is sent before them.
        """
        noted = self._notes.all()
        frozen = {}
        for name, stamp in _scan(self.work / "journal", "journal/").items():
            if name.endswith(".jsonl") and (name not in noted or noted[name].stamp != stamp):
                copy = self._home / "outgoing" / name
                make_folder(copy.parent)
                shutil.copyfile(self.work / name, copy)
                frozen[name] = (stamp, copy)
        return frozen

    def _withdraw(self, touched: Iterable[str], noted: Mapping[str, Note]) -> dict[str, Note]:
        """Remove the indexes of shard sets that are about to change; return their notes."""
        sets = {name.split("/")[1] for name in touched if name.startswith("shards/")}
        withdrawn = {}
        for name in sorted({f"shards/{each}/{_INDEX}" for each in sets} & noted.keys()):
            store.delete(self.url / name)
            withdrawn[name] = replace(noted[name], stamp=ELSEWHERE, sha256="")
            self._notes.enter(name, withdrawn[name])
        return withdrawn

    def _send(self, name: str, path: Path, stamp: Stamp, note: Note | None) -> bool:
        """Send one file, unless the store has just that; say whether it was sent."""
        try:
            digest = sha256(path)
            if note is not None and note.state is not None and note.sha256 == digest:
                self._notes.enter(name, replace(note, stamp=stamp, whole=True))
                return False
            before = note or Note(ELSEWHERE, "", None, whole=True)
            self._notes.enter(name, replace(before, sending=digest))
            state = store.upload(path, self.url / name)
        except FileNotFoundError as error:
            if error.filename != str(path):
                raise
            return False  # it was of use for a moment only
        self._notes.enter(name, Note(stamp, digest, state, whole=True))
        return True


def _phases(names: Iterable[str]) -> Iterator[list[str]]:
    """Yield names in the order in which they are sent, those together that may be sent side by side."""
    left = set(names)
    for form in _ORDER:
        phase = sorted(name for name in left if form.fullmatch(name))
        left.difference_update(phase)
        yield phase


def _is_due(state: State, here: Stamp | None, note: Note | None, *, wanted: bool) -> bool:
    if note is None or note.state != state or here is None:
        return True
    return here == note.stamp and wanted and not note.whole


def _is_wanted(name: str, whole: tuple[str, ...]) -> bool:
    return not name.startswith(LARGE) or name.startswith(whole) or _SMALL.fullmatch(name) is not None


def _is_safe(name: str) -> bool:
    """Say whether a file can have this name, below WORKDIR and nowhere else."""
    parts = name.split("/")
    return "\0" not in name and not any(
        part in ("", ".", "..") or part.startswith(TEMPORARY) or len(os.fsencode(part)) > 255
        for part in parts
    )


def _scan(root: Path, prefix: str = "") -> dict[str, Stamp]:
    """Return the stamps of the files below a folder that belong to a WORKDIR, by their names there."""
    found = {}
    for path in _walk(root):
        name = prefix + os.path.relpath(path, root)
        if _OURS.fullmatch(name):
            try:
                found[name] = _stamp(Path(path))
            except FileNotFoundError:  # it was of use for a moment only
                continue
    return found


def _walk(root: Path) -> Iterator[str]:
    for folder, _, names in os.walk(root, followlinks=True):
        yield from (os.path.join(folder, name) for name in names if not name.startswith(TEMPORARY))


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _side_by_side(
    work: Callable[[str], T], names: Iterable[str], progress: Progress | None = None
) -> list[T]:
    with ThreadPoolExecutor(store.HANDS) as hands:
        calls = [hands.submit(work, name) for name in names]
        found = []
        try:
            for call in calls:
                found.append(call.result())
                if progress is not None:
                    progress.advance()
            return found
        except BaseException:  # the first fault ends it, whatever it is
            for call in calls:
                call.cancel()
            raise

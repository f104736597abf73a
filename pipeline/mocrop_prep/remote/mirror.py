"""A WORKDIR in a store and its copy on disk: pull what is new there, push what is new here.

Objects are whole or not there, and are sent in an order in which no reader meets an index before its shards,
and no record of the journal before the file that it is about.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from mocrop_manifests.files import make_folder, publish, sha256, temporary_beside

from mocrop_prep.errors import UsageError
from mocrop_prep.progress import Progress
from mocrop_prep.remote import store
from mocrop_prep.remote.claim import CLAIM
from mocrop_prep.remote.names import (
    INDEX,
    MARKER,
    Stamp,
    is_hollow,
    is_ours,
    is_safe,
    is_wanted,
    phases,
    scan,
    stamp_of,
)
from mocrop_prep.remote.notes import ELSEWHERE, Note, Notes
from mocrop_prep.remote.urls import State, Url

T = TypeVar("T")


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
        there = {name: state for name, state in there.items() if is_ours(name)}
        here = scan(self.work)
        if MARKER not in there:
            self._start_anew(here)
        elif MARKER not in here:  # the copy was deleted, which says nothing of the store
            self._notes.drop(self._notes.all())
        noted = self._notes.all()
        due = [
            name
            for name, state in there.items()
            if _is_due(state, here.get(name), noted.get(name), wanted=is_wanted(name, whole))
        ]

        def take(name: str) -> None:
            try:
                self._take(name, there[name], here.get(name), noted.get(name), is_wanted(name, whole))
            except FileNotFoundError as error:
                if error.filename != str(self.url / name):  # else somebody has removed it in this moment
                    raise

        with Progress("fetch", len(due), quiet=self._quiet, unit="file") as progress:
            _side_by_side(take, due, progress)
        for name in noted.keys() - there.keys():
            if here.get(name) == noted[name].stamp:
                (self.work / name).unlink()
        self._notes.drop(noted.keys() - there.keys())

    def push(self, *, only: str = "", final: bool) -> tuple[int, int]:
        """Send what is new here; return how many objects were sent and removed. Raises OSError.

        `only` limits it to one folder, such as `reports/`. A push that is not `final`, in the middle of work
        or after it was broken off, removes nothing there and leaves the shard sets as they are: until a set
        is whole here, the old one is whole there.
        """
        frozen = {} if only else self._freeze()
        here = scan(self.work / only, only) | {name: stamp for name, (stamp, _) in frozen.items()}
        noted = self._notes.all()

        def path(name: str) -> Path:
            return frozen[name][1] if name in frozen else self.work / name

        def is_new(name: str) -> bool:
            return name not in noted or not self._is_there(path(name), name, here[name], noted[name])

        def send(name: str) -> bool:
            return self._send(path(name), name, here[name], noted.get(name))

        touched = list(_touched(here, noted, final=final))
        news = {name for name, new in zip(touched, _side_by_side(is_new, touched), strict=True) if new}
        gone = noted.keys() - here.keys() if final else set()
        withdrawn = self._withdraw(news | gone, noted)
        noted |= withdrawn
        news |= withdrawn.keys() & here.keys()
        with Progress("send", len(news), quiet=self._quiet or not final, unit="file") as progress:
            sent = sum(sum(_side_by_side(send, phase, progress)) for phase in phases(news))
        _side_by_side(lambda name: store.delete(self.url / name), sorted(gone))
        self._notes.drop(gone)
        shutil.rmtree(self._home / "outgoing", ignore_errors=True)
        return sent, len(gone)

    def _check(self, there: Mapping[str, State], *, must_exist: bool) -> None:
        for name in there:
            if is_ours(name) and not is_safe(name):
                raise UsageError(f"{self.url} holds {name!a}, which no file can be named: delete it there")
        if MARKER in there:
            return
        foreign = next((name for name in sorted(there) if not name.startswith("journal/")), "")
        if foreign or (must_exist and there):
            raise UsageError(
                f"{self.url} is not a WORKDIR: it holds {ascii(foreign or min(there))[1:-1]}, but no "
                f"{MARKER}; take a place where nothing is yet"
            )
        if must_exist:
            raise UsageError(
                f"{self.url}: no such WORKDIR; make it with `mocrop-prep transcode SOURCE {self.url}`"
            )

    def _start_anew(self, here: Mapping[str, Stamp]) -> None:
        """Forget a WORKDIR that is no more in the store; what the copy really holds is sent there again."""
        noted = self._notes.all()
        for name, note in noted.items():
            if not note.whole and name in here and is_hollow(name, self.work / name):
                (self.work / name).unlink()
        self._notes.drop(noted)

    def _take(self, name: str, state: State, here: Stamp | None, note: Note | None, wanted: bool) -> None:
        """Bring one file from the store, whole or as an empty one of its size."""
        path = self.work / name
        if here is not None and (note is None or here != note.stamp) and not is_hollow(name, path):
            if note is None or note.state != state:
                self._settle(name, state, here, note)
        elif wanted:
            with publish(path) as temporary:
                digest = store.download(self.url / name, temporary)
            self._notes.enter(name, Note(stamp_of(path), digest, state, whole=True))
        else:
            with publish(path) as temporary, temporary.open("wb") as stream:
                stream.truncate(state[0])
            self._notes.enter(name, Note(stamp_of(path), "", state, whole=False))

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
                self._notes.enter(name, Note(stamp_of(path), digest, state, whole=True))
                self.put_aside.append(name)

    def _freeze(self) -> dict[str, tuple[Stamp, Path]]:
        """Copy the journals that have grown, before anything else is looked at.

        Whatever a record in them is about is on disk by then, and is sent before them.
        """
        noted = self._notes.all()
        frozen = {}
        for name, stamp in scan(self.work / "journal", "journal/").items():
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
        for name in sorted({f"shards/{each}/{INDEX}" for each in sets} & noted.keys()):
            store.delete(self.url / name)
            withdrawn[name] = replace(noted[name], stamp=ELSEWHERE, sha256="")
            self._notes.enter(name, withdrawn[name])
        return withdrawn

    def _is_there(self, path: Path, name: str, stamp: Stamp, note: Note) -> bool:
        """Say whether the store has just this file, and note that."""
        try:
            if not note.whole and is_hollow(name, path):
                # touched, or copied without its time: what it stands for is there
                self._notes.enter(name, replace(note, stamp=stamp))
                return True
            if note.state is None or note.sha256 != sha256(path):
                return False
        except FileNotFoundError:
            return True  # it was of use for a moment only
        self._notes.enter(name, replace(note, stamp=stamp, whole=True))
        return True

    def _send(self, path: Path, name: str, stamp: Stamp, note: Note | None) -> bool:
        """Send one file; say whether it was sent."""
        try:
            digest = sha256(path)
            before = note or Note(ELSEWHERE, "", None, whole=True)
            self._notes.enter(name, replace(before, sending=digest))
            state = store.upload(path, self.url / name)
        except FileNotFoundError:
            if path.exists():
                raise
            return False  # it was of use for a moment only
        self._notes.enter(name, Note(stamp, digest, state, whole=True))
        return True


def _touched(here: Mapping[str, Stamp], noted: Mapping[str, Note], *, final: bool) -> Iterator[str]:
    """Yield the names of files that may have changed; in the middle of work, but for those of shard sets."""
    for name, stamp in here.items():
        if (name not in noted or noted[name].stamp != stamp) and (final or not name.startswith("shards/")):
            yield name


def _is_due(state: State, here: Stamp | None, note: Note | None, *, wanted: bool) -> bool:
    if note is None or note.state != state or here is None:
        return True
    return wanted and not note.whole


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

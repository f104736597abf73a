"""A WORKDIR in a store, for one command: held, brought here, kept up to date there, and given back."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click
from mocrop_manifests.files import make_folder, sha256_of_text

from mocrop_prep.errors import UsageError
from mocrop_prep.remote import store
from mocrop_prep.remote.claim import BEAT_SECONDS, Claim
from mocrop_prep.remote.mirror import Mirror
from mocrop_prep.remote.names import LARGE
from mocrop_prep.remote.notes import Notes
from mocrop_prep.remote.urls import Location, Url

_LEAST_SHARE = 5
"""Between two pushes there is at least so many times what one takes: a long list of files costs little."""
_NOTES = "mirror.sqlite"
_IN_PROCESS = ("sequential", "threading")
# there an object is whole or not there
_WHOLE = ("s3", "s3a", "gs", "gcs", "oss", "obs", "oci", "az", "abfs", "abfss", "adl", "hf", "memory")


@dataclass(frozen=True, slots=True)
class Errand:
    """What a command does to a WORKDIR: `makes` it if it is not there, `changes` it, and reads what of it.

    `whole` are the beginnings of the names in the large folders whose content it reads.
    """

    makes: bool = False
    changes: bool = False
    whole: tuple[str, ...] = ()


EVERYTHING = Errand(whole=LARGE)
"""Look at all there is."""


def check_places(source: Location, workdir: Location, backend: str) -> None:
    """Raise UsageError for a SOURCE that its workers cannot reach, and for a WORKDIR inside it."""
    if not isinstance(source, Url):
        return
    if source.scheme == "memory" and backend not in _IN_PROCESS:
        raise UsageError(
            f"{source}: memory:// is this process's own, and workers are others: take --backend sequential "
            "or threading"
        )
    if isinstance(workdir, Url) and workdir.is_below(source):
        raise UsageError(f"{workdir} lies inside SOURCE; take a WORKDIR elsewhere")


@contextmanager
def at_work(
    workdir: Location, errand: Errand, *, local: Path | None, every: float, quiet: bool
) -> Iterator[Path]:
    """Yield the WORKDIR on disk: the folder itself, or the working copy of one in a store.

    A command that changes it holds it in the store meanwhile; what is new is sent `every` so many seconds,
    and all of it in the end. If the command is broken off, what is done is sent, but for shard sets: the
    store keeps the old ones whole. `local` is the folder for the copy; by default it lies in the user's
    cache. Raises UsageError.
    """
    if isinstance(workdir, Path):
        if local is not None:
            raise UsageError(f"--local is for a WORKDIR in a store; {workdir} is on disk already")
        yield workdir
        return
    if workdir.scheme not in _WHOLE:
        raise UsageError(
            f"{workdir}: in a store of this kind files are seen before they are whole, or cannot be written; "
            "take a WORKDIR on disk, or in s3://, gs://, az:// or hf://"
        )
    home = local or _default_home(workdir)
    _refuse_foreign(home)
    with _only_one(home) as alone:
        if not alone:
            yield _look_on(workdir, home, errand)
            return
        notes = Notes(home / _NOTES, workdir)
        try:
            if not quiet:
                click.echo(f"note: {workdir}: the working copy is {home / 'work'}", err=True)
            mirror = Mirror(workdir, home, notes, quiet=quiet)
            with _held(mirror, Claim(workdir, notes.owner), errand, every=every, quiet=quiet):
                yield mirror.work
        finally:
            notes.close()


@contextmanager
def _held(mirror: Mirror, claim: Claim, errand: Errand, *, every: float, quiet: bool) -> Iterator[None]:
    with ExitStack() as stack:
        with _faults(mirror):
            if errand.changes:
                claim.take()
                stack.push(lambda _kind, error, _trace: _release(claim, error))
                stack.enter_context(_repeated(BEAT_SECONDS, claim.renew))
            mirror.pull(errand.whole, must_exist=not errand.makes)
        for name in mirror.put_aside:
            click.echo(f"note: {name} was changed here and in the store: ours is put aside", err=True)
        if not errand.changes:
            yield
            with _faults(mirror):
                mirror.push(only="reports/", final=False)
            return
        try:
            with _repeated(every, _Pusher(mirror, claim), share=_LEAST_SHARE):
                yield
        except BaseException:  # whatever ends the work: what is done is to be had elsewhere
            with suppress(OSError, UsageError):
                claim.check()
                mirror.push(final=False)
            raise
        with _faults(mirror):
            claim.check()
            sent, removed = mirror.push(final=True)
        if not quiet:
            click.echo(f"note: {mirror.url}: {sent} objects sent, {removed} removed", err=True)


class _Pusher:
    """Sends what is new while the work goes on; says it once if the store cannot be reached."""

    def __init__(self, mirror: Mirror, claim: Claim) -> None:
        self._mirror, self._claim, self._told = mirror, claim, False

    def __call__(self) -> None:
        try:
            self._claim.check()
            self._mirror.push(final=False)
            self._told = False
        except OSError as error:
            if not self._told:
                click.echo(
                    f"note: {error.filename} cannot be sent now ({error.strerror}): the work goes on",
                    err=True,
                )
            self._told = True


@contextmanager
def _repeated(seconds: float, action: Callable[[], object], *, share: int = 0) -> Iterator[None]:
    """Do something again and again in a thread; when this ends, it has come to an end.

    Between two times there is at least `share` times what one takes. What is wrong for good is said in the
    end by what is done then.
    """
    over = threading.Event()

    def repeat() -> None:
        wait = seconds
        while not over.wait(wait):
            started = time.monotonic()
            with suppress(OSError, UsageError):
                action()
            wait = max(seconds, share * (time.monotonic() - started))

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _faults(mirror: Mirror) -> Iterator[None]:
    """Turn what a store answers with into one line that says what to do."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{error.filename or mirror.url}: {error.strerror}; what is done is kept in {mirror.work}: mend "
            "that, and the same command goes on from there"
        ) from error


def _release(claim: Claim, error: BaseException | None) -> None:
    """Give a WORKDIR free; where it cannot be reached, the claim is void in a while."""
    if error is None or not isinstance(error.__cause__, store.StoreError):
        with suppress(OSError, UsageError):
            claim.check()
            claim.release()


def _look_on(workdir: Url, home: Path, errand: Errand) -> Path:
    """Return the copy while another command works on it, for one that only looks at what is there."""
    if errand.changes or errand.whole:
        raise UsageError(
            f"{workdir} is in use here, by another command on {home}; wait for it, or stop it first"
        )
    return home / "work"


def _default_home(workdir: Url) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "mocrop" / sha256_of_text(workdir.text)[:16]


def _refuse_foreign(home: Path) -> None:
    """Raise UsageError for a folder that holds something else than a working copy."""
    try:
        make_folder(home)
        inside = os.listdir(home)
    except OSError as error:
        raise UsageError(f"{home} cannot be used for the working copy: {error.strerror}") from None
    if inside and _NOTES not in inside and inside != ["lock"]:
        raise UsageError(f"{home} holds files, and no working copy; take an empty or new folder for --local")


@contextmanager
def _only_one(home: Path) -> Iterator[bool]:
    """Hold a working copy; yield False if another process of this machine does."""
    with (home / "lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True

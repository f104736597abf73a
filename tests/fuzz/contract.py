"""What every reader promises, whatever bytes it is given.

It returns, or refuses with its documented exception in one line; it writes nothing, runs nothing, unpickles
nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")

_FORBIDDEN = frozenset(
    {"pickle.find_class", "ctypes.dlopen", "subprocess.Popen", "socket.connect", "socket.bind"}
    | {f"os.{deed}" for deed in ("exec", "fork", "forkpty", "posix_spawn", "spawn", "system")}
    | {f"os.{deed}" for deed in ("chmod", "chown", "link", "mkdir", "remove", "rename", "rmdir", "symlink")}
    | {"os.truncate", "os.utime", "shutil.move", "shutil.rmtree"}
)
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class BrokenPromise(BaseException):
    """A reader did what no reader may do; no handler of Exception may hide that."""


class _Watch:
    """Forbids what is in _FORBIDDEN while a reader is at work."""

    def __init__(self) -> None:
        self.active = False
        self._installed = False

    def install(self) -> None:
        # an audit hook cannot be taken away again: one for all
        if not self._installed:
            self._installed = True
            sys.addaudithook(self._heard)

    def _heard(self, event: str, about: tuple[Any, ...]) -> None:
        if not self.active or not (event in _FORBIDDEN or (event == "open" and _writes(*about))):
            return
        if "__pycache__" not in repr(about):  # a module that is imported late is compiled and kept
            self.active = False
            raise BrokenPromise(f"{event} {about!r:.300}")


_watch = _Watch()


def attempt(read: Callable[[], Result], *refusals: type[Exception]) -> Result | None:
    """Return what a reader returns, or None if it refuses as documented; all else is raised."""
    _watch.install()
    _watch.active = True
    try:
        return read()
    except refusals as refusal:
        message = str(refusal)
        if len(message.splitlines()) != 1:
            raise BrokenPromise(f"a refusal is one line, not {message!r:.300}") from refusal
        return None
    finally:
        _watch.active = False


def require(kept: bool, promise: str) -> None:
    """Raise BrokenPromise unless what was read is what a reader may return."""
    if not kept:
        raise BrokenPromise(promise)


def _writes(_path: object, mode: object = None, flags: object = 0) -> bool:
    if isinstance(mode, str):
        return any(mark in mode for mark in "wax+")
    return isinstance(flags, int) and bool(flags & _WRITE_FLAGS)

"""One run at a time on a WORKDIR in a store: an object there says who holds it, and that he is alive.

A store has no locks that end with their holder. So the holder writes the object anew every minute, and one
that was not written for ten is void: its holder was killed, or has lost the network.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from datetime import UTC, datetime

from mocrop_prep.errors import UsageError
from mocrop_prep.remote import store
from mocrop_prep.remote.urls import Url

BEAT_SECONDS = 60.0
_VOID_SECONDS = 600.0
CLAIM = "journal/lock"
"""The object below WORKDIR; what has this name on disk is a lock of the machine's own."""


class Claim:
    """A WORKDIR in a store, held for the working copy whose name is `owner`."""

    def __init__(self, workdir: Url, owner: str) -> None:
        self._workdir, self._owner = workdir, owner
        self._place = workdir / CLAIM

    def take(self) -> None:
        """Hold the WORKDIR; raises UsageError if somebody else does, and OSError.

        What the same working copy holds was left by a run that was killed.
        """
        with contextlib.suppress(FileExistsError):
            store.write(self._place, self._body(), new=True)
        self._refuse_others(void=True)
        store.write(self._place, self._body())
        self.check()  # where a store cannot make an object only if it is new, two may have made it

    def renew(self) -> None:
        """Say that the holder is alive; raises UsageError as `check` does, and OSError."""
        self.check()
        store.write(self._place, self._body())

    def check(self) -> None:
        """Raise UsageError if another has taken the WORKDIR in the meantime, or OSError."""
        self._refuse_others(void=False)

    def release(self) -> None:
        """Give the WORKDIR free; raises OSError."""
        store.delete(self._place)

    def _body(self) -> bytes:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        holder = {"owner": self._owner, "host": platform.node(), "process": os.getpid(), "time": now}
        return json.dumps(holder).encode()

    def _refuse_others(self, *, void: bool) -> None:
        try:
            holder = json.loads(store.read(self._place))
            age = time.time() - datetime.fromisoformat(holder["time"]).timestamp()
            who = f"process {int(holder['process'])} on {ascii(holder['host'])[1:-1]}"
            is_ours = holder["owner"] == self._owner
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):  # nobody that could be asked
            return
        if not is_ours and not (void and age > _VOID_SECONDS):
            raise UsageError(
                f"{self._workdir} is in use by {who}, last heard of {max(0, age):.0f} seconds ago; wait for "
                f"it, or stop it first (if it is dead, delete {self._place}, or wait: after "
                f"{_VOID_SECONDS / 60:.0f} minutes it is void)"
            )

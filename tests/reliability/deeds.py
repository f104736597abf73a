"""What a worker can do, good and bad: in a module of its own, so that worker processes can import it."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time
from pathlib import Path
from typing import Any

from mocrop_prep.errors import ClipError


def deed(kind: str, diary: Path) -> dict[str, Any]:
    """Note the attempt in `diary`, then end as `kind` says."""
    with diary.open("a") as stream:
        stream.write(f"{kind}\n")
    match kind:
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(0)
        case "hang":
            ctypes.PyDLL(None).sleep(600)  # in native code, with the interpreter's lock held
        case "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "slow":
            time.sleep(0.05)
        case "swell":
            _swell()
        case "out of memory":
            raise MemoryError
        case "bug":
            raise ZeroDivisionError("a bug of ours")
        case "disk full":
            raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/clip.mp4")
        case "clip error":
            raise ClipError("corrupt", "what was found", "extract")
    return {"kind": kind}


def _swell() -> None:
    """Take ever more memory, and touch it, for at most 4 GB."""
    held = []
    for _ in range(400):
        held.append(bytearray(b"x") * 10_000_000)
        time.sleep(0.02)

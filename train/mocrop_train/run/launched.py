"""The processes that torchrun starts have one voice: that of rank 0, or of the first that fails."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NoReturn

import click

_PATIENCE = timedelta(seconds=10)
# gloo has no class for it
_SIGNS_OF_LOSS = ("Connection closed by peer", "Connection reset by peer", "Broken pipe")


def several() -> bool:
    """Say whether this process is one of several that torchrun has started."""
    return "RANK" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"


def on_this_machine() -> int:
    """Return how many processes torchrun has started on this machine; 1 without it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if several() else 1


def silent() -> bool:
    """Say whether another process speaks for this one as long as all goes well."""
    return several() and os.environ["RANK"] != "0"


@contextlib.contextmanager
def one_voice() -> Iterator[None]:
    """Let results be printed by rank 0 alone while the context is open."""
    if not silent():
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def end(code: int, text: str) -> NoReturn:
    """End this process, and with it, by torchrun, all others; the first to come here says why.

    Its error makes the others fail too, at the latest where they wait for it: they come here after it. They
    stay until it has spoken, as torchrun ends what is left once one is gone.
    """
    if _is_first():
        click.echo(text, err=True)
        with contextlib.suppress(RuntimeError):
            _store().set(_told(), "")
    else:
        with contextlib.suppress(RuntimeError):
            _store().wait([_told()], _PATIENCE)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # an orderly end would wait for the others


def lost_another(error: BaseException) -> str:
    """Return in a line what has happened if the error is that another process is gone, else an empty text."""
    if not isinstance(error, RuntimeError) or not any(sign in str(error) for sign in _SIGNS_OF_LOSS):
        return ""
    return "another process of this run was lost without a word: killed, perhaps for want of memory"


def _is_first() -> bool:
    try:
        return bool(_store().add(f"{_told()}/by", 1) == 1)
    except RuntimeError:  # without torchrun rank 0 keeps the store, and is gone with it, or never began
        return not silent()


def _told() -> str:
    # a restart by torchrun has the same store
    return f"mocrop-train/told/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"


def _store() -> Any:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return TCPStore(address, port, is_master=False, timeout=_PATIENCE)

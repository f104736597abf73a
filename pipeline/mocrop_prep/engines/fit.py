"""A call as it travels to a worker, which takes it only if it would make the same bytes as any other."""

from __future__ import annotations

import pickle
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mocrop_prep.errors import UsageError
from mocrop_prep.versions import tool_versions


@lru_cache(maxsize=1)
def own_versions() -> Mapping[str, str]:
    """Return all versions that must be the same everywhere: of what makes the bytes, and of Python."""
    return {"python": ".".join(map(str, sys.version_info[:2])), **tool_versions()}


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a worker did not take a call, for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class Call:
    """Functions with their arguments, and the versions of the process that asks for their results."""

    items: Sequence[tuple[Callable[..., Any], Sequence[Any], Mapping[str, Any]]]
    versions: Mapping[str, str]

    def __call__(self) -> list[Any] | Refused:
        """Return the results in order, or why this process is not fit to make them."""
        if reason := _misfit(self.versions):
            return Refused(reason)
        try:
            return [function(*args, **kwargs) for function, args, kwargs in self.items]
        except UsageError as error:
            return Refused(str(error))

    def sealed(self) -> Callable[[], list[Any] | Refused]:
        """Return the call in a form that can be passed on where this package is not installed.

        Dask's scheduler looks into what it passes on, and a worker that lacks the package is to say so.
        """
        parcel = pickle.dumps(self)

        # a function within another travels as code, not by name
        def opened() -> list[Any] | Refused:
            results: list[Any] | Refused = pickle.loads(parcel)()
            return results

        return opened


def _misfit(wanted: Mapping[str, str]) -> str:
    """Say what differs here from what is wanted, in words; empty if nothing does."""
    here = own_versions()
    names = [name for name in wanted.keys() | here.keys() if wanted.get(name) != here.get(name)]
    if not names:
        return ""
    differences = ", ".join(
        f"{name} {here.get(name)} instead of {wanted.get(name)}" for name in sorted(names)
    )
    return (
        f"the worker on {platform.node()} has {differences}: outputs depend on these; install the same on "
        "every machine"
    )

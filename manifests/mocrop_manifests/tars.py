"""The members of a WebDataset tar, from a file that nobody vouches for.

Shards are plain archives: files behind each other. `tarfile` reads a good deal more than that, and bytes made
for it can send it in circles, deep into itself or after sizes that no memory holds. What a shard does not
need is refused before it is followed.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator
from typing import IO, Self

_LONGEST_PAX = 8192
"""Bytes of a header that carries a long name; the time to read one grows with the square of its size."""
_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+")
_PICKLED = frozenset({"pyd", "pickle", "pkl", "pth", "pt", "ckpt", "joblib", "npy", "npz"})
"""Extensions of what readers of WebDataset unpickle, which runs code that a file brings along."""
_KINDS = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.XHDTYPE})


def file_members(stream: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """Yield the members of an uncompressed tar; the bytes of each lie whole in `stream`, at `offset_data`.

    The archive may end without an end mark, but only where a member ends. Raises tarfile.TarError for all
    that is not a row of plain files.
    """
    end = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if not end:
        raise tarfile.ReadError("empty file")
    try:
        with tarfile.open(fileobj=stream, mode="r:", tarinfo=_PlainMember) as archive:
            for member in archive:
                if member.sparse is not None or not 0 <= member.size <= end - member.offset_data:
                    raise tarfile.ReadError(f"{member.name!r} does not lie whole in the file")
                if not _NAME.fullmatch(member.name):
                    raise tarfile.ReadError(f"{member.name!r} is not named as a file of a sample is")
                if _PICKLED.intersection(member.name.lower().split(".")):
                    raise tarfile.ReadError(f"{member.name!r} is a pickle, which could run code")
                yield member
    except (ValueError, OverflowError) as error:  # numbers in headers that are none, or beyond any file
        raise tarfile.ReadError(f"a header is damaged: {error}") from None
    except RecursionError:  # tarfile calls itself for each header that is about the next one
        raise tarfile.ReadError("headers without a file behind them") from None


class _PlainMember(tarfile.TarInfo):
    """A header of a plain file, or of a long name of one; tarfile makes all others from it too."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            member = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if any(buf):  # tarfile would take the archive to end here
                raise tarfile.ReadError(f"a header is damaged: {error}") from None
            raise
        if member.type not in _KINDS:
            raise tarfile.ReadError(f"{member.name!r} is not a file")
        if member.size < 0 or (member.type == tarfile.XHDTYPE and member.size > _LONGEST_PAX):
            raise tarfile.ReadError(f"a header of {member.name!r} is too large or has no size")
        return member

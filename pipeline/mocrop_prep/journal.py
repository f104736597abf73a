"""What is done: one append-only file per stage, one line per finished clip with the key of its inputs.

Each line ends with its own checksum: a line that rotted counts as never written.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import typing
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from mocrop_manifests.files import make_folder, publish_bytes, sync_folder

_SYNC_SECONDS = 1.0
_LINE = re.compile(rb'(?P<body>\{.*), "crc": "(?P<crc>[0-9a-f]{8})"\}\n', re.DOTALL)
_HEAD = re.compile(rb'\{"clip_id": "(?P<clip_id>[A-Za-z0-9_-]+)", ')


@dataclass(frozen=True, slots=True)
class Record:
    """How a clip ended: `key` is the fingerprint of what went in, `data` what the stage reports.

    `inputs` are the parts that the key is made of, by name. `code` and `detail` are empty unless `status` is
    `failed`; `stage` says where a fused clip failed.
    """

    clip_id: str
    key: str
    status: str
    code: str = ""
    detail: str = ""
    stage: str = ""
    seconds: float = 0.0
    data: dict[str, Any] = field(default_factory=dict)
    traceback: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Say whether the clip failed."""
        return self.status == "failed"


_KINDS = {name: typing.get_origin(hint) or hint for name, hint in typing.get_type_hints(Record).items()}


class Journal:
    """Append records to a file and read them back; lines that a crash tore or that rotted are dropped."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: IO[bytes] | None = None
        self._synced = 0.0

    def __enter__(self) -> Journal:
        make_folder(self._path.parent)
        self._drop_torn_line()
        is_new = not self._path.exists()
        self._stream = self._path.open("ab")
        if is_new:
            sync_folder(self._path.parent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            os.fsync(self._stream.fileno())
            self._stream.close()
            self._stream = None

    def append(self, record: Record) -> None:
        """Write a record through to the system at once, and to the disk at least every second."""
        if self._stream is None:
            raise ValueError("the journal is not open")
        self._stream.write(_line(record))
        self._stream.flush()
        now = time.monotonic()
        if now - self._synced > _SYNC_SECONDS:
            os.fsync(self._stream.fileno())
            self._synced = now

    def read(self) -> dict[str, Record]:
        """Return the last record of each clip."""
        return {record.clip_id: record for record in self._records() if record is not None}

    def damaged(self) -> int:
        """Return how many lines are not what was written; the clips in them are done again."""
        return sum(record is None for record in self._records())

    def drop(self, clip_ids: Collection[str]) -> None:
        """Forget clips: the file is written anew, with the last record of each of the others."""
        left = [record for clip_id, record in self.read().items() if clip_id not in clip_ids]
        publish_bytes(self._path, b"".join(map(_line, left)))

    def copy_records(self, target: IO[bytes], clip_ids: Collection[str]) -> None:
        """Write the lines of these clips to a file, as they stand and in their order, but no damaged one."""
        try:
            with self._path.open("rb") as stream:
                target.writelines(line for line in stream if _clip_of(line) in clip_ids)
        except FileNotFoundError:
            return

    def _records(self) -> Iterator[Record | None]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        for line in content.split(b"\n")[:-1]:  # what follows the last line end was torn by a crash
            yield _record(line + b"\n")

    def _drop_torn_line(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb+") as stream:
            content = stream.read()
            stream.truncate(content.rfind(b"\n") + 1)


def _line(record: Record) -> bytes:
    body = json.dumps(asdict(record), ensure_ascii=False).encode()[:-1]
    return b'%b, "crc": "%08x"}\n' % (body, zlib.crc32(body))


def _clip_of(line: bytes) -> str:
    """Return the clip that a line is about, without taking it apart where its checksum says it is sound."""
    match, head = _LINE.fullmatch(line), _HEAD.match(line)
    if match is not None and head is not None and zlib.crc32(match["body"]) == int(match["crc"], 16):
        return head["clip_id"].decode()
    record = _record(line) if line.endswith(b"\n") else None
    return record.clip_id if record is not None else ""


def _record(line: bytes) -> Record | None:
    match = _LINE.fullmatch(line)
    if match is not None and zlib.crc32(match["body"]) != int(match["crc"], 16):
        return None
    try:
        # lines of older releases end without a checksum; one that lost it to decay is no such line
        record = Record(**json.loads(match["body"] + b"}" if match is not None else line))
    except (ValueError, TypeError, RecursionError):  # no line of ours
        return None
    return record if all(isinstance(getattr(record, name), kind) for name, kind in _KINDS.items()) else None


def fingerprint(*parts: object) -> str:
    """Return a short hash of JSON-able values: equal inputs, equal fingerprint."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]

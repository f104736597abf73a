"""What is done: one append-only file per stage, one line per finished clip with the key of its inputs."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

_SYNC_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Record:
    """How a clip ended: `key` is the fingerprint of what went in, `data` what the stage reports.

    `code` and `detail` are empty unless `status` is `failed`; `stage` says where a fused clip failed.
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

    @property
    def failed(self) -> bool:
        """Say whether the clip failed."""
        return self.status == "failed"


class Journal:
    """Append records to a file and read them back; a line torn by a crash is dropped."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: IO[bytes] | None = None
        self._synced = 0.0

    def __enter__(self) -> Journal:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._drop_torn_line()
        self._stream = self._path.open("ab")
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
        self._stream.write(json.dumps(asdict(record), ensure_ascii=False).encode() + b"\n")
        self._stream.flush()
        now = time.monotonic()
        if now - self._synced > _SYNC_SECONDS:
            os.fsync(self._stream.fileno())
            self._synced = now

    def read(self) -> dict[str, Record]:
        """Return the last record of each clip."""
        return {record.clip_id: record for record in self._lines()}

    def _lines(self) -> Iterator[Record]:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return
        for line in content.splitlines(keepends=True):
            if line.endswith(b"\n"):
                try:
                    yield Record(**json.loads(line))
                except (ValueError, TypeError):  # a damaged line means its clip is done again
                    continue

    def _drop_torn_line(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb+") as stream:
            content = stream.read()
            stream.truncate(content.rfind(b"\n") + 1)


def fingerprint(*parts: object) -> str:
    """Return a short hash of JSON-able values: equal inputs, equal fingerprint."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]

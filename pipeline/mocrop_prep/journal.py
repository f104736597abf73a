"""What is done: one append-only file per stage, one line per finished clip with the key of its inputs.

Each line ends with its own checksum: a line that rotted counts as never written.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import time
import typing
import zlib
from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from mocrop_manifests.files import make_folder, publish, sync_folder

_SYNC_SECONDS = 1.0
_BLOCK = 1 << 16
_LINE = re.compile(rb'\{.*, "crc": "[0-9a-f]{8}"\}\n', re.DOTALL)
# what the lines of this release begin with: enough to plan with, without taking all of them apart
_HEAD = re.compile(rb'\{"clip_id": "([A-Za-z0-9_-]+)", "key": "([^"\\]*)", "status": "(ok|failed)"[,}]')
_CRC = len(b', "crc": "01234567"}\n')
_encode = json.JSONEncoder(ensure_ascii=False).encode
_encode_sorted = json.JSONEncoder(sort_keys=True).encode


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

    def line(self) -> bytes:
        """Return the record as a line of a journal; what is empty is left out."""
        values = {name: value for name in _NAMES if (value := getattr(self, name)) or name in _ALWAYS}
        body = _encode(values).encode()[:-1]
        return b'%b, "crc": "%08x"}\n' % (body, zlib.crc32(body))

    @classmethod
    def of_line(cls, line: bytes) -> Record:
        """Return the record that `line` returned a line of; raises ValueError for any other line."""
        record = _record(line)
        if record is None:
            raise ValueError("no line of a journal")
        return record


_NAMES = tuple(part.name for part in dataclasses.fields(Record))
_ALWAYS = frozenset({"clip_id", "key", "status"})
_KINDS = {name: typing.get_origin(hint) or hint for name, hint in typing.get_type_hints(Record).items()}


class Records(Mapping[str, Record]):
    """The last record of each clip, read when it is asked for: a million of them fit in memory.

    What a journal appends shows at once. The keys and the failures are known without reading a line again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[str, int] = {}  # the number of a clip's last line
        self._offsets, self._lengths = array("q"), array("l")
        self._keys: list[str] = []
        self._failed = bytearray()
        self._file: int | None = None

    def __getitem__(self, clip_id: str) -> Record:
        number = self._lines[clip_id]
        if self._file is None:
            self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        record = _record(os.pread(self._file, self._lengths[number], self._offsets[number]))
        # a line with a sound checksum that is no record was forged: the clip is done again
        return record or Record(clip_id, "", "failed", "internal", "its line in the journal is no record")

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def __contains__(self, clip_id: object) -> bool:
        return clip_id in self._lines

    def __del__(self) -> None:
        if self._file is not None:
            os.close(self._file)

    def key(self, clip_id: str) -> str | None:
        """Return the key of a clip's record, or None if it has none."""
        number = self._lines.get(clip_id)
        return None if number is None else self._keys[number]

    def has_failed(self, clip_id: str) -> bool:
        """Say whether there is a record of a clip, and it is of a failure."""
        number = self._lines.get(clip_id)
        return number is not None and bool(self._failed[number])

    def any_failed(self) -> bool:
        """Say whether any line is of a failure, perhaps of a clip that was done since."""
        return 1 in self._failed

    def failures(self) -> Iterator[Record]:
        """Yield the records of the clips that failed."""
        return (self[clip_id] for clip_id, number in self._lines.items() if self._failed[number])

    def enter(self, line: bytes, offset: int) -> bool:
        """Take in a line that stands at `offset` of the file; say whether it is one."""
        found = _head_of(line)
        if found is None:
            return False
        clip_id, key, status = found
        self._lines[clip_id] = len(self._keys)
        self._offsets.append(offset)
        self._lengths.append(len(line))
        self._keys.append(key)
        self._failed.append(status == "failed")
        return True


class Journal:
    """Append records to a file and read them back; lines that a crash tore or that rotted are dropped.

    `written` counts the records appended.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: IO[bytes] | None = None
        self._records: Records | None = None
        self._end = 0
        self.written = 0
        self._synced = 0.0

    def __enter__(self) -> Journal:
        make_folder(self._path.parent)
        self._drop_torn_line()
        is_new = not self._path.exists()
        self._stream = self._path.open("ab")
        self._end = self._stream.tell()
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
        self.append_lines([record.line()])

    def append_lines(self, lines: Collection[bytes]) -> None:
        """Write the lines of records as `append` does."""
        if self._stream is None:
            raise ValueError("the journal is not open")
        self._stream.write(b"".join(lines))
        self._stream.flush()
        self.written += len(lines)
        for line in lines:
            if self._records is not None:
                self._records.enter(line, self._end)
            self._end += len(line)
        now = time.monotonic()
        if now - self._synced > _SYNC_SECONDS:
            os.fsync(self._stream.fileno())
            self._synced = now

    def read(self) -> Records:
        """Return the last record of each clip; what this journal appends from then on is among them."""
        self._records = Records(self._path)
        for offset, line in self._lines():
            self._records.enter(line, offset)
        return self._records

    def damaged(self) -> int:
        """Return how many lines are not what was written; the clips in them are done again."""
        return sum(_record(line) is None for _, line in self._lines())

    def drop(self, clip_ids: Collection[str]) -> None:
        """Forget clips: the file is written anew, with the last record of each of the others."""
        records = Journal(self._path).read()
        with publish(self._path) as temporary, temporary.open("wb") as stream:
            stream.writelines(record.line() for key, record in records.items() if key not in clip_ids)

    def copy_records(self, target: IO[bytes], clip_ids: Collection[str]) -> None:
        """Write the lines of these clips to a file, as they stand and in their order, but no damaged one."""
        heads = ((line, _head_of(line)) for _, line in self._lines())
        target.writelines(line for line, head in heads if head is not None and head[0] in clip_ids)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield where each line starts, and the line; what follows the last line end was torn by a crash."""
        try:
            stream = self._path.open("rb")
        except FileNotFoundError:
            return
        offset = 0
        with stream:
            for line in stream:
                if line.endswith(b"\n"):
                    yield offset, line
                offset += len(line)

    def _drop_torn_line(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb+") as stream:
            end = start = stream.seek(0, os.SEEK_END)
            while start > 0:
                start = max(0, start - _BLOCK)
                stream.seek(start)
                found = stream.read(min(_BLOCK, end - start)).rfind(b"\n")
                if found >= 0:
                    stream.truncate(start + found + 1)
                    return
            stream.truncate(0)


def _is_sound(line: bytes) -> bool:
    """Say whether a line ends with its checksum."""
    return line[-11:] == b'%08x"}\n' % zlib.crc32(line[:-_CRC]) and line[-_CRC:-11] == b', "crc": "'


def _head_of(line: bytes) -> tuple[str, str, str] | None:
    """Return clip_id, key and status of a line, which is taken apart only where its checksum is not sound."""
    head = _HEAD.match(line)
    if head is not None and _is_sound(line):
        clip_id, key, status = head.groups()
        return clip_id.decode(), key.decode(), status.decode()
    record = _record(line)
    return None if record is None else (record.clip_id, record.key, record.status)


def _record(line: bytes) -> Record | None:
    if _is_sound(line):
        body = line[:-_CRC] + b"}"
    elif _LINE.fullmatch(line):
        return None
    else:  # lines of older releases end without a checksum; one that lost it to decay is no such line
        body = line
    try:
        values = json.loads(body.decode())
        if all(isinstance(value, _KINDS[name]) for name, value in values.items()):
            return Record(**values)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):  # no line of ours
        pass
    return None


def fingerprint(*parts: object) -> str:
    """Return a short hash of JSON-able values: equal inputs, equal fingerprint."""
    return short_digest(_encode_sorted(parts))


def short_digest(text: str) -> str:
    """Return the beginning of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:20]

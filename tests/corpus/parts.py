"""The parts that containers are made of: boxes, elements, chunks, packets, tags."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

_BOXES = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"udta", b"dinf", b"mvex"})
_MASTERS = frozenset(
    {"18538067", "1f43b675", "1654ae6b", "ae", "e0", "1549a966", "1c53bb6b", "114d9b74", "a0"}
)


@dataclass(frozen=True)
class Part:
    """A part of a file: from `start` to `end`, with what it holds from `body`.

    Its size stands in `digits` bytes at `size`; `order` is that of the bytes, `vint` for EBML's form.
    """

    name: str
    start: int
    body: int
    end: int
    size: int
    digits: int
    order: Literal["big", "little", "vint"] = "big"

    def lie(self, content: bytearray, value: int) -> None:
        """Overwrite the size of the part with a value, cut to the digits that it has."""
        if self.order == "vint":
            value = value % (1 << 7 * self.digits) | 1 << 7 * self.digits
        order: Literal["big", "little"] = "little" if self.order == "little" else "big"
        digits = (value % (1 << 8 * self.digits)).to_bytes(self.digits, order)
        content[self.size : self.size + self.digits] = digits


def parts(name: str, content: bytes) -> list[Part]:
    """Return the parts of a file in order, those inside others after them; none for forms without any."""
    walk = _WALKS.get(name.rpartition(".")[2])
    return list(walk(content, 0, len(content))) if walk else []


def _boxes(content: bytes, at: int, stop: int) -> Iterator[Part]:
    while at + 8 <= stop:
        size, kind = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8]
        end = min(at + max(size, 8), stop)
        yield Part(kind.decode("latin-1"), at, at + 8, end, at, 4)
        if kind in _BOXES:
            yield from _boxes(content, at + 8, end)
        at = end


def _elements(content: bytes, at: int, stop: int) -> Iterator[Part]:
    while at + 2 <= stop:
        name, size_at = _length(content[at]), at + _length(content[at])
        digits = _length(content[size_at])
        size = int.from_bytes(content[size_at : size_at + digits]) % (1 << 7 * digits)
        body, identity = size_at + digits, content[at : at + name].hex()
        end = min(body + size, stop)
        yield Part(identity, at, body, end, size_at, digits, "vint")
        if identity in _MASTERS:
            yield from _elements(content, body, end)
        at = end


def _length(first: int) -> int:
    """Return how many bytes an EBML number takes, by its first one."""
    return max(1, 9 - first.bit_length())


def _chunks(content: bytes, at: int, stop: int) -> Iterator[Part]:
    while at + 8 <= stop:
        kind, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        end = min(at + 8 + size + size % 2, stop)
        yield Part(kind.decode("latin-1"), at, at + 8, end, at + 4, 4, "little")
        if kind in (b"RIFF", b"LIST"):
            yield from _chunks(content, at + 12, end)
        at = end


def _tags(content: bytes, at: int, stop: int) -> Iterator[Part]:
    at += 13
    while at + 15 <= stop:
        size = int.from_bytes(content[at + 1 : at + 4])
        end = min(at + 15 + size, stop)
        yield Part(f"tag{content[at]}", at, at + 11, end, at + 1, 3)
        at = end


_WALKS: dict[str, Callable[[bytes, int, int], Iterator[Part]]] = {
    "mp4": _boxes,
    "mov": _boxes,
    "mkv": _elements,
    "webm": _elements,
    "avi": _chunks,
    "flv": _tags,
}


def borders(name: str, content: bytes) -> list[int]:
    """Return where the parts of a file begin and their contents do; packs or packets for streams."""
    if name.endswith(".ts"):
        return list(range(188, len(content), 188))
    if name.endswith((".mpg", ".h264")):
        found, at = [], content.find(b"\x00\x00\x01", 1)
        while at > 0:
            found.append(at)
            at = content.find(b"\x00\x00\x01", at + 3)
        return found
    return sorted({place for part in parts(name, content) for place in (part.start, part.body)} - {0})

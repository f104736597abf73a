"""Sound containers around broken streams: packets lost, emptied, filled with noise, or out of time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import av
from av.packet import Packet

from tests.corpus.bases import base
from tests.corpus.case import ANYTHING, OK, Case

Stream: TypeAlias = "Sequence[Packet[Any]]"
CONTAINERS = ("web.mp4", "plain.mp4", "web.mkv", "xvid.avi", "vp9.webm", "hevc.mp4", "dvd.mpg", "web.ts")


def _filled(packet: Packet[Any], payload: bytes) -> Packet[Any]:
    """Return a packet with the times of another and bytes of its own."""
    filled: Packet[Any] = Packet(payload)
    filled.pts, filled.dts, filled.time_base = packet.pts, packet.dts, packet.time_base
    filled.is_keyframe = packet.is_keyframe
    return filled


def _shift(packets: Stream, seconds: float) -> Stream:
    for packet in packets:
        ticks = round(seconds / packet.time_base)
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
    return packets


def _every_third(packets: Stream, fill: Callable[[bytes], bytes]) -> Stream:
    return [_filled(p, fill(bytes(p))) if n % 3 == 2 else p for n, p in enumerate(packets)]


_NOT_WRITTEN = {("after-a-day", "xvid.avi"), ("single-bytes", "vp9.webm"), ("single-bytes", "web.ts")}
"""What the muxers refuse to write."""
CHANGES: dict[str, Callable[[Stream, random.Random], Stream]] = {
    "no-key": lambda packets, rng: [packet for packet in packets if not packet.is_keyframe],
    "no-first": lambda packets, rng: packets[1:],
    "last-only": lambda packets, rng: packets[-1:],
    "lost": lambda packets, rng: [packet for n, packet in enumerate(packets) if n % 5 != 3],
    "halved": lambda packets, rng: _every_third(packets, lambda payload: payload[: len(payload) // 2 + 1]),
    "noise": lambda packets, rng: _every_third(packets, lambda payload: rng.randbytes(len(payload))),
    "single-bytes": lambda packets, rng: [_filled(packet, b"\x00") for packet in packets],
    "long-noise": lambda packets, rng: _every_third(packets, lambda payload: payload + rng.randbytes(4000)),
    "before-zero": lambda packets, rng: _shift(packets, -0.5),
    "after-a-day": lambda packets, rng: _shift(packets, 86_400),
}


def cases() -> Iterator[Case]:
    """Change the packets of every container that can be written again, in every way."""
    for name, what in product(CONTAINERS, CHANGES):
        if (what, name) not in _NOT_WRITTEN:
            expected = OK if what in ("before-zero", "after-a-day") else ANYTHING
            yield Case("packets", f"{what}-{name}", partial(_remux, name, what), expected)


def _remux(name: str, what: str, path: Path) -> None:
    with TemporaryDirectory() as folder:
        source = Path(folder) / name
        source.write_bytes(base(name))
        with av.open(str(source)) as film, av.open(str(path), "w") as out:
            stream = film.streams.video[0]
            copied = out.add_stream_from_template(stream)
            found = [packet for packet in film.demux(stream) if packet.size]
            for packet in CHANGES[what](found, random.Random(name)):
                packet.stream = copied
                out.mux(packet)

"""How long a file says that it is: AVI and Matroska tell, and libav does not mind where they end early."""

from __future__ import annotations

from pathlib import Path

_HEADER = 4096
_UNKNOWN_RIFF = 2**31 - 1  # and above: what writers leave that were stopped, or cannot seek
_SEGMENT = b"\x18\x53\x80\x67"


def missing_bytes(path: Path) -> int:
    """Return by how many bytes a file is shorter than its header claims; 0 if it is whole or does not say.

    Read are the size of the first RIFF chunk of an AVI, and that of a Matroska segment (RFC 9559, 4.5).
    """
    with path.open("rb") as file:
        header = file.read(_HEADER)
    claimed = _riff_end(header) if header[:4] == b"RIFF" else _segment_end(header)
    # an odd chunk is padded by a byte that not every writer writes
    return max(0, claimed - 1 - path.stat().st_size)


def _riff_end(header: bytes) -> int:
    size = int.from_bytes(header[4:8], "little")
    return 8 + size if header[8:12] == b"AVI " and size < _UNKNOWN_RIFF else 0


def _segment_end(header: bytes) -> int:
    place = header.find(_SEGMENT)
    if header[:4] != b"\x1a\x45\xdf\xa3" or place < 0 or place + 5 > len(header):
        return 0
    place += len(_SEGMENT)
    digits = 9 - header[place].bit_length()
    size = int.from_bytes(header[place : place + digits]) & (1 << 7 * digits) - 1
    return 0 if size == (1 << 7 * digits) - 1 else place + digits + size

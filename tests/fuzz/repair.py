"""Checksums put right after a mutation, so that what lies behind them is reached as well."""

from __future__ import annotations

import re
import zlib

_BLOCK = 512
_CRC = re.compile(rb'^(\{.*), "crc": "[^"\n]{0,16}"\}$', re.MULTILINE)


def tar_headers(data: bytes) -> bytes:
    """Return a tar with the checksum of every header put right, as far as its sizes lead to headers."""
    content, start = bytearray(data), 0
    while start + _BLOCK <= len(content) and any(content[start : start + _BLOCK]):
        header = content[start : start + _BLOCK]
        header[148:156] = b" " * 8
        content[start + 148 : start + 156] = b"%06o\0 " % sum(header)
        try:
            size = int(bytes(header[124:135]), 8)
        except ValueError:
            break
        start += _BLOCK + -(-max(0, size) // _BLOCK) * _BLOCK
    return bytes(content)


def journal_lines(data: bytes) -> bytes:
    """Return a journal with the checksum of every line put right."""
    return _CRC.sub(lambda line: b'%b, "crc": "%08x"}' % (line[1], zlib.crc32(line[1])), data)

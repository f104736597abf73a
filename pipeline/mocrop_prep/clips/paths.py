r"""File names as text: a reversible escape for what a UTF-8 table with one row a line cannot hold.

A byte that is not UTF-8 and a control character become a backslash, `x` and two hex digits, as in
`caf\xe9.avi`. A backslash of the name itself stays as it is, unless it would then read as part of an escape:
before `x` and two hex digits, before an escaped byte, or beside another backslash. There it is doubled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mocrop_manifests import Clip

# os.scandir hands over undecodable bytes 0x80..0xff as the lone surrogates U+DC80..U+DCFF (PEP 383).
_UNSAFE = r"[\x00-\x1f\x7f\udc80-\udcff]"
_TO_ESCAPE = re.compile(rf"(?P<slashes>\\{{2,}}|\\(?=x[0-9a-f]{{2}}|{_UNSAFE}))|(?P<byte>{_UNSAFE})")
_ESCAPED = re.compile(r"\\(?:\\|x([0-9a-f]{2}))")


def escape(name: str) -> str:
    """Return a name as one line of valid UTF-8; `unescape` gives the name back."""

    def replace(match: re.Match[str]) -> str:
        if match["slashes"]:
            return match["slashes"] * 2
        return f"\\x{ord(match['byte']) & 0xFF:02x}"

    return _TO_ESCAPE.sub(replace, name)


def unescape(text: str) -> str:
    """Return the name that `escape` was given, with undecodable bytes as os.fsdecode writes them."""

    def replace(match: re.Match[str]) -> str:
        if match[1] is None:
            return "\\"
        byte = int(match[1], 16)
        return chr(byte) if byte < 0x80 else chr(0xDC00 + byte)

    # Escapes written by hand may spell out valid UTF-8; the second decoding finds its characters.
    raw = _ESCAPED.sub(replace, text).encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "surrogateescape")


def source_path(root: Path, clip: Clip) -> Path:
    """Return the real path of a clip's video: `clip.path` below `root`, its escapes undone."""
    return root / unescape(clip.path)


def shown(names: Sequence[str]) -> str:
    """Return the first three names for a message, and how many more there are."""
    text = ", ".join(escape(name) for name in names[:3])
    return f"{text} and {len(names) - 3} more" if len(names) > 3 else text


def remark(what: str, names: Sequence[str]) -> list[str]:
    """Return a note on some names, with their number and the first three; none if there are no names."""
    return [f"{what}: {len(names)} ({shown(names)})"] if names else []

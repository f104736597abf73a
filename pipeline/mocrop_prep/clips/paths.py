r"""File names as text: a reversible escape for what a UTF-8 table with one row a line cannot hold.

A byte that is not UTF-8 becomes a backslash, `x` and two hex digits, as in `caf\xe9.avi`. So does each byte
of a control character, of a line separator, and of a mark that turns the text around it or has no width and
no use in words. A backslash of the name itself stays as it is, unless it would then read as part of an
escape: before `x` and two hex digits, before an escaped byte, or beside another backslash. There it is
doubled.

In a `cell` of a table the character that would make a formula of it is escaped too, as in `\x3d1+1`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mocrop_manifests import Clip

from mocrop_prep.remote import Location, join

# os.scandir hands over undecodable bytes 0x80..0xff as the lone surrogates U+DC80..U+DCFF (PEP 383).
# Zero-width joiners stay: words and emoji are made with them.
_UNSAFE = r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\udc80-\udcff]"
_TO_ESCAPE = re.compile(rf"(?P<slashes>\\{{2,}}|\\(?=x[0-9a-f]{{2}}|{_UNSAFE}))|(?P<unsafe>{_UNSAFE})")
_ESCAPED = re.compile(r"\\(?:\\|x([0-9a-f]{2}))")
# Spreadsheets skip space before a formula, take full-width signs for signs, and split at semicolons where
# decimals have commas (OWASP, CSV Injection; CWE-1236).
_FORMULA = re.compile(r"(?:^|(?<=;))(?P<space>\s*)(?P<sign>[=+\-@\uff1d\uff0b\uff0d\uff20])")
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./ -]*").fullmatch  # most names: nothing to escape
_LONGEST_SHOWN = 200


def escape(name: str) -> str:
    """Return a name as one line of valid UTF-8 without hidden marks; `unescape` gives the name back."""
    if _PLAIN(name):
        return name

    def replace(match: re.Match[str]) -> str:
        return match["slashes"] * 2 if match["slashes"] else _as_bytes(match["unsafe"])

    return _TO_ESCAPE.sub(replace, name)


def cell(name: str) -> str:
    """Return a name as `escape` does, and so that no spreadsheet takes it for a formula.

    `unescape` gives the name back.
    """
    if _PLAIN(name):
        return name
    return _FORMULA.sub(lambda match: match["space"] + _as_bytes(match["sign"]), escape(name))


def unescape(text: str) -> str:
    """Return the name that `escape` or `cell` was given, undecodable bytes as os.fsdecode writes them."""
    if "\\" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        if match[1] is None:
            return "\\"
        byte = int(match[1], 16)
        return chr(byte) if byte < 0x80 else chr(0xDC00 + byte)

    # The escapes of one character spell out its UTF-8; the second decoding finds it.
    raw = _ESCAPED.sub(replace, text).encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "surrogateescape")


def _as_bytes(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode("utf-8", "surrogateescape"))


def source_path(root: Location, clip: Clip) -> Location:
    """Return where a clip's video is: `clip.path` below `root`, its escapes undone, or a URL of its own."""
    return join(root, unescape(clip.path))


def short(name: str) -> str:
    """Return a name for a message: escaped, and without its middle where it is long."""
    text = escape(name)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:60]}...{text[-60:]}"


def shown(names: Sequence[str]) -> str:
    """Return the first three names for a message, and how many more there are."""
    text = ", ".join(map(short, names[:3]))
    return f"{text} and {len(names) - 3} more" if len(names) > 3 else text


def remark(what: str, names: Sequence[str]) -> list[str]:
    """Return a note on some names, with their number and the first three; none if there are no names."""
    return [f"{what}: {len(names)} ({shown(names)})"] if names else []

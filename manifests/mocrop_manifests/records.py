"""Dataclasses from JSON that nobody vouches for: all of the fields, each of its type."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any


def parse_json(content: bytes) -> Any:
    """Return what a JSON text says.

    Raises ValueError if it is none, is nested as nothing of ours is, or holds half of a surrogate pair, which
    is valid in JSON and in no file name, table or terminal.
    """
    try:
        body = json.loads(content)
        json.dumps(body, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError(f"JSON nested too deeply: {error}") from None
    return body


def read_document(
    path: Path,
    failure: Callable[[str], Exception],
    *,
    what: str,
    form: str,
    version: int,
    oldest: int | None = None,
    missing: str = "no such file",
) -> dict[str, Any]:
    """Return the object of a JSON file that says of itself which `form` it has, in which version.

    Raises what `failure` makes of one line: it names the file, and says what is wrong with it: that it is
    `missing`, that it is not `what` it should be, or of no version from `oldest` to `version`.
    """
    try:
        body = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise failure(f"{path}: {missing}") from None
    except OSError as error:
        raise failure(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise failure(f"{path}: not valid JSON: {error}") from None
    if not isinstance(body, dict) or body.get("format") != form:
        raise failure(f"{path}: not {what}")
    found = body.get("version")
    if type(found) is not int or not (oldest or version) <= found <= version:
        known = f"{oldest} to {version}" if oldest else f"{version}"
        raise failure(f"{path}: version {found!r} of {form}; this release reads {known}")
    return body


def typed_fields(kind: type[Any], body: Any) -> dict[str, Any]:
    """Return the fields of a dataclass from the JSON object that holds them, and perhaps others.

    Fields that are dataclasses, or lists of them, are left as they are: to be looked at one by one. Raises
    KeyError with the name of a field that is missing, and TypeError that says which one is not of its type.
    """
    if not isinstance(body, dict):
        raise TypeError(f"{kind.__name__} must be an object")
    values = {}
    for name, hint in typing.get_type_hints(kind).items():
        if name not in body:
            raise KeyError(name)
        if not _fits(body[name], hint):
            raise TypeError(f"{kind.__name__}.{name} is not {_in_words(hint)}")
        values[name] = body[name]
    return values


def _fits(value: Any, hint: Any) -> bool:
    base, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if base is types.UnionType:
        return any(_fits(value, kind) for kind in inner)
    if hint is Any or dataclasses.is_dataclass(base):
        return True
    if base is int:
        return type(value) is int and value >= 0
    if base is float:
        return type(value) in (int, float)
    parts = value.values() if isinstance(value, dict) else value if inner else ()
    return isinstance(value, base) and all(_fits(part, inner[-1]) for part in parts)


def _in_words(hint: Any) -> str:
    words = {int: "a whole number from 0", float: "a number", str: "a text"}
    return words.get(hint) or f"a {hint}"

"""Error codes: a closed set that is used as it is declared, and that crosses processes."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import mocrop_prep
import pytest
from mocrop_prep.errors import CODES, FALLBACKS, ClipError, UsageError

PACKAGE = Path(str(mocrop_prep.__file__)).parent


def raised_codes() -> Iterator[str]:
    """The literal codes of every `ClipError(...)` in the package."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ClipError":
                yield from (
                    part.value
                    for part in ast.walk(node.args[0])
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                )


def test_a_clip_error_says_its_code_and_what_was_found() -> None:
    error = ClipError("corrupt", "a.avi: packet 3 is damaged", "extract")
    assert (error.code, error.detail, error.stage) == ("corrupt", "a.avi: packet 3 is damaged", "extract")
    assert str(error) == "corrupt: a.avi: packet 3 is damaged"
    assert ClipError("disk", "full").stage == ""


def test_an_unknown_code_is_refused() -> None:
    for code in ("", "Corrupt", "no-motion"):
        with pytest.raises(ValueError, match="unknown clip error code"):
            ClipError(code, "detail")


@pytest.mark.parametrize("stage", ["", "transcode"])
def test_errors_come_whole_out_of_another_process(stage: str) -> None:
    error = pickle.loads(pickle.dumps(ClipError("disk", "no space", stage)))
    assert isinstance(error, ClipError)
    assert (error.code, error.detail, error.stage) == ("disk", "no space", stage)
    assert str(pickle.loads(pickle.dumps(UsageError("--area 2: must be at most 1")))) == (
        "--area 2: must be at most 1"
    )


def test_every_code_that_is_raised_is_declared() -> None:
    raised = set(raised_codes())
    assert raised <= set(CODES)
    assert "corrupt" in raised


def test_every_declared_code_is_used_somewhere() -> None:
    sources = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if path.name != "errors.py"]
    for code in (*CODES, *FALLBACKS):
        assert any(f'"{code}"' in source for source in sources), code


def test_codes_are_short_and_explained() -> None:
    for code, meaning in {**CODES, **FALLBACKS}.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
        assert len(meaning) > 10
        assert "\n" not in meaning

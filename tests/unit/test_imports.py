"""Imports go one way: the pipeline and the trainer know the contract, and nothing of each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def imported(package: Path) -> Iterator[tuple[str, str]]:
    """Yield (file, top-level package) of every import in a package, wherever it stands in its file."""
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path.name, alias.name.partition(".")[0]) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                yield path.name, str(node.module).partition(".")[0]


@pytest.mark.parametrize(
    ("package", "own", "foreign"),
    [
        ("pipeline/mocrop_prep", "mocrop_prep", {"torch", "torchvision", "mocrop_train"}),
        ("train/mocrop_train", "mocrop_train", {"av", "mocrop_prep"}),
        ("manifests/mocrop_manifests", "mocrop_manifests", {"av", "torch", "mocrop_prep", "mocrop_train"}),
    ],
)
def test_no_package_imports_what_it_is_not_to_know(package: str, own: str, foreign: set[str]) -> None:
    found = set(imported(ROOT / package))
    assert own in {name for _, name in found}
    assert not {(file, name) for file, name in found if name in foreign}

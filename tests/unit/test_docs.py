"""The documents say what the code does: commands, options, methods, codes, columns and settings."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from mocrop_prep.appearance import Appearance
from mocrop_prep.cli import cli
from mocrop_prep.config import METHODS, read_toml
from mocrop_prep.errors import CODES, FALLBACKS
from mocrop_prep.vectors import ClipInfo
from mocrop_train.cli import compare_main, main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "manifests" / "README.md").read_text(encoding="utf-8")
TOOLS = {"mocrop-prep": cli, "mocrop-train": main, "mocrop-compare": compare_main}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each call of one of our tools in a shell text."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\|\||;|\bdo\b", line):
            words = shlex.split(part, comments=True)
            while words and words[0] in ("say", "for", "done"):
                words = words[1:]
            if words and words[0] in TOOLS:
                yield words


DOCUMENTED = [
    *(words for block in blocks(README, "sh") for words in commands(block)),
    *commands((ROOT / "tests" / "demo.sh").read_text(encoding="utf-8")),
]


def test_the_readme_and_the_demo_show_all_three_tools() -> None:
    assert {words[0] for words in DOCUMENTED} == set(TOOLS)


@pytest.mark.parametrize("words", DOCUMENTED, ids=" ".join)
def test_every_documented_command_has_its_options(words: list[str]) -> None:
    tool: click.Command = TOOLS[words[0]]
    rest = words[1:]
    if isinstance(tool, click.Group):
        assert rest[0] in tool.commands
        tool, rest = tool.commands[rest[0]], rest[1:]
    known = {name for parameter in tool.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in rest if word.startswith("-")} <= known


def test_every_make_target_of_the_readme_exists() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = set(re.findall(r"`?make ([a-z-]+)`?", README)) & set(
        re.findall(r"make ([a-z-]+)(?=`|\s+#)", README)
    )
    assert {"demo", "test"} <= named <= set(targets)


def test_the_method_table_names_every_method() -> None:
    table = README[README.index("| method | crop |") : README.index("`--area` (share")]
    assert tuple(re.findall(r"^\| `([a-z0-9-]+)`", table, flags=re.MULTILINE)) == METHODS


def test_the_settings_file_of_the_readme_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(blocks(README, "toml")[0], encoding="utf-8")
    assert read_toml(path)["setting"] == "efficiency"


@pytest.mark.parametrize(
    ("heading", "codes"),
    [("### Why a crop fell back", FALLBACKS), ("### Why a clip failed", CODES)],
    ids=["fallbacks", "failures"],
)
def test_the_page_explains_every_code_and_no_other(heading: str, codes: dict[str, str]) -> None:
    part = PAGE[PAGE.index(heading) :]
    part = part[: part.index("\n##", 4)]
    assert re.findall(r"^\| `([a-z-]+)` \|", part, flags=re.MULTILINE) == list(codes)


def test_the_page_names_all_that_a_vectors_file_says_of_its_clip() -> None:
    table = PAGE[PAGE.index("| name | type |") : PAGE.index("## `shards/")]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    looks = [f"appearance.{field.name}" for field in dataclasses.fields(Appearance)]
    assert re.findall(r"`([a-z_.]+)`", " ".join(cells)) == [
        *(field.name for field in dataclasses.fields(ClipInfo)),
        *looks,
    ]


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_says_what_it_does_and_every_option_has_help(name: str) -> None:
    command = cli.commands[name]
    assert command.help
    missing = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert not missing

"""mocrop-compare."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import click
from mocrop_manifests import __version__
from mocrop_manifests.files import publish_text

from mocrop_train.cli.frame import FILE, OneLineErrors, check_usage
from mocrop_train.progress import log

BETWEEN_SIDES = "vs"
COMPARE_EXAMPLES = """\b
Examples:
  Two crops, or one with each of several others
    mocrop-compare runs/ours/predictions.json runs/center/predictions.json
    mocrop-compare ours.json center.json full.json random.json --json table.json --markdown table.md
  Several seeds: the files of a side stand together, and vs stands between sides
    mocrop-compare runs/ours-s*/predictions.json vs runs/center-s*/predictions.json
    mocrop-compare ours-s0.json ours-s1.json vs center-s0.json center-s1.json vs full.json

All files must be of the same clips. The intervals are bootstraps: over clips, and over whole groups (the
clips that share a video or an actor), which is the honest one where groups are known. Of several seeds a
clip counts by its mean, runs with the same seed are paired, and the intervals draw seeds, too; p then comes
from the exact sign-flip test of that mean, which for one run each is McNemar's. Of several comparisons the
first below 0.05 may be chance: p Holm is adjusted for their number.
"""


@click.command("mocrop-compare", cls=OneLineErrors, epilog=COMPARE_EXAMPLES)
@click.argument("files", nargs=-1, required=True, metavar="A.json [...] [vs] B.json [...]")
@click.option("--json", "out", type=FILE, help="Write all numbers to this file, too.")
@click.option("--markdown", type=FILE, help="Write what is printed to this file as Markdown, too.")
@click.option(
    "--classes",
    "shown",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Show so many classes that lose most, and as many that gain most; 0 shows none.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the bootstrap."
)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.version_option(__version__)
def compare_main(
    files: tuple[str, ...], out: Path | None, markdown: Path | None, shown: int, seed: int, debug: bool
) -> None:
    """Compare the first prediction file with each of the others, clip by clip.

    wins are clips that the first has right and the other wrong. p is the exact McNemar test: how often
    chance alone makes wins and losses at least as uneven.
    """
    del debug  # OneLineErrors has seen to it
    sides = _sides(files)
    from mocrop_train.evaluation import compare, comparison_text

    comparisons = compare.compare_files(sides, seed=seed)
    for warning in dict.fromkeys(line for one in comparisons for line in one.warnings):
        log.warning("%s", warning)
    click.echo(comparison_text.format_table(comparisons, shown=shown))
    if out:
        publish_text(out, comparison_text.format_json(comparisons))
    if markdown:
        publish_text(markdown, comparison_text.format_markdown(comparisons, shown=shown))


def _sides(files: tuple[str, ...]) -> list[list[Path]]:
    """Return the files of each side; without the word between sides, every file is one."""
    if BETWEEN_SIDES not in files:
        check_usage(len(files) > 1, "two prediction files or more are needed")
        return [[Path(file)] for file in files]
    sides = [
        [Path(file) for file in side]
        for is_word, side in groupby(files, lambda file: file == BETWEEN_SIDES)
        if not is_word
    ]
    words = files.count(BETWEEN_SIDES)
    check_usage(len(sides) == words + 1, "vs stands between two sides: A0.json A1.json vs B0.json B1.json")
    return sides

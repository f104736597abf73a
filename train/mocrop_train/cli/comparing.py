"""mocrop-compare."""

from __future__ import annotations

from pathlib import Path

import click
from mocrop_manifests import __version__
from mocrop_manifests.files import publish_text

from mocrop_train.cli.frame import FILE, OneLineErrors, check_usage

COMPARE_EXAMPLES = """\b
Examples:
  mocrop-compare runs/ours/predictions.json runs/center/predictions.json
  mocrop-compare ours.json center.json full.json random.json --json table.json

All files must be of the same clips. The intervals are bootstraps: over clips, and over whole groups (the
clips that share a video or an actor), which is the honest one where groups are known.
"""


@click.command("mocrop-compare", cls=OneLineErrors, epilog=COMPARE_EXAMPLES)
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="A.json B.json [C.json ...]")
@click.option("--json", "out", type=FILE, help="Write the numbers to this file, too.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the bootstrap.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.version_option(__version__)
def compare_main(files: tuple[Path, ...], out: Path | None, seed: int, debug: bool) -> None:
    """Compare the first prediction file with each of the others, clip by clip.

    wins are clips that the first has right and the other wrong. p is the exact McNemar test: how often
    chance alone makes wins and losses at least as uneven.
    """
    del debug  # OneLineErrors has seen to it
    check_usage(len(files) > 1, "two prediction files or more are needed")
    from mocrop_train.evaluation import compare

    comparisons = [compare.compare(files[0], other, seed=seed) for other in files[1:]]
    click.echo(compare.format_table(comparisons))
    if out:
        publish_text(out, compare.format_json(comparisons))

"""The command that joins parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mocrop_prep.cli.group import BAD_USAGE, OK, SOME_FAILED, cli
from mocrop_prep.config import check_name
from mocrop_prep.errors import UsageError
from mocrop_prep.options import common_options, workdir_argument

if TYPE_CHECKING:  # heavy modules load with the command that needs them: `--help` must be quick
    from mocrop_prep.remote import Location


@cli.command()
@workdir_argument
@click.option("--name", "names", multiple=True, help="Join the crops and shards of this name; default all.")
@click.option("--move", is_flag=True, help="Remove the parts when everything is in its place.")
@common_options
def merge(workdir: Location, names: tuple[str, ...], move: bool, quiet: bool, **_: Any) -> int:
    """Join the parts in WORKDIR that commands with --num-parts have made.

    WORKDIR is then like one that was made without parts, for all other commands. Clip list and crop manifests
    are those that one run would have written, byte for byte. Shards stay as they are and get new numbers:
    there are more and smaller ones than one run makes. Files are linked, or copied where the file system has
    no hard links; the parts stay until you remove them, or with --move.

    Parts have to be finished, of the same clips, settings and versions of libraries: what is not is named,
    and nothing is done. A merge that was stopped goes on when it is started again.

    \b
    Examples:
      mocrop-prep run videos/ work/ --num-parts 2 --part 0
      mocrop-prep run videos/ work/ --num-parts 2 --part 1
      mocrop-prep merge work/
    """
    from mocrop_prep.merge import merge as join

    if not isinstance(workdir, Path):
        raise UsageError(
            f"{workdir}: parts are merged on disk: fetch them into one folder, merge, and send WORKDIR back"
        )
    report = join(workdir, [check_name(name) for name in names], move=move, quiet=quiet)
    for line in report.problems:
        click.echo(f"mocrop-prep: {line}", err=True)
    if report.problems:
        return BAD_USAGE
    if not quiet:
        for line in report.lines:
            click.echo(line)
    if report.failed:
        click.echo(f"{report.failed} clips failed: see {workdir / 'reports' / 'failures.csv'}", err=True)
    return SOME_FAILED if report.failed else OK

"""The command line as a whole: its group, its exit statuses, and how errors end it."""

from __future__ import annotations

import dataclasses
import sys
import traceback
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from mocrop_manifests import __version__

from mocrop_prep.cli.signals import INTERRUPTED, stoppable
from mocrop_prep.config import Settings
from mocrop_prep.errors import NOT_WRITTEN, Stopped, UsageError

if TYPE_CHECKING:  # heavy modules load with the command that needs them: `--help` must be quick
    from mocrop_prep.remote import Location
    from mocrop_prep.remote.session import Errand
    from mocrop_prep.workdir import Workdir

T = TypeVar("T", bound=Settings)

OK, SOME_FAILED, BAD_USAGE = 0, 1, 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="mocrop-prep")
def cli() -> None:
    """Turn labelled videos into motion-cropped frame datasets.

    Compressed video already says what moves: MoCrop reads the motion vectors of H.264, finds one crop for
    each clip that keeps the action, and writes the cropped key frames into shards for training.

    \b
    In one go:     mocrop-prep run videos/ work/
    In stages:     mocrop-prep transcode videos/ work/
                   mocrop-prep extract work/
                   mocrop-prep crop work/
                   mocrop-prep shard work/
    Look at it:    mocrop-prep status work/ ; mocrop-prep preview work/
    Before it:     mocrop-prep run videos/ work/ --dry-run
    In parts:      mocrop-prep run videos/ work/ --num-parts 8 --part 0 ; ... ; mocrop-prep merge work/
    Train:         mocrop-train --shards work/shards/foreground --out runs/first

    videos/ holds one folder per class. It and work/ may be URLs, such as s3://bucket/videos. Every command
    can be stopped, or killed, at any time: the same command goes on where it was. Exit status: 0 all clips
    are ok, 1 some failed (the rest are done), 2 nothing could be done.
    """


def on_disk(workdir: Location, values: dict[str, Any], errand: Errand) -> AbstractContextManager[Path]:
    """Have WORKDIR on disk while a command works on it; `values` are the command's. Raises UsageError."""
    from mocrop_prep.remote.session import at_work

    return at_work(workdir, errand, local=values["local"], every=values["push_every"], quiet=values["quiet"])


def opened(workdir: Path) -> Workdir:
    """Open a WORKDIR that is there; raises UsageError."""
    from mocrop_prep.workdir import open_workdir

    return open_workdir(workdir)


def checked(kind: type[T], values: dict[str, Any]) -> T:
    """Return the settings of one kind among a command's values; raises UsageError."""
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: values[name] for name in names})


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line; every error is one line on stderr and an exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        with stoppable():
            status = cli.main(arguments, prog_name="mocrop-prep", standalone_mode=False)
    except Stopped as end:
        click.echo(f"mocrop-prep: {end}", err=True)
        status = INTERRUPTED
    except (KeyboardInterrupt, click.Abort):
        click.echo(
            "mocrop-prep: stopped; what is done is kept, the same command goes on from there", err=True
        )
        status = INTERRUPTED
    except Exception as error:  # noqa: BLE001  the last resort: a line for people instead of a traceback
        if "--debug" in arguments:
            traceback.print_exc()
        click.echo(f"mocrop-prep: {_one_line(error)}", err=True)
        status = BAD_USAGE
    sys.exit(status if isinstance(status, int) else OK)


def _one_line(error: Exception) -> str:
    if isinstance(error, click.ClickException):
        return " ".join(error.format_message().split())
    if isinstance(error, UsageError):
        return str(error)
    if isinstance(error, OSError) and error.errno in NOT_WRITTEN:
        return (
            f"{error.filename or 'a file'} cannot be written: {error.strerror}; what is done is kept: "
            "mend that, and the same command goes on from there"
        )
    return f"internal error: {type(error).__name__}: {error} (--debug shows where)"

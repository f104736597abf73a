"""Options of the command line, made from the declarations of the settings in config.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from mocrop_prep.config import Settings, flag, read_toml
from mocrop_prep.parts import MOST_PARTS
from mocrop_prep.remote import Location, location

Command = TypeVar("Command", bound=Callable[..., Any])


def settings_options(*kinds: type[Settings]) -> Callable[[Command], Command]:
    """Add an option for each setting of the given kinds; a setting that two kinds share is added once."""
    fields = {field.name: field for kind in kinds for field in dataclasses.fields(kind)}  # type: ignore[arg-type]

    def decorate(command: Command) -> Command:
        for field in reversed(fields.values()):
            command = _option(field)(command)
        return command

    return decorate


def _option(field: dataclasses.Field[Any]) -> Callable[[Command], Command]:
    note = field.metadata
    if field.type == "bool":
        return click.option(flag(field), field.name, is_flag=True, default=field.default, help=note["help"])
    shown = field.default not in (None, "", ())
    return click.option(
        flag(field),
        field.name,
        type=_type(field),
        default=field.default,
        show_default=bool(shown),
        multiple=note["many"],
        help=note["help"],
    )


def _type(field: dataclasses.Field[Any]) -> Any:
    note = field.metadata
    if note["choices"]:
        return click.Choice(note["choices"])
    limits = {"min": note["low"], "max": note["high"], "min_open": note["open_low"]}
    if str(field.type).startswith("int"):
        return click.IntRange(**limits)
    if str(field.type).startswith("float"):
        return click.FloatRange(**limits)
    return str


def common_options(command: Command) -> Command:
    """Add the options that every command has."""
    for decorate in (
        click.option("--debug", is_flag=True, help="Show the traceback of an error."),
        click.option("--quiet", is_flag=True, help="Print errors only."),
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            is_eager=True,
            expose_value=False,
            callback=_load_config,
            help="TOML file with settings in the tables [clips], [transcode], [crop], [shard] and [run]; "
            "options given here win.",
        ),
    ):
        command = decorate(command)
    return command


def _load_config(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    if path is not None:
        context.default_map = {**(context.default_map or {}), **read_toml(path)}


limit_option = click.option(
    "--limit", type=click.IntRange(min=1), help="Take only this many clips, from all classes in turn."
)
checksum_option = click.option(
    "--checksum",
    is_flag=True,
    help="Tell changed videos by their content instead of size and time; reads every video.",
)


class Place(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in new releases alone
    """A path on disk, or the URL of a file or folder in a store."""

    name = "location"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Location:
        """Return the place that a word names; raises UsageError."""
        del param, ctx
        return location(value) if isinstance(value, str) else value


source_argument = click.argument("source", type=Place())


def workdir_argument(command: Command) -> Command:
    """Add WORKDIR, and what goes with one in a store."""
    for decorate in (
        click.option(
            "--push-every",
            type=click.FloatRange(min=1),
            default=30.0,
            show_default=True,
            metavar="SECONDS",
            help="How often what is new is sent to a WORKDIR in a store while the command works.",
        ),
        click.option(
            "--local",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="Folder for the working copy of a WORKDIR in a store, such as s3://bucket/work.  "
            "[default: one in ~/.cache/mocrop for each URL]",
        ),
        click.argument("workdir", type=Place()),
    ):
        command = decorate(command)
    return command


def work_options(command: Command) -> Command:
    """Add the options that all commands have which work on clips."""
    for decorate in (
        click.option(
            "--prune",
            is_flag=True,
            help="Remove what WORKDIR holds of clips that are no longer on the clip list.",
        ),
        click.option("--dry-run", is_flag=True, help="Say what would be done, and why, and do nothing."),
    ):
        command = decorate(command)
    return command


def part_options(command: Command) -> Command:
    """Add the options of commands that can do one part of the clips."""
    for decorate in (
        click.option(
            "--part",
            type=click.IntRange(0, MOST_PARTS - 1),
            help="Which of --num-parts to do, counted from 0, such as $SLURM_ARRAY_TASK_ID.",
        ),
        click.option(
            "--num-parts",
            type=click.IntRange(1, MOST_PARTS),
            help="Share the clips out to so many commands, on any machines; each works in a folder of its "
            "own in WORKDIR, and `mocrop-prep merge WORKDIR` joins them.",
        ),
    ):
        command = decorate(command)
    return command


def name_option(what: str) -> Callable[[Command], Command]:
    """Add --name."""
    return click.option("--name", help=f"Name of {what}; default is the method's.")

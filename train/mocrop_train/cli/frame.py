"""What the commands share: one line for an error, and options made from the settings."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from mocrop_manifests import ManifestError

from mocrop_train import settings
from mocrop_train.config import TrainConfig
from mocrop_train.errors import InterruptionError, TrainError, printable
from mocrop_train.progress import console

Command = TypeVar("Command", bound=Callable[..., Any])
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
_INTERRUPTED = 130
_EXTRA = ("torch", "torchvision", "safetensors", "PIL")


class OneLineErrors(click.Command):
    """A command whose every error is one line on stderr; options are listed by their section."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command and exit: 0 done, 2 bad usage or nothing could be done, 130 interrupted."""
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except click.ClickException as error:
            click.echo(f"{self.name}: {' '.join(error.format_message().split())}", err=True)
            code = 2
        except (KeyboardInterrupt, click.Abort, InterruptionError) as error:
            click.echo(f"{self.name}: {printable(str(error)) or 'interrupted'}", err=True)
            code = _INTERRUPTED
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command; without --debug its errors become one line."""
        try:
            with console(quiet=ctx.params.get("quiet", False)):
                return super().invoke(ctx)
        except (TrainError, ManifestError, OSError) as error:
            if ctx.params["debug"]:
                raise
            # an error from a loader process carries that process's traceback; its last line is the message
            raise click.ClickException(printable(str(error).strip().rpartition("\n")[2])) from error
        except ModuleNotFoundError as error:
            if ctx.params["debug"] or error.name not in _EXTRA:
                raise
            # the pipeline installs alone; whoever then trains is told what is missing
            raise click.ClickException(
                f"{error.name} is not installed: pip install 'mocrop[train]'"
            ) from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of the run first, then those of TrainConfig by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record:
                section = parameter.section if isinstance(parameter, Setting) else "Options"
                sections.setdefault(section, []).append(record)
        for title in sorted(sections, key=lambda title: title != "Options"):
            with formatter.section(title):
                formatter.write_dl(sections[title])


class Setting(click.Option):
    """An option made of a field of TrainConfig, listed in its section."""

    def __init__(self, *names: Any, section: str, **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.section = section


def several(kind: type[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return the type of an option that takes numbers with commas between them; an empty text is none."""

    def numbers(text: str) -> tuple[Any, ...]:
        try:
            return tuple(kind(part) for part in text.split(",")) if text.strip() else ()
        except ValueError:
            raise click.BadParameter(f"{text!r} is not numbers such as 0.4,0.8") from None

    return numbers


def config_options(command: Command) -> Command:
    """Give a command one option for every field of TrainConfig; unset ones are None."""
    for field in reversed(dataclasses.fields(TrainConfig)):
        about, kind = field.metadata, settings.value_type(TrainConfig, field)
        default = about["auto"] if field.default is None else settings.in_words(field.default)
        notes = [f"default: {default}"]
        if bounds := settings.bounds(field):
            notes.append(bounds)
        name = settings.flag(field.name)
        kinds = several(kind) if settings.holds_several(TrainConfig, field) else kind
        command = click.option(
            f"{name}/--no-{name[2:]}" if kind is bool else name,
            field.name,
            cls=Setting,
            section=about["section"],
            type=click.Choice(about["choices"]) if about["choices"] else kinds,
            default=None,
            help=f"{about['help']}  [{'; '.join(notes)}]",
        )(command)
    return command


def check_usage(fine: bool, message: str) -> None:
    """Raise the error of bad usage unless all is fine."""
    if not fine:
        raise click.UsageError(message)

"""The mode --export of mocrop-train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

FORMATS = ("pt2", "onnx")


def parse_formats(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[str, ...] | None:
    """Return the formats of a list such as pt2,onnx; raises the error of bad usage."""
    del context, parameter
    if text is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is not one of {', '.join(FORMATS)}")
    return names


def export(folder: Path, checkpoint: Path, formats: tuple[str, ...] | None, asked: dict[str, Any]) -> None:
    """Export a checkpoint and say what was written."""
    from mocrop_train.export import exporting

    about = exporting.export_checkpoint(checkpoint, folder, formats or FORMATS, asked)
    click.echo(exporting.format_export(folder, about))

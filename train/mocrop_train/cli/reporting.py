"""The mode --report of mocrop-train: the page of a run, made again."""

from __future__ import annotations

from pathlib import Path

import click

from mocrop_train.errors import TrainError


def report(run: Path, *, shards: Path | None, predictions: Path | None) -> None:
    """Write the report of a run folder, and say where it is."""
    from mocrop_train.report.page import write_report

    if predictions and not predictions.exists():
        raise TrainError(f"--json {predictions}: no such file of predictions")
    click.echo(f"report: {write_report(run, shards=shards, predictions=predictions)}")

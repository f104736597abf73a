"""Evaluation without training: one checkpoint on one shard set (--eval-only), or on several (--eval)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from mocrop_manifests.files import publish_text

from mocrop_train.cli.frame import check_usage
from mocrop_train.run import launched


def evaluate_one(
    shards: Path,
    checkpoint: Path,
    asked: dict[str, Any],
    split: str,
    predictions: Path | None,
    *,
    verify: bool,
) -> None:
    """Evaluate a checkpoint on one shard set and print what it is worth."""
    from mocrop_train.evaluation import evaluate
    from mocrop_train.evaluation.predictions import write_predictions

    found = evaluate.evaluate_checkpoint(shards, checkpoint, asked, split=split, verify=verify)
    click.echo(evaluate.format_result(found))
    if predictions and not launched.silent():
        publish_text(predictions, write_predictions(found))
        click.echo(f"predictions: {predictions}")


def evaluate_several(
    sets: Sequence[str],
    checkpoint: Path,
    asked: dict[str, Any],
    split: str,
    out: Path,
    *,
    verify: bool,
) -> None:
    """Evaluate a checkpoint on every shard set, and write and print the table of them."""
    named = [_named(text) for text in sets]
    from mocrop_train.evaluation import set_table
    from mocrop_train.evaluation.sets import evaluate_sets

    lines = set_table.lines_of(evaluate_sets(named, checkpoint, out, asked, split=split, verify=verify))
    if not launched.silent():
        publish_text(out / "eval.csv", set_table.format_csv(lines))
        publish_text(out / "eval.md", set_table.format_markdown(lines))
    click.echo(set_table.format_text(lines))
    click.echo(f"results: {out}")


def _named(text: str) -> tuple[str, Path]:
    """Return name and folder of NAME=DIR; of a bare DIR the name is empty."""
    name, mark, folder = text.partition("=")
    # a folder may have = in its name; a name is no path
    if not mark or "/" in name:
        return "", Path(text)
    check_usage(bool(name and folder), f"--eval {text}: write NAME=DIR, or DIR alone")
    return name, Path(folder)

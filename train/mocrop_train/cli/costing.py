"""What `mocrop-train --cost` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from mocrop_manifests.files import publish_text


def tell_cost(
    asked: dict[str, Any], *, shards: Path | None, saved: Path | None, frames: int | None, out: Path | None
) -> None:
    """Print what a clip costs the network of settings or of a checkpoint, and write it as JSON to `out`."""
    from mocrop_train.evaluation import price

    bill = price.measure(price.subject(asked, shards=shards, saved=saved, frames=frames))
    click.echo(price.format_table(bill))
    if out:
        publish_text(out, price.format_json(bill))

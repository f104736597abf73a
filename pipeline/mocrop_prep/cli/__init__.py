"""mocrop-prep: reads arguments, calls, prints. The settings' defaults, ranges and help live in config.py."""

from mocrop_prep.cli import looking, merging, stages
from mocrop_prep.cli.group import cli, main

__all__ = ["cli", "looking", "main", "merging", "stages"]

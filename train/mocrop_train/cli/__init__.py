"""The commands mocrop-train and mocrop-compare: they read arguments, call, and print; no logic."""

from mocrop_train.cli.comparing import compare_main
from mocrop_train.cli.training import main

__all__ = ["compare_main", "main"]

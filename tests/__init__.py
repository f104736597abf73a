"""Tests of the pipeline and the trainer: `films` makes real clips, `commands` runs the command line."""

"""Fuzzing of the readers of our own formats; `python -m tests.fuzz --help` says how to run it."""

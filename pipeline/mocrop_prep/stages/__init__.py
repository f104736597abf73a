"""The stages: one function per clip each, free of scheduling: any of them can be called on its own."""

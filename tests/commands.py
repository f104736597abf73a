"""Run the command line, in this process or in its own, and take stock of what it leaves behind."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mocrop_prep.cli import main
from mocrop_prep.config import CropSettings

DEFAULT = CropSettings().method
"""The method, and so the name of the manifest and the set, of a command that says nothing else."""
PROGRAM = "from mocrop_prep.cli import main; main()"
COMMAND = (sys.executable, "-c", PROGRAM)


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """Return the lines on stderr that are neither notes nor progress."""
        return [line for line in self.err.splitlines() if not line.startswith("note: ")]


def prep(*arguments: object) -> Outcome:
    """Run mocrop-prep in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = end.code
    return Outcome(status if isinstance(status, int) else 0, out.getvalue(), err.getvalue())


def ok(*arguments: object) -> Outcome:
    """Run mocrop-prep quietly with one job in this process; anything but success fails the test."""
    outcome = prep(*arguments, "--quiet", "--jobs", 1)
    assert outcome.status == 0, outcome
    return outcome


def start(*arguments: object, through: Sequence[str] = (), **environment: str) -> subprocess.Popen[str]:
    """Start mocrop-prep in a process group of its own, `through` a command that runs commands if given."""
    return subprocess.Popen(
        [*through, *COMMAND, *(str(argument) for argument in arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **environment},
        preexec_fn=_hear_signals,
    )


def _hear_signals() -> None:
    """Undo what a shell in the background, or nohup, has these tests ignore: it would be inherited."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def tree(root: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by its path there."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def outputs(workdir: Path) -> dict[str, str]:
    """Return the SHA-256 of what a WORKDIR is made for: crop manifests and shard sets."""
    return {name: digest for name, digest in tree(workdir).items() if name.startswith(("crops/", "shards/"))}


def journal(workdir: Path, stage: str) -> list[dict[str, Any]]:
    """Return the records in a stage's journal, in the order they were written."""
    lines = (workdir / "journal" / f"{stage}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]

"""Commands that kill themselves at the n-th step towards the disk, in forks of a process with modules loaded.

A step is a call of os.replace, os.rename, os.link, os.fsync, os.mkdir, os.unlink or os.rmdir. A fork costs
milliseconds where a new interpreter costs a second: that makes it cheap to die at every step of a run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

STEPS = ("replace", "rename", "link", "fsync", "mkdir", "unlink", "rmdir")
_ALONE = ("--quiet", "--backend", "sequential", "--jobs", "1")
_ALSO: dict[object, Sequence[str]] = {"status": (), "verify": ("--quiet",), "merge": ("--quiet",)}


@dataclass(frozen=True)
class Fate:
    """How commands ended: the last one's exit status, what they said on stderr, and the steps they took.

    died_in: the number of the command that was killed, or None.
    """

    status: int
    err: str
    steps: int
    died_in: int | None


class Stepper:
    """Runs commands in forks of one process that is ready to run them."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, *commands: Sequence[object], die_at: int = 0) -> Fate:
        """Run commands one after the other, until one fails or they die before step `die_at`, if any."""
        lines = [
            [str(argument) for argument in (*command, *_ALSO.get(command[0], _ALONE))] for command in commands
        ]
        request = {"commands": lines, "die_at": die_at}
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        answer = json.loads(stdout.readline())
        begun, steps = answer["told"].count("."), answer["told"].lstrip(".")
        died_in = begun - 1 if answer["status"] == -signal.SIGKILL else None
        return Fate(answer["status"], answer["err"], int(steps or die_at), died_in)

    def ok(self, *commands: Sequence[object]) -> Fate:
        """Run commands that have to succeed."""
        fate = self.run(*commands)
        assert (fate.status, fate.err) == (0, ""), fate
        return fate


@contextmanager
def stepper(through: Sequence[str] = ()) -> Iterator[Stepper]:
    """Start the process that commands are forked from, `through` a command that runs commands if given."""
    root = Path(__file__).parents[2]
    # a library that starts threads as it loads would not survive a fork
    paths = os.pathsep.join([str(root), *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*through, sys.executable, "-m", __name__],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Stepper(process)
        finally:
            process.kill()


def _serve(requests: IO[str]) -> None:
    """Fork for every request; say how the fork ended and what it told: a dot a command, then its steps."""
    for line in requests:
        read_end, write_end = os.pipe()
        with tempfile.TemporaryFile() as errors:
            child = os.fork()
            if child == 0:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                os.dup2(errors.fileno(), 2)
                _play(json.loads(line), write_end)
            os.close(write_end)
            with os.fdopen(read_end) as stream:
                told = stream.read()
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            errors.seek(0)
            answer = {"status": status, "told": told, "err": errors.read().decode()}
        print(json.dumps(answer), flush=True)


def _play(request: dict[str, Any], told: int) -> None:
    """Run the commands of a request in this process, and end it."""
    from mocrop_prep.cli import main

    taken = _count_steps(request["die_at"])
    for command in request["commands"]:
        os.write(told, b".")
        try:
            main(command)
        except SystemExit as end:
            if end.code:
                os._exit(int(end.code))
    os.write(told, str(taken()).encode())
    os._exit(0)


def _count_steps(die_at: int) -> Callable[[], int]:
    """Let every step of this process be counted, and let it die before one; return what tells the count."""
    taken = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal taken
            taken += 1
            if taken == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return step

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    return lambda: taken


if __name__ == "__main__":
    # loaded once, for all forks; pyarrow takes pandas in where it is installed
    import mocrop_prep.workflow  # noqa: F401
    import pandas  # noqa: F401

    _serve(sys.stdin)

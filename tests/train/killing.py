"""Runs of mocrop-train that get into trouble where they are told to, each in a process of its own.

    python -m tests.train.killing PLAN.json

PLAN.json is a list of runs, one after the other: their `arguments` and `environment`; `memory`, how many
bytes more than now they may ask for; and `deaths`: [signal, module, function, number, times] sends so many
signals before that call of that function, counted from 1. The processes are forks of one that has imported
torch, which takes longest; how each ended is printed, as os.waitpid tells it.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any


def arm(name: str, module: str, function: str, number: int, times: int) -> None:
    """Let a process get a signal before a certain call; a run with all that it has started, as by Ctrl-C."""
    home = importlib.import_module(module)
    whole = getattr(home, function)
    calls = 0

    def deadly(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            for _ in range(times):
                send(signal.Signals[name])
        return whole(*arguments, **options)

    setattr(home, function, deadly)


def send(number: signal.Signals) -> None:
    """Send a signal to this process; to its whole group if it leads one, and by another, as torchrun does.

    Workers of torch's loaders tell signals of their parent from those of others.
    """
    if os.getpid() != os.getpgid(0):
        os.kill(os.getpid(), number)
        return
    sender = os.fork()
    if not sender:
        try:
            os.kill(0, number)
        finally:
            os._exit(0)
    os.waitpid(sender, 0)


def run(
    arguments: list[str], environment: dict[str, str], memory: int | None, deaths: list[list[Any]]
) -> None:
    """Run mocrop-train, as a shell would: in a group of its own."""
    from mocrop_train.cli import main

    os.setpgid(0, 0)
    # in the background of a shell it is ignored, and stays so
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(environment)
    if memory is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for death in deaths:
        arm(*death)
    main(arguments)


def main() -> None:
    """Run the plan."""
    importlib.import_module("mocrop_train.loop")
    for entry in json.loads(Path(sys.argv[1]).read_text()):
        child = os.fork()
        if not child:
            run(**entry)
            os._exit(99)  # main has exited before
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()

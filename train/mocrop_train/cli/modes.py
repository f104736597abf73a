"""What mocrop-train can do besides training, and which options go with each of these modes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from mocrop_train.cli.costing import tell_cost
from mocrop_train.cli.evaluating import evaluate_one, evaluate_several
from mocrop_train.cli.exporting import export
from mocrop_train.cli.frame import check_usage
from mocrop_train.cli.reporting import report
from mocrop_train.settings import flag

TRAINING = "training"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The arguments of one call of mocrop-train; `asked` are the settings, of flags and TOML."""

    asked: dict[str, Any]
    more_sets: tuple[str, ...]
    shards: Path | None
    out: Path | None
    resume: bool
    eval_only: bool
    sets: tuple[str, ...]
    report_on: Path | None
    cost: bool
    frames: int | None
    checkpoint: Path | None
    export_to: Path | None
    export_formats: tuple[str, ...] | None
    split: str | None
    predictions: Path | None
    verify: bool

    @property
    def predictions_file(self) -> Path | None:
        """Where predictions go: where they are asked for, else into the run folder, if there is one."""
        return self.predictions or (self.out / "predictions.json" if self.out else None)


@dataclass(frozen=True, slots=True)
class Mode:
    """One thing to do: the options it needs, those it takes besides, and what does it."""

    needs: tuple[str, ...]
    takes: tuple[str, ...]
    run: Callable[[Call], None]


FLAGS = {
    "more_sets": "NAME=DIR",
    "shards": "--shards",
    "out": "--out",
    "resume": "--resume",
    "eval_only": "--eval-only",
    "sets": "--eval",
    "report_on": "--report",
    "cost": "--cost",
    "frames": "--frames",
    "checkpoint": "--checkpoint",
    "export_to": "--export",
    "export_formats": "--export-formats",
    "split": "--split",
    "predictions": "--json",
    "verify": "--verify",
}
_WHAT_IS_MISSING = {
    "shards": "--shards DIR: the folder that holds dataset.json",
    "out": "--out DIR: the folder for what is written",
    "checkpoint": "--checkpoint FILE, such as RUN/best.pt",
}
_FOR_TRAINING = {
    "checkpoint": "; to start from weights use --weights",
    "frames": ", for which there is --segments",
}


def _eval_only(call: Call) -> None:
    evaluate_one(
        _path(call.shards),
        _path(call.checkpoint),
        call.asked,
        call.split or "test",
        call.predictions_file,
        verify=call.verify,
    )


def _eval(call: Call) -> None:
    sets = (*call.sets, *call.more_sets)
    evaluate_several(
        sets, _path(call.checkpoint), call.asked, call.split or "test", _path(call.out), verify=call.verify
    )


def _report(call: Call) -> None:
    settings = _listed([flag(name) for name in call.asked])
    check_usage(not settings, f"--report takes no settings; leave out {settings}")
    report(_path(call.report_on), shards=call.shards, predictions=call.predictions)


def _cost(call: Call) -> None:
    tell_cost(call.asked, shards=call.shards, saved=call.checkpoint, frames=call.frames, out=call.predictions)


def _export(call: Call) -> None:
    export(_path(call.export_to), _path(call.checkpoint), call.export_formats, call.asked)


# by the argument that asks for it; without any of them it is training
MODES = {
    "eval_only": Mode(("shards", "checkpoint"), ("out", "split", "predictions", "verify"), _eval_only),
    "sets": Mode(("checkpoint", "out"), ("more_sets", "split", "verify"), _eval),
    "report_on": Mode((), ("shards", "predictions"), _report),
    "cost": Mode((), ("shards", "checkpoint", "frames", "predictions"), _cost),
    "export_to": Mode(("checkpoint",), ("export_formats",), _export),
}
_OF_TRAINING = ("shards", "out", "resume", "predictions", "verify")


def other_mode(call: Call) -> Mode | None:
    """Return the mode that is asked for, None for training; raises the error of bad usage.

    Every option that is given must go with it, and those that it needs must be given.
    """
    if call.more_sets and not call.sets:
        raise click.UsageError(f"unexpected extra argument {call.more_sets[0]}; NAME=DIR goes with --eval")
    given = [name for name in FLAGS if getattr(call, name) not in (None, False, ())]
    chosen = [name for name in given if name in MODES]
    check_usage(len(chosen) < 2, f"{_listed(chosen)} exclude each other")
    if not chosen:
        _check(given, ("shards", "out"), _OF_TRAINING, TRAINING)
        return None
    mode = MODES[chosen[0]]
    _check(given, mode.needs, (chosen[0], *mode.needs, *mode.takes), FLAGS[chosen[0]])
    return mode


def _check(given: Sequence[str], needs: Sequence[str], fits: Sequence[str], mode: str) -> None:
    for name in given:
        if name not in fits:
            homes = [FLAGS[key] for key, home in MODES.items() if name in (*home.needs, *home.takes)]
            where = _listed([*homes, *([TRAINING] if name in _OF_TRAINING else [])])
            hint = _FOR_TRAINING.get(name, "") if mode == TRAINING else ""
            raise click.UsageError(f"{FLAGS[name]} goes with {where}, not with {mode}{hint}")
    for name in needs:
        check_usage(name in given, f"{mode} needs {_WHAT_IS_MISSING[name]}")


def _listed(names: Sequence[str]) -> str:
    names = [FLAGS.get(name, name) for name in names]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _path(path: Path | None) -> Path:
    if path is None:
        raise TypeError("an option that its mode needs was not checked")
    return path

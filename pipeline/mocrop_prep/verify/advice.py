"""What to do about a problem: the command that makes a thing again, as it can be typed."""

from __future__ import annotations

import shlex

from mocrop_prep.workdir import Workdir

_OPTIONS = "with the options of before"
FOREIGN = "not made by this pipeline: move it elsewhere or delete it"


def stage_again(workdir: Workdir, stage: str) -> str:
    """Return the command that does a stage again, `transcode` or `extract`."""
    if stage == "transcode":  # it writes the clip list as well
        return f"run `mocrop-prep transcode SOURCE {_root(workdir)}` again, {_OPTIONS}"
    return f"run `mocrop-prep {stage} {_root(workdir)}` again"


def crops_again(workdir: Workdir, name: str) -> str:
    """Return the command that makes a crop manifest again: the one that made it."""
    if _is_fused(workdir, name, "crop"):
        return _fused(workdir, name)
    return f"run `mocrop-prep crop {_root(workdir)} --name {name}` again, {_OPTIONS}"


def set_again(workdir: Workdir, name: str, crops: str) -> str:
    """Return the command that makes a shard set again, from the manifest `crops` if that is known."""
    if _is_fused(workdir, name, "shard"):
        return _fused(workdir, name)
    return f"run `{shard_command(workdir, crops)} --name {name}` again, {_OPTIONS}"


def shard_command(workdir: Workdir, crops: str) -> str:
    """Return the command that makes shards of a crop manifest."""
    return f"mocrop-prep shard {_root(workdir)} --crops {shlex.quote(crops) if crops else 'NAME'}"


def _is_fused(workdir: Workdir, name: str, stage: str) -> bool:
    """Say whether `run` made a manifest or set of this name, and the `stage` of its own did not."""
    journals = workdir.root / "journal"
    return (journals / f"run-{name}.jsonl").exists() and not (journals / f"{stage}-{name}.jsonl").exists()


def _fused(workdir: Workdir, name: str) -> str:
    return f"run `mocrop-prep run SOURCE {_root(workdir)} --name {name}` again, {_OPTIONS}"


def _root(workdir: Workdir) -> str:
    return shlex.quote(str(workdir.root))

"""One checkpoint on several shard sets: all are checked first, then each is evaluated, once."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mocrop_manifests import __version__
from mocrop_manifests.dataset import read_index
from mocrop_manifests.files import publish_text, sha256, sweep

from mocrop_train.errors import TrainError, printable
from mocrop_train.evaluation import evaluate
from mocrop_train.evaluation.evaluate import Held, Loaded
from mocrop_train.evaluation.predictions import VERSION, Predictions, read_predictions
from mocrop_train.evaluation.write import BESIDE, write_results
from mocrop_train.progress import log
from mocrop_train.run import checkpoint, parallel

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
# settings on which predictions depend besides the weights
_DECIDES = ("model", "input_size", "limit", "amp", "decode")
_MARK = "evaluated.json"


def evaluate_sets(
    sets: Sequence[tuple[str, Path]],
    path: Path,
    out: Path,
    options: dict[str, Any] | None = None,
    *,
    split: str = "test",
    verify: bool = False,
) -> dict[str, Predictions]:
    """Evaluate a checkpoint on one split of every set; OUT/<name> gets the results of each.

    sets: names and folders; an empty name is that of the set's dataset.json. What an earlier call has done
    with the same checkpoint, shards and settings is read, not done again. Raises TrainError or ManifestError
    before the first set is evaluated if one of them cannot be: see evaluate.load and evaluate.hold.
    """
    named = _named(sets)
    loaded = evaluate.load(path, options)
    held = {name: evaluate.hold(folder, loaded, split=split, verify=verify) for name, folder in named}
    _tell_other_clips(held)
    digest = checkpoint.digest(checkpoint.weights(loaded.saved))
    return {name: _once(name, one, loaded, digest, out / name) for name, one in held.items()}


def _named(sets: Sequence[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Return the sets with names that can be those of folders, all different."""
    named: list[tuple[str, Path]] = []
    for given, folder in sets:
        name = given or read_index(folder).name
        if not _NAME.fullmatch(name):
            raise TrainError(
                f"{folder}: {printable(name)!r} is no name for a folder of results; give it one of letters, "
                "digits, . _ and -: NAME=DIR"
            )
        # on some disks such names are one
        twin = next((other for known, other in named if known.casefold() == name.casefold()), None)
        if twin is not None:
            raise TrainError(f"{folder} and {twin}: both are named {name}; write NAME=DIR")
        named.append((name, folder))
    return named


def _tell_other_clips(held: dict[str, Held]) -> None:
    """Raise TrainError where clips have other labels or groups than in the first set; warn of other clips.

    It is what compare.check_paired would find, before anything is evaluated.
    """
    (first_name, first), *others = held.items()
    known = {clip.clip_id: clip for clip in first.source.clips}
    for name, one in others:
        theirs = {clip.clip_id: clip for clip in one.source.clips}
        for what, field in (("labels", "label"), ("groups", "group")):
            apart = [
                clip_id
                for clip_id, clip in theirs.items()
                if clip_id in known and getattr(known[clip_id], field) != getattr(clip, field)
            ]
            if apart:
                raise TrainError(
                    f"{first_name} and {name}: different {what} for {len(apart)} clips, such as {apart[0]}"
                )
        lone = sorted(known.keys() ^ theirs.keys())
        if lone:
            log.warning(
                "%s and %s: different clips, so they are not paired: %d are in one only, such as %s",
                first_name, name, len(lone), lone[0],
            )  # fmt: skip


def _once(name: str, held: Held, loaded: Loaded, digest: str, folder: Path) -> Predictions:
    """Return the predictions on one set: those of an earlier call, or new ones, which are written."""
    made_of = {
        "weights": digest,
        "shards": sha256(held.folder / "dataset.json"),
        "split": held.split,
        "selected_on": loaded.saved["selected_on"],
        **{name: getattr(loaded.settings, name) for name in _DECIDES},
        "mocrop": __version__,
        "version": VERSION,
    }
    said = folder / "predictions.json"
    ranks = parallel.current()
    if ranks.gather(_known(folder / _MARK, made_of, said))[0]:
        log.info("%s: done already, %s", name, said)
        found = read_predictions(said)
        if ranks.main and not all((folder / file).exists() for file in BESIDE):
            write_results(folder, found)  # pictures need a package that may have come since
        return found
    if ranks.main:
        (folder / _MARK).unlink(missing_ok=True)
        sweep(folder, spare_living=True)
    found = evaluate.evaluate(loaded, held, f"{name}, {held.split}")
    if not ranks.main:
        return found
    write_results(folder, found)
    # last: it says that all the rest is there
    publish_text(folder / _MARK, json.dumps({**made_of, "predictions": sha256(said)}, indent=1) + "\n")
    log.info("%s: top-1 %.1f %% of %d clips", name, 100 * found.top1, len(found.clips))
    return found


def _known(mark: Path, made_of: dict[str, Any], said: Path) -> bool:
    """Say whether the record of a finished evaluation is of these inputs, and its predictions unchanged."""
    try:
        return bool(json.loads(mark.read_bytes()) == {**made_of, "predictions": sha256(said)})
    except (OSError, ValueError):
        return False

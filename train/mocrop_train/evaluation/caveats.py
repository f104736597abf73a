"""What a reader of a comparison has to know besides its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mocrop_train.errors import printable
from mocrop_train.evaluation.predictions import Predictions


def warnings_about(files: Iterable[tuple[str, Predictions]]) -> list[str]:
    """Return a line for each file, given with its name, whose accuracy is better than that of new clips."""
    found = []
    for name, said in files:
        if said.split == "train":
            found.append(f"{name}: of split train, from which its network has learned: that is too good")
        if said.selected_on and said.selected_on == said.split:
            split = printable(said.split)
            found.append(
                f"{name}: its checkpoint was chosen by its accuracy on split {split}, on which it is tested "
                "here: that is too good"
            )
    return found


def notes_on(first: Sequence[Predictions], other: Sequence[Predictions]) -> list[str]:
    """Return what else than chance the sides may differ by: crops, networks, checkpoints."""
    found = []
    both = [*first, *other]
    crops = [_listed(said.crops or said.shards for said in side) for side in (first, other)]
    checkpoints = {said.weights_sha256 for said in both}
    if len(checkpoints) == 1 and "" not in checkpoints:
        sets = {said.shards_sha256 for said in both}
        found.append(
            f"one checkpoint on two sets of crops: {crops[0]}, and {crops[1]}"
            if len(sets) > 1
            else "one checkpoint on one set of crops: only how it was evaluated can differ"
        )
    models = [_listed(said.model for said in side) for side in (first, other)]
    if models[0] != models[1]:
        found.append(f"the networks differ, {models[0]} and {models[1]}: not only what they were shown")
    for side, shown in zip((first, other), crops, strict=True):
        if len({said.model for said in side}) > 1:
            found.append(f"one side has runs of several networks: {_listed(said.model for said in side)}")
        if len({said.crops or said.shards for said in side}) > 1:
            found.append(f"one side has runs on several sets of crops: {shown}")
        known = [said.weights_sha256 for said in side if said.weights_sha256]
        if len(set(known)) < len(known):
            found.append("a checkpoint occurs twice on one side: its runs are not independent")
    return found


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(map(printable, names)))

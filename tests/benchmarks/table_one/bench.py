"""One set of clips as shards, and the parts of the table that are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mocrop_manifests import read_dataset
from mocrop_prep.progress import Progress
from mocrop_train.models.cost import clip_cost

from tests.benchmarks.crop_bench.sets import ClipSet
from tests.benchmarks.table_one.backbones import Backbone
from tests.benchmarks.table_one.design import Cell, Division, Variant, by_training
from tests.benchmarks.table_one.outcomes import Tester, predict_cells, read_outcome
from tests.benchmarks.table_one.report import Part
from tests.benchmarks.table_one.statistics import accuracy, comparisons


@dataclass(frozen=True, slots=True)
class Bench:
    """A set of clips, its shard sets, and the cells that are asked for, each with `seeds` trainings.

    frames: how many of a clip are stored. work: where predictions are kept.
    """

    clips: ClipSet
    made: Mapping[Variant, Path]
    cells: Sequence[Cell]
    seeds: int
    frames: int
    work: Path

    @property
    def classes(self) -> list[str]:
        """Return the names of the classes."""
        return read_dataset(next(iter(self.made.values()))).classes

    def part(
        self, tester: Tester, backbone: Backbone, protocol: str, divisions: Sequence[Division], about: str
    ) -> Part:
        """Compute what is missing of a part of the table, and return it."""
        folder = self.work / "predictions" / self.clips.name / f"{backbone.name}-{backbone.digest}"
        trainings = len(by_training(self.cells)) * self.seeds
        label = f"{self.clips.name}, {backbone.name}, {protocol}"
        with Progress(label, trainings, quiet=False, unit="training") as progress:
            files = predict_cells(
                tester,
                self.cells,
                divisions,
                self.seeds,
                folder / protocol.replace(" ", "-"),
                progress.advance,
            )
        outcomes = {cell: read_outcome(files[cell]) for cell in self.cells}
        classes = len(self.classes)
        return Part(
            clips=self.clips.name,
            backbone=backbone.name,
            protocol=protocol,
            about=about,
            accuracies={cell: accuracy(outcome) for cell, outcome in outcomes.items()},
            paired=comparisons(outcomes),
            costs={
                variant.size: clip_cost(tester.settings(variant, 0), classes, self.frames)
                for variant in self.made
            },
        )

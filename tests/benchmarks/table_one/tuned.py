"""Whole networks trained by mocrop-train's loop, fine-tuned or from scratch, tested on any set."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mocrop_manifests.files import publish_text, remove
from mocrop_train import loop, overrides
from mocrop_train.config import TrainConfig
from mocrop_train.evaluation.evaluate import evaluate_checkpoint
from mocrop_train.evaluation.predictions import Predictions, read_predictions, write_predictions
from mocrop_train.run import checkpoint

from tests.benchmarks.table_one.deciding import decisive, digest_of, short_digest
from tests.benchmarks.table_one.design import Division, Variant
from tests.benchmarks.table_one.shardsets import divided


@dataclass(frozen=True)
class TrainedTester:
    """Trains networks on divided shard sets and tests them; every training has its run folder in `runs`."""

    sets: dict[Variant, Path]
    config: TrainConfig
    runs: Path
    jobs: int = 1

    def prepare(self) -> None:
        """Do nothing: every training reads its own shards."""

    def settings(self, train: Variant, seed: int) -> TrainConfig:
        """Return the resolved settings of a training."""
        return dataclasses.replace(self.config, seed=seed).resolved(train.size)

    def test(
        self, train: Variant, tests: Sequence[Variant], division: Division, seed: int
    ) -> dict[Variant, Predictions]:
        """Train on the clips that the division leaves, and return what the network says of the others.

        A training that was stopped goes on where it was. Once all of `tests` are predicted its checkpoints,
        which are large, are removed. Other settings, shards or divisions have files of other names.
        """
        digest = self._digest(train, division, seed)
        out = self.runs / division.name / str(train) / f"seed{seed}-{digest}"
        files = {variant: out / f"on-{variant}-{digest_of(self.sets[variant])}.json" for variant in tests}
        missing = [variant for variant, file in files.items() if not file.exists()]
        if missing:
            self._train(train, division, out, seed)
        for variant in missing:
            shards = divided(self.sets[variant], division, self.runs / "sets")
            found = evaluate_checkpoint(shards, out / "best.pt", {"device": self.config.device})
            publish_text(files[variant], write_predictions(found))
        for name in ("last.pt", "best.pt"):
            remove(out / name)
        return {variant: read_predictions(file) for variant, file in files.items()}

    def _digest(self, train: Variant, division: Division, seed: int) -> str:
        decides = decisive(self.settings(train, seed)), digest_of(self.sets[train]), sorted(division.tested)
        return short_digest(decides)

    def _train(self, train: Variant, division: Division, out: Path, seed: int) -> None:
        """Train one network to its end, from where it is."""
        if (out / "best.pt").exists() and (out / "predictions.json").exists():
            return
        shards = divided(self.sets[train], division, self.runs / "sets")
        config, last = dataclasses.replace(self.config, seed=seed), out / "last.pt"
        if last.exists():
            saved = checkpoint.load(last)["config"]
            loop.train(shards, out, overrides.resumed(saved, {}), resume=True)
        else:
            loop.train(shards, out, config)

"""The targets: each gives bytes to a reader, and holds it to its contract.

A reader of files gets the bytes as a file. Where bytes alone seldom get past the syntax there is a second
target, named `-edited`: its bytes are edits of what a file says, see `edits`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import binary_readers as binary
from tests.fuzz import seeds
from tests.fuzz import text_readers as text
from tests.fuzz.edits import programs


@dataclass(frozen=True)
class Target:
    """`read` gets a folder for its files and the bytes; it says whether they were accepted.

    What no reader may do raises. `seeds` are inputs to begin with; none is longer than `longest` bytes.
    """

    about: str
    read: Callable[[Path, bytes], bool]
    seeds: Callable[[], Sequence[bytes]]
    longest: int = 4096


def _shards(form: str) -> Callable[[], Sequence[bytes]]:
    return lambda: [seeds.shard(form, per_frame=per_frame) for per_frame in (False, True)]


TARGETS: dict[str, Target] = {
    "prep-tar": Target(
        "tar shards, as the pipeline reads them", binary.prep_tar, _shards("webdataset"), 20480
    ),
    "prep-parquet": Target(
        "Parquet shards, as the pipeline reads them", binary.prep_parquet, _shards("parquet"), 8192
    ),
    "prep-edited": Target(
        "well-formed shards with other contents, as the pipeline reads them",
        binary.prep_edited,
        lambda: programs(binary.shard_rows()),
        32,
    ),
    "train-tar": Target(
        "tar shards, as the trainer reads them", binary.train_tar, _shards("webdataset"), 20480
    ),
    "train-parquet": Target(
        "Parquet shards, as the trainer reads them", binary.train_parquet, _shards("parquet"), 8192
    ),
    "train-edited": Target(
        "well-formed shards with other contents, as the trainer reads them",
        binary.train_edited,
        lambda: programs(binary.shard_rows()),
        32,
    ),
    "jpeg": Target(
        "pictures, as the trainer decodes them", binary.jpeg, lambda: [seeds.samples()[0].jpegs[0]], 2048
    ),
    "vectors": Target("files of motion vectors", binary.vectors, lambda: [seeds.vectors()]),
    "vectors-edited": Target(
        "well-formed files of motion vectors with other contents",
        binary.vectors_edited,
        lambda: programs(binary.vectors_tree()),
        32,
    ),
    "crops": Target("crop manifests", text.crops, lambda: [seeds.crops()]),
    "clips": Target("clip lists", text.clips, lambda: [seeds.clips()]),
    "dataset": Target("dataset.json", text.dataset, lambda: [seeds.dataset()]),
    "dataset-edited": Target(
        "dataset.json with other contents", text.dataset_edited, lambda: programs(text.dataset_tree()), 32
    ),
    "journal": Target("journals", text.journal, lambda: [seeds.journal()]),
    "journal-edited": Target(
        "journals with other contents", text.journal_edited, lambda: programs(text.journal_tree()), 32
    ),
    "predictions": Target("prediction files", text.predictions, lambda: [seeds.predictions()]),
    "predictions-edited": Target(
        "prediction files with other contents",
        text.predictions_edited,
        lambda: programs(text.predictions_tree()),
        32,
    ),
    "sps": Target("sequence parameter sets of H.264", text.sps, text.parameter_sets, 512),
    "lists": Target("official list files", text.lists, lambda: seeds.LISTS, 1024),
    "table": Target("tables of clips as SOURCE", text.table, lambda: [seeds.TABLE], 1024),
}

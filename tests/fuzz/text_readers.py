"""The targets of text forms: tables, indexes, journals, predictions and lists; and of what codecs say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mocrop_manifests import (
    ManifestError,
    read_clips,
    read_crops,
    read_dataset,
    write_clips,
    write_crops,
    write_dataset,
)
from mocrop_prep.clips.lists import read_lists
from mocrop_prep.clips.table import read_table
from mocrop_prep.errors import UsageError
from mocrop_prep.journal import Journal, Record
from mocrop_prep.video.sps import reference_frames, sps_in_packet
from mocrop_train.data.loading import stored_size
from mocrop_train.errors import TrainError
from mocrop_train.evaluation.compare import compare_files
from mocrop_train.evaluation.comparison_text import format_json, format_markdown, format_table
from mocrop_train.evaluation.predictions import read_predictions, write_predictions

from tests.fuzz import repair, seeds
from tests.fuzz.contract import attempt, require
from tests.fuzz.edits import edited


def crops(folder: Path, data: bytes) -> bool:
    """Read a crop manifest; what was read is written and read alike."""
    path = folder / "crops.csv"
    path.write_bytes(data)
    rows = attempt(lambda: read_crops(path), ManifestError)
    if rows is not None:
        text = write_crops(rows)
        path.write_bytes(text.encode())
        require(
            write_crops(read_crops(path)) == text, "a manifest that was read can be written and read again"
        )
    return rows is not None


def clips(folder: Path, data: bytes) -> bool:
    """Read a clip list; what was read is written and read alike."""
    path = folder / "clips.csv"
    path.write_bytes(data)
    rows = attempt(lambda: read_clips(path), ManifestError)
    if rows is not None:
        path.write_bytes(write_clips(rows).encode())
        again = sorted(rows, key=lambda clip: clip.clip_id)
        require(read_clips(path) == again, "a clip list that was read can be written and read again")
    return rows is not None


def dataset(folder: Path, data: bytes) -> bool:
    """Read the index of a shard set; what was read is written and read alike."""
    for (file, _), size in seeds.SHARD_SIZES.items():
        (folder / file).write_bytes(bytes(size))
    path = folder / "dataset.json"
    path.write_bytes(data)
    attempt(lambda: read_dataset(folder, verify=True), ManifestError)
    index = attempt(lambda: read_dataset(folder), ManifestError)
    if index is not None:
        attempt(lambda: stored_size(folder, index), TrainError)
        text = write_dataset(index)
        path.write_bytes(text.encode())
        require(
            write_dataset(read_dataset(folder)) == text,
            "an index that was read can be written and read again",
        )
    return index is not None


def dataset_edited(folder: Path, data: bytes) -> bool:
    """Read the index of a shard set that says other things."""
    return dataset(folder, json.dumps(edited(dataset_tree(), data), default=repr).encode())


def dataset_tree() -> Any:
    """Return what dataset.json says, to be edited."""
    return json.loads(seeds.dataset())


def journal(folder: Path, data: bytes) -> bool:
    """Read a journal, as it is and with its checksums put right; it is never refused."""
    path = folder / "journal.jsonl"
    accepted = False
    for content in (data, repair.journal_lines(data)):
        path.write_bytes(content)
        found = dict(attempt(lambda: Journal(path).read()) or {})
        accepted |= bool(found)
        for clip_id, record in found.items():
            require(type(clip_id) is str and record.clip_id == clip_id, "records lie under their clip ids")
            require(type(record.key) is str and type(record.status) is str, "records have keys and a status")
            require(isinstance(record.data, dict), "what a stage reports is an object")
    return accepted


def journal_edited(folder: Path, data: bytes) -> bool:
    """Read a journal whose lines say other things."""
    tree = edited(journal_tree(), data)
    lines = [json.dumps(line, default=repr).encode() for line in tree]
    return journal(folder, b"".join(line[:-1] + b', "crc": ""}\n' for line in lines))


def journal_tree() -> list[Any]:
    """Return the records of a journal, to be edited."""
    fields = Record.__dataclass_fields__
    lines = [json.loads(line) for line in seeds.journal().splitlines()]
    return [{name: value for name, value in line.items() if name in fields} for line in lines]


def predictions(folder: Path, data: bytes) -> bool:
    """Read a prediction file and hold it against itself; what was read is written and read alike."""
    path = folder / "predictions.json"
    path.write_bytes(data)
    found = attempt(lambda: read_predictions(path), TrainError)
    if found is None:
        return False
    copy = folder / "another run.json"
    copy.write_bytes(data)
    # one run each, then two against one
    for sides in ([[path], [path]], [[path, copy], [path]]):
        compared = attempt(partial(compare_files, sides), TrainError)
        if compared is not None:
            format_json(compared)
            format_table(compared)
            format_markdown(compared)
    path.write_bytes(write_predictions(found).encode())
    require(
        repr(read_predictions(path)) == repr(found),
        "predictions that were read can be written and read again",
    )
    return True


def predictions_edited(folder: Path, data: bytes) -> bool:
    """Read a prediction file that says other things."""
    return predictions(folder, json.dumps(edited(predictions_tree(), data), default=repr).encode())


def predictions_tree() -> Any:
    """Return what a prediction file says, to be edited."""
    return json.loads(seeds.predictions())


def sps(folder: Path, data: bytes) -> bool:
    """Read the number of reference frames in extradata, and find parameter sets in packets."""
    del folder
    found = attempt(lambda: reference_frames(data))
    for form in (
        b"",
        b"\x01\x64\x00\x14\xff",
        b"\x01\x64\x00\x14\xfc",
    ):  # Annex B; lengths of four bytes, of one
        unit = attempt(partial(sps_in_packet, data, form))
        require(
            unit is None or (unit in data and unit[0] & 31 == 7), "parameters in a packet are bytes of it"
        )
    require(
        found is None or (type(found) is int and found >= 0), "the number of reference frames is a number"
    )
    return found is not None


def parameter_sets() -> Sequence[bytes]:
    """Return extradata that x264 wrote for 64x48 pixels: in avcC and in Annex B, of three profiles."""
    avcc = "0164000affe100176764000aacd9447a1000000300100000030140f122596001000568ef8f2c8bfdf8f800"
    main = "000001674d400adb11e840000003004000000503c489b80000000168eac3cb20"
    high444 = "00000167f4000a9196c47a1000000300100000030140f1226e0000000168eac3c44844"
    return [bytes.fromhex(text) for text in (avcc, main, high444)]


def lists(folder: Path, data: bytes) -> bool:
    """Read a list file, by names of both kinds."""
    accepted = False
    for name in ("trainlist01.txt", "wave_test_split1.txt"):
        path = folder / name
        path.write_bytes(data)
        found = attempt(partial(read_lists, {"train": [path]}, 1), UsageError)
        for entry in found or ():
            require(all(reading.path for reading in entry.readings), "every reading of a line has a path")
        accepted |= bool(found)
    return accepted


def table(folder: Path, data: bytes) -> bool:
    """Read a CSV as SOURCE."""
    path = folder / "source.csv"
    path.write_bytes(data)
    found = attempt(lambda: read_table(path), UsageError)
    require(
        found is None or all(entry.path and entry.label for entry in found.entries),
        "rows have path and label",
    )
    return found is not None

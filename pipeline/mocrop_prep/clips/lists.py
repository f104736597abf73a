"""Official list files: UCF101, HMDB51, Kinetics, and plain lists of paths and labels."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mocrop_prep.clips.paths import escape, shown
from mocrop_prep.errors import UsageError
from mocrop_prep.probe import MEDIA_EXTENSIONS
from mocrop_prep.remote import Location

_HMDB_FILE = re.compile(r"(?P<label>.+)_test_split(?P<number>\d+)\.txt", re.IGNORECASE)
_HMDB_LINE = re.compile(r"(?P<name>.*\S)\s+(?P<flag>[012])")
_HMDB_SPLITS = {"0": "", "1": "train", "2": "test"}
_NUMBERED_FILE = re.compile(r"(?P<kind>train|val|test)[a-z_-]*(?P<number>\d*)\.(?:txt|csv)", re.IGNORECASE)
_KINETICS_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
_PATH_AND_LABEL = re.compile(
    rf"(?P<path>.*\.(?:{'|'.join(sorted(MEDIA_EXTENSIONS))}))(?:(?P<gap>\s*[,\s]\s*)(?P<label>.*))?",
    re.IGNORECASE,
)
_SEVERAL_NUMBERS = re.compile(r"\d+(?:\s+\d+)+")
_BINARY = re.compile(r"[\x00-\x08\x0e-\x1f]")


class Reading(NamedTuple):
    """One way to read a list line: a path, and a class by its name, by its number, or not at all."""

    path: str
    label: str = ""
    number: str = ""


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One line of a list: where it stands, and its readings, the likeliest first.

    `split` is empty where the list marks the clip as unused. `exact` asks for names as they are written:
    YouTube ids differ by case. `sure` is False for a line that may be no list line at all.
    """

    where: str
    split: str
    readings: tuple[Reading, ...]
    exact: bool = False
    sure: bool = True


def read_lists(lists: Mapping[str, Sequence[Location]], list_split: int) -> list[ListEntry]:
    """Read list files, given by the split that they stand for, in any of the known forms.

    A folder stands for its HMDB51 files of split `list_split`, else for its lists named after the split and
    that number, as in trainlist01.txt. HMDB51 files hold both splits, whatever they are given for.
    Raises UsageError with file and line for a line of no known form.
    """
    entries: dict[tuple[str, str], ListEntry] = {}
    for split, paths in lists.items():
        for path in paths:
            for file in _files(path, split, list_split):
                # An HMDB51 file given for train and for test is read once.
                entries.update(((entry.where, entry.split), entry) for entry in _read_list(file, split))
    return list(entries.values())


def _files(folder: Location, split: str, number: int) -> list[Location]:
    """Return the lists that a folder stands for; of a file itself."""
    try:
        names = _names(folder)
        if names is None:
            return [folder]
    except OSError as error:
        raise UsageError(f"cannot read the folder {escape(str(folder))}: {error.strerror}") from None
    hmdb = [match for name in names if (match := _HMDB_FILE.fullmatch(name))]
    numbered = [
        match
        for name in names
        if (match := _NUMBERED_FILE.fullmatch(name)) and match["kind"].lower() == split
    ]
    fitting = [match for match in hmdb or numbered if int(match["number"] or number) == number]
    if not fitting:
        raise UsageError(
            f"{escape(str(folder))}: no list for split {split}, number {number}: expected "
            f"<class>_test_split{number}.txt or {split}list{number:02d}.txt; "
            f"found {shown(names) or 'no file'}"
        )
    return [folder / match.string for match in fitting]


def _names(folder: Location) -> list[str] | None:
    """Return the names in a folder that are not hidden, sorted; None if it is no folder."""
    if isinstance(folder, Path):
        if not os.path.isdir(folder):
            return None
        names = [path.name for path in folder.iterdir()]
    else:
        from mocrop_prep.remote import store

        if store.state(folder) is not None:
            return None
        names = [name for name in store.listing(folder) if "/" not in name]
        if not names:
            return None
    return sorted(name for name in names if not name.startswith("."))


def _read_list(file: Location, split: str) -> Iterator[ListEntry]:
    from mocrop_prep.remote.store import read

    where = escape(str(file))
    try:
        # Names on disk need not be UTF-8, and lists of them are written in the same bytes.
        text = read(file).decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise UsageError(f"{where}: cannot read the list: {error.strerror}") from None
    hmdb = _HMDB_FILE.fullmatch(file.name)
    if hmdb:
        return _hmdb(text, where, hmdb["label"])
    first = text.partition("\n")[0]
    if "youtube_id" in _header(first):
        return _kinetics(text, where, split)
    return _plain(text, where, split)


def _lines(text: str, where: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{where}:{number}", line.strip()


def _hmdb(text: str, where: str, label: str) -> Iterator[ListEntry]:
    for place, line in _lines(text, where):
        match = _HMDB_LINE.fullmatch(line)
        if not match:
            raise _unrecognised(place, line, "<video> 0, 1 or 2")
        readings = (Reading(f"{label}/{match['name']}", label), Reading(match["name"], label))
        yield ListEntry(place, _HMDB_SPLITS[match["flag"]], readings)


def _header(line: str) -> list[str]:
    return [cell.strip().strip('"').lower() for cell in line.split(",")]


def _kinetics(text: str, where: str, split: str) -> Iterator[ListEntry]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip().lower() for cell in next(reader)]
        missing = [name for name in _KINETICS_COLUMNS if name not in header]
        if missing:
            raise UsageError(f"{where}:1: missing column {', '.join(missing)} of a Kinetics list")
        for cells in reader:
            if not cells:
                continue
            place = f"{where}:{reader.line_num}"
            try:
                row = dict(zip(header, cells, strict=True))
                start, end = int(float(row["time_start"])), int(float(row["time_end"]))
            except (ValueError, OverflowError):  # cells missing or left over, or times that are no numbers
                raise _unrecognised(place, ",".join(cells), ",".join(_KINETICS_COLUMNS)) from None
            label, video = row["label"].strip(), row["youtube_id"].strip()
            if not label or not video:
                raise _unrecognised(place, ",".join(cells), "a label and a youtube_id")
            names = (f"{video}_{start:06d}_{end:06d}", f"{video}_{start}_{end}", video)
            yield ListEntry(place, split, tuple(Reading(name, label) for name in names), exact=True)
    except csv.Error as error:
        raise UsageError(f"{where}:{reader.line_num}: not valid CSV: {error}") from None


def _plain(text: str, where: str, split: str) -> Iterator[ListEntry]:
    for place, line in _lines(text, where):
        if _header(line) == ["path", "label"]:
            continue
        readings = _readings(line)
        if not readings or not all(reading.path for reading in readings):
            raise _unrecognised(place, line, "<path>, <path> <label> or <path>,<label>")
        yield ListEntry(place, split, readings, sure=len(readings) == 1 or "/" in line or line.count(" ") < 2)


def _readings(line: str) -> tuple[Reading, ...]:
    """Return the ways to read a plain line, none if there is no way."""
    if _BINARY.search(line):
        return ()
    if line.startswith('"') or ',"' in line:
        try:
            return _cells(next(csv.reader([line])))
        except csv.Error:  # a cell that is longer than any path
            return ()
    match = _PATH_AND_LABEL.fullmatch(line)
    if match:
        label = match["label"] or ""
        if "," in (match["gap"] or "") and "," in label:
            return ()
        return _reading(match["path"], label)
    if line[0] in "{}[]<":
        return ()
    if "," in line:
        return _cells(line.split(","))
    # Without an extension nothing tells whether the last word is a label or part of the path.
    path, gap, label = line.rpartition(" ") if " " in line else line.rpartition("\t")
    return (Reading(line), *(_reading(path.rstrip(), label) if gap else ()))


def _cells(cells: list[str]) -> tuple[Reading, ...]:
    if len(cells) > 2:
        return ()
    return _reading(cells[0].strip(), cells[1].strip() if len(cells) == 2 else "")


def _reading(path: str, label: str) -> tuple[Reading, ...]:
    if _SEVERAL_NUMBERS.fullmatch(label):
        return ()
    return (Reading(path, number=label) if label.isdecimal() else Reading(path, label),)


def _unrecognised(place: str, line: str, expected: str) -> UsageError:
    return UsageError(f"{place}: unrecognised list line '{escape(line[:80])}'; expected {expected}")

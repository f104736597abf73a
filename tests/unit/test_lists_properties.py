"""Lists and tables as sources: whatever they hold, clips come of it or one line that says where the fault is.

Valid ones that Hypothesis makes up give just the clips that they name.
"""

from __future__ import annotations

import csv
import io
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mocrop_manifests.clips import SPLITS
from mocrop_prep.clips import find_clips
from mocrop_prep.clips.lists import ListEntry, read_lists
from mocrop_prep.clips.paths import escape, unescape
from mocrop_prep.clips.sources import SPLIT_NAMES
from mocrop_prep.clips.table import read_table
from mocrop_prep.errors import UsageError

PLAIN, HMDB, TABLE = "trainlist01.txt", "wave_test_split1.txt", "clips.csv"
WHOLE_FILE = ("no clips; expected", "the file is empty")
"""What a message says of a table where no line is at fault."""


class Listed(NamedTuple):
    """A clip as a list names it."""

    label: str
    name: str
    split: str


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def read_list(folder: Path, name: str, content: bytes) -> list[ListEntry]:
    (folder / name).write_bytes(content)
    return read_lists({"train": [folder / name]}, 1)


def as_csv(rows: Iterable[Iterable[str]]) -> str:
    out = io.StringIO(newline="")
    # quoted all: the module takes a lone carriage return for no reason to quote
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    return out.getvalue()


def assert_one_line(error: UsageError, path: Path) -> None:
    message = str(error)
    assert len(message.splitlines()) == 1, message
    whole = path.name == TABLE and any(words in message for words in WHOLE_FILE)
    assert re.match(rf"{re.escape(str(path))}:{'' if whole else '[0-9]+:'} ", message), message


# Bytes of the kinds that lists are made of, so that the lines are nearly right.
WORDS = "run/a.avi|a b.mp4|v|1|2 |0|label|path|split|youtube_id|time_start|time_end|Straße|inf|-1e400"
MARKS = '\t\n\r ,"\\/.{#\x00\x1f\u2028\ufeff'
pieces = st.sampled_from(
    [b"\xe9", b"\r\n", b'""', rb"\x0a", *(w.encode() for w in (*WORDS.split("|"), *MARKS))]
)
contents = st.one_of(
    st.binary(max_size=80),
    st.lists(pieces, max_size=40).map(b"".join),
    st.lists(pieces, max_size=30).map(
        lambda parts: b"label,youtube_id,time_start,time_end\n" + b"".join(parts)
    ),
    st.lists(pieces, max_size=30).map(lambda parts: b"path,label,split,group\n" + b"".join(parts)),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")),
)


@settings(max_examples=400)
@given(contents, st.sampled_from([PLAIN, HMDB]))
@example(b'""\r!', PLAIN)
def test_any_bytes_as_a_list_give_entries_or_one_line_with_the_place(
    folder: Path, content: bytes, name: str
) -> None:
    try:
        entries = read_list(folder, name, content)
    except UsageError as error:
        assert_one_line(error, folder / name)
        return
    places = [entry.where for entry in entries]
    assert all(re.fullmatch(rf"{re.escape(str(folder / name))}:[0-9]+", place) for place in places)
    assert len(set(places)) == len(places)
    assert all(reading.path for entry in entries for reading in entry.readings)
    assert all(entry.split in ("", *SPLITS) for entry in entries)


@settings(max_examples=400)
@given(contents)
def test_any_bytes_as_a_table_give_rows_or_one_line_with_the_place(folder: Path, content: bytes) -> None:
    (folder / TABLE).write_bytes(content)
    try:
        source = read_table(folder / TABLE)
    except UsageError as error:
        assert_one_line(error, folder / TABLE)
        return
    assert source.entries
    assert all(entry.path and entry.label and entry.split in ("", *SPLITS) for entry in source.entries)
    found = find_clips(folder / TABLE)
    assert len(found.clips) == len(source.entries)


labels = st.from_regex(r"[A-Za-z][A-Za-z_]{0,8}", fullmatch=True).filter(
    lambda n: n.lower() not in SPLIT_NAMES
)
listed_clips = st.lists(
    st.builds(
        Listed,
        labels,
        st.from_regex(r"[A-Za-z0-9_#!()-]{1,12}", fullmatch=True),
        st.sampled_from(("train", "test")),
    ),
    min_size=1,
    max_size=6,
    unique_by=(lambda clip: clip.name.lower(), lambda clip: (clip.label.lower(), clip.name)),
).filter(lambda clips: len({c.label for c in clips}) == len({c.label.lower() for c in clips}))


def planted(root: Path, clips: Iterable[Listed]) -> Path:
    """Make empty files in one folder per class; those with a media extension count as clips."""
    for clip in clips:
        (root / clip.label).mkdir(parents=True, exist_ok=True)
        (root / clip.label / f"{clip.name}.avi").touch()
    return root


def ucf101(folder: Path, clips: list[Listed]) -> Path:
    numbers = {label: place for place, label in enumerate(sorted({clip.label for clip in clips}), start=1)}
    for split in ("train", "test"):
        lines = [
            f"{clip.label}/{clip.name}.avi{f' {numbers[clip.label]}' if split == 'train' else ''}\r\n"
            for clip in clips
            if clip.split == split
        ]
        (folder / f"{split}list01.txt").write_text("".join(lines), newline="")
    return folder


def hmdb51(folder: Path, clips: list[Listed]) -> Path:
    for label in {clip.label for clip in clips}:
        lines = [
            f"{clip.name}.avi {1 if clip.split == 'train' else 2} \n" for clip in clips if clip.label == label
        ]
        (folder / f"{label}_test_split1.txt").write_text("".join(lines))
    return folder


@settings(max_examples=40)
@given(listed_clips, st.sampled_from([ucf101, hmdb51]))
def test_official_lists_give_the_clips_that_they_name(clips: list[Listed], form: object) -> None:
    write = {ucf101: ucf101, hmdb51: hmdb51}[form]  # type: ignore[index]
    with tempfile.TemporaryDirectory() as place:
        source, lists = planted(Path(place) / "videos", clips), Path(place) / "lists"
        lists.mkdir()
        write(lists, clips)
        found = find_clips(source, train_lists=[lists], test_lists=[lists])
    assert {(clip.label_name, clip.path, clip.split) for clip in found.clips} == {
        (clip.label, f"{clip.label}/{clip.name}.avi", clip.split) for clip in clips
    }


kinetics_rows = st.lists(
    st.tuples(
        st.text(
            st.characters(codec="utf-8", exclude_categories=["Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=12
        ),
        st.from_regex(r"[A-Za-z0-9_-]{11}", fullmatch=True),
        st.integers(0, 999_999),
    ),
    max_size=6,
    unique_by=lambda row: row[1],
)


@settings(max_examples=150)
@given(kinetics_rows)
def test_kinetics_lists_give_label_id_and_times(folder: Path, rows: list[tuple[str, str, int]]) -> None:
    header = ("label", "youtube_id", "time_start", "time_end", "split")
    text = as_csv([header, *((label, video, f"{at}", f"{at + 10}", "train") for label, video, at in rows)])
    entries = read_list(folder, "train.csv", text.encode())
    assert [entry.readings[0] for entry in entries] == [
        (f"{video}_{at:06d}_{at + 10:06d}", label, "") for label, video, at in rows
    ]
    assert all(
        entry.exact and entry.readings[-1].path == row[1] for entry, row in zip(entries, rows, strict=True)
    )


@settings(max_examples=100)
@given(
    st.lists(st.tuples(labels, st.from_regex(r"[A-Za-z0-9_,\" ()-]{0,12}[a-z]", fullmatch=True)), max_size=6)
)
def test_plain_lists_in_csv_give_path_and_label(folder: Path, rows: list[tuple[str, str]]) -> None:
    text = as_csv([("path", "label"), *((f"{label}/{name}.mp4", f"{label} it") for label, name in rows)])
    entries = read_list(folder, PLAIN, text.encode())
    assert [entry.readings for entry in entries] == [
        ((f"{label}/{name}.mp4", f"{label} it", ""),) for label, name in rows
    ]


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), max_size=12)
part = cells.filter(lambda text: text.strip() and text not in (".", ".."))


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(st.lists(part, min_size=1, max_size=3).map("/".join), part, st.sampled_from(SPLITS), cells),
        min_size=1,
        max_size=6,
        unique_by=lambda row: row[0],
    )
)
def test_a_table_gives_its_rows_back(folder: Path, rows: list[tuple[str, str, str, str]]) -> None:
    header = ("path", "label", "split", "group")
    text = as_csv([header, *((escape(path), *others) for path, *others in rows)])
    (folder / TABLE).write_bytes(text.encode())
    found = find_clips(folder / TABLE)
    assert {
        (unescape(clip.path), unescape(clip.label_name), clip.split, unescape(clip.group))
        for clip in found.clips
    } == {(path, label.strip(), split, group.strip()) for path, label, split, group in rows}


@pytest.mark.parametrize("filler", [" ", "\t", ",", "a", "1 ", ".avi", '"', ".avi ", "0"])
def test_a_plain_line_without_end_is_read_in_no_time(folder: Path, filler: str) -> None:
    assert_read_in_no_time(folder, PLAIN, filler)


@pytest.mark.parametrize("filler", [" ", "1 ", "a", ".avi 1"])
def test_an_hmdb51_line_without_end_is_read_in_no_time(folder: Path, filler: str) -> None:
    assert_read_in_no_time(folder, HMDB, filler)


def assert_read_in_no_time(folder: Path, name: str, filler: str) -> None:
    start = time.perf_counter()
    try:
        read_list(folder, name, ("a" + filler * (25_000 // len(filler)) + "b").encode())
    except UsageError as error:
        assert_one_line(error, folder / name)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param(PLAIN, '"' + "a" * 140_000 + '.avi"\n', id="a cell too long"),
        pytest.param(PLAIN, '"a.avi"\rb.avi\n', id="a line end within a line"),
        pytest.param(
            "train.csv",
            'label,youtube_id,time_start,time_end,"two\nlines"\nrun,v,1,2\n',
            id="a header of two lines",
        ),
        pytest.param(
            "train.csv",
            "label,youtube_id,time_start,time_end\n" + "a" * 140_000 + ",v,1,2\n",
            id="a label too long",
        ),
    ],
)
def test_a_fault_of_csv_is_told_in_one_line(folder: Path, name: str, content: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_list(folder, name, content.encode())
    assert_one_line(raised.value, folder / name)


def test_a_group_number_of_any_length_in_a_name_does_no_harm(folder: Path) -> None:
    rows = [("path", "label"), (f"run/v_g{'1' * 5000}_c1.avi", "run"), ("run/v_g02_c1.avi", "run")]
    (folder / TABLE).write_text(as_csv(rows))
    assert len(find_clips(folder / TABLE).clips) == 2


def test_a_group_that_is_a_number_of_any_length_is_held_out_by_no_other_number(folder: Path) -> None:
    rows = [("path", "label", "group"), ("a.avi", "run", "7" * 5000), ("b.avi", "run", "g01")]
    (folder / TABLE).write_text(as_csv(rows))
    found = find_clips(folder / TABLE, holdout_groups="1")
    assert {clip.path: clip.split for clip in found.clips} == {"a.avi": "train", "b.avi": "test"}

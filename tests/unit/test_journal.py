"""The journal: what was appended is read back, whatever a crash did to the file."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mocrop_prep.journal import Journal, Record, fingerprint

DONE = Record("a", "key-a", "ok", seconds=0.5, data={"frames": 12, "sha256": "00"})
FAILED = Record("b", "key-b", "failed", "corrupt", "b.avi: damaged", "transcode", traceback="Traceback\n  x")


def write(path: Path, *records: Record) -> None:
    with Journal(path) as journal:
        for record in records:
            journal.append(record)


def test_records_are_read_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "journal" / "crop.jsonl"
    write(path, DONE, FAILED)
    assert Journal(path).read() == {"a": DONE, "b": FAILED}
    assert (DONE.failed, FAILED.failed) == (False, True)


def test_a_missing_file_is_an_empty_journal(tmp_path: Path) -> None:
    assert Journal(tmp_path / "none").read() == {}


@settings(max_examples=40)
@given(
    st.lists(
        st.builds(
            Record,
            clip_id=st.sampled_from("abc"),
            key=st.text(max_size=5),
            status=st.sampled_from(("ok", "failed")),
            detail=st.text(max_size=20),
            seconds=st.floats(0, 1e6),
            data=st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=3),
        ),
        max_size=8,
    )
)
def test_the_last_record_of_a_clip_wins_whatever_is_in_it(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "run.jsonl"
    for half in (records[:4], records[4:]):
        write(path, *half)
    assert Journal(path).read() == {record.clip_id: record for record in records}


def test_every_length_of_a_torn_last_line_is_dropped_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    write(path, DONE)
    whole = path.read_bytes()
    write(path, FAILED)
    line = path.read_bytes()[len(whole) :]
    for length in (*range(0, len(line), 7), len(line) - 1):
        path.write_bytes(whole + line[:length])
        assert Journal(path).read() == {"a": DONE}
        write(path, FAILED)
        assert path.read_bytes() == whole + line
        assert Journal(path).read() == {"a": DONE, "b": FAILED}


def test_a_first_line_that_is_torn_leaves_an_empty_journal(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(b'{"clip_id": "a", "ke')
    assert Journal(path).read() == {}
    write(path, FAILED)
    assert Journal(path).read() == {"b": FAILED}


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"\x00" * 40, b"\xff\xfe{}", b"[1, 2]", b"null", b"3", b'{"clip_id": "b"}', b'{"new": 1}'],
)
def test_a_damaged_line_costs_its_own_record_only(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "run.jsonl"
    write(path, DONE, FAILED)
    write(path, replace(DONE, clip_id="c"))
    first, second, third, _ = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([first, damage, third, b""]))
    assert set(Journal(path).read()) == {"a", "c"}
    path.write_bytes(b"\n".join([first, damage, second, b""]))
    assert Journal(path).read() == {"a": DONE, "b": FAILED}


def test_any_flipped_bit_costs_the_record_of_its_line(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    write(path, DONE, FAILED)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        left = Journal(path).read()
        assert left.get("a") in (None, DONE)
        assert left.get("b") in (None, FAILED)
        assert ("a" in left) == (place >= first)
        assert Journal(path).damaged() == (place < len(whole) - 1 and len(left) < 2)


def test_lines_of_older_releases_are_read_though_they_have_no_checksum(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    write(path, DONE)
    path.write_bytes(re.sub(rb', "crc": .*', b"}", path.read_bytes()))
    assert b"crc" not in path.read_bytes()
    assert Journal(path).read() == {"a": DONE}
    assert Journal(path).damaged() == 0


def test_dropped_clips_are_forgotten_and_the_others_stay_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    write(path, DONE, FAILED, replace(DONE, key="newer"))
    Journal(path).drop({"b", "none"})
    assert Journal(path).read() == {"a": replace(DONE, key="newer")}
    assert path.read_bytes().count(b"\n") == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.jsonl"]


def test_a_record_survives_the_death_of_its_process(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    program = (
        "import os, signal, sys; from pathlib import Path; from mocrop_prep.journal import Journal, Record\n"
        "journal = Journal(Path(sys.argv[1])); journal.__enter__()\n"
        "journal.append(Record('a', 'key', 'ok')); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program, path], check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    assert Journal(path).read() == {"a": Record("a", "key", "ok")}


def test_each_record_is_one_line_of_json(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    write(path, Record("ä", "k", "failed", "internal", "two\nlines\r\u2028and more"))
    content = path.read_bytes()
    assert content.count(b"\n") == 1
    assert json.loads(content)["detail"] == "two\nlines\r\u2028and more"


def test_a_closed_journal_takes_no_records(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run.jsonl")
    with pytest.raises(ValueError, match="not open"):
        journal.append(DONE)
    with journal:
        journal.append(DONE)
    with pytest.raises(ValueError, match="not open"):
        journal.append(DONE)


def test_equal_inputs_have_equal_fingerprints_in_any_process() -> None:
    parts = "('clip', 3, 1.5, None, {'b': 1, 'a': [2, 'ä']})"
    program = f"from mocrop_prep.journal import fingerprint; print(fingerprint(*{parts}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "5"},
        capture_output=True,
        text=True,
        check=True,
    )
    mine = fingerprint("clip", 3, 1.5, None, {"a": [2, "ä"], "b": 1})
    assert done.stdout.strip() == mine
    assert len(mine) == 20


def test_every_difference_changes_the_fingerprint() -> None:
    inputs: list[tuple[object, ...]] = [
        ("ab", "c"),
        ("a", "bc"),
        ("abc",),
        (["ab", "c"],),
        ("c", "ab"),
        ("ab", "c", None),
        ("ab", "c", ""),
        ("ab", "c", 0),
        ("ab", "c", "0"),
        ("ab", "c", False),
        ("ab", "c", 0.5),
        ("ab", {"c": 1}),
        ("ab", {"c": 2}),
    ]
    assert len({fingerprint(*parts) for parts in inputs}) == len(inputs)


def test_records_show_what_is_appended_after_they_were_read(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    write(path, DONE)
    journal = Journal(path)
    records = journal.read()
    with journal:
        journal.append(replace(DONE, key="newer", status="failed", code="corrupt"))
        journal.append_lines([replace(DONE, clip_id="b").line(), replace(DONE, clip_id="c").line()])
        assert list(records) == ["a", "b", "c"]
        assert records.key("a") == "newer"
        assert records.has_failed("a")
        assert not records.has_failed("b")
        assert [record.clip_id for record in records.failures()] == ["a"]
    assert records["c"] == replace(DONE, clip_id="c")
    assert dict(records) == Journal(path).read()
    assert records.key("none") is None


def test_a_sound_checksum_on_a_line_that_is_no_record_does_its_clip_again(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    body = b'{"clip_id": "a", "key": "k", "status": "ok", "seconds": "soon"'
    path.write_bytes(b'%b, "crc": "%08x"}\n' % (body, zlib.crc32(body)))
    records = Journal(path).read()
    assert records.key("a") == "k"
    assert (records["a"].key, records["a"].code) == ("", "internal")
    assert Journal(path).damaged() == 1


def test_what_is_empty_is_not_written(tmp_path: Path) -> None:
    write(tmp_path / "run.jsonl", Record("a", "key", "ok", data={"frames": 1}))
    line = json.loads((tmp_path / "run.jsonl").read_bytes())
    assert set(line) == {"clip_id", "key", "status", "data", "crc"}


def test_lines_are_copied_as_they_stand_those_of_other_clips_and_damaged_ones_are_not(tmp_path: Path) -> None:
    path, copy = tmp_path / "run.jsonl", tmp_path / "copy.jsonl"
    older = json.dumps({"clip_id": "old", "key": "k", "status": "ok"}).encode() + b"\n"
    write(path, DONE, FAILED, replace(DONE, key="later"), replace(DONE, clip_id="c"))
    lines = path.read_bytes().splitlines(keepends=True)
    rotten = lines[2].replace(b'"ok"', b'"OK"')
    path.write_bytes(b"".join([*lines, older, rotten, b"no record\n", lines[0][:40]]))
    with copy.open("wb") as stream:
        Journal(path).copy_records(stream, {"a", "b", "old"})
        Journal(tmp_path / "none").copy_records(stream, {"a"})
    assert copy.read_bytes() == b"".join([*lines[:3], older])
    assert Journal(copy).read()["a"].key == "later"

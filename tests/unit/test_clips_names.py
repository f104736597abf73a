"""Clip ids and the escape of paths: any file name becomes a safe, unique, reversible text."""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mocrop_manifests import read_clips, write_clips
from mocrop_manifests.clips import CLIP_ID
from mocrop_prep.clips import find_clips, source_path
from mocrop_prep.clips.ids import LONGEST, clip_ids
from mocrop_prep.clips.paths import cell, escape, shown, unescape

# A file name is any bytes but NUL and the slash; few kinds of them, so that names often clash.
name_bytes = st.one_of(
    st.binary(min_size=1, max_size=60),
    st.lists(st.sampled_from([b"a", b"A", b"\\", b"x", b"41", b"\xe9", b"\n", b"-", b" ", b"_"])).map(
        b"".join
    ),
).map(lambda raw: raw.replace(b"\0", b"0").replace(b"/", b"_"))
names = name_bytes.map(os.fsdecode)
extensions = st.sampled_from(["", ".avi", ".mp4", ".AVI"])
paths = st.builds("{}/{}{}".format, names, names, extensions)


def digits(path: str) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]


@pytest.mark.parametrize(
    ("path", "clip_id"),
    [
        ("Diving/v_Diving_g01_c01.avi", "Diving__v_Diving_g01_c01"),
        ("a/b/c-d.mp4", "a__b__c-d"),
        ("noextension", "noextension"),
    ],
)
def test_a_safe_path_is_its_own_id(path: str, clip_id: str) -> None:
    assert clip_ids([path]) == [clip_id]


@pytest.mark.parametrize(
    ("path", "start"),
    [
        ("brush hair/v 1.avi", "brush-hair__v-1-"),
        ("a/v.2020.avi", "a__v-2020-"),
        ("épée/été.mp4", "-p-e__-t--"),
        (os.fsdecode(b"caf\xe9.avi"), "caf--"),
    ],
)
def test_a_replaced_character_brings_eight_digits_of_the_path(path: str, start: str) -> None:
    assert clip_ids([path]) == [start + digits(path)]


def test_one_stem_with_two_extensions_gives_digits_to_both() -> None:
    assert clip_ids(["a/v.avi", "a/w.avi", "a/v.mp4"]) == [
        f"a__v-{digits('a/v.avi')}",
        "a__w",
        f"a__v-{digits('a/v.mp4')}",
    ]


def test_ids_that_differ_only_in_case_both_get_digits() -> None:
    assert clip_ids(["Run/v.avi", "run/v.avi"]) == [
        f"Run__v-{digits('Run/v.avi')}",
        f"run__v-{digits('run/v.avi')}",
    ]


def test_a_file_named_like_the_id_of_another_does_not_take_that_id() -> None:
    other = "a b.avi"
    imitation = f"a-b-{digits(other)}.avi"
    ids = clip_ids([other, imitation])
    assert len({clip_id.lower() for clip_id in ids}) == 2
    assert ids[0].startswith("a-b-")


def test_names_that_agree_even_in_their_digits_get_more_of_them() -> None:
    twins = ["ÇûÏ.avi", "ØÅË.avi"]  # found by search: the first 32 bits of their sha256 are equal
    assert digits(twins[0]) == digits(twins[1])
    assert clip_ids(twins) == [f"----{hashlib.sha256(twin.encode()).hexdigest()[:16]}" for twin in twins]


def test_long_paths_are_cut_and_stay_apart() -> None:
    ids = clip_ids(["x" * 300 + "1.avi", "x" * 300 + "2.avi", "y" * LONGEST + ".avi"])
    assert [len(clip_id) for clip_id in ids] == [LONGEST] * 3
    assert len(set(ids)) == 3
    assert ids[2] == "y" * LONGEST


def test_ids_of_a_path_given_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="unique"):
        clip_ids(["a.avi", "a.avi"])


@given(st.lists(paths, unique=True, max_size=30), st.randoms())
def test_ids_are_valid_unique_and_independent_of_the_order(listed: list[str], rng: random.Random) -> None:
    ids = dict(zip(listed, clip_ids(listed), strict=True))
    assert len({clip_id.lower() for clip_id in ids.values()}) == len(listed)
    for clip_id in ids.values():
        assert CLIP_ID.fullmatch(clip_id)
        assert len(clip_id) <= LONGEST
    rng.shuffle(listed)
    assert dict(zip(listed, clip_ids(listed), strict=True)) == ids


@given(names)
def test_an_escaped_name_is_one_line_of_utf8_and_comes_back(name: str) -> None:
    for text in (escape(name), cell(name)):
        assert not any(ord(character) < 0x20 for character in text)
        assert len(text.splitlines()) <= 1
        assert text.encode("utf-8").decode("utf-8") == text
        assert unescape(text) == name


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("=+-@;\\ x3d\u202e\u200b\uff1d"), max_size=12))
def test_no_name_is_a_formula_in_any_spreadsheet(name: str) -> None:
    text = cell(name)
    assert unescape(text) == name
    # where decimals have commas, cells are separated by semicolons
    for part in text.split(";"):
        assert not part.strip().startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20"))


@given(names, names)
def test_two_names_are_never_one_cell(one: str, other: str) -> None:
    assert (cell(one) == cell(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Fenêtre 数.avi", "Fenêtre 数.avi"),
        (os.fsdecode(b"caf\xe9.avi"), r"caf\xe9.avi"),
        ("two\nlines.avi", r"two\x0alines.avi"),
        (r"one\slash.avi", r"one\slash.avi"),
        (r"a\x41.avi", r"a\\x41.avi"),
        (r"a\\b.avi", r"a\\\\b.avi"),
        (os.fsdecode(b"a\\\xe9.avi"), r"a\\\xe9.avi"),
        ("a\u202eiva.exe", r"a\xe2\x80\xaeiva.exe"),
        ("run\u200b", r"run\xe2\x80\x8b"),
        ("one\u2028line\x85", r"one\xe2\x80\xa8line\xc2\x85"),
        ("🤸\u200d♂️ می\u200cشود", "🤸\u200d♂️ می\u200cشود"),
        ("=1+1", "=1+1"),
    ],
)
def test_only_what_a_table_cannot_hold_is_escaped(name: str, text: str) -> None:
    assert escape(name) == text
    assert unescape(text) == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("=1+1", r"\x3d1+1"),
        ("+x", r"\x2bx"),
        ("-1", r"\x2d1"),
        ("@SUM(A1)", r"\x40SUM(A1)"),
        ("\t=1", r"\x09=1"),
        ("\r=1", r"\x0d=1"),
        (" =1", r" \x3d1"),
        ("\xa0=1", "\xa0\\x3d1"),
        ("＝1", r"\xef\xbc\x9d1"),
        ("a;=1", r"a;\x3d1"),
        (r"=\x41", r"\x3d\\x41"),
        ("a=1", "a=1"),
        ("a-b", "a-b"),
        ("'=1", "'=1"),
    ],
)
def test_only_what_makes_a_formula_of_a_cell_is_escaped_beyond_that(name: str, text: str) -> None:
    assert cell(name) == text
    assert unescape(text) == name


def test_escaped_bytes_that_spell_utf8_name_the_same_file() -> None:
    assert unescape(r"\xc3\xa9.avi") == "é.avi"


@settings(max_examples=40, deadline=None)
@given(st.sets(name_bytes.map(lambda raw: b"v" + raw[:40]), min_size=1, max_size=5))
def test_every_file_on_disk_is_found_again_from_its_row_in_clips_csv(raw: set[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in raw:
            target = root / "class" / (os.fsdecode(name) + ".avi")
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(name)
        found = find_clips(root)
        table = root / "clips.csv"
        table.write_text(write_clips(found.clips), encoding="utf-8", newline="")
        clips = read_clips(table)
        assert clips == found.clips
        assert {Path(str(source_path(found.root, clip))).read_bytes() for clip in clips} == raw


def test_messages_show_three_names_and_count_the_rest() -> None:
    assert shown(["a", "b"]) == "a, b"
    assert shown(["a", "b\n", "c", "d", "e"]) == r"a, b\x0a, c and 2 more"
    assert shown(["x" * 4000 + ".mp4"]) == f"{'x' * 60}...{'x' * 56}.mp4"


def test_a_label_or_group_that_is_a_formula_is_escaped_and_the_id_is_not(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text(
        'path,label,group\n=1+1.avi,=cmd|calc,-1\n"@x;=y.avi",run,+2\n', encoding="utf-8"
    )
    clips = find_clips(tmp_path / "clips.csv").clips
    assert [(clip.path, clip.label_name, clip.group) for clip in clips] == [
        (r"\x3d1+1.avi", r"\x3dcmd|calc", r"\x2d1"),
        (r"\x40x;\x3dy.avi", "run", r"\x2b2"),
    ]
    assert [clip.clip_id for clip in clips] == clip_ids(["=1+1.avi", "@x;=y.avi"])
    assert [source_path(tmp_path, clip).name for clip in clips] == ["=1+1.avi", "@x;=y.avi"]


@pytest.mark.parametrize("group", ["-1", r"\x2d1"])
def test_a_group_is_held_out_by_its_name_or_as_the_table_has_it(tmp_path: Path, group: str) -> None:
    (tmp_path / "clips.csv").write_text("path,label,group\na.avi,run,-1\nb.avi,run,2\n", encoding="utf-8")
    clips = find_clips(tmp_path / "clips.csv", holdout_groups=group).clips
    assert [(clip.path, clip.split) for clip in clips] == [("a.avi", "test"), ("b.avi", "train")]

"""The checksums of tables: two for each, the newest first, and none that decay could have made up."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mocrop_prep.sums import Sum, Sums

NAME = "crops/foreground.csv"


def sum_of(text: str) -> Sum:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Sum(digest, digest[::-1])


def note(sums: Sums, text: str, name: str = NAME) -> None:
    entry = sum_of(text)
    sums.note(name, entry.sha256, entry.plain)


@pytest.fixture
def sums(tmp_path: Path) -> Sums:
    return Sums(tmp_path / "journal" / "sums.json")


def test_nothing_is_known_at_first(sums: Sums) -> None:
    assert sums.known(NAME) == ()
    assert sums.names() == []
    assert not sums.is_damaged()
    assert not sums.path.exists()


def test_the_newest_two_are_known_newest_first(sums: Sums) -> None:
    for text in ("a", "b", "c"):
        note(sums, text)
    assert sums.known(NAME) == (sum_of("c"), sum_of("b"))
    assert Sums(sums.path).known(NAME) == (sum_of("c"), sum_of("b"))


def test_a_sum_that_comes_back_moves_to_the_front(sums: Sums) -> None:
    for text in ("a", "b", "a"):
        note(sums, text)
    assert sums.known(NAME) == (sum_of("a"), sum_of("b"))


def test_the_sum_of_the_file_that_is_there_outlives_two_that_were_never_published(sums: Sums) -> None:
    file = sums.path.parents[1] / NAME
    file.parent.mkdir()
    note(sums, "published")
    file.write_text("published")
    note(sums, "first kill")
    note(sums, "second kill")
    assert sums.known(NAME) == (sum_of("second kill"), sum_of("published"))


def test_an_unchanged_sum_leaves_the_file_alone(sums: Sums) -> None:
    note(sums, "a")
    before = sums.path.stat()
    note(sums, "a")
    sums.forget("clips.csv")
    after = sums.path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_each_table_has_its_own_and_they_are_forgotten_one_by_one(sums: Sums) -> None:
    note(sums, "a", "clips.csv")
    note(sums, "b")
    assert sums.names() == ["clips.csv", NAME]
    sums.forget(NAME)
    assert sums.known("clips.csv") == (sum_of("a"),)
    assert sums.known(NAME) == ()


def test_the_same_sums_make_the_same_file_whichever_came_first(tmp_path: Path) -> None:
    one, other = Sums(tmp_path / "a/journal/sums.json"), Sums(tmp_path / "b/journal/sums.json")
    note(one, "a", "clips.csv")
    note(one, "b")
    note(other, "b")
    note(other, "a", "clips.csv")
    assert one.path.read_bytes() == other.path.read_bytes()


@given(st.lists(st.tuples(st.text(), st.sampled_from("abcd")), max_size=8))
def test_whatever_a_table_is_called_its_newest_sum_is_first(
    tmp_path_factory: pytest.TempPathFactory, notes: list[tuple[str, str]]
) -> None:
    sums = Sums(tmp_path_factory.mktemp("names") / "sums.json")
    for name, text in notes:
        note(sums, text, f"crops/{name}.csv".replace("\0", ""))
        assert sums.known(f"crops/{name}.csv".replace("\0", ""))[0] == sum_of(text)
    assert not sums.is_damaged()


def test_no_flipped_bit_makes_a_sum_that_was_not_noted(sums: Sums) -> None:
    note(sums, "a", "clips.csv")
    note(sums, "b")
    content = sums.path.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        sums.path.write_bytes(damaged)
        assert sums.is_damaged(), place
        assert sums.known("clips.csv") in ((), (sum_of("a"),))
        assert sums.known(NAME) in ((), (sum_of("b"),))


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 64, b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"tables": 3}', b'{"tables": {"a": 1}}'],
)
def test_a_damaged_file_means_that_nothing_is_known_and_is_made_anew(sums: Sums, content: bytes) -> None:
    sums.path.parent.mkdir()
    sums.path.write_bytes(content)
    assert sums.known(NAME) == ()
    assert sums.is_damaged()
    note(sums, "a")
    assert sums.known(NAME) == (sum_of("a"),)
    assert not sums.is_damaged()


def test_sums_of_a_newer_release_are_not_guessed_at(sums: Sums) -> None:
    note(sums, "a")
    body = json.loads(sums.path.read_text())
    sums.path.write_text(json.dumps({**body, "version": 2}, indent=2, sort_keys=True) + "\n")
    assert sums.known(NAME) == ()


def test_a_folder_in_the_place_of_the_file_is_damage(sums: Sums) -> None:
    sums.path.mkdir(parents=True)
    assert sums.known(NAME) == ()
    assert sums.is_damaged()

"""No byte of a WORKDIR can change, go or come, anywhere, without verify naming the file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mocrop_prep.verify import verify
from mocrop_prep.workdir import Workdir, open_workdir

from tests.commands import DEFAULT, ok
from tests.conftest import FORMS, HOLDOUT
from tests.films import XVID, encode, moving_square

KINDS = {
    "the clip list": "clips.csv",
    "videos": "transcoded/*.mp4",
    "vectors": "motion/*.parquet",
    "manifests": "crops/*.csv",
    "tars": "shards/*/*.tar",
    "Parquet": "shards/*/*.parquet",
    "indexes": "shards/*/dataset.json",
    "cards": "shards/*/README.md",
}
"""Every kind of file whose bytes are all on record."""

FOLDERS = ("transcoded", "motion", "crops", "shards", f"shards/{DEFAULT}", "shards/other")
QUICK, MANY = 4, 60
RELAXED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

Deed = Callable[[bytes, st.DataObject], bytes]


@pytest.fixture(scope="module")
def home(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    """A WORKDIR with a set of tars and one of Parquet; every test leaves it as it was."""
    root = Path(shutil.copytree(kept, tmp_path_factory.mktemp("verify") / "work"))
    ok("shard", root, *FORMS["frames in parquet"], "--shard-size", 20, "--name", "other")
    return open_workdir(root)


def named(home: Workdir, path: Path) -> bool:
    """Say whether verify has a problem with this file."""
    return any(str(path) in f"{what} {problem}" for what, problem in verify(home) if problem)


@contextmanager
def changed(path: Path, content: bytes | None) -> Iterator[None]:
    """Give a file another content, or none at all, for a while."""
    before = path.read_bytes() if path.exists() else None
    try:
        _put(path, content)
        yield
    finally:
        _put(path, before)


def _put(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content)


def flipped(content: bytes, place: int, bit: int) -> bytes:
    damaged = bytearray(content)
    damaged[place] ^= 1 << bit
    return bytes(damaged)


def flip(content: bytes, data: st.DataObject) -> bytes:
    place = data.draw(st.integers(0, len(content) - 1), "place")
    return flipped(content, place, data.draw(st.integers(0, 7), "bit"))


def lose(content: bytes, data: st.DataObject) -> bytes:
    place = data.draw(st.integers(0, len(content) - 1), "place")
    return content[:place] + content[place + 1 :]


def gain(content: bytes, data: st.DataObject) -> bytes:
    place = data.draw(st.integers(0, len(content)), "place")
    return content[:place] + bytes([data.draw(st.integers(0, 255), "byte")]) + content[place:]


def cut(content: bytes, data: st.DataObject) -> bytes:
    return content[: data.draw(st.integers(0, len(content) - 1), "length")]


def overwrite(content: bytes, data: st.DataObject) -> bytes:
    """What a lost block of a disk reads as."""
    start = data.draw(st.integers(0, len(content) - 1), "start")
    damaged = content[:start] + bytes(min(512, len(content) - start)) + content[start + 512 :]
    return damaged if damaged != content else flipped(content, start, 0)


DEEDS = {deed.__name__: deed for deed in (flip, lose, gain, cut, overwrite)}


def _check(home: Workdir, kind: str, deed: Deed, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(home.root.glob(KINDS[kind]))), "file")
    with changed(path, deed(path.read_bytes(), data)):
        assert named(home, path)


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(RELAXED, max_examples=QUICK)
def test_damage_to_a_file_is_named(home: Workdir, kind: str, deed: str, data: st.DataObject) -> None:
    _check(home, kind, DEEDS[deed], data)


@pytest.mark.slow
@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(RELAXED, max_examples=MANY)
def test_damage_to_a_file_is_named_many_times(
    home: Workdir, kind: str, deed: str, data: st.DataObject
) -> None:
    _check(home, kind, DEEDS[deed], data)


@given(data=st.data())
@settings(RELAXED, max_examples=4 * QUICK)
def test_any_two_files_in_each_others_place_are_named(home: Workdir, data: st.DataObject) -> None:
    everything = sorted(path for pattern in KINDS.values() for path in home.root.glob(pattern))
    one, other = data.draw(st.lists(st.sampled_from(everything), min_size=2, max_size=2, unique=True))
    first, second = one.read_bytes(), other.read_bytes()
    assert first != second
    with changed(one, second), changed(other, first):
        # without its index nothing is known of the shards of a set
        for path in [path for path in (one, other) if path.name == "dataset.json"] or (one, other):
            assert named(home, path)


@given(data=st.data())
@settings(RELAXED, max_examples=4 * QUICK)
def test_any_file_that_goes_is_named(home: Workdir, data: st.DataObject) -> None:
    everything = sorted(path for pattern in KINDS.values() for path in home.root.glob(pattern))
    path = data.draw(st.sampled_from(everything))
    with changed(path, None):
        assert named(home, path)


@given(data=st.data())
@settings(RELAXED, max_examples=4 * QUICK)
def test_any_file_that_comes_is_named(home: Workdir, data: st.DataObject) -> None:
    folder = home.root / data.draw(st.sampled_from(FOLDERS), "folder")
    stem = data.draw(st.text("abcXYZ019_- .é'\"$", min_size=1, max_size=12), "stem")
    suffix = data.draw(st.sampled_from((".mp4", ".parquet", ".tar", ".json", ".md", "")), "suffix")
    path = folder / (stem + suffix)
    if path.exists() or stem in (".", ".."):
        return
    with changed(path, data.draw(st.binary(max_size=40), "content")):
        assert named(home, path)


@given(data=st.data())
@settings(RELAXED, max_examples=4 * QUICK)
def test_any_damaged_line_of_a_journal_is_named(home: Workdir, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(home.root.glob("journal/*.jsonl"))), "file")
    content = path.read_bytes()
    deed = data.draw(st.sampled_from((flip, lose, gain)), "deed")
    # a last line without its end is what a kill leaves behind, and no damage
    with changed(path, deed(content[:-1], data) + content[-1:]):
        assert named(home, path)


@given(data=st.data())
@settings(RELAXED, max_examples=4 * QUICK)
def test_whatever_its_own_notes_become_it_reports_and_does_not_break(
    home: Workdir, data: st.DataObject
) -> None:
    path = data.draw(st.sampled_from(sorted(home.root.glob("journal/*.json*"))), "file")
    deed = data.draw(st.sampled_from(list(DEEDS.values())), "deed")
    with changed(path, deed(path.read_bytes(), data)):
        assert list(verify(home))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    """A WORKDIR of two clips, without intermediates."""
    folder = tmp_path_factory.mktemp("small")
    for number in (1, 2):
        film = moving_square(12, seed=number)
        encode(folder / f"clips/walk/v_walk_g0{number}_c01.avi", film, XVID)
    ok("run", folder / "clips", folder / "work", *HOLDOUT, "--frames", 1, "--size", 32)
    return open_workdir(folder / "work")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["the clip list", "manifests", "indexes", "cards"])
def test_every_single_byte_of_the_small_files_counts(small: Workdir, kind: str) -> None:
    (path,) = small.root.glob(KINDS[kind])
    content = path.read_bytes()
    missed = []
    for place in range(len(content)):
        damaged = {"flipped": flipped(content, place, place % 8)}
        if place % 8 == 0:
            damaged["lost"] = content[:place] + content[place + 1 :]
            damaged["doubled"] = content[:place] + content[place : place + 1] + content[place:]
        for deed, other in damaged.items():
            with changed(path, other):
                if not named(small, path):
                    missed.append(f"{deed} byte {place}: {content[max(0, place - 9) : place + 9]!r}")
    assert missed == []
    assert not any(problem for _, problem in verify(small))

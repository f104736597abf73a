"""Parts share clips out evenly, by the list alone, and say clearly what does not go together."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mocrop_manifests import Clip
from mocrop_prep.errors import UsageError
from mocrop_prep.parts import (
    Part,
    listed_classes,
    note_part,
    part_folders,
    part_root,
    read_part_note,
    refuse_part,
    wanted_part,
)

kinds = st.tuples(st.integers(0, 4), st.sampled_from(["train", "val", "test"]))


def clips_of(drawn: list[tuple[int, str]]) -> list[Clip]:
    return [
        Clip(f"clip-{number}", f"{number}.mp4", label, f"class {label}", split, "")
        for number, (label, split) in enumerate(drawn)
    ]


@given(st.lists(kinds, max_size=60), st.integers(1, 12))
def test_every_clip_is_in_one_part_and_parts_differ_by_one_clip_at_most(
    drawn: list[tuple[int, str]], of: int
) -> None:
    clips = clips_of(drawn)
    shares = [Part(of, number).share(clips) for number in range(of)]
    assert sorted(clip.clip_id for share in shares for clip in share) == sorted(c.clip_id for c in clips)
    for which in (lambda clip: "all", lambda clip: clip.split, lambda clip: (clip.label, clip.split)):
        counts = [Counter(map(which, share)) for share in shares]
        for kind in set().union(*counts):
            found = [count[kind] for count in counts]
            assert max(found) - min(found) <= 1
    assert all([c.clip_id for c in share] == sorted(c.clip_id for c in share) for share in shares)


def test_a_share_depends_on_the_list_and_not_on_its_order() -> None:
    clips = clips_of([(number % 7, "train") for number in range(200)])
    shuffled = random.Random(1).sample(clips, len(clips))
    assert Part(6, 4).share(shuffled) == Part(6, 4).share(clips)


def test_neighbours_on_the_list_are_not_dealt_out_in_a_row() -> None:
    """Clip numbers often go with a scene or a length: a hundred clips of each class in a hundred parts."""
    clips = [
        Clip(f"c{label}-{n:03d}", f"{n}", label, str(label), "train", "")
        for label in range(9)
        for n in range(100)
    ]
    numbers = {clip.clip_id.partition("-")[2] for clip in Part(100, 0).share(clips)}
    assert len(numbers) > 5


@pytest.mark.parametrize(
    ("given_options", "said"),
    [
        ((4, None), "--num-parts goes with --part"),
        ((None, 0), "--part goes with --num-parts"),
        ((4, 4), "--part 4: --num-parts 4 counts them from 0 to 3"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    given_options: tuple[int | None, int | None], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        wanted_part(*given_options)


def test_both_options_name_a_part_and_none_names_none() -> None:
    assert wanted_part(None, None) is None
    assert wanted_part(4, 3) == Part(4, 3)
    assert Part(4, 3).folder == "part-00003-of-00004"


def test_the_note_of_a_part_tells_of_the_whole_and_is_written_once(tmp_path: Path) -> None:
    clips = clips_of([(0, "train"), (2, "test")])
    note_part(tmp_path, Part(2, 1), clips, ["a", "class-1", "c"])
    note, path = read_part_note(tmp_path), tmp_path / "journal" / "part.json"
    stamp = path.stat().st_mtime_ns
    assert note is not None
    assert (note.num_parts, note.part, note.clips) == (2, 1, 2)
    assert listed_classes(tmp_path) == ["a", "class-1", "c"]
    note_part(tmp_path, Part(2, 1), clips, ["a", "class-1", "c"])
    assert path.stat().st_mtime_ns == stamp
    note_part(tmp_path, Part(2, 1), clips[:1], ["a"])
    assert read_part_note(tmp_path) != note


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": "mocrop-part", "version": 2}', "\0"])
def test_a_damaged_note_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "journal" / "part.json"
    path.parent.mkdir()
    path.write_text(content)
    assert read_part_note(tmp_path) is None
    assert listed_classes(tmp_path) == []


def test_only_folders_with_the_names_of_parts_are_parts(tmp_path: Path) -> None:
    for name in ("part-00001-of-00002", "part-00000-of-00002", "part-1-of-2", "xpart-00000-of-00002"):
        (tmp_path / name).mkdir()
    (tmp_path / "part-00000-of-00009").write_text("a file")
    assert [part for part, _ in part_folders(tmp_path)] == [Part(2, 0), Part(2, 1)]
    assert part_folders(tmp_path / "nowhere") == []


def test_a_folder_has_parts_of_one_number(tmp_path: Path) -> None:
    assert part_root(tmp_path / "new", Part(3, 0)) == tmp_path / "new" / "part-00000-of-00003"
    (tmp_path / Part(3, 0).folder).mkdir()
    assert part_root(tmp_path, Part(3, 1)).name == "part-00001-of-00003"
    with pytest.raises(UsageError, match="holds parts of 3: take --num-parts 3, or another WORKDIR"):
        part_root(tmp_path, Part(4, 1))


def test_a_part_is_no_place_for_parts_or_for_the_whole(tmp_path: Path) -> None:
    root = tmp_path / Part(2, 1).folder
    note_part(root, Part(2, 1), clips_of([(0, "train")]), ["class 0"])
    with pytest.raises(UsageError, match="is the folder of one part: give the folder that it lies in"):
        part_root(root, Part(2, 1))
    with pytest.raises(UsageError, match=r"is part 1 of 2: give .* with --num-parts 2 --part 1"):
        refuse_part(root)

"""Tables survive releases and other people: versions are migrated, and columns of others are kept."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mocrop_manifests import (
    Clip,
    CropRow,
    Extras,
    read_clips,
    read_crops,
    read_extras,
    write_clips,
    write_crops,
)
from mocrop_manifests.raw import parse_raw
from mocrop_manifests.tables import column, columns, format_rows, parse_rows
from mocrop_manifests.versions import add_columns, newest_version, versioned

from tests.tables import CELLS, CLIP, CLIPS, IDS, ROW, TEXT, crops_with, refused, saved

FULL = dataclasses.replace(ROW, confidence=0.5, damaged=3, route="direct")
NEW = ("confidence", "damaged", "route")
PLAIN = tuple(name for name in columns(CropRow) if name not in NEW)
"""The columns that every tool knows that writes manifests."""


def with_columns(folder: Path, names: tuple[str, ...], row: CropRow = FULL) -> Path:
    """A manifest of one row that has these columns, in this order."""
    head, line = (text.split(",") for text in write_crops([row]).splitlines())
    cells = dict(zip(head, line, strict=True))
    return saved(folder, ",".join(names) + "\n" + ",".join(cells[name] for name in names) + "\n")


class TestVersions:
    def test_a_table_says_its_version_in_its_last_column(self) -> None:
        for text, version in ((write_clips([CLIP]), 2), (write_crops([ROW]), 3)):
            head, row = text.splitlines()
            assert head.endswith(",version")
            assert row.endswith(f",{version}")
        assert (newest_version(Clip), newest_version(CropRow)) == (2, 3)

    def test_a_plain_manifest_of_another_tool_is_read(self, tmp_path: Path) -> None:
        assert read_crops(with_columns(tmp_path, PLAIN)) == [ROW]

    def test_a_manifest_of_version_1_keeps_its_confidence(self, tmp_path: Path) -> None:
        path = with_columns(tmp_path, (*PLAIN, "confidence"))
        assert read_crops(path) == [dataclasses.replace(FULL, damaged=None, route=None)]

    def test_a_manifest_of_the_release_before_says_no_route(self, tmp_path: Path) -> None:
        path = with_columns(tmp_path, tuple(name for name in CELLS if name != "route"))
        path.write_text(path.read_text().replace(",3\n", ",2\n"))
        assert read_crops(path) == [dataclasses.replace(FULL, route=None)]

    def test_a_clip_list_of_the_release_before_is_read(self, tmp_path: Path) -> None:
        text = "".join(line.rpartition(",")[0] + "\n" for line in write_clips([CLIP]).splitlines())
        assert read_clips(saved(tmp_path, text)) == [CLIP]

    def test_version_1_may_say_so(self, tmp_path: Path) -> None:
        path = with_columns(tmp_path, (*PLAIN, "version"))
        path.write_text(path.read_text().replace(",3\n", ",1\n"))
        assert read_crops(path) == [ROW]

    @pytest.mark.parametrize("name", NEW)
    def test_what_version_3_has_must_be_in_a_table_that_says_3(self, tmp_path: Path, name: str) -> None:
        path = with_columns(tmp_path, tuple(other for other in CELLS if other != name))
        assert refused(read_crops, path) == f"{path}:1: missing columns: {name}"

    def test_a_plain_manifest_that_lacks_a_plain_column_is_refused(self, tmp_path: Path) -> None:
        path = with_columns(tmp_path, tuple(name for name in PLAIN if name != "fps"))
        assert refused(read_crops, path) == f"{path}:1: missing columns: fps"

    def test_the_version_after_this_release_is_refused(self, tmp_path: Path) -> None:
        path = saved(tmp_path, write_crops([ROW]).replace(",3\n", ",4\n"))
        wanted = f"{path}:2: column version: written by a newer release: version 4; this one reads up to 3"
        assert refused(read_crops, path) == wanted
        assert refused(lambda table: read_extras(CropRow, table), path) == wanted

    @pytest.mark.parametrize("cell", ["", "0", "-1", "two", "2.0", " 2"])
    def test_a_version_that_is_none_is_named(self, tmp_path: Path, cell: str) -> None:
        path = crops_with(tmp_path, version=cell)
        assert refused(read_crops, path).startswith(f"{path}:3: column version: {cell!r} is ")

    def test_two_versions_in_one_table_are_named_where_they_meet(self, tmp_path: Path) -> None:
        path = crops_with(tmp_path, version="1")
        assert refused(read_crops, path) == f"{path}:3: column version: 1 where the rows above have 3"

    def test_a_table_of_no_version_has_no_column_for_it(self) -> None:
        assert format_rows(Note, [Note("a", 1)]) == "name,number\na,1\n"
        assert newest_version(Note) is None

    def test_steps_lead_from_any_older_version_to_the_newest(self) -> None:
        tables = {
            1: "name,number\na,1\n",
            2: "name,number,unit,version\na,1,,2\n",
            3: "name,number,unit,version\na,1,px,3\n",
        }
        assert {
            version: list(parse_rows(Measure, text, "t").values()) for version, text in tables.items()
        } == {
            1: [Measure("a", 1, "px")],
            2: [Measure("a", 1, "px")],
            3: [Measure("a", 1, "px")],
        }


@dataclass(frozen=True, slots=True)
class Note:
    """A row of a table without a version."""

    name: str = column("what it is called")
    number: int = column("how many")


@versioned(
    add_columns("unit"),
    lambda table: dataclasses.replace(
        table, rows={line: [cell or "px" for cell in cells] for line, cells in table.rows.items()}
    ),
)
@dataclass(frozen=True, slots=True)
class Measure:
    """A row of a table that has come to version 3."""

    name: str = column("what it is called")
    number: int = column("how many")
    unit: str = column("of what")


NAMES = TEXT.filter(lambda name: name not in (*columns(CropRow), "version"))


@st.composite
def extras(draw: st.DrawFn) -> Extras:
    names = tuple(draw(st.lists(NAMES, max_size=3, unique=True)))
    return Extras(names, draw(st.dictionaries(IDS, st.tuples(*(TEXT for _ in names)), max_size=4)))


class TestExtras:
    @settings(max_examples=150)
    @given(extras(), st.lists(CLIPS, max_size=4, unique_by=lambda clip: clip.clip_id))
    def test_columns_of_others_come_back_to_the_letter(
        self, tmp_path_factory: pytest.TempPathFactory, added: Extras, clips: list[Clip]
    ) -> None:
        clips += [
            dataclasses.replace(CLIP, clip_id=name)
            for name in added.cells
            if name not in {c.clip_id for c in clips}
        ]
        path = saved(tmp_path_factory.mktemp("clips"), write_clips(clips, added))
        found = read_extras(Clip, path)
        assert found.names == added.names
        assert dict(found.cells) == {clip.clip_id: added.of(clip.clip_id) for clip in clips}
        assert read_clips(path) == sorted(clips, key=lambda clip: clip.clip_id)
        assert write_clips(read_clips(path), found) == path.read_bytes().decode()

    def test_they_may_stand_anywhere_and_move_behind_ours(self, tmp_path: Path) -> None:
        head, row = write_crops([ROW]).splitlines()
        path = saved(tmp_path, f'note,{head},seen by\n"look, here",{row},me\n')
        found = read_extras(CropRow, path)
        assert found == Extras(("note", "seen by"), {"walk__a": ("look, here", "me")})
        again = write_crops([dataclasses.replace(ROW, clip_id="new"), ROW], found).splitlines()
        assert again[0] == f"{head},note,seen by"
        assert again[1].endswith(",3,,")
        assert again[2] == f'{row},"look, here",me'

    def test_those_of_an_older_version_are_kept_and_what_is_ours_now_is_none(self, tmp_path: Path) -> None:
        path = with_columns(tmp_path, (*PLAIN, "confidence"))
        assert read_extras(CropRow, path) == Extras((), {"walk__a": ()})

    def test_a_file_that_is_not_there_has_none(self, tmp_path: Path) -> None:
        assert read_extras(Clip, tmp_path / "none.csv") == Extras()
        assert write_clips([CLIP], Extras()) == write_clips([CLIP])

    def test_they_are_read_beside_cells_of_ours_that_are_wrong(self, tmp_path: Path) -> None:
        head, row = write_crops([ROW]).replace(",320,", ",wide,").splitlines()
        path = saved(tmp_path, f"{head},note\n{row},mine\n")
        assert read_extras(CropRow, path).of("walk__a") == ("mine",)

    def test_a_clip_that_occurs_twice_leaves_open_whose_they_are(self, tmp_path: Path) -> None:
        path = crops_with(tmp_path, clip_id="walk__a")
        message = refused(lambda table: read_extras(CropRow, table), path)
        assert message == f"{path}:3: column clip_id: 'walk__a' occurs twice"

    def test_none_can_be_named_like_a_column_of_ours(self) -> None:
        with pytest.raises(ValueError, match="cannot be extras: version"):
            write_clips([CLIP], Extras(("version",), {}))


def test_lines_are_counted_as_they_lie_in_the_file() -> None:
    table = parse_raw('a,b\r\n"1\r\n2",3\r\n4,5', "t")
    assert table.rows == {2: ["1\r\n2", "3"], 4: ["4", "5"]}

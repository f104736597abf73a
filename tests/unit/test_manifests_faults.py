"""Tables that are wrong: every fault is told in one line, with the file, the line and the column."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mocrop_manifests import CropRow, ManifestError, read_clips, read_crops, write_clips, write_crops
from mocrop_manifests.tables import columns

from tests.tables import CELLS, CLIP, ROW, crops_with, refused, saved


class TestFaults:
    @pytest.mark.parametrize(
        ("column", "cell"),
        [
            ("label", "one"),
            ("label", ""),
            ("label", "1.5"),
            ("label", "1000000"),
            ("width", "320.0"),
            ("width", "1_000"),
            ("width", " 320"),
            ("width", "３２０"),
            ("width", "+320"),
            ("width", "9" * 19),
            ("width", "9" * 5000),
            ("damaged", "-1"),
            ("damaged", "some"),
            ("route", "stream"),
            ("score", "1_0.5"),
            ("score", "0x1p3"),
            ("score", "1e999"),
            ("score", "٣"),
            ("frames", "many"),
            ("seed", "0x10"),
            ("fps", "fast"),
            ("fps", "nan"),
            ("area", "inf"),
            ("score", "-inf"),
            ("motion_inside", "NaN"),
            ("split", "training"),
            ("split", ""),
            ("status", "good"),
            ("reason", "corrupt"),
            ("clip_id", "a b"),
            ("clip_id", "a.b"),
            ("clip_id", ""),
            ("clip_id", "walk__a"),
        ],
    )
    def test_a_bad_cell_is_named_with_file_line_and_column(
        self, tmp_path: Path, column: str, cell: str
    ) -> None:
        path = crops_with(tmp_path, **{column: cell})
        assert refused(read_crops, path).startswith(f"{path}:3: column {column}: ")

    @pytest.mark.parametrize(
        ("column", "cell"),
        [
            ("x", "81"),
            ("x", "-1"),
            ("y", "1"),
            ("y", "-1"),
            ("w", "0"),
            ("h", "0"),
            ("w", "-5"),
            ("h", "241"),
            ("x", str(2**63 - 1)),
        ],
    )
    def test_a_crop_outside_the_frame_is_refused(self, tmp_path: Path, column: str, cell: str) -> None:
        path = crops_with(tmp_path, **{column: cell})
        message = refused(read_crops, path)
        assert message.startswith(f"{path}:3: column {column}: crop ")
        assert message.endswith("is not inside the frame of 320x240")

    @pytest.mark.parametrize(("side", "column"), [("width", "x"), ("height", "h")])
    def test_a_frame_that_does_not_hold_its_crop_is_refused(
        self, tmp_path: Path, side: str, column: str
    ) -> None:
        path = crops_with(tmp_path, **{side: "239" if side == "height" else "279"})
        assert refused(read_crops, path).startswith(f"{path}:3: column {column}: crop ")

    @pytest.mark.parametrize("column", ["width", "height", "x", "y", "w", "h", "frames", "area"])
    def test_a_crop_without_its_numbers_is_refused(self, tmp_path: Path, column: str) -> None:
        path = crops_with(tmp_path, **{column: ""})
        assert refused(read_crops, path).startswith(
            f"{path}:3: column {column}: empty; a clip with status ok needs"
        )

    def test_status_and_reason_must_agree(self, tmp_path: Path) -> None:
        for status in ("fallback", "failed"):
            path = crops_with(tmp_path, status=status)
            assert refused(read_crops, path).startswith(f"{path}:3: column reason: ")
        assert len(read_crops(crops_with(tmp_path, status="failed", reason="corrupt", x="", area=""))) == 2

    @pytest.mark.parametrize("name", columns(CropRow))
    def test_a_missing_column_is_named(self, tmp_path: Path, name: str) -> None:
        kept = {column: cell for column, cell in CELLS.items() if column != name}
        path = saved(tmp_path, f"{','.join(kept)}\n{','.join(kept.values())}\n")
        assert refused(read_crops, path) == f"{path}:1: missing columns: {name}"

    @pytest.mark.parametrize("mark", [";", "\t"])
    def test_a_table_of_other_separators_is_told_from_one_that_lacks_columns(
        self, tmp_path: Path, mark: str
    ) -> None:
        path = saved(tmp_path, write_clips([CLIP]).replace(",", mark))
        assert refused(read_clips, path).endswith("; cells are separated by commas")

    @pytest.mark.parametrize(("name", "what"), [("note", "column note"), ("", "a column without a name")])
    def test_a_column_that_occurs_twice_is_named(self, tmp_path: Path, name: str, what: str) -> None:
        head, row = write_clips([CLIP]).splitlines()
        path = saved(tmp_path, f"{head},{name},{name}\n{row},1,2\n")
        assert refused(read_clips, path).startswith(f"{path}:1: {what} occurs 2 times")

    @pytest.mark.parametrize("line", ["walk__b", "walk__b,a,0,walk,train,g01,more", "", "a,b,c"])
    def test_a_line_with_another_number_of_cells_is_named(self, tmp_path: Path, line: str) -> None:
        path = saved(tmp_path, write_clips([CLIP]) + line + "\n")
        assert refused(read_clips, path).startswith(f"{path}:3: ")

    @pytest.mark.parametrize(
        ("line", "column"),
        [
            ('walk__b,"a', "path"),
            ('walk__b,"a\nwalk__c,b,0,walk,train,g01,2\n', "path"),
            ('walk__b,"a"b,0,walk,train,g01', "path"),
            ('walk__b,a,0,"two\nlines","train,g01,2\n', "split"),
            ('walk__b,a,0,walk,train,"g""01', "group"),
            ("walk__b,a,0," + 200_000 * "x" + ",train,g01,2", "label_name"),
        ],
    )
    def test_broken_quotes_are_named_by_the_line_and_column_they_begin_in(
        self, tmp_path: Path, line: str, column: str
    ) -> None:
        path = saved(tmp_path, write_clips([CLIP]) + line)
        assert refused(read_clips, path).startswith(f"{path}:3: column {column}: not valid CSV: ")

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    @pytest.mark.parametrize("content", [b"caf\xe9", b"nul\0", b"\xed\xa0\x80"])
    def test_bytes_that_are_no_text_are_named_with_line_and_column(
        self, tmp_path: Path, content: bytes, end: str
    ) -> None:
        other = dataclasses.replace(CLIP, clip_id="walk__b", label_name="what", group="two\nlines")
        text = write_clips([dataclasses.replace(CLIP, group="two\nlines"), other]).replace("\n", end)
        path = tmp_path / "clips.csv"
        path.write_bytes(text.encode().replace(b"what", content))
        message = refused(read_clips, path)
        assert message.startswith(f"{path}:4: column label_name: the cell ")
        assert ("NUL" if b"\0" in content else "not UTF-8 (byte 0xe") in message

    def test_a_utf16_table_of_a_spreadsheet_is_told_from_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / "clips.csv"
        path.write_bytes(write_clips([CLIP]).encode("utf-16"))
        assert refused(read_clips, path).startswith(f"{path}:1: column 1: the name ")

    @pytest.mark.parametrize("change", [{"label": "zero"}, {"clip_id": "first"}, {"w": "999"}])
    def test_lines_are_those_of_an_editor_even_behind_a_cell_of_two_lines(
        self, tmp_path: Path, change: dict[str, str]
    ) -> None:
        first = dataclasses.replace(ROW, clip_id="first", label_name="two\nlines")
        path = saved(tmp_path, write_crops([first]) + ",".join((CELLS | change).values()) + "\n")
        assert refused(read_crops, path).startswith(f"{path}:4: ")

    def test_files_that_are_no_table_are_named(self, tmp_path: Path) -> None:
        assert "no such file" in refused(read_clips, tmp_path / "none.csv")
        assert "cannot be read: Is a directory" in refused(read_clips, tmp_path)
        assert "empty" in refused(read_clips, saved(tmp_path, ""))
        blank = saved(tmp_path, "\n" + write_clips([CLIP]))
        assert refused(read_clips, blank).startswith(f"{blank}:1: a blank line")

    def test_a_negative_label_is_no_class_index(self, tmp_path: Path) -> None:
        path = crops_with(tmp_path, label="-1")
        assert refused(read_crops, path).startswith(f"{path}:3: column label: ")

    def test_a_clip_that_occurs_twice_is_told_with_both_lines(self, tmp_path: Path) -> None:
        path = crops_with(tmp_path, clip_id="walk__a")
        assert refused(read_crops, path).endswith(":3: column clip_id: walk__a occurs twice, first in line 2")

    @settings(max_examples=300)
    @given(st.data())
    def test_whatever_is_done_to_a_table_it_is_read_or_refused_in_one_line(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        content = bytearray(
            write_crops([ROW, dataclasses.replace(ROW, clip_id="b", path='a "b", c')]).encode()
        )
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(content)))
            cut = data.draw(st.integers(0, 9))
            new = data.draw(
                st.sampled_from([b"", b"\0", b'"', b",", b"\n", b"\r", b"\xff", b"9" * 30, b"=", b"2"])
            )
            content[place : place + cut] = new
        path = tmp_path_factory.mktemp("mutated") / "v1.csv"
        path.write_bytes(content)
        try:
            rows = read_crops(path)
        except ManifestError:
            assert "\n" not in refused(read_crops, path)
        else:
            again = saved(path.parent, write_crops(rows), "again.csv")
            assert len(read_crops(again)) == len(rows) <= 3

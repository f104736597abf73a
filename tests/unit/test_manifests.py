"""Tables come back as they went in, and are plain text that others read too."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import typing
from pathlib import Path
from typing import Any

import mocrop_manifests
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mocrop_manifests import Clip, CropRow, read_clips, read_crops, write_clips, write_crops
from mocrop_manifests.tables import columns
from mocrop_prep.errors import CODES, FALLBACKS

from tests.tables import CLIP, CLIPS, ROW, crop_rows, saved


def rounded(row: CropRow) -> CropRow:
    """The row as six decimals leave it."""
    changes: dict[str, Any] = {
        field.name: float(f"{value:.6f}")
        for field in dataclasses.fields(row)
        if isinstance(value := getattr(row, field.name), float)
    }
    return dataclasses.replace(row, **changes)


class TestRoundTrip:
    @settings(max_examples=80)
    @given(st.lists(CLIPS, max_size=5, unique_by=lambda clip: clip.clip_id))
    def test_clips_come_back_sorted_and_as_they_were(
        self, tmp_path_factory: pytest.TempPathFactory, clips: list[Clip]
    ) -> None:
        path = saved(tmp_path_factory.mktemp("clips"), write_clips(clips))
        assert read_clips(path) == sorted(clips, key=lambda clip: clip.clip_id)

    @settings(max_examples=80)
    @given(st.lists(crop_rows(), max_size=3, unique_by=lambda row: row.clip_id))
    def test_crops_come_back_sorted_and_with_six_decimals(
        self, tmp_path_factory: pytest.TempPathFactory, rows: list[CropRow]
    ) -> None:
        path = saved(tmp_path_factory.mktemp("crops"), write_crops(rows))
        assert read_crops(path) == [rounded(row) for row in sorted(rows, key=lambda row: row.clip_id)]

    @settings(max_examples=80)
    @given(CLIPS)
    def test_other_readers_of_csv_see_the_same_cells(self, clip: Clip) -> None:
        table = list(csv.reader(io.StringIO(write_clips([clip]), newline=""), strict=True))
        assert table == [
            [*columns(Clip), "version"],
            [*(str(value) for value in dataclasses.astuple(clip)), "2"],
        ]

    def test_a_table_is_plain_text_with_line_feeds_in_the_documented_order(self) -> None:
        other = dataclasses.replace(
            ROW,
            clip_id="run__b",
            fps=29.97003,
            score=None,
            motion_inside=None,
            confidence=0.4375,
            damaged=3,
            route="direct",
        )
        text = write_crops([ROW, other])
        assert text.split("\n") == [
            "clip_id,path,label,label_name,split,group,status,reason,width,height,fps,frames,key_frames,"
            "x,y,w,h,area,method,grid,vectors,kept,sampled,motion_inside,score,seed,config,"
            "confidence,damaged,route,version",
            "run__b,walk/a.avi,0,walk,train,g01,ok,,320,240,29.970030,60,5,40,0,240,240,0.750000,mocrop-v1,"
            "6x8,1000,900,800,,,9223372036854775807,abc,0.437500,3,direct,3",
            "walk__a,walk/a.avi,0,walk,train,g01,ok,,320,240,25.000000,60,5,40,0,240,240,0.750000,mocrop-v1,"
            "6x8,1000,900,800,0.900000,720.000000,9223372036854775807,abc,,,,3",
            "",
        ]
        assert "\r" not in text

    def test_the_order_of_the_clips_does_not_change_the_bytes(self) -> None:
        clips = [dataclasses.replace(CLIP, clip_id=name) for name in ("b", "A", "a", "-", "_", "0")]
        assert write_clips(clips) == write_clips(clips[::-1])
        assert [clip.partition(",")[0] for clip in write_clips(clips).split("\n")[1:-1]] == list("-0A_ab")

    def test_no_clips_are_a_table_too(self, tmp_path: Path) -> None:
        assert read_clips(saved(tmp_path, write_clips([]))) == []
        assert read_crops(saved(tmp_path, write_crops([]))) == []

    def test_tables_from_a_spreadsheet_are_read(self, tmp_path: Path) -> None:
        lines = [line.split(",") for line in write_clips([CLIP]).splitlines()]
        # a byte order mark, CRLF, quotes everywhere, columns in another order, and one that is not ours
        moved = [[*line[::-1], note] for line, note in zip(lines, ("note", "look, here"), strict=True)]
        text = "".join(",".join(f'"{cell}"' for cell in line) + "\r\n" for line in moved)
        assert read_clips(saved(tmp_path, "\ufeff" + text)) == [CLIP]


class TestDocumentation:
    """manifests/README.md describes every column, and no other."""

    README = Path(__file__).parents[2] / "manifests" / "README.md"
    TYPES: typing.ClassVar = {str: "text", int: "integer", float: "decimal"}

    @pytest.fixture
    def tables(self) -> list[list[list[str]]]:
        """The rows of each Markdown table, header first, without the rule below it."""
        if not self.README.exists():
            pytest.skip(f"no {self.README.name} beside the package")
        tables: list[list[list[str]]] = [[]]
        for line in self.README.read_text(encoding="utf-8").splitlines():
            if line.startswith("|"):
                cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
                if not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
                    tables[-1].append(cells)
            elif tables[-1]:
                tables.append([])
        return [table for table in tables if table]

    def test_every_column_has_its_row_with_unit_and_type(self, tables: list[list[list[str]]]) -> None:
        described = [table for table in tables if table[0] == ["column", "type", "unit", "meaning", "source"]]
        assert len(described) == 2
        for table, kind in zip(described, (Clip, CropRow), strict=True):
            assert [row[0] for row in table[1:]] == [f"`{name}`" for name in columns(kind)]
            hints = typing.get_type_hints(kind)
            for row, field in zip(table[1:], dataclasses.fields(kind), strict=True):
                parts = typing.get_args(hints[field.name]) or (hints[field.name],)
                wanted = self.TYPES[parts[0]] + (" or empty" if type(None) in parts else "")
                assert (row[1], row[2]) == (wanted, field.metadata["unit"] or "-"), field.name
                assert row[3], field.name
                assert row[4], field.name

    def test_every_reason_is_explained(self, tables: list[list[list[str]]]) -> None:
        reasons = [[row[0].strip("`") for row in table[1:]] for table in tables if table[0][0] == "reason"]
        assert reasons == [list(FALLBACKS), list(CODES)]


def test_the_package_says_its_version() -> None:
    assert mocrop_manifests.__version__

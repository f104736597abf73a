"""Tables and indexes: they come back as they went in, and every fault is told with its place."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import re
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mocrop_manifests
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mocrop_manifests import (
    Clip,
    CropRow,
    DatasetIndex,
    ManifestError,
    ShardEntry,
    read_clips,
    read_crops,
    read_dataset,
    write_clips,
    write_crops,
    write_dataset,
)
from mocrop_manifests.tables import columns
from mocrop_prep.errors import CODES, FALLBACKS

TEXT = st.text(max_size=12) | st.sampled_from(
    (
        "a,b",
        '"',
        '""',
        'say "hi", twice',
        "two\nlines",
        "\r",
        "\r\n",
        " padded ",
        "Jürgen 走る 🎬",
        "\ufeff",
        "'",
    )
)
IDS = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
CLIPS = st.builds(
    Clip,
    clip_id=IDS,
    path=TEXT,
    label=st.integers(0, 1000),
    label_name=TEXT,
    split=st.sampled_from(("train", "val", "test")),
    group=TEXT,
)


@st.composite
def crop_rows(draw: st.DrawFn) -> CropRow:
    """A valid row of any status."""
    clip = draw(CLIPS)
    width, height = draw(st.integers(1, 9000)), draw(st.integers(1, 9000))
    x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    status = draw(st.sampled_from(("ok", "fallback", "failed")))
    known = status != "failed" or draw(st.booleans())
    share = st.floats(0, 1)
    return CropRow(
        **dataclasses.asdict(clip),
        status=status,
        reason="" if status == "ok" else draw(st.sampled_from(("corrupt", "no-motion", "ä,b"))),
        width=width if known else None,
        height=height if known else None,
        fps=draw(st.floats(0, 1000)) if known else None,
        frames=draw(st.integers(1, 10**9)) if known else None,
        key_frames=draw(st.integers(1, 10**6)) if known else None,
        x=x if known else None,
        y=y if known else None,
        w=draw(st.integers(1, width - x)) if known else None,
        h=draw(st.integers(1, height - y)) if known else None,
        area=draw(share) if known else None,
        method=draw(TEXT),
        grid="6x8",
        vectors=draw(st.none() | st.integers(0, 2**62)),
        kept=draw(st.none() | st.integers(0, 2**62)),
        sampled=draw(st.none() | st.integers(0, 2**62)),
        motion_inside=draw(st.none() | share),
        score=draw(st.none() | st.floats(0, 1e12)),
        seed=draw(st.none() | st.integers(0, 2**63 - 1)),
        config="0123456789ab",
        confidence=draw(st.none() | share),
    )


CLIP = Clip("walk__a", "walk/a.avi", 0, "walk", "train", "g01")
ROW = CropRow(
    **dataclasses.asdict(CLIP),
    status="ok",
    reason="",
    width=320,
    height=240,
    fps=25.0,
    frames=60,
    key_frames=5,
    x=40,
    y=0,
    w=240,
    h=240,
    area=0.75,
    method="mocrop-v1",
    grid="6x8",
    vectors=1000,
    kept=900,
    sampled=800,
    motion_inside=0.9,
    score=720.0,
    seed=2**63 - 1,
    config="abc",
)


def saved(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def refused(read: Callable[[Path], Any], path: Path) -> str:
    with pytest.raises(ManifestError) as raised:
        read(path)
    message = str(raised.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


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
        assert table == [list(columns(Clip)), [str(value) for value in dataclasses.astuple(clip)]]

    def test_a_table_is_plain_text_with_line_feeds_in_the_documented_order(self) -> None:
        other = dataclasses.replace(
            ROW, clip_id="run__b", fps=29.97003, score=None, motion_inside=None, confidence=0.4375
        )
        text = write_crops([ROW, other])
        assert text.split("\n") == [
            "clip_id,path,label,label_name,split,group,status,reason,width,height,fps,frames,key_frames,"
            "x,y,w,h,area,method,grid,vectors,kept,sampled,motion_inside,score,seed,config,"
            "confidence",
            "run__b,walk/a.avi,0,walk,train,g01,ok,,320,240,29.970030,60,5,40,0,240,240,0.750000,mocrop-v1,"
            "6x8,1000,900,800,,,9223372036854775807,abc,0.437500",
            "walk__a,walk/a.avi,0,walk,train,g01,ok,,320,240,25.000000,60,5,40,0,240,240,0.750000,mocrop-v1,"
            "6x8,1000,900,800,0.900000,720.000000,9223372036854775807,abc,",
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


CELLS = dict(zip(columns(CropRow), write_crops([ROW]).splitlines()[1].split(","), strict=True))


def crops_with(folder: Path, **changes: str) -> Path:
    """A manifest of a good row and one, in line 3, with the given cells."""
    other = CELLS | {"clip_id": "other"} | changes
    lines = [",".join(CELLS), ",".join(CELLS.values()), ",".join(other.values())]
    return saved(folder, "\n".join(lines) + "\n", "v1.csv")


class TestFaults:
    @pytest.mark.parametrize(
        ("column", "cell"),
        [
            ("label", "one"),
            ("label", ""),
            ("label", "1.5"),
            ("width", "320.0"),
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
        "box",
        [
            {"x": "81"},
            {"x": "-1"},
            {"y": "1"},
            {"y": "-1"},
            {"w": "0"},
            {"h": "0"},
            {"w": "-5"},
            {"h": "241"},
            {"width": "279"},
            {"height": "239"},
        ],
    )
    def test_a_crop_outside_the_frame_is_refused(self, tmp_path: Path, box: dict[str, str]) -> None:
        path = crops_with(tmp_path, **box)
        message = refused(read_crops, path)
        assert message.startswith(f"{path}:3: crop ")
        assert "not inside the frame" in message

    @pytest.mark.parametrize("column", ["width", "height", "x", "y", "w", "h", "frames", "area"])
    def test_a_crop_without_its_numbers_is_refused(self, tmp_path: Path, column: str) -> None:
        path = crops_with(tmp_path, **{column: ""})
        assert refused(read_crops, path).startswith(f"{path}:3: a clip with status ok needs")

    def test_status_and_reason_must_agree(self, tmp_path: Path) -> None:
        for status in ("fallback", "failed"):
            path = crops_with(tmp_path, status=status)
            assert refused(read_crops, path).startswith(f"{path}:3: column reason: ")
        assert len(read_crops(crops_with(tmp_path, status="failed", reason="corrupt", x="", area=""))) == 2

    @pytest.mark.parametrize("name", [name for name in columns(CropRow) if name != "confidence"])
    def test_a_missing_column_is_named(self, tmp_path: Path, name: str) -> None:
        kept = {column: cell for column, cell in CELLS.items() if column != name}
        path = saved(tmp_path, f"{','.join(kept)}\n{','.join(kept.values())}\n")
        assert refused(read_crops, path) == f"{path}:1: missing columns: {name}"

    def test_a_manifest_of_another_tool_need_not_say_how_sure_it_is(self, tmp_path: Path) -> None:
        kept = {column: cell for column, cell in CELLS.items() if column != "confidence"}
        path = saved(tmp_path, f"{','.join(kept)}\n{','.join(kept.values())}\n")
        assert read_crops(path) == [ROW]

    @pytest.mark.parametrize("line", ["walk__b", "walk__b,a,0,walk,train,g01,more", "", "a,b,c"])
    def test_a_line_with_another_number_of_cells_is_named(self, tmp_path: Path, line: str) -> None:
        path = saved(tmp_path, write_clips([CLIP]) + line + "\n")
        assert refused(read_clips, path).startswith(f"{path}:3: ")

    @pytest.mark.parametrize("line", ['walk__b,"a', 'walk__b,"a"b,0,walk,train,g01'])
    def test_broken_quotes_are_named(self, tmp_path: Path, line: str) -> None:
        path = saved(tmp_path, write_clips([CLIP]) + line)
        assert refused(read_clips, path).startswith(f"{path}:3: not valid CSV")

    @pytest.mark.parametrize("change", [{"label": "zero"}, {"clip_id": "first"}, {"w": "999"}])
    def test_lines_are_those_of_an_editor_even_behind_a_cell_of_two_lines(
        self, tmp_path: Path, change: dict[str, str]
    ) -> None:
        first = dataclasses.replace(ROW, clip_id="first", label_name="two\nlines")
        path = saved(tmp_path, write_crops([first]) + ",".join((CELLS | change).values()) + "\n")
        assert refused(read_crops, path).startswith(f"{path}:4: ")

    def test_files_that_are_no_table_are_named(self, tmp_path: Path) -> None:
        assert "no such file" in refused(read_clips, tmp_path / "none.csv")
        assert "empty" in refused(read_clips, saved(tmp_path, ""))
        (tmp_path / "latin.csv").write_bytes(write_clips([CLIP]).encode() + b"caf\xe9")
        assert "not UTF-8" in refused(read_clips, tmp_path / "latin.csv")

    def test_a_negative_label_is_no_class_index(self, tmp_path: Path) -> None:
        path = crops_with(tmp_path, label="-1")
        assert refused(read_crops, path).startswith(f"{path}:3: column label: ")


INDEX = DatasetIndex(
    name="mocrop-v1",
    storage="webdataset",
    sample="clip",
    modalities=["frames"],
    classes=["run", "Straße"],
    shards=[],
    crops={"name": "mocrop-v1", "sha256": "00"},
    config={"crop": {"area": 0.75}},
    versions={"mocrop": "0.1.0"},
)


def shard_set(folder: Path, contents: dict[str, bytes]) -> DatasetIndex:
    """A folder with shard files and their index."""
    entries = []
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        entries.append(ShardEntry(name, name.partition("-")[0], 2, 16, len(content), digest))
    index = dataclasses.replace(INDEX, shards=entries)
    (folder / "dataset.json").write_text(write_dataset(index), encoding="utf-8")
    return index


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "dataset.json"
    body = json.loads(path.read_text(encoding="utf-8"))
    change(body)
    path.write_text(json.dumps(body), encoding="utf-8")


class TestDataset:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        shard_set(tmp_path, {"train-000000.tar": b"abc", "train-000001.tar": b"de", "test-000000.tar": b""})
        return tmp_path

    def refused(self, folder: Path, *, verify: bool = False) -> str:
        with pytest.raises(ManifestError) as raised:
            read_dataset(folder, verify=verify)
        message = str(raised.value)
        assert message.startswith(str(folder))
        assert "\n" not in message
        return message

    def test_it_comes_back_as_it_was(self, tmp_path: Path) -> None:
        index = shard_set(tmp_path, {"train-000000.tar": b"abc", "val-000000.tar": b"d"})
        assert read_dataset(tmp_path) == read_dataset(tmp_path, verify=True) == index
        assert index.splits() == ["train", "val"]
        assert (index.rows("train"), index.rows("val"), index.rows("test")) == (2, 2, 0)

    def test_equal_indexes_have_equal_bytes(self) -> None:
        one = dataclasses.replace(INDEX, config={"a": 1, "b": 2}, versions={"x": "1", "y": "2"})
        other = dataclasses.replace(INDEX, config={"b": 2, "a": 1}, versions={"y": "2", "x": "1"})
        assert write_dataset(one) == write_dataset(other)
        assert "Straße" in write_dataset(one)
        assert write_dataset(one).endswith("}\n")

    def test_a_missing_shard_is_named(self, folder: Path) -> None:
        (folder / "train-000001.tar").unlink()
        assert self.refused(folder) == f"{folder / 'train-000001.tar'}: the shard is missing"

    def test_a_shard_of_another_size_is_named(self, folder: Path) -> None:
        (folder / "train-000000.tar").write_bytes(b"ab")
        assert self.refused(folder).startswith(f"{folder / 'train-000000.tar'}: 2 bytes where")

    def test_a_changed_shard_of_the_same_size_is_found_by_its_checksum(self, folder: Path) -> None:
        (folder / "train-000000.tar").write_bytes(b"abd")
        read_dataset(folder)
        assert self.refused(folder, verify=True).startswith(f"{folder / 'train-000000.tar'}: sha256 ")

    def test_a_folder_without_an_index_is_no_shard_set(self, folder: Path) -> None:
        (folder / "dataset.json").unlink()
        assert "is" in self.refused(folder)

    @pytest.mark.parametrize(
        "content", [b"", b"{", b"[]", b"null", b"3", b"\xff\xfe\xff", b'{"format": "x"}']
    )
    def test_an_index_that_is_none_is_refused(self, folder: Path, content: bytes) -> None:
        (folder / "dataset.json").write_bytes(content)
        self.refused(folder)

    @pytest.mark.parametrize("version", [0, 2, "1", None])
    def test_another_version_of_the_format_is_refused(self, folder: Path, version: object) -> None:
        edited(folder, lambda body: body.update(version=version))
        message = self.refused(folder)
        assert str(version) in message
        assert "this release reads 1" in message

    @pytest.mark.parametrize("name", ["name", "storage", "sample", "classes", "shards", "crops", "versions"])
    def test_missing_and_mistyped_fields_are_named(self, folder: Path, name: str) -> None:
        edited(folder, lambda body: body.update({name: 3}))
        assert f".{name} is not" in self.refused(folder)
        edited(folder, lambda body: body.pop(name))
        assert self.refused(folder).endswith(f"lacks {name}")

    @pytest.mark.parametrize("name", ["file", "split", "rows", "frames", "bytes", "sha256"])
    def test_missing_and_mistyped_fields_of_a_shard_are_named(self, folder: Path, name: str) -> None:
        edited(folder, lambda body: body["shards"][1].update({name: None}))
        assert f"ShardEntry.{name} is not" in self.refused(folder)
        edited(folder, lambda body: body["shards"][1].pop(name))
        assert self.refused(folder).endswith(f"ShardEntry lacks {name}")
        edited(folder, lambda body: body.update(shards=["train-000000.tar"]))
        assert "must be an object" in self.refused(folder)

    @pytest.mark.parametrize("change", [{"storage": "zip"}, {"sample": "video"}])
    def test_an_unknown_storage_or_sample_is_refused(self, folder: Path, change: dict[str, str]) -> None:
        edited(folder, lambda body: body.update(change))
        assert next(iter(change.values())) in self.refused(folder)

    @pytest.mark.parametrize("name", ["../secret.tar", "/etc/passwd", "sub/train.tar", "..", ".", ""])
    def test_a_shard_outside_the_folder_is_refused_unseen(self, folder: Path, name: str) -> None:
        (folder.parent / "secret.tar").write_bytes(b"abc")
        edited(folder, lambda body: body["shards"][0].update(file=name))
        message = self.refused(folder)
        assert message.startswith(f"{folder / 'dataset.json'}: ")
        assert "leaves the folder" in message


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

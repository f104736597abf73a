"""CSV files as sources: what they may say, and that every fault is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from mocrop_prep.clips import find_clips, source_path
from mocrop_prep.errors import UsageError


def write(folder: Path, text: str | bytes, name: str = "clips.csv") -> Path:
    table = folder / name
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    return table


def refused(table: Path) -> str:
    with pytest.raises(UsageError) as raised:
        find_clips(table)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_a_table_gives_paths_labels_splits_and_groups(tmp_path: Path) -> None:
    table = write(
        tmp_path,
        "path,label,split,group\nrun/a.avi,Run,train,daria\nb.mp4,Walk on,Validation,denis\nc.avi,7,TEST,\n",
    )
    found = find_clips(table)
    rows = [(c.path, c.label, c.label_name, c.split, c.group) for c in found.clips]
    assert rows == [
        ("b.mp4", 2, "Walk on", "val", "denis"),
        ("c.avi", 0, "7", "test", ""),
        ("run/a.avi", 1, "Run", "train", "daria"),
    ]
    assert found.root == tmp_path


def test_a_byte_order_mark_crlf_blank_lines_and_other_columns_do_no_harm(tmp_path: Path) -> None:
    table = write(
        tmp_path, b'\xef\xbb\xbfnote, Label ,Path\r\nx,Run,a.avi\r\n\r\n"one, two",Walk,"b, c.avi"\r\n'
    )
    assert {c.path: c.label_name for c in find_clips(table).clips} == {"a.avi": "Run", "b, c.avi": "Walk"}


def test_absolute_paths_stay_as_written_and_relative_ones_start_at_the_table(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "a.avi").touch()
    table = write(tmp_path / "lists", f"path,label\n{tmp_path}/a.avi,run\n../a.avi,walk\n")
    found = find_clips(table)
    assert {clip.path for clip in found.clips} == {f"{tmp_path}/a.avi", "../a.avi"}
    assert all(Path(str(source_path(found.root, clip))).exists() for clip in found.clips)


def test_a_missing_file_is_a_row_and_a_note(tmp_path: Path) -> None:
    (tmp_path / "a.avi").touch()
    found = find_clips(write(tmp_path, "path,label\na.avi,run\ngone.avi,run\n"))
    assert len(found.clips) == 2
    assert any("rows whose file is not there: 1 (gone.avi)" in note for note in found.notes)


def test_empty_splits_are_train_and_names_give_groups_where_there_is_no_column(tmp_path: Path) -> None:
    found = find_clips(write(tmp_path, "path,label,split\nv_Run_g03_c01.avi,run,\nb.avi,run,test\n"))
    assert {c.path: (c.split, c.group) for c in found.clips} == {
        "v_Run_g03_c01.avi": ("train", "g03"),
        "b.avi": ("test", ""),
    }


def test_a_group_column_is_taken_as_it_is_even_where_empty(tmp_path: Path) -> None:
    found = find_clips(write(tmp_path, "path,label,group\nv_Run_g03_c01.avi,run,\nb.avi,run,Daria B.\n"))
    assert {c.path: c.group for c in found.clips} == {"v_Run_g03_c01.avi": "", "b.avi": "Daria B."}


def test_the_paths_of_a_clip_list_can_be_used_again(tmp_path: Path) -> None:
    name = b"caf\xe9.avi"
    with open(bytes(tmp_path) + b"/" + name, "wb"):
        pass
    found = find_clips(write(tmp_path, "path,label\ncaf\\xe9.avi,run\n"))
    assert found.clips[0].path == r"caf\xe9.avi"
    assert Path(str(source_path(found.root, found.clips[0]))).exists()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("file,label\na.avi,run\n", ":1: missing column path"),
        ("path;label\na.avi;run\n", ":1: missing column path and label"),
        ("", ": the file is empty; expected a header line"),
        ("\n\n", ":1: a blank line; expected a header line"),
        ("path,label\n", "no clips"),
        ("path,label\na.avi,run\nb.avi\n", ":3: 1 cells where the header has 2"),
        ("path,label\nb, c.avi,run\n", ":2: 3 cells where the header has 2"),
        ("path,label\n,run\n", ":2: column path"),
        ("path,label\n./,run\n", ":2: column path"),
        ("path,label\na.avi,run\nb.avi, \n", ":3: column label is empty"),
        ("path,label,split\na.avi,run,dev\n", ":2: column split: 'dev' is not one of train, val, test"),
        ("path,label\na.avi,run\nb.avi,run\n./a.avi,walk\n", ":4: column path: a.avi occurs twice"),
        ("path,label,Label \na.avi,run,walk\n", ":1: column label occurs 2 times"),
        ('path,label\n"a.avi,run\n', ":2: column path: not valid CSV"),
        ('path,label\na.avi,"run\nb.avi,walk\n', ":2: column label: not valid CSV"),
        (b"path,label\ncaf\xe9.avi,run\n", ":2: column path: the cell is not UTF-8 (byte 0xe9)"),
        (b"path,label\na.avi,caf\xe9\n", ":2: column label: the cell is not UTF-8 (byte 0xe9)"),
        ("path,label\na.avi,run\n".encode("utf-16"), ":1: column 1: the name"),
        (b"path,label\na\0.avi,run\n", ":2: column path: the cell holds a NUL byte"),
        ("path,label\n\\x00.avi,run\n", ":2: column path"),
    ],
)
def test_a_faulty_table_is_refused_with_the_line(tmp_path: Path, text: str | bytes, fault: str) -> None:
    assert fault in refused(write(tmp_path, text))


def test_list_files_beside_a_table_are_refused(tmp_path: Path) -> None:
    table = write(tmp_path, "path,label\na.avi,run\n")
    with pytest.raises(UsageError, match="list files go with a folder"):
        find_clips(table, train_lists=[table])

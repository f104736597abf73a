"""Official list files of UCF101, HMDB51 and Kinetics, plain lists, and how their entries find files."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest
from mocrop_prep.clips import ClipList, find_clips
from mocrop_prep.errors import UsageError


def plant(root: Path, *paths: str) -> Path:
    """Make empty files; those with a media extension count as clips whatever they hold."""
    for path in paths:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    return root


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def rows(found: ClipList) -> dict[str, tuple[str, str]]:
    return {clip.path: (clip.label_name, clip.split) for clip in found.clips}


def noted(found: ClipList, *words: str) -> bool:
    return any(all(word in note for word in words) for note in found.notes)


def refused(source: Path, **lists: list[Path]) -> str:
    with pytest.raises(UsageError) as raised:
        find_clips(
            source,
            train_lists=lists.get("train", []),
            test_lists=lists.get("test", []),
            val_lists=lists.get("val", []),
        )
    message = str(raised.value)
    assert "\n" not in message
    return message


UCF_FILES = (
    "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi",
    "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi",
    "YoYo/v_YoYo_g25_c05.avi",
    "YoYo/v_YoYo_g01_c03.avi",
    "YoYo/v_YoYo_g02_c01.avi",
)
UCF_TRAIN = "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\r\nYoYo/v_YoYo_g25_c05.avi 101\r\n"
UCF_TEST = (
    "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\r\nYoYo/v_YoYo_g01_c03.avi\r\nZumba/v_Zumba_g01_c01.avi\r\n"
)
UCF_ROWS = {
    "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi": ("ApplyEyeMakeup", "train"),
    "YoYo/v_YoYo_g25_c05.avi": ("YoYo", "train"),
    "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi": ("ApplyEyeMakeup", "test"),
    "YoYo/v_YoYo_g01_c03.avi": ("YoYo", "test"),
}


def test_ucf101_lists_give_classes_by_folder_and_splits_by_list(tmp_path: Path) -> None:
    source = plant(tmp_path / "UCF-101", *UCF_FILES)
    train, test = write(tmp_path / "trainlist01.txt", UCF_TRAIN), write(tmp_path / "testlist01.txt", UCF_TEST)
    found = find_clips(source, train_lists=[train], test_lists=[test])
    assert rows(found) == UCF_ROWS
    assert {clip.group for clip in found.clips} == {"g01", "g08", "g25"}
    assert noted(found, "list entries without a file: 1 (Zumba/v_Zumba_g01_c01.avi)")
    assert noted(found, "videos in no list, left out: 1 (YoYo/v_YoYo_g02_c01.avi)")


def test_the_folder_of_ucf101_lists_stands_for_the_lists_of_one_split(tmp_path: Path) -> None:
    source = plant(tmp_path / "UCF-101", *UCF_FILES)
    lists = tmp_path / "ucfTrainTestlist"
    write(lists / "classInd.txt", "1 ApplyEyeMakeup\r\n101 YoYo\r\n")
    write(lists / "trainlist01.txt", UCF_TRAIN)
    write(lists / "testlist01.txt", UCF_TEST)
    write(lists / "trainlist02.txt", "YoYo/v_YoYo_g02_c01.avi 101\r\n")
    write(lists / "testlist02.txt", "YoYo/v_YoYo_g25_c05.avi\r\n")
    assert rows(find_clips(source, train_lists=[lists], test_lists=[lists])) == UCF_ROWS
    second = find_clips(source, train_lists=[lists], test_lists=[lists], list_split=2)
    assert rows(second) == {
        "YoYo/v_YoYo_g02_c01.avi": ("YoYo", "train"),
        "YoYo/v_YoYo_g25_c05.avi": ("YoYo", "test"),
    }
    with pytest.raises(UsageError, match=r"no list for split train, number 4: .*trainlist04\.txt"):
        find_clips(source, train_lists=[lists], list_split=4)


@pytest.mark.parametrize(
    ("files", "entry", "path"),
    [
        (["YoYo/v_YoYo_g01_c01.avi"], "YoYo/v_YoYo_g01_c01", "YoYo/v_YoYo_g01_c01.avi"),
        (["YoYo/v_YoYo_g01_c01.mp4"], "YoYo/v_YoYo_g01_c01.avi 101", "YoYo/v_YoYo_g01_c01.mp4"),
        (["YoYo/v_yoyo_g01_c01.AVI"], "Yoyo/v_YoYo_g01_c01.avi", "YoYo/v_yoyo_g01_c01.AVI"),
        (["UCF-101/YoYo/v.avi"], "YoYo/v.avi", "UCF-101/YoYo/v.avi"),
        (["YoYo/v.avi"], "/data/UCF-101/YoYo/v.avi", "YoYo/v.avi"),
        (["train/YoYo/v.avi"], "train/YoYo/v.avi 5", "train/YoYo/v.avi"),
        (["v_YoYo_g01_c01.avi"], "YoYo/v_YoYo_g01_c01.avi 101", "v_YoYo_g01_c01.avi"),
        (["YoYo/my clip, cut.avi"], "YoYo/my clip, cut.avi", "YoYo/my clip, cut.avi"),
        (["YoYo/my clip.avi"], "./YoYo/my clip 3", "YoYo/my clip.avi"),
        (["YoYo/my clip 3.avi"], "YoYo/my clip 3", "YoYo/my clip 3.avi"),
        (["YoYo/v1.5.avi"], "YoYo/v1.5", "YoYo/v1.5.avi"),
        (["YoYo/sub/v.avi"], "YoYo/sub/v.avi", "YoYo/sub/v.avi"),
    ],
)
def test_an_entry_finds_its_file_and_its_class(
    tmp_path: Path, files: list[str], entry: str, path: str
) -> None:
    source = plant(tmp_path / "source", *files, "Other/other.avi")
    found = find_clips(source, train_lists=[write(tmp_path / "list.txt", entry + "\n")])
    assert rows(found) == {path: ("YoYo", "train")}


@pytest.mark.parametrize(
    ("entry", "closest", "others"),
    [
        ("A/v.avi", "A/v.avi", ["A/v.mp4", "A/V.avi", "copy/A/v.avi", "v.avi"]),
        ("/data/A/v.avi", "A/v.avi", ["A/v.mp4", "A/V.avi", "v.avi"]),
        ("a/V.AVI", "A/v.avi", ["A/v.mp4", "copy/A/v.avi", "B/v.avi"]),
        ("A/w", "A/w.mp4", ["A/w.m4a", "B/w.mp4"]),
    ],
)
def test_the_closest_file_wins(tmp_path: Path, entry: str, closest: str, others: list[str]) -> None:
    source = plant(tmp_path / "s", closest, *others)
    found = find_clips(source, train_lists=[write(tmp_path / "list.txt", entry + "\n")])
    assert set(rows(found)) == {closest}


def test_a_file_of_the_same_name_in_another_folder_is_no_match(tmp_path: Path) -> None:
    source = plant(tmp_path / "s", "A/v.avi")
    found = find_clips(source, train_lists=[write(tmp_path / "list.txt", "A/v.avi\nC/v.avi\n")])
    assert set(rows(found)) == {"A/v.avi"}
    assert noted(found, "list entries without a file: 1 (C/v.avi)")


@pytest.mark.parametrize(
    "line", ["run/a b.avi sprint fast", "run/a b.avi,sprint fast", '"run/a b.avi","sprint fast"']
)
def test_plain_lists_name_a_class_after_a_space_or_a_comma(tmp_path: Path, line: str) -> None:
    source = plant(tmp_path / "source", "run/a b.avi")
    listed = write(tmp_path / "list.csv", f"path,label\n\n{line}\n")
    assert rows(find_clips(source, val_lists=[listed])) == {"run/a b.avi": ("sprint fast", "val")}


def test_class_numbers_are_names_where_they_do_not_stand_for_folders(tmp_path: Path) -> None:
    source = plant(tmp_path / "source", "videos/a.mp4", "videos/b.mp4", "videos/c.mp4")
    listed = write(tmp_path / "list.txt", "videos/a.mp4 0\nvideos/b.mp4 1\nvideos/c.mp4 0\n")
    assert {path: label for path, (label, _) in rows(find_clips(source, train_lists=[listed])).items()} == {
        "videos/a.mp4": "0",
        "videos/b.mp4": "1",
        "videos/c.mp4": "0",
    }
    bare = write(tmp_path / "bare.txt", "videos/c.mp4\n")
    listed = write(tmp_path / "list.txt", "videos/a.mp4 0\nvideos/b.mp4 1\n")
    assert "bare.txt:1: videos/c.mp4 has no class" in refused(source, train=[listed], test=[bare])


HMDB_LIST = (
    "April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1 \n"
    "#122_Brush_My_Hair!_(part_2)_brush_hair_f_nm_np2_fr_med_1.avi 2 \n"
    "Blonde_being_brushed_brush_hair_f_nm_np2_ri_med_0.avi 0 \n"
)
HMDB_FILES = [f"brush_hair/{line.rsplit(' ', 2)[0]}" for line in HMDB_LIST.splitlines()]


def test_hmdb51_files_hold_both_splits_and_the_class(tmp_path: Path) -> None:
    source = plant(tmp_path / "hmdb51_org", *HMDB_FILES, "wave/v_wave_f_nm_np1_ba_med_0.avi")
    lists = tmp_path / "testTrainMulti_7030_splits"
    write(lists / "brush_hair_test_split1.txt", HMDB_LIST)
    write(lists / "brush_hair_test_split2.txt", HMDB_LIST.replace(" 0 ", " 1 "))
    write(lists / "wave_test_split1.txt", "v_wave_f_nm_np1_ba_med_0.avi 2 \n")
    write(lists / "._wave_test_split1.txt", b"\0\5\x16\7")
    expected = {
        HMDB_FILES[0]: ("brush_hair", "train"),
        HMDB_FILES[1]: ("brush_hair", "test"),
        "wave/v_wave_f_nm_np1_ba_med_0.avi": ("wave", "test"),
    }
    found = find_clips(source, train_lists=[lists])
    assert rows(found) == expected
    assert noted(found, "videos marked as unused, left out: 1")
    assert rows(find_clips(source, test_lists=[lists])) == expected
    assert rows(find_clips(source, train_lists=[lists], test_lists=[lists])) == expected
    one = lists / "brush_hair_test_split2.txt"
    assert rows(find_clips(source, train_lists=[one]))[HMDB_FILES[2]] == ("brush_hair", "train")
    with pytest.raises(UsageError, match=r"number 3: expected <class>_test_split3\.txt"):
        find_clips(source, train_lists=[lists], list_split=3)


def test_hmdb51_videos_may_lie_in_one_flat_folder(tmp_path: Path) -> None:
    source = plant(tmp_path / "all", *(path.split("/")[1] for path in HMDB_FILES))
    listed = write(tmp_path / "brush_hair_test_split1.txt", HMDB_LIST)
    assert {label for label, _ in rows(find_clips(source, train_lists=[listed])).values()} == {"brush_hair"}


def test_one_hmdb51_name_in_two_classes_means_two_files(tmp_path: Path) -> None:
    source = plant(tmp_path / "s", "run/v.avi", "walk/v.avi")
    run = write(tmp_path / "run_test_split1.txt", "v.avi 1\n")
    walk = write(tmp_path / "walk_test_split1.txt", "v.avi 2\n")
    assert rows(find_clips(source, train_lists=[run, walk])) == {
        "run/v.avi": ("run", "train"),
        "walk/v.avi": ("walk", "test"),
    }


KINETICS = (
    "label,youtube_id,time_start,time_end,split,is_cc\n"
    '"arm wrestling",-3B32lodo2M,59,69,train,0\n'
    '"massaging person\'s head",0QsDrxkBhEY,5,15,train,0\n'
    "arm wrestling,_Az-9LlXfbA,1,11,train,0\n"
    "arm wrestling,absent00000,1,11,train,0\n"
)


def test_kinetics_lists_find_videos_by_id_and_time_anywhere_below_the_source(tmp_path: Path) -> None:
    source = plant(
        tmp_path / "k400",
        "train/arm_wrestling/-3B32lodo2M_000059_000069.mp4",
        "train/arm_wrestling/-3B32lodo2M_000000_000010.mp4",
        "0QsDrxkBhEY.webm",
        "misc/_Az-9LlXfbA_1_11.mkv",
        "misc/_az-9LlXfbA_1_11.mkv",
        "val/boxing/abcdefghijk_000001_000011.mp4",
    )
    train = write(tmp_path / "train.csv", KINETICS)
    val = write(
        tmp_path / "validate.csv", "label,youtube_id,time_start,time_end,split\nboxing,abcdefghijk,1,11,val\n"
    )
    found = find_clips(source, train_lists=[train], val_lists=[val])
    assert rows(found) == {
        "train/arm_wrestling/-3B32lodo2M_000059_000069.mp4": ("arm wrestling", "train"),
        "0QsDrxkBhEY.webm": ("massaging person's head", "train"),
        "misc/_Az-9LlXfbA_1_11.mkv": ("arm wrestling", "train"),
        "val/boxing/abcdefghijk_000001_000011.mp4": ("boxing", "val"),
    }
    assert noted(found, "list entries without a file: 1", "absent00000")
    assert noted(found, "videos in no list, left out: 2")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("youtube_id,time_start,time_end,split\nabc,1,11,test\n", "l.csv:1: missing column label"),
        ("label,youtube_id,time_start,time_end\nrun,abc,one,11\n", "l.csv:2: unrecognised"),
        ("label,youtube_id,time_start,time_end\nrun,abc,1\n", "l.csv:2: unrecognised"),
        ("label,youtube_id,time_start,time_end\n,abc,1,11\n", "l.csv:2: unrecognised"),
        ('label,youtube_id,time_start,time_end\n"run,abc,1,11\n', "not valid CSV"),
        (
            "label,youtube_id,time_start,time_end,\x1b[31m\nrun,abc,1\n",
            "expected label,youtube_id,time_start",
        ),
    ],
)
def test_a_faulty_kinetics_list_is_refused_with_the_line(tmp_path: Path, text: str, fault: str) -> None:
    source = plant(tmp_path / "s", "abc_000001_000011.mp4")
    assert fault in refused(source, train=[write(tmp_path / "l.csv", text)])


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("l.txt", b'{"video": "a.avi"}'),
        ("l.txt", b"run/a.avi,run,3"),
        ("l.txt", b"run/a.avi 1 2 3"),
        ("l.txt", b"PK\x03\x04\x00\x00"),
        ("l.txt", b",run"),
        ("l.txt", b"these are the clips of run"),
        ("l.txt", b'"' + b"x" * 140_000 + b'",run'),
        ("run_test_split1.txt", b"a.avi 3"),
        ("run_test_split1.txt", b"a.avi"),
    ],
)
def test_an_unrecognised_line_is_refused_with_its_place(tmp_path: Path, name: str, line: bytes) -> None:
    source = plant(tmp_path / "s", "run/a.avi")
    valid = b"a.avi 1" if name.startswith("run") else b"run/a.avi"
    listed = write(tmp_path / name, valid + b"\n" + line + b"\n")
    message = refused(source, train=[listed])
    assert f"{listed}:2: unrecognised list line" in message


def test_a_name_that_is_too_long_for_a_message_is_shown_in_part(tmp_path: Path) -> None:
    source = plant(tmp_path / "s", "run/a.avi")
    message = refused(source, train=[write(tmp_path / "l.txt", f"run/{'x' * 100_000}.avi 1\n")])
    assert "the lists choose no file" in message
    assert len(message) < 1000


def test_a_file_in_train_and_test_lists_is_named(tmp_path: Path) -> None:
    source = plant(tmp_path / "s", "run/a.avi", "run/b.avi")
    train = write(tmp_path / "train.txt", "run/a.avi\nrun/b.avi\n")
    test = write(tmp_path / "test.txt", "run/b\n")
    message = refused(source, train=[train], test=[test])
    assert "run/b.avi has two splits: train in" in message
    assert "train.txt:2" in message
    assert "test.txt:1" in message


def test_a_file_with_two_classes_is_named_and_a_repeated_line_is_not(tmp_path: Path) -> None:
    source = plant(tmp_path / "s", "a.avi")
    assert "a.avi has two classes: run in" in refused(
        source, train=[write(tmp_path / "l.txt", "a.avi run\na.avi walk\n")]
    )
    twice = write(tmp_path / "l.txt", "a.avi run\na.avi run\n")
    assert rows(find_clips(source, train_lists=[twice])) == {"a.avi": ("run", "train")}


def test_an_entry_that_fits_two_files_alike_is_refused(tmp_path: Path) -> None:
    source = plant(tmp_path / "s", "A/v.avi", "B/v.avi")
    message = refused(source, train=[write(tmp_path / "l.txt", "v.avi run\n")])
    assert "l.txt:1: v.avi fits several files: A/v.avi, B/v.avi" in message


def test_lists_that_match_nothing_show_an_entry_and_a_file(tmp_path: Path) -> None:
    source = plant(tmp_path / "s", "run/a.avi")
    message = refused(source, train=[write(tmp_path / "l.txt", "walk/b.avi 1\n")])
    assert "the lists choose no file" in message
    assert "walk/b.avi" in message
    assert "run/a.avi" in message


def test_missing_and_empty_lists_are_named(tmp_path: Path) -> None:
    source = plant(tmp_path / "s", "run/a.avi")
    assert "gone.txt: cannot read the list" in refused(source, train=[tmp_path / "gone.txt"])
    assert "the list files are empty" in refused(source, train=[write(tmp_path / "l.txt", "\n")])
    (tmp_path / "none").mkdir()
    assert "found no file" in refused(source, train=[tmp_path / "none"])


def test_lists_and_names_that_are_not_utf8_match_byte_by_byte(tmp_path: Path) -> None:
    source = plant(tmp_path / "s", os.fsdecode(b"caf\xe9/d\xe9but.avi"))
    found = find_clips(source, train_lists=[write(tmp_path / "l.txt", b"caf\xe9/d\xe9but.avi 1\n")])
    assert rows(found) == {r"caf\xe9/d\xe9but.avi": (r"caf\xe9", "train")}


def test_composed_and_decomposed_unicode_names_match(tmp_path: Path) -> None:
    source = plant(tmp_path / "s", unicodedata.normalize("NFD", "Épée/été 数.avi"))
    listed = write(tmp_path / "l.txt", "\ufeff" + unicodedata.normalize("NFC", "Épée/été 数.avi 1\n"))
    found = find_clips(source, train_lists=[listed])
    assert [clip.label_name for clip in found.clips] == [unicodedata.normalize("NFD", "Épée")]

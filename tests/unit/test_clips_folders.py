"""Folders as sources: classes, splits, odd places for videos, links and what is passed over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mocrop_prep.clips import ClipList, find_clips, source_path
from mocrop_prep.errors import UsageError

REAL = Path(__file__).parents[2].parent / "shared" / "data"


def plant(root: Path, *paths: str) -> Path:
    """Make empty files; those with a media extension count as clips whatever they hold."""
    for path in paths:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    return root


def labels(found: ClipList) -> dict[str, str]:
    return {clip.path: clip.label_name for clip in found.clips}


def splits(found: ClipList) -> dict[str, str]:
    return {clip.path: clip.split for clip in found.clips}


def noted(found: ClipList, *words: str) -> bool:
    return any(all(word in note for word in words) for note in found.notes)


def test_the_first_folder_is_the_class_however_deep_the_video_lies(tmp_path: Path) -> None:
    plant(tmp_path, "run/a.avi", "run/day 1/b.mp4", "walk/x/y/c.mkv", "Übung/d.webm")
    found = find_clips(tmp_path)
    assert labels(found) == {
        "run/a.avi": "run",
        "run/day 1/b.mp4": "run",
        "walk/x/y/c.mkv": "walk",
        "Übung/d.webm": "Übung",
    }
    assert {clip.label_name: clip.label for clip in found.clips} == {"run": 0, "walk": 1, "Übung": 2}
    assert {clip.split for clip in found.clips} == {"train"}
    assert found.root == tmp_path
    assert [clip.clip_id for clip in found.clips] == sorted(clip.clip_id for clip in found.clips)
    assert noted(found, "one folder per class: clips 4, classes 3")


def test_classes_are_numbered_by_code_point_like_sorted_names(tmp_path: Path) -> None:
    plant(tmp_path, "b/1.avi", "Z/1.avi", "10/1.avi", "9/1.avi", "a b/1.avi", "É/1.avi")
    names = {clip.label: clip.label_name for clip in find_clips(tmp_path).clips}
    assert [names[label] for label in range(6)] == ["10", "9", "Z", "a b", "b", "É"]


def test_a_flat_folder_is_one_class_named_after_it(tmp_path: Path) -> None:
    found = find_clips(plant(tmp_path / "holiday", "a.mp4", "b.mov"))
    assert labels(found) == {"a.mp4": "holiday", "b.mov": "holiday"}
    assert noted(found, "one class, holiday")


def test_a_flat_folder_is_named_even_when_it_is_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plant(tmp_path / "holiday", "a.mp4"))
    assert labels(find_clips(Path())) == {"a.mp4": "holiday"}


def test_videos_beside_class_folders_are_left_out_with_a_note(tmp_path: Path) -> None:
    found = find_clips(plant(tmp_path, "trailer.mp4", "run/a.avi"))
    assert labels(found) == {"run/a.avi": "run"}
    assert noted(found, "beside the class folders, left out: 1 (trailer.mp4)")


def test_folders_named_after_splits_are_splits(tmp_path: Path) -> None:
    plant(
        tmp_path,
        "Train/run/a.avi",
        "valid/run/b.avi",
        "TEST/walk/deep/c.avi",
        "TEST/loose.avi",
        "annotations/labels.txt",
    )
    found = find_clips(tmp_path)
    assert labels(found) == {
        "Train/run/a.avi": "run",
        "valid/run/b.avi": "run",
        "TEST/walk/deep/c.avi": "walk",
    }
    assert splits(found) == {
        "Train/run/a.avi": "train",
        "valid/run/b.avi": "val",
        "TEST/walk/deep/c.avi": "test",
    }
    assert noted(found, "split folders TEST, Train, valid")
    assert noted(found, "beside the class folders, left out: 1 (TEST/loose.avi)")
    assert noted(found, "classes without a training clip: 1 (walk)")


def test_split_folders_without_classes_hold_one_class(tmp_path: Path) -> None:
    found = find_clips(plant(tmp_path / "cats", "train/a.avi", "test/b.avi"))
    assert labels(found) == {"train/a.avi": "cats", "test/b.avi": "cats"}
    assert splits(found) == {"train/a.avi": "train", "test/b.avi": "test"}


def test_a_class_called_train_is_a_class_beside_other_classes(tmp_path: Path) -> None:
    found = find_clips(plant(tmp_path, "train/a.avi", "bus/b.avi"))
    assert labels(found) == {"train/a.avi": "train", "bus/b.avi": "bus"}
    assert {clip.split for clip in found.clips} == {"train"}


def test_empty_folders_are_no_classes_and_are_noted(tmp_path: Path) -> None:
    plant(tmp_path, "run/a.avi", "docs/readme.txt")
    (tmp_path / "empty").mkdir()
    found = find_clips(tmp_path)
    assert {clip.label_name for clip in found.clips} == {"run"}
    assert noted(found, "folders without videos: 2 (docs, empty)")


def test_hidden_and_system_files_are_skipped_and_other_kinds_counted(tmp_path: Path) -> None:
    plant(
        tmp_path,
        "run/a.avi",
        "run/._a.avi",
        "run/.hidden.mp4",
        ".cache/b.mp4",
        "__MACOSX/run/a.avi",
        "run/Thumbs.db",
        "run/a.txt",
        "run/b.TXT",
        "run/a.jpg",
    )
    found = find_clips(tmp_path)
    assert labels(found) == {"run/a.avi": "run"}
    assert noted(found, "files that are not video, ignored: 3 (.txt 2, .jpg 1)")


def test_links_are_followed_and_loops_cut(tmp_path: Path) -> None:
    plant(tmp_path / "store", "shared/a.avi", "b.avi")
    source = tmp_path / "source"
    (source / "run").mkdir(parents=True)
    (source / "run" / "file.avi").symlink_to(tmp_path / "store" / "b.avi")
    (source / "walk").symlink_to(tmp_path / "store" / "shared")
    (source / "run" / "up").symlink_to(source)
    (source / "run" / "self").symlink_to(source / "run" / "self")
    found = find_clips(source)
    assert labels(found) == {"run/file.avi": "run", "walk/a.avi": "walk"}
    assert noted(found, "symlinks back to a folder above them, cut: 1")


def test_a_dangling_link_with_a_media_extension_gives_a_row(tmp_path: Path) -> None:
    plant(tmp_path, "run/a.avi")
    (tmp_path / "run" / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (tmp_path / "run" / "self.mp4").symlink_to(tmp_path / "run" / "self.mp4")
    (tmp_path / "run" / "gone").symlink_to(tmp_path / "nowhere")
    assert set(labels(find_clips(tmp_path))) == {"run/a.avi", "run/gone.mp4", "run/self.mp4"}


def test_a_pipe_in_the_folder_does_not_block(tmp_path: Path) -> None:
    plant(tmp_path, "run/a.avi")
    os.mkfifo(tmp_path / "run" / "pipe.mp4")
    os.mkfifo(tmp_path / "run" / "pipe")
    (tmp_path / "run" / "link.mp4").symlink_to(tmp_path / "run" / "pipe.mp4")
    assert set(labels(find_clips(tmp_path))) == {"run/a.avi"}


def test_names_that_are_not_utf8_give_rows_in_path_and_label(tmp_path: Path) -> None:
    path = Path(os.fsdecode(b"caf\xe9/d\xe9but.avi"))
    plant(tmp_path, str(path), "bar/a.avi")
    found = find_clips(tmp_path)
    clip = next(clip for clip in found.clips if clip.label_name != "bar")
    assert (clip.label_name, clip.path) == (r"caf\xe9", r"caf\xe9/d\xe9but.avi")
    assert source_path(found.root, clip) == tmp_path / path
    assert Path(str(source_path(found.root, clip))).exists()


def test_groups_come_from_ucf101_names(tmp_path: Path) -> None:
    plant(
        tmp_path, "Run/v_Run_g07_c01.avi", "Run/v_Run_g7_c02.avi", "Run/v_Run_g12_c01.avi", "Run/x_g_c1.avi"
    )
    groups = {clip.path[4:]: clip.group for clip in find_clips(tmp_path).clips}
    assert groups == {
        "v_Run_g07_c01.avi": "g07",
        "v_Run_g7_c02.avi": "g07",
        "v_Run_g12_c01.avi": "g12",
        "x_g_c1.avi": "",
    }


def test_the_list_does_not_depend_on_the_order_of_the_disk(tmp_path: Path) -> None:
    loose = [f"{number}.avi" for number in range(9)]
    paths = ["b/2.avi", "a/1.mp4", "b/1.avi", "a/1.avi", "a/x y.avi", "c/d.txt", "e/f.jpg", *loose]
    one = find_clips(plant(tmp_path / "one" / "source", *paths))
    two = find_clips(plant(tmp_path / "two" / "source", *reversed(paths)))
    assert one.clips == two.clips
    assert one.notes == two.notes
    assert noted(one, "(0.avi, 1.avi, 2.avi and 6 more)")


def refused(source: Path) -> str:
    with pytest.raises(UsageError) as raised:
        find_clips(source)
    message = str(raised.value)
    assert "\n" not in message
    return message


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    assert "nowhere does not exist" in refused(tmp_path / "nowhere")


def test_a_single_video_as_source_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    plant(tmp_path, "clip.mp4")
    assert "expected a folder of videos or a CSV" in refused(tmp_path / "clip.mp4")


@pytest.mark.parametrize("paths", [(), ("run/notes.txt", "run/a.jpg")])
def test_a_folder_without_videos_says_what_layout_is_expected(tmp_path: Path, paths: tuple[str, ...]) -> None:
    plant(tmp_path, *paths)
    assert f"no video files below {tmp_path}: expected one folder per class" in refused(tmp_path)


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    # A path longer than the system takes fails for every user; missing permissions would not stop root.
    plant(tmp_path, "run/a.avi")
    handle = os.open(tmp_path / "run", os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=handle)
        deeper = os.open("d" * 250, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = deeper
    os.close(handle)
    message = refused(tmp_path)
    assert message.startswith("cannot read the folder")
    assert "too long" in message


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips are not beside this checkout")
def test_real_ucf101_holds_out_the_groups_of_official_split_1() -> None:
    found = find_clips(REAL / "ucf101", holdout_groups="1-7")
    assert len(found.clips) == 150
    assert len({clip.label_name for clip in found.clips}) == 6
    assert {clip.group for clip in found.clips if clip.split == "test"} == {f"g{n:02d}" for n in range(1, 8)}

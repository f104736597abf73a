"""Published files: whole under their name or not there at all."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from mocrop_manifests.files import (
    TEMPORARY,
    make_folder,
    publish,
    publish_bytes,
    publish_folder,
    publish_text,
    remove,
    sha256,
    sweep,
    temporary_beside,
)

from tests.spy import Call, disk_calls


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_under_its_name_when_it_is_finished(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "clip.mp4"
    with publish(target) as temporary:
        temporary.write_bytes(b"half")
        assert not target.exists()
        assert temporary.parent == target.parent
        assert temporary.suffix == ".mp4"  # encoders choose their format by it
        temporary.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
    assert names(target.parent) == ["clip.mp4"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "crops.csv"
    publish_text(target, "old")
    for failure in (ValueError, KeyboardInterrupt):

        def work(failure: type[BaseException] = failure) -> None:
            with publish(target) as temporary:
                temporary.write_bytes(b"new and bro")
                raise failure

        with pytest.raises(failure):
            work()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["crops.csv"]


def test_a_failure_before_the_first_byte_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no encoder"), publish(tmp_path / "a.mp4"):
        raise RuntimeError("no encoder")
    assert names(tmp_path) == []


def test_a_body_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a"
    publish_bytes(target, b"old")
    with pytest.raises(FileNotFoundError), publish(target):
        pass
    assert target.read_bytes() == b"old"


def test_a_folder_in_the_way_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        publish_bytes(tmp_path / "taken", b"x")
    assert names(tmp_path) == ["taken"]


def test_readers_of_the_old_file_are_not_disturbed(tmp_path: Path) -> None:
    target = tmp_path / "a"
    publish_bytes(target, b"old content")
    with target.open("rb") as reader:
        publish_bytes(target, b"new")
        assert reader.read() == b"old content"
    assert target.read_bytes() == b"new"


def test_content_is_on_the_disk_before_its_name_and_the_name_before_anything_else(tmp_path: Path) -> None:
    target = tmp_path / "clip.mp4"
    with disk_calls() as calls, publish(target) as temporary:
        temporary.write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    assert calls == [
        Call("fsync", temporary, digest),
        Call("replace", temporary, digest, target),
        Call("fsync", tmp_path),
    ]


def test_a_new_folder_is_on_the_disk_before_anything_lies_in_it(tmp_path: Path) -> None:
    with disk_calls() as calls:
        make_folder(tmp_path / "one" / "two")
        make_folder(tmp_path / "one" / "two")
    assert calls == [
        Call("mkdir", tmp_path / "one"),
        Call("fsync", tmp_path),
        Call("mkdir", tmp_path / "one" / "two"),
        Call("fsync", tmp_path / "one"),
    ]


def test_a_folder_is_not_made_where_a_file_is(tmp_path: Path) -> None:
    publish_bytes(tmp_path / "taken", b"x")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(FileExistsError, match="taken"):
            make_folder(folder)


def test_a_removed_file_stays_removed(tmp_path: Path) -> None:
    publish_bytes(tmp_path / "dataset.json", b"{}")
    with disk_calls() as calls:
        remove(tmp_path / "dataset.json")
        remove(tmp_path / "dataset.json")
        remove(tmp_path / "no" / "such" / "folder")
    assert calls == [Call("unlink", tmp_path / "dataset.json"), Call("fsync", tmp_path)]


def test_a_failure_to_write_is_told_even_where_the_temporary_cannot_be_removed(tmp_path: Path) -> None:
    def fail() -> None:
        with publish(tmp_path / "folder" / "a.mp4") as temporary:
            temporary.mkdir()  # it cannot be unlinked
            raise ValueError("what counts")

    with pytest.raises(ValueError, match="what counts"):
        fail()


@pytest.mark.parametrize("length", [1, 159, 160, 161, 254, 255])
def test_names_may_be_as_long_as_the_file_system_allows(tmp_path: Path, length: int) -> None:
    target = tmp_path / ("x" * (length - 4) + ".tar" if length > 4 else "x" * length)
    publish_bytes(target, b"content")
    assert names(tmp_path) == [target.name]


def test_names_that_end_alike_do_not_meet_in_one_temporary(tmp_path: Path) -> None:
    jobs = [tmp_path / f"{number}{'x' * 200}.tar" for number in range(8)]
    barrier = threading.Barrier(len(jobs))

    def work(target: Path) -> None:
        with publish(target) as temporary:
            temporary.write_bytes(target.name.encode())
            barrier.wait(timeout=20)

    threads = [threading.Thread(target=work, args=(target,)) for target in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(target.read_bytes() == target.name.encode() for target in jobs)
    assert names(tmp_path) == sorted(target.name for target in jobs)


def test_text_is_utf8_with_its_own_line_ends(tmp_path: Path) -> None:
    publish_text(tmp_path / "t", "Tür\r\nb\n")
    assert (tmp_path / "t").read_bytes() == b"T\xc3\xbcr\r\nb\n"


def test_a_temporary_goes_in_the_end_written_or_not(tmp_path: Path) -> None:
    with temporary_beside(tmp_path / "deep" / "a.mp4") as temporary:
        assert temporary.name.startswith(TEMPORARY)
    with temporary_beside(tmp_path / "deep" / "a.mp4") as temporary:
        temporary.write_bytes(b"x")
    assert names(tmp_path / "deep") == []


def test_sweeping_removes_what_a_killed_run_left_and_nothing_else(tmp_path: Path) -> None:
    program = (  # a run that dies between writing and renaming
        "import os, signal, sys; from pathlib import Path; from mocrop_manifests.files import publish\n"
        "with publish(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "a.parquet"], check=False)
    assert done.returncode == -signal.SIGKILL
    publish_bytes(tmp_path / "b.parquet", b"whole")
    (tmp_path / f"{TEMPORARY}folder").mkdir()
    assert len(names(tmp_path)) == 3
    assert sweep(tmp_path) == 1
    assert names(tmp_path) == [f"{TEMPORARY}folder", "b.parquet"]
    assert sweep(tmp_path) == 0
    assert sweep(tmp_path / "missing") == 0


@pytest.mark.parametrize("content", [b"", b"abc", bytes(3_000_000)])
def test_the_checksum_is_sha256(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    assert sha256(tmp_path / "f") == hashlib.sha256(content).hexdigest()


def test_a_folder_appears_with_all_its_files_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "new" / "export"
    with publish_folder(target) as temporary:
        (temporary / "a").write_bytes(b"1")
        assert not target.exists()
        (temporary / "b").write_bytes(b"2")
    assert names(target) == ["a", "b"]

    def fail() -> None:
        with publish_folder(tmp_path / "other") as temporary:
            (temporary / "a").write_bytes(b"1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert names(tmp_path) == ["new"]
    assert names(target.parent) == ["export"]


def test_a_folder_is_on_the_disk_before_it_has_its_name(tmp_path: Path) -> None:
    with disk_calls() as calls, publish_folder(tmp_path / "export") as temporary:
        (temporary / "a").write_bytes(b"1")
    digest = hashlib.sha256(b"1").hexdigest()
    assert [call.name for call in calls] == ["mkdir", "fsync", "fsync", "replace", "fsync"]
    assert calls[1].digest == digest


def test_a_folder_never_takes_the_place_of_files(tmp_path: Path) -> None:
    def fill() -> None:
        with publish_folder(tmp_path / "export") as temporary:
            (temporary / "a").write_bytes(b"new")

    (tmp_path / "export").mkdir()
    fill()  # an empty folder is no loss
    assert (tmp_path / "export/a").read_bytes() == b"new"
    with pytest.raises(FileExistsError, match="there is something already"):
        fill()

    def lose_a_race() -> None:
        with publish_folder(tmp_path / "late") as temporary:
            (temporary / "a").write_bytes(b"new")
            publish_bytes(tmp_path / "late/mine", b"mine")

    with pytest.raises(FileExistsError):
        lose_a_race()
    assert names(tmp_path) == ["export", "late"]
    assert names(tmp_path / "late") == ["mine"]


def test_what_a_killed_process_left_of_a_folder_goes(tmp_path: Path) -> None:
    dead, other = (tmp_path / f"{TEMPORARY}{2**22 + 1}-1-{name}" for name in ("export", "other"))
    for folder in (dead, other):
        publish_bytes(folder / "a", b"half")
    with publish_folder(tmp_path / "export") as temporary:
        (temporary / "a").write_bytes(b"whole")
    assert names(tmp_path) == sorted([other.name, "export"])

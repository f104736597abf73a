"""WORKDIR in a store: what is there is whole, whoever goes on with it, and nothing is sent or done twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.commands import DEFAULT, Outcome, journal, outputs, prep, start, tree
from tests.conftest import HOLDOUT
from tests.films import WEB, XVID, encode, moving_square
from tests.stores import Bucket

pytest.importorskip("fsspec", reason="fsspec is not installed: no URLs to test")

LOCK = "work/journal/lock"
CLIPS = 6
SLOWLY = ("--quiet", "--jobs", 1, "--preset", "veryslow")
ALONE = ("--quiet", "--backend", "sequential")


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    from mocrop_prep.remote import store

    monkeypatch.setattr(store, "_WAITS", (0.01,))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three short clips of three groups."""
    root = tmp_path_factory.mktemp("few") / "clips"
    for number in (1, 2, 3):
        encode(root / f"walk/v_walk_g0{number}_c01.mp4", moving_square(12, seed=number), WEB)
    return root


@pytest.fixture(scope="module")
def near(few: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WORKDIR of those clips, on disk."""
    workdir = tmp_path_factory.mktemp("near") / "work"
    done(prep("run", few, workdir, *HOLDOUT, *ALONE, "--keep"))
    return workdir


def far(bucket: Bucket, copy: Path, command: str, *arguments: object) -> Outcome:
    """Run a command on the WORKDIR in a bucket, from the machine whose working copy this is."""
    before = arguments[:1] if command in ("run", "transcode") else ()
    rest = arguments[len(before) :]
    return prep(command, *before, f"{bucket.url}/work", "--local", copy, *rest)


def done(outcome: Outcome) -> Outcome:
    assert outcome.status == 0, outcome
    return outcome


def run(bucket: Bucket, copy: Path, source: object, *options: object) -> Outcome:
    return far(bucket, copy, "run", source, *HOLDOUT, *ALONE, *options)


def stored(bucket: Bucket, folder: Path) -> dict[str, str]:
    """Return the outputs in the bucket, by way of an empty folder."""
    for name, content in bucket.contents("work"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return outputs(folder)


def real(folder: Path) -> dict[str, str]:
    """Return the digests of a working copy's files, but for those that are a size and nothing else."""
    return {name: digest for name, digest in tree(folder).items() if (folder / name).stat().st_blocks}


def test_what_is_in_the_store_is_what_a_run_on_disk_leaves(
    source: Path, kept: Path, bucket: Bucket, tmp_path: Path
) -> None:
    clips = bucket.put(source, "clips")
    done(run(bucket, tmp_path / "copy", clips, "--keep"))
    assert stored(bucket, tmp_path / "there") == outputs(kept)
    same = [name for name in tree(kept) if name.startswith(("transcoded/", "motion/", "clips.csv"))]
    assert {name: tree(tmp_path / "there")[name] for name in same} == {
        name: tree(kept)[name] for name in same
    }
    assert not {"journal/lock", "journal/inflight"} & set(tree(tmp_path / "there"))
    verdict = far(bucket, tmp_path / "another", "verify")
    assert (verdict.status, "BAD" in verdict.out) == (0, False), verdict


def test_the_index_of_a_set_is_sent_after_its_shards_and_the_journal_after_all(
    few: Path, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.server.requests.clear()
    done(run(bucket, tmp_path / "copy", few))
    sent = [path.removeprefix(f"/{bucket.name}/work/") for path in bucket.server.sent()]
    assert sent[0] == "journal/workdir.json"
    folder = f"shards/{DEFAULT}"
    index = sent.index(f"{folder}/dataset.json")
    assert {name for name in sent[index:] if name.startswith("shards/")} == {f"{folder}/dataset.json"}
    assert all(name.startswith("journal/") for name in sent[index + 1 :])
    assert f"journal/run-{DEFAULT}.jsonl" in sent[index + 1 :]


def test_a_second_run_sends_nothing_but_its_summary(few: Path, bucket: Bucket, tmp_path: Path) -> None:
    done(run(bucket, tmp_path / "copy", few, "--keep"))
    for copy in ("copy", "another machine"):
        bucket.server.requests.clear()
        done(run(bucket, tmp_path / copy, few, "--keep"))
        assert set(bucket.server.sent()) <= {f"/{bucket.name}/work/reports/summary.json"}


def test_another_machine_fetches_what_it_reads_and_does_what_is_missing(
    few: Path, near: Path, bucket: Bucket, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    done(far(bucket, first, "transcode", few, *HOLDOUT, *ALONE))
    assert "transcode   3 of 3 done, 0 failed" in far(bucket, second, "status").out
    assert not any(name.startswith("transcoded/") for name in real(second / "work"))
    done(far(bucket, second, "extract", *ALONE))
    done(far(bucket, second, "crop", *ALONE))
    assert "shards" not in far(bucket, first, "status").out
    done(far(bucket, first, "shard", *ALONE))
    assert stored(bucket, tmp_path / "there") == outputs(near)
    for copy in (first, second):
        assert far(bucket, copy, "verify", "--quiet").status == 0


def test_a_set_that_changes_has_no_index_in_the_store_meanwhile(
    few: Path, bucket: Bucket, tmp_path: Path
) -> None:
    done(run(bucket, tmp_path / "copy", few, "--shard-size", 1))
    before = {name for name in bucket.names("work") if name.endswith(".tar")}
    bucket.server.requests.clear()
    done(run(bucket, tmp_path / "copy", few, "--size", 64))
    asked = bucket.server.requests
    index = f"/{bucket.name}/work/shards/{DEFAULT}/dataset.json"
    steps = [(method, path) for method, path in asked if "/shards/" in path and method in ("PUT", "DELETE")]
    assert steps[0] == ("DELETE", index)
    last_put = max(number for number, (method, _) in enumerate(steps) if method == "PUT")
    assert steps[last_put] == ("PUT", index)
    after = {name for name in bucket.names("work") if name.endswith(".tar")}
    assert len(before) > len(after)
    assert {path for method, path in steps if method == "DELETE"} == {
        index,
        *(f"/{bucket.name}/work/{name}" for name in before - after),
    }
    assert far(bucket, tmp_path / "another", "verify", "--quiet").status == 0


def test_what_is_pruned_here_is_removed_there(few: Path, bucket: Bucket, tmp_path: Path) -> None:
    own_source = Path(shutil.copytree(few, tmp_path / "clips"))
    done(run(bucket, tmp_path / "copy", own_source, "--keep"))
    (own_source / "walk/v_walk_g03_c01.mp4").unlink()
    done(run(bucket, tmp_path / "another", own_source, "--keep", "--prune"))
    names = bucket.names("work")
    assert f"shards/{DEFAULT}/dataset.json" in names
    assert not [name for name in names if "v_walk_g03_c01" in name]
    assert done(far(bucket, tmp_path / "copy", "status"))
    assert not [name for name in tree(tmp_path / "copy/work") if "v_walk_g03_c01" in name]


def test_a_copy_that_was_deleted_takes_nothing_with_it(few: Path, bucket: Bucket, tmp_path: Path) -> None:
    done(run(bucket, tmp_path / "copy", few, "--keep"))
    names = bucket.names("work")
    shutil.rmtree(tmp_path / "copy/work")
    done(run(bucket, tmp_path / "copy", few, "--keep"))
    shutil.rmtree(tmp_path / "copy/work/transcoded")
    done(run(bucket, tmp_path / "copy", few, "--keep"))
    assert bucket.names("work") == names
    assert far(bucket, tmp_path / "another", "verify", "--quiet").status == 0


@pytest.mark.parametrize("notes", ["kept", pytest.param("lost", marks=pytest.mark.slow)])
def test_files_that_are_a_size_alone_are_never_sent_whatever_touches_them(
    few: Path, bucket: Bucket, tmp_path: Path, notes: str
) -> None:
    done(run(bucket, tmp_path / "copy", few, "--keep"))
    other = tmp_path / "another"
    assert far(bucket, other, "status").status == 0
    hollow = {path for path in (other / "work").rglob("*.mp4") if not path.stat().st_blocks}
    assert len(hollow) == 3
    for path in (other / "work").rglob("*"):
        path.touch()
    if notes == "lost":
        (other / "mirror.sqlite").write_bytes(b"")
    bucket.server.requests.clear()
    done(run(bucket, other, few, "--keep"))
    assert set(bucket.server.sent()) <= {f"/{bucket.name}/work/reports/summary.json"}
    assert far(bucket, other, "verify", "--quiet").status == 0
    assert not (other / "aside").exists()


@pytest.mark.slow
def test_a_workdir_that_was_deleted_in_the_store_is_sent_again(
    few: Path, bucket: Bucket, tmp_path: Path
) -> None:
    done(run(bucket, tmp_path / "copy", few))
    names = bucket.names("work")
    for name in names:
        bucket.remove(f"work/{name}")
    done(run(bucket, tmp_path / "copy", few))
    assert bucket.names("work") == names


def test_a_store_that_fails_in_the_middle_is_one_line_and_the_same_command_goes_on(
    few: Path, near: Path, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.server.stop_at = "/work/shards/"
    broken = run(bucket, tmp_path / "copy", few)
    bucket.server.start()
    assert (broken.status, len(broken.errors)) == (2, 1)
    assert f"what is done is kept in {tmp_path / 'copy/work'}: mend that, and the same" in broken.err
    assert f"shards/{DEFAULT}/dataset.json" not in bucket.names("work")
    done(run(bucket, tmp_path / "copy", few))
    assert len(journal(tmp_path / "copy/work", f"run-{DEFAULT}")) == 3  # nothing was done twice
    assert stored(bucket, tmp_path / "there") == outputs(near)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips that take a moment each."""
    root = tmp_path_factory.mktemp("many") / "clips"
    for number in range(CLIPS):
        film = moving_square(60, size=(320, 240), seed=number)
        encode(root / f"class{number % 2}/v_a_g{number:02d}_c01.avi", film, XVID if number % 2 else WEB)
    return root


def interrupt(bucket: Bucket, copy: Path, source: Path, number: int) -> int:
    """Start a run in a process of its own, and send a signal when the store has records of some clips."""
    process = start("run", source, f"{bucket.url}/work", "--local", copy, *SLOWLY, "--push-every", 1)
    deadline = time.monotonic() + 60
    records = f"journal/run-{DEFAULT}.jsonl"
    while records not in bucket.names("work") or not bucket.read(f"work/{records}"):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, number)
    process.communicate()
    return process.returncode


def test_a_run_that_is_killed_is_gone_on_with_by_another_machine_and_then_by_its_own(
    many: Path, bucket: Bucket, tmp_path: Path
) -> None:
    interrupt(bucket, tmp_path / "dead", many, signal.SIGKILL)
    refused = far(bucket, tmp_path / "alive", "run", many, *SLOWLY)
    assert (refused.status, len(refused.errors)) == (2, 1)
    assert f"delete {bucket.url}/{LOCK}" in refused.err
    bucket.remove(LOCK)
    done(far(bucket, tmp_path / "alive", "run", many, *SLOWLY))
    records = json.loads(bucket.read("work/reports/summary.json"))["stages"][0]
    assert records["clips"] == CLIPS
    assert 0 < records["reused"] < CLIPS
    done(prep("run", many, tmp_path / "near", *SLOWLY))
    assert stored(bucket, tmp_path / "there") == outputs(tmp_path / "near")
    done(far(bucket, tmp_path / "dead", "run", many, *SLOWLY))
    assert outputs(tmp_path / "dead/work") == outputs(tmp_path / "near")
    assert stored(bucket, tmp_path / "there too") == outputs(tmp_path / "near")


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_at_once_from_its_own_copy(
    many: Path, bucket: Bucket, tmp_path: Path
) -> None:
    interrupt(bucket, tmp_path / "copy", many, signal.SIGKILL)
    assert len(journal(tmp_path / "copy/work", f"run-{DEFAULT}")) < CLIPS
    done(far(bucket, tmp_path / "copy", "run", many, *SLOWLY))
    assert len(journal(tmp_path / "copy/work", f"run-{DEFAULT}")) == CLIPS
    assert not list((tmp_path / "copy").rglob(".tmp-*"))


@pytest.mark.slow
def test_a_run_that_is_stopped_sends_what_is_done_and_gives_the_workdir_free(
    many: Path, bucket: Bucket, tmp_path: Path
) -> None:
    assert interrupt(bucket, tmp_path / "copy", many, signal.SIGINT) == 130
    name = f"journal/run-{DEFAULT}.jsonl"
    assert bucket.read(f"work/{name}") == (tmp_path / "copy/work" / name).read_bytes()
    assert "journal/lock" not in bucket.names("work")
    done(far(bucket, tmp_path / "another", "run", many, *SLOWLY))


def lock(bucket: Bucket, age: timedelta) -> None:
    when = (datetime.now(UTC) - age).isoformat()
    bucket.write(LOCK, json.dumps({"owner": "x", "host": "far", "process": 7, "time": when}).encode())


def test_a_workdir_that_another_machine_works_on_is_refused_until_that_is_silent(
    few: Path, bucket: Bucket, tmp_path: Path
) -> None:
    done(run(bucket, tmp_path / "copy", few))
    assert "journal/lock" not in bucket.names("work")
    lock(bucket, timedelta(seconds=30))
    refused = run(bucket, tmp_path / "copy", few)
    assert (refused.status, len(refused.errors)) == (2, 1)
    assert "is in use by process 7 on far, last heard of 3" in refused.err
    assert bucket.names("work").count("journal/lock") == 1
    assert far(bucket, tmp_path / "copy", "status").status == 0
    lock(bucket, timedelta(minutes=11))
    done(run(bucket, tmp_path / "copy", few))
    assert "journal/lock" not in bucket.names("work")


def test_tables_that_were_changed_on_both_sides_are_taken_from_the_store_and_ours_is_put_aside(
    few: Path, bucket: Bucket, tmp_path: Path
) -> None:
    done(run(bucket, tmp_path / "copy", few))
    name = f"crops/{DEFAULT}.csv"
    ours, theirs = tmp_path / "copy/work" / name, bucket.read(f"work/{name}")
    ours.write_bytes(ours.read_bytes() + b"# ours\n")
    bucket.write(f"work/{name}", theirs + b"# theirs\n")
    assert f"note: {name} was changed here and in the store" in far(bucket, tmp_path / "copy", "status").err
    assert ours.read_bytes() == theirs + b"# theirs\n"
    assert (tmp_path / "copy/aside" / name).read_bytes() == theirs + b"# ours\n"


@pytest.mark.parametrize("name", ["crops/../../../stolen.csv", "crops//x.csv", f"motion/{'x' * 300}.parquet"])
def test_an_object_whose_name_is_no_path_inside_stops_the_command(
    few: Path, bucket: Bucket, tmp_path: Path, name: str
) -> None:
    done(run(bucket, tmp_path / "copy", few))
    bucket.write(f"work/{name}", b"ours now")
    before = tree(tmp_path)
    outcome = far(bucket, tmp_path / "copy", "status")
    assert (outcome.status, "delete it there" in outcome.err) == (2, True)
    assert {path: digest for path, digest in tree(tmp_path).items() if "mirror" not in path} == {
        path: digest for path, digest in before.items() if "mirror" not in path
    }


def test_what_is_not_the_pipelines_is_neither_fetched_nor_removed(
    few: Path, bucket: Bucket, tmp_path: Path
) -> None:
    done(run(bucket, tmp_path / "copy", few))
    bucket.write("work/notes/mine.txt", b"mine")
    (tmp_path / "copy/work/notes.txt").write_text("mine too")
    done(run(bucket, tmp_path / "copy", few, "--prune"))
    assert bucket.read("work/notes/mine.txt") == b"mine"
    assert "notes.txt" not in bucket.names("work")
    assert not (tmp_path / "copy/work/notes").exists()


def test_a_place_with_other_objects_is_no_workdir(few: Path, bucket: Bucket, tmp_path: Path) -> None:
    bucket.write("work/thesis.tex", b"years of work")
    outcome = run(bucket, tmp_path / "copy", few)
    assert (outcome.status, len(outcome.errors)) == (2, 1)
    assert "is not a WORKDIR: it holds thesis.tex" in outcome.err
    assert bucket.names("work") == ["thesis.tex"]


def test_commands_that_need_a_workdir_name_its_url_where_there_is_none(
    bucket: Bucket, tmp_path: Path
) -> None:
    outcome = far(bucket, tmp_path / "copy", "status")
    assert outcome.status == 2
    assert (
        f"{bucket.url}/work: no such WORKDIR; make it with `mocrop-prep transcode SOURCE {bucket.url}/work`"
        in (outcome.err)
    )


def test_a_dry_run_changes_nothing_in_the_store(few: Path, bucket: Bucket, tmp_path: Path) -> None:
    assert "3 to do" in far(bucket, tmp_path / "copy", "run", few, "--dry-run").out
    assert bucket.names("work") == []


def test_a_store_that_would_show_halves_is_no_place_for_a_workdir(few: Path, tmp_path: Path) -> None:
    outcome = prep("run", few, "sftp://host/work", "--local", tmp_path / "copy")
    assert (outcome.status, "are seen before they are whole" in outcome.err) == (2, True)


def test_a_workdir_inside_its_source_is_refused(few: Path, bucket: Bucket, tmp_path: Path) -> None:
    clips = bucket.put(few, "work/clips")
    outcome = prep("run", clips, f"{clips}/work", "--local", tmp_path / "copy")
    assert (outcome.status, "lies inside SOURCE" in outcome.err) == (2, True)


@pytest.mark.slow
def test_damaged_notes_are_named_and_without_them_nothing_is_lost(
    few: Path, bucket: Bucket, tmp_path: Path
) -> None:
    done(run(bucket, tmp_path / "copy", few))
    notes, names = tmp_path / "copy/mirror.sqlite", bucket.names("work")
    notes.write_bytes(b"no notes at all" * 300)
    damaged = far(bucket, tmp_path / "copy", "status")
    assert (damaged.status, f"{notes} is damaged" in damaged.err) == (2, True)
    notes.write_bytes(b"")
    bucket.server.requests.clear()
    done(run(bucket, tmp_path / "copy", few))
    assert bucket.names("work") == names
    assert set(bucket.server.sent()) <= {f"/{bucket.name}/work/reports/summary.json"}


def test_the_folder_of_another_copy_or_with_other_files_is_refused(
    few: Path, bucket: Bucket, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("years of work")
    assert "take an empty or new folder for --local" in run(bucket, tmp_path / "mine", few).err
    done(run(bucket, tmp_path / "copy", few))
    other = prep("status", f"{bucket.url}/other", "--local", tmp_path / "copy")
    assert f"is the copy of {bucket.url}/work, not of {bucket.url}/other" in other.err
    assert "--local is for a WORKDIR in a store" in prep("status", tmp_path, "--local", tmp_path).err


@pytest.mark.slow
def test_without_a_folder_the_copy_lies_in_the_users_cache(
    few: Path, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    outcome = prep("transcode", few, f"{bucket.url}/work", "--backend", "sequential")
    (work,) = (tmp_path / "cache/mocrop").glob("*/work")
    assert f"note: {bucket.url}/work: the working copy is {work}\n" in outcome.err
    done(prep("extract", f"{bucket.url}/work", *ALONE))


@pytest.mark.slow
def test_the_preview_of_a_workdir_in_a_store_is_there_too(few: Path, bucket: Bucket, tmp_path: Path) -> None:
    done(run(bucket, tmp_path / "copy", bucket.put(few, "clips")))
    done(far(bucket, tmp_path / "another", "preview", *ALONE))
    assert b"<html" in bucket.read("work/reports/preview.html")

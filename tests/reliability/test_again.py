"""What a command finds changed, names and does again: dry runs, checksums, stale files, failed clips."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from mocrop_manifests import read_crops

from tests.commands import DEFAULT, journal, ok, outputs, prep, tree
from tests.conftest import HOLDOUT, fresh
from tests.films import WEB, XVID, encode, moving_square, texture

RUN = f"run-{DEFAULT}"
CLIP = "walk/v_walk_g01_c01.avi"
CLIP_ID = "walk__v_walk_g01_c01"


def foreseen(*arguments: object) -> dict[str, list[str]]:
    """Return what a dry run says of each stage: the line of its numbers, then the reasons."""
    outcome = prep(*arguments, "--dry-run", "--jobs", 1)
    assert outcome.status == 0, outcome
    errors = [line for line in outcome.errors if not line.startswith("checksum: ")]
    assert errors == ["nothing was done (--dry-run)"]
    said: dict[str, list[str]] = {}
    for line in outcome.out.splitlines():
        stage, _, rest = line.partition(": ")
        if line.startswith(" "):
            said[list(said)[-1]].append(line.strip())
        else:
            said[stage] = [rest]
    return said


def staged(source: Path, workdir: Path) -> None:
    ok("transcode", source, workdir, *HOLDOUT)
    ok("extract", workdir)
    ok("crop", workdir)
    ok("shard", workdir)


def bump(path: Path) -> None:
    """Give a file another time and leave its content."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def swap_content(path: Path) -> None:
    """Give a file other content of the same size, and the time it had."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_dry_run_says_what_is_new_and_makes_no_folder(source: Path, tmp_path: Path) -> None:
    for command in ("run", "transcode"):
        said = foreseen(command, source, tmp_path / "work", *HOLDOUT)
        assert list(said.values()) == [["6 to do, 0 done before", "6 x new"]]
    assert not (tmp_path / "work").exists()


def test_a_dry_run_touches_nothing(source: Path, workdir: Path) -> None:
    staged(source, workdir)
    before = tree(workdir)
    for command in (
        ("run", source, workdir, *HOLDOUT, "--crf", 30),
        ("transcode", source, workdir, *HOLDOUT, "--crf", 30),
        ("extract", workdir),
        ("crop", workdir, "--area", ".5"),
        ("shard", workdir, "--quality", 40),
    ):
        foreseen(*command)
        assert tree(workdir) == before, command[0]


def test_one_changed_setting_does_its_stage_and_what_follows(source: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    staged(source, workdir)
    crop, shard = f"crop-{DEFAULT}", f"shard-{DEFAULT}"
    assert foreseen("transcode", source, workdir, *HOLDOUT) == {
        "transcode": ["0 to do, 6 done before"],
        "extract": ["0 to do, 6 done before"],
        crop: ["0 to do, 6 done before"],
        shard: ["0 to do, 6 done before"],
    }
    assert foreseen("transcode", source, workdir, *HOLDOUT, "--crf", 30) == {
        "transcode": ["6 to do, 0 done before", "6 x settings changed", "crf 20.0 -> 30.0"],
        "extract": ["6 to do, 0 done before", "6 x after transcode"],
        crop: ["6 to do, 0 done before", "6 x after extract"],
        shard: ["6 to do, 0 done before", f"6 x after {crop}"],
    }
    assert foreseen("crop", workdir, "--area", ".5") == {
        crop: ["6 to do, 0 done before", "6 x settings changed", "area unset -> 0.5"],
        shard: ["6 to do, 0 done before", f"6 x after {crop}"],
    }
    assert foreseen("shard", workdir, "--quality", 40) == {
        shard: ["6 to do, 0 done before", "6 x settings changed", "quality 95 -> 40"]
    }
    before = {stage: len(journal(workdir, stage)) for stage in ("transcode", "extract", crop, shard)}
    ok("crop", workdir, "--area", ".5")
    ok("shard", workdir)
    after = {stage: len(journal(workdir, stage)) for stage in before}
    assert after == {**before, crop: before[crop] + 6, shard: before[shard] + 6}


def test_what_a_dry_run_says_is_what_is_done(own_source: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    ok("run", own_source, workdir, *HOLDOUT)
    bump(own_source / CLIP)
    encode(own_source / "walk/v_walk_g09_c01.mp4", moving_square(20, seed=7), WEB)
    (own_source / "run/v_run_g02_c01.webm").unlink()
    said = foreseen("run", own_source, workdir, *HOLDOUT)
    assert said == {RUN: ["2 to do, 4 done before", "1 x source changed", "1 x new"]}
    before = len(journal(workdir, RUN))
    ok("run", own_source, workdir, *HOLDOUT)
    assert {record["clip_id"] for record in journal(workdir, RUN)[before:]} == {
        CLIP_ID,
        "walk__v_walk_g09_c01",
    }


def test_status_says_what_has_become_old(own_source: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    staged(own_source, workdir)
    assert "to do" not in prep("status", workdir).out
    bump(own_source / CLIP)
    out = prep("status", workdir).out
    assert "1 to do: source changed" in out
    assert "1 to do: after transcode" in out
    assert "1 to do: after extract" in out
    ok("transcode", own_source, workdir, *HOLDOUT)
    assert "to do" not in prep("status", workdir).out  # the same video gives the same bytes
    ok("transcode", own_source, workdir, *HOLDOUT, "--crf", 30)
    out = prep("status", workdir).out
    assert "6 to do: transcoded clip changed" in out
    assert f"6 to do: after crop-{DEFAULT}" in out


@pytest.mark.parametrize("command", ["run", "transcode"])
def test_a_video_with_another_time_is_done_again_unless_its_content_is_compared(
    own_source: Path, tmp_path: Path, command: str
) -> None:
    workdir = tmp_path / "work"
    stage = RUN if command == "run" else command
    ok(command, own_source, workdir, *HOLDOUT)
    bump(own_source / CLIP)
    before = len(journal(workdir, stage))
    assert foreseen(command, own_source, workdir, *HOLDOUT)[stage][0] == "1 to do, 5 done before"
    ok(command, own_source, workdir, *HOLDOUT, "--checksum")
    # its time is noted: from now on the video is known by that as well
    (added,) = journal(workdir, stage)[before:]
    assert added["data"]["source"]["mtime_ns"] == (own_source / CLIP).stat().st_mtime_ns
    assert foreseen(command, own_source, workdir, *HOLDOUT)[stage] == ["0 to do, 6 done before"]


@pytest.mark.parametrize("command", ["run", "transcode"])
def test_content_that_changed_in_place_is_found_by_its_checksum_alone(
    own_source: Path, tmp_path: Path, command: str
) -> None:
    workdir = tmp_path / "work"
    stage = RUN if command == "run" else command
    ok(command, own_source, workdir, *HOLDOUT)
    swap_content(own_source / CLIP)
    assert foreseen(command, own_source, workdir, *HOLDOUT)[stage] == ["0 to do, 6 done before"]
    said = foreseen(command, own_source, workdir, *HOLDOUT, "--checksum")[stage]
    assert said == ["1 to do, 5 done before", "1 x source changed"]
    assert prep(command, own_source, workdir, *HOLDOUT, "--checksum", "--jobs", 1).status in (0, 1)
    for options in ((), ("--checksum",)):
        said = foreseen(command, own_source, workdir, *HOLDOUT, *options)[stage]
        assert said[0].startswith("0 to do"), said


def test_the_checksum_of_a_clip_that_failed_is_known_too(own_source: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    broken = own_source / "walk/broken.mp4"
    broken.write_bytes(b"no video at all")
    assert prep("run", own_source, workdir, *HOLDOUT, "--jobs", 1).status == 1
    swap_content(broken)
    said = foreseen("run", own_source, workdir, *HOLDOUT, "--checksum")[RUN]
    assert said == ["1 to do, 6 done before", "1 x source changed"]


def test_files_of_clips_that_are_gone_are_named_and_pruned_only_if_asked(
    own_source: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "work"
    ok("run", own_source, workdir, *HOLDOUT, "--keep")
    (own_source / CLIP).unlink()
    stale = [f"motion/{CLIP_ID}.parquet", f"transcoded/{CLIP_ID}.mp4"]
    outcome = prep("run", own_source, workdir, *HOLDOUT, "--keep", "--jobs", 1)
    assert outcome.status == 0
    note = next(line for line in outcome.err.splitlines() if "no longer on the list" in line)
    assert "--prune removes them" in note
    status = prep("status", workdir).out
    for name in stale:
        assert name in note
        assert f"{name}: its clip is no longer on the list" in status
        assert (workdir / name).exists()
    (workdir / "transcoded/mine.mp4").write_bytes(b"somebody else's")
    ok("run", own_source, workdir, *HOLDOUT, "--keep", "--prune")
    assert not any((workdir / name).exists() for name in stale)
    assert (workdir / "transcoded/mine.mp4").exists()
    (workdir / "transcoded/mine.mp4").unlink()
    assert "stale" not in prep("status", workdir).out
    assert prep("verify", workdir).status == 0
    assert foreseen("run", own_source, workdir, *HOLDOUT)[RUN] == ["0 to do, 5 done before"]
    assert all(record["clip_id"] != CLIP_ID for record in journal(workdir, "transcode"))


@pytest.mark.parametrize("command", ["run", "transcode"])
def test_a_look_at_a_few_clips_prunes_no_other(source: Path, workdir: Path, command: str) -> None:
    before = tree(workdir)
    outcome = prep(command, source, workdir, *HOLDOUT, "--limit", 1, "--prune")
    assert outcome.status == 2
    assert "--limit" in outcome.err
    assert tree(workdir) == before


@pytest.mark.parametrize("command", ["extract", "crop", "shard"])
def test_every_stage_can_prune(own_source: Path, tmp_path: Path, command: str) -> None:
    workdir = tmp_path / "work"
    staged(own_source, workdir)
    (own_source / CLIP).unlink()
    ok("transcode", own_source, workdir, *HOLDOUT)
    assert (workdir / f"transcoded/{CLIP_ID}.mp4").exists()
    for stage in ("extract", "crop", "shard"):
        ok(stage, workdir, *(("--prune",) if stage == command else ()))
    assert not (workdir / f"transcoded/{CLIP_ID}.mp4").exists()
    assert not (workdir / f"motion/{CLIP_ID}.parquet").exists()
    assert outputs(workdir) == fresh(own_source, tmp_path)


@pytest.fixture
def failing(own_source: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A source with a broken clip, and the WORKDIR of a run over it."""
    (own_source / "walk/broken.mp4").write_bytes(b"no video at all")
    workdir = tmp_path / "work"
    assert prep("run", own_source, workdir, *HOLDOUT, "--jobs", 1).status == 1
    return own_source, workdir


def test_failed_clips_wait_until_they_are_asked_for(failing: tuple[Path, Path]) -> None:
    source, workdir = failing
    before = len(journal(workdir, RUN))
    outcome = prep("run", source, workdir, *HOLDOUT, "--jobs", 1)
    assert outcome.status == 1
    assert len(journal(workdir, RUN)) == before
    assert foreseen("run", source, workdir, *HOLDOUT)[RUN] == [
        "0 to do, 7 done before, 1 of them failed: --retry-failed tries again"
    ]
    again = ("run", source, workdir, *HOLDOUT, "--retry-failed")
    assert foreseen(*again)[RUN] == ["1 to do, 6 done before", "1 x failed before with not-video"]
    assert prep(*again, "--jobs", 1).status == 1
    (added,) = journal(workdir, RUN)[before:]
    assert added["clip_id"] == "walk__broken"


def test_every_failure_is_reported_with_stage_code_message_and_traceback(
    failing: tuple[Path, Path],
) -> None:
    _, workdir = failing
    with (workdir / "reports/failures.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["clip_id"], row["path"]) == ("walk__broken", "walk/broken.mp4")
    assert (row["stage"], row["code"]) == ("transcode", "not-video")
    assert "broken.mp4" in row["detail"]
    trace = (workdir / "reports/tracebacks.txt").read_text()
    assert trace.startswith("walk__broken\nTraceback")
    assert "ClipError" in trace


def test_fail_fast_stops_before_anything_is_published(own_source: Path, tmp_path: Path) -> None:
    (own_source / "walk/broken.mp4").write_bytes(b"no video at all" * 10**5)  # the largest comes first
    workdir = tmp_path / "work"
    command = ("run", own_source, workdir, *HOLDOUT, "--jobs", 1)
    outcome = prep(*command, "--fail-fast")
    assert outcome.status == 1
    (line,) = [line for line in outcome.errors if "--fail-fast" in line]
    assert "walk__broken: not-video" in line
    assert outputs(workdir) == {}
    assert "walk__broken" in (workdir / "reports/failures.csv").read_text()
    done = len(journal(workdir, RUN))
    assert prep(*command, "--fail-fast").status == 1  # it failed before: still a failure
    assert len(journal(workdir, RUN)) == done
    assert prep(*command).status == 1
    assert {row.status for row in read_crops(workdir / f"crops/{DEFAULT}.csv")} == {"ok", "failed"}


def test_a_clip_over_the_limits_is_a_row_and_the_rest_is_done(tmp_path: Path) -> None:
    source, workdir = tmp_path / "clips", tmp_path / "work"
    encode(source / "walk/short.avi", moving_square(12), XVID)
    encode(source / "walk/endless.avi", moving_square(400, size=(640, 480)), XVID)
    command = ("run", source, workdir, "--quiet", "--jobs", 2, "--preset", "veryslow")
    assert prep(*command, "--timeout", "1").status == 1
    rows = {row.path: row for row in read_crops(workdir / f"crops/{DEFAULT}.csv")}
    assert rows["walk/short.avi"].status == "ok"
    assert rows["walk/endless.avi"].reason == "timed-out"
    assert list(workdir.rglob(".tmp-*")) == []
    before = len(journal(workdir, RUN))
    assert prep(*command).status == 1
    assert len(journal(workdir, RUN)) == before
    assert prep(*command, "--retry-failed").status == 0


def test_a_clip_that_needs_too_much_memory_is_a_row(tmp_path: Path) -> None:
    source, workdir = tmp_path / "clips", tmp_path / "work"
    encode(source / "walk/small.avi", moving_square(12), XVID)
    encode(source / "walk/huge.avi", [texture(4096, 2160, seed) for seed in range(2)] * 5, XVID)
    command = ("run", source, workdir, "--quiet", "--jobs", 2, "--max-memory", "300MB")
    assert prep(*command).status == 1
    with (workdir / "reports/failures.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["path"], row["code"]) == ("walk/huge.avi", "out-of-memory")
    assert "300 MB" in row["detail"]
    assert list(workdir.rglob(".tmp-*")) == []


@pytest.mark.parametrize("options", [("--timeout", "5"), ("--max-memory", "1GB")], ids=" ".join)
def test_limits_without_worker_processes_are_refused(
    source: Path, tmp_path: Path, options: tuple[str, str]
) -> None:
    outcome = prep("run", source, tmp_path / "work", *options, "--backend", "threading")
    assert outcome.status == 2
    assert "--backend loky" in outcome.err
    assert not (tmp_path / "work").exists()


def test_a_manifest_that_was_edited_is_not_written_over(source: Path, workdir: Path) -> None:
    path = workdir / f"crops/{DEFAULT}.csv"
    edited = path.read_text().replace(",ok,", ",ok,", 1).replace(f",{DEFAULT},", ",by-hand,", 1)
    path.write_text(edited)
    for command in (("run", source, workdir, *HOLDOUT), ("crop", workdir)):
        outcome = prep(*command, "--jobs", 1)
        assert outcome.status == 2
        (line,) = outcome.errors
        assert "changed since it was written" in line
        assert "another --name" in line
        assert path.read_text() == edited
    ok("shard", workdir)  # takes it as it is
    assert prep("verify", workdir).status == 0
    ok("crop", workdir, "--name", "other")
    path.unlink()
    ok("run", source, workdir, *HOLDOUT)
    assert path.exists()


def test_a_manifest_of_somebody_else_is_not_written_over(source: Path, workdir: Path) -> None:
    path = workdir / "crops/mine.csv"
    path.write_bytes((workdir / f"crops/{DEFAULT}.csv").read_bytes())
    outcome = prep("crop", workdir, "--name", "mine", "--area", ".5", "--jobs", 1)
    assert outcome.status == 2
    assert str(path) in outcome.err


def test_columns_that_users_add_are_kept(own_source: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    ok("run", own_source, workdir, *HOLDOUT, "--keep")
    for path in (workdir / "clips.csv", workdir / f"crops/{DEFAULT}.csv"):
        with path.open(newline="") as stream:
            header, *rows = csv.reader(stream)
        with path.open("w", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow([*header, "note"])
            writer.writerows([*row, f"seen, {row[0]}"] for row in rows)
    encode(own_source / "walk/v_walk_g09_c01.mp4", moving_square(20, seed=7), WEB)
    ok("run", own_source, workdir, *HOLDOUT, "--keep")
    for path in (workdir / "clips.csv", workdir / f"crops/{DEFAULT}.csv"):
        with path.open(newline="") as stream:
            notes = {row["clip_id"]: row["note"] for row in csv.DictReader(stream)}
        assert notes.pop("walk__v_walk_g09_c01") == ""
        assert notes == {clip_id: f"seen, {clip_id}" for clip_id in notes}
        assert len(notes) == 6
    assert prep("verify", workdir).status == 0


def test_lost_checksums_do_not_make_our_own_tables_look_edited(source: Path, workdir: Path) -> None:
    (workdir / "journal/sums.json").unlink()
    ok("run", source, workdir, *HOLDOUT)
    assert (workdir / "journal/sums.json").exists()
    assert prep("verify", workdir).status == 0

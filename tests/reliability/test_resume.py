"""A second run does what is missing and nothing else, and ends where a first run would have."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from mocrop_manifests import read_crops
from mocrop_prep.journal import Journal, Record
from mocrop_prep.vectors import MOTION_FORMAT
from mocrop_prep.workflow import keys

from tests.commands import DEFAULT, journal, ok, outputs, prep, tree
from tests.conftest import FORMS, HOLDOUT, fresh
from tests.films import WEB, XVID, Film, encode, moving_square

RUN = f"run-{DEFAULT}"


def times(root: Path) -> dict[str, int | bytes]:
    """Return when every file was written, of journals their content; without the lock and the reports."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        if path.suffix == ".jsonl"
        else path.stat().st_mtime_ns
        for path in root.rglob("*")
        if path.is_file() and path.name != "lock" and path.parent.name != "reports"
    }


def edit(path: Path) -> None:
    encode(path, moving_square(26, seed=77), XVID)


@pytest.mark.parametrize("keep", [(), ("--keep",)], ids=["lean", "keep"])
def test_a_second_run_touches_no_file(source: Path, tmp_path: Path, keep: tuple[str, ...]) -> None:
    workdir = tmp_path / "work"
    ok("run", source, workdir, *HOLDOUT, *keep)
    before = times(workdir)
    outcome = prep("run", source, workdir, *HOLDOUT, *keep, "--jobs", 1)
    assert times(workdir) == before
    assert outcome.status == 0
    line = next(line for line in outcome.out.splitlines() if line.startswith(RUN))
    assert line.split()[1:5] == ["6", "0", "6", "0"]


def test_no_stage_repeats_what_it_did(source: Path, workdir: Path) -> None:
    ok("transcode", source, workdir, *HOLDOUT)
    ok("extract", workdir)
    ok("crop", workdir)
    ok("shard", workdir)
    before = times(workdir)
    for command in (
        ("transcode", source, workdir, *HOLDOUT),
        ("extract", workdir),
        ("crop", workdir),
        ("shard", workdir),
    ):
        ok(*command)
        assert times(workdir) == before, command[0]


def test_a_changed_source_is_done_again_alone(own_source: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    ok("run", own_source, workdir, *HOLDOUT)
    before = journal(workdir, RUN)
    edit(own_source / "walk/v_walk_g01_c01.avi")
    ok("run", own_source, workdir, *HOLDOUT)
    added = journal(workdir, RUN)[len(before) :]
    assert [record["clip_id"] for record in added] == ["walk__v_walk_g01_c01"]
    assert outputs(workdir) == fresh(own_source, tmp_path)


def test_the_stages_follow_a_changed_source(own_source: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    ok("run", own_source, workdir, *HOLDOUT, "--keep")
    edit(own_source / "walk/v_walk_g01_c01.avi")
    sizes = {}
    for stage, command in {
        "transcode": ("transcode", own_source, workdir, *HOLDOUT),
        "extract": ("extract", workdir),
        f"crop-{DEFAULT}": ("crop", workdir),
        f"shard-{DEFAULT}": ("shard", workdir),
    }.items():
        known = workdir / f"journal/{stage}.jsonl"
        before = len(journal(workdir, stage)) if known.exists() else 0
        ok(*command)
        sizes[stage] = len(journal(workdir, stage)) - before
    assert sizes["transcode"] == sizes["extract"] == 1
    assert outputs(workdir) == fresh(own_source, tmp_path)


@pytest.mark.parametrize("form", FORMS)
def test_an_added_clip_leaves_the_others_alone(own_source: Path, tmp_path: Path, form: str) -> None:
    workdir = tmp_path / "work"
    ok("run", own_source, workdir, *HOLDOUT, *FORMS[form])
    before = journal(workdir, RUN)
    encode(own_source / "walk/v_walk_g09_c01.mp4", moving_square(26, seed=78), WEB)
    ok("run", own_source, workdir, *HOLDOUT, *FORMS[form])
    added = journal(workdir, RUN)[len(before) :]
    assert [record["clip_id"] for record in added] == ["walk__v_walk_g09_c01"]
    assert outputs(workdir) == fresh(own_source, tmp_path, *FORMS[form])


def test_a_removed_clip_leaves_the_shards(own_source: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    ok("run", own_source, workdir, *HOLDOUT, "--shard-size", 2)
    before = journal(workdir, RUN)
    (own_source / "run/v_run_g02_c01.webm").unlink()
    ok("run", own_source, workdir, *HOLDOUT, "--shard-size", 2)
    assert journal(workdir, RUN) == before
    assert outputs(workdir) == fresh(own_source, tmp_path, "--shard-size", 2)


def test_a_new_class_in_front_renumbers_the_labels(own_source: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    ok("run", own_source, workdir, *HOLDOUT)
    encode(own_source / "jump/v_jump_g05_c01.mp4", moving_square(26, seed=79), WEB)
    ok("run", own_source, workdir, *HOLDOUT)
    assert outputs(workdir) == fresh(own_source, tmp_path)


def test_other_splits_move_clips_to_other_shards(source: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    ok("run", source, workdir, "--holdout-groups", "3")
    ok("run", source, workdir, *HOLDOUT)
    assert outputs(workdir) == fresh(source, tmp_path)


@pytest.mark.parametrize("place", ["walk", "zebra"])
def test_a_clip_that_fails_is_added_as_it_would_be_at_once(
    own_source: Path, tmp_path: Path, place: str
) -> None:
    workdir = tmp_path / "work"
    ok("run", own_source, workdir, *HOLDOUT)
    broken = own_source / place / "broken.mp4"
    broken.parent.mkdir(exist_ok=True)
    broken.write_bytes(b"no video")
    assert prep("run", own_source, workdir, *HOLDOUT, "--jobs", 1).status == 1
    assert prep("run", own_source, tmp_path / "fresh", *HOLDOUT, "--jobs", 1).status == 1
    assert outputs(workdir) == outputs(tmp_path / "fresh")
    assert prep("verify", workdir).status == 0


def test_a_broken_clip_is_not_tried_again_in_vain(own_source: Path, tmp_path: Path) -> None:
    (own_source / "walk/broken.mp4").write_bytes(b"no video")
    assert prep("run", own_source, tmp_path / "work", *HOLDOUT, "--jobs", 1).status == 1
    before = times(tmp_path / "work")
    assert prep("run", own_source, tmp_path / "work", *HOLDOUT, "--jobs", 1).status == 1
    assert times(tmp_path / "work") == before


def test_a_clip_that_is_mended_is_taken_in(own_source: Path, tmp_path: Path) -> None:
    broken = own_source / "walk/broken.mp4"
    broken.write_bytes(b"no video")
    assert prep("run", own_source, tmp_path / "work", *HOLDOUT, "--jobs", 1).status == 1
    encode(broken, moving_square(26, seed=80), WEB)
    ok("run", own_source, tmp_path / "work", *HOLDOUT)
    assert outputs(tmp_path / "work") == fresh(own_source, tmp_path)


@pytest.mark.parametrize("lost", ["train-000000.tar", "test-000000.tar", "dataset.json"])
def test_a_lost_file_of_a_set_is_made_again(source: Path, kept: Path, workdir: Path, lost: str) -> None:
    (workdir / f"shards/{DEFAULT}" / lost).unlink()
    ok("run", source, workdir, *HOLDOUT, "--keep")
    assert outputs(workdir) == outputs(kept)


def test_a_lost_card_is_made_again(source: Path, kept: Path, workdir: Path) -> None:
    (workdir / f"shards/{DEFAULT}/README.md").unlink()
    ok("run", source, workdir, *HOLDOUT, "--keep")
    assert outputs(workdir) == outputs(kept)


@pytest.mark.parametrize("lost", ["transcoded", "motion", "crops", "shards", "reports"])
def test_a_lost_folder_is_made_again(source: Path, kept: Path, workdir: Path, lost: str) -> None:
    shutil.rmtree(workdir / lost)
    ok("run", source, workdir, *HOLDOUT, "--keep")
    assert tree(workdir).keys() == tree(kept).keys()
    for folder in ("transcoded", "motion", "crops", "shards"):
        assert tree(workdir / folder) == tree(kept / folder)


def test_a_lost_journal_costs_time_and_nothing_else(source: Path, kept: Path, workdir: Path) -> None:
    for path in (workdir / "journal").glob("*.jsonl"):
        path.unlink()
    ok("run", source, workdir, *HOLDOUT, "--keep")
    assert outputs(workdir) == outputs(kept)
    assert prep("verify", workdir).status == 0


def test_a_journal_torn_in_its_last_line_is_read_up_to_there(source: Path, kept: Path, workdir: Path) -> None:
    path = workdir / f"journal/{RUN}.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])
    ok("run", source, workdir, *HOLDOUT, "--keep")
    assert len(journal(workdir, RUN)) == 6
    assert outputs(workdir) == outputs(kept)


def test_another_quality_makes_new_samples_and_decodes_no_more_than_it_must(workdir: Path) -> None:
    ok("shard", workdir)
    before = {stage: len(journal(workdir, stage)) for stage in ("transcode", "extract", f"shard-{DEFAULT}")}
    manifest = (workdir / f"crops/{DEFAULT}.csv").stat().st_mtime_ns
    ok("shard", workdir, "--quality", 40)
    after = {stage: len(journal(workdir, stage)) for stage in before}
    assert after == {**before, f"shard-{DEFAULT}": before[f"shard-{DEFAULT}"] + 6}
    assert (workdir / f"crops/{DEFAULT}.csv").stat().st_mtime_ns == manifest


def test_run_with_another_quality_keeps_the_transcoded_clips(source: Path, workdir: Path) -> None:
    stamps = times(workdir)
    ok("run", source, workdir, *HOLDOUT, "--quality", 40)
    after = times(workdir)
    same = [name for name in stamps if name.startswith(("transcoded/", "motion/", "crops/"))]
    assert len(same) == 13
    assert {name: after[name] for name in same} == {name: stamps[name] for name in same}
    assert after[f"shards/{DEFAULT}/train-000000.tar"] != stamps[f"shards/{DEFAULT}/train-000000.tar"]


@pytest.mark.parametrize(
    "options",
    [
        ("--area", "0.5"),
        ("--most-side", "0.6"),
        ("--shape", "frame"),
        ("--method", "center"),
        ("--gop", "6"),
        ("--frames", "key:1"),
        ("--seed", "9"),
    ],
    ids=" ".join,
)
def test_changed_settings_are_never_answered_from_old_results(
    source: Path, workdir: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    name = ("--name", DEFAULT)
    ok("run", source, workdir, *HOLDOUT, *options, *name)
    assert outputs(workdir) == fresh(source, tmp_path, *options, *name)
    assert prep("verify", workdir).status == 0


def age(source: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a WORKDIR back to what `run --keep` left before its vectors told what the pictures look like."""
    with monkeypatch.context() as older:
        older.setattr(keys, "MOTION_FORMAT", MOTION_FORMAT - 1)
        ok("run", source, workdir, *HOLDOUT, "--keep")
    journals = [workdir / f"journal/{stage}.jsonl" for stage in ("extract", RUN)]
    for path in (workdir / "motion").iterdir():
        before = identity(path)
        note = json.loads(pq.read_metadata(path).metadata[b"mocrop"])
        del note["appearance"]
        table = pq.read_table(path).replace_schema_metadata({b"mocrop": json.dumps(note).encode()})
        pq.write_table(table, path, compression="zstd")
        for known in journals:
            text = json.dumps([dataclasses.asdict(record) for record in Journal(known).read().values()])
            assert before in text
            known.unlink()
            with Journal(known) as journal_of_old:
                for values in json.loads(text.replace(before, identity(path))):
                    journal_of_old.append(Record(**values))


def identity(path: Path) -> str:
    content = path.read_bytes()
    return f'"bytes": {len(content)}, "sha256": "{hashlib.sha256(content).hexdigest()}"'


def test_vectors_of_an_older_format_can_still_be_cropped(
    source: Path, workdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(source, workdir, monkeypatch)
    for method in (DEFAULT, "mocrop-v1"):
        ok("crop", workdir, "--method", method, "--name", method)
        ok("shard", workdir, "--crops", method)
    assert {row.status for row in read_crops(workdir / f"crops/{DEFAULT}.csv")} == {"ok"}
    fresh(source, tmp_path, "--method", "mocrop-v1")
    manifest = "crops/mocrop-v1.csv"  # the paper's method looks at vectors alone
    assert (workdir / manifest).read_bytes() == (tmp_path / "fresh" / manifest).read_bytes()
    assert prep("verify", workdir).status == 0


def test_extract_makes_vectors_of_an_older_format_again(
    source: Path, kept: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(source, workdir, monkeypatch)
    before = len(journal(workdir, "extract"))
    for _ in range(2):
        ok("extract", workdir)
        assert len(journal(workdir, "extract")) == before + 6
        assert tree(workdir / "motion") == tree(kept / "motion")
    ok("crop", workdir)
    ok("shard", workdir)
    assert outputs(workdir) == outputs(kept)


def test_run_makes_vectors_of_an_older_format_again(
    source: Path, kept: Path, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(source, workdir, monkeypatch)
    ok("run", source, workdir, *HOLDOUT, "--keep")
    assert tree(workdir / "motion") == tree(kept / "motion")
    assert outputs(workdir) == outputs(kept)
    before = len(journal(workdir, "extract"))
    ok("extract", workdir)
    assert len(journal(workdir, "extract")) == before


def test_switching_the_form_and_back_leaves_no_shard_of_the_other(
    source: Path, kept: Path, workdir: Path
) -> None:
    for options in (("--format", "parquet"), ("--shard-size", "1"), ()):
        ok("run", source, workdir, *HOLDOUT, *options)
    assert outputs(workdir) == outputs(kept)


def test_settings_that_change_no_stream_still_go_on_record(tmp_path: Path) -> None:
    plain = Film(options={"x264-params": "keyint=12:scenecut=0:bframes=0:ref=1:weightp=1"})
    source = tmp_path / "clips"
    encode(source / "walk/a.mp4", moving_square(25), plain)
    encode(source / "run/b.mp4", moving_square(25, seed=1), plain)

    def stages(workdir: Path, crf: int) -> dict[str, str]:
        ok("transcode", source, workdir, "--crf", crf)
        ok("extract", workdir)
        ok("crop", workdir)
        ok("shard", workdir)
        return outputs(workdir)

    stages(tmp_path / "work", 20)
    assert stages(tmp_path / "work", 30) == stages(tmp_path / "fresh", 30)


def test_two_manifests_and_sets_live_side_by_side(source: Path, kept: Path, workdir: Path) -> None:
    ok("run", source, workdir, *HOLDOUT, "--method", "center", "--name", "other", "--size", 32)
    ok("run", source, workdir, *HOLDOUT, "--keep")
    found = outputs(workdir)
    assert {name: found[name] for name in outputs(kept)} == outputs(kept)
    assert {"crops/other.csv", "shards/other/dataset.json"} <= found.keys()
    assert prep("verify", workdir).status == 0


def test_no_temporary_is_left_behind(kept: Path, workdir: Path, source: Path) -> None:
    for folder in (workdir, workdir / f"shards/{DEFAULT}", workdir / "transcoded", workdir / "crops"):
        (folder / ".tmp-1-2-left.mp4").write_bytes(b"half a file")
    ok("run", source, workdir, *HOLDOUT, "--keep")
    assert list(workdir.rglob(".tmp-*")) == []
    assert tree(workdir).keys() == tree(kept).keys()

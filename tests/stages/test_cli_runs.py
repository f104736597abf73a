"""How the commands end: exit status, reports, settings from files, and one command at a time."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mocrop_prep.config import TABLES, CropSettings, ShardSettings, TranscodeSettings, flag

from tests.commands import COMMAND, DEFAULT, ok, outputs, prep, start, tree
from tests.conftest import HOLDOUT
from tests.films import XVID, encode, moving_square

STAGES = ("transcode", "extract", "crop", "shard")


def test_a_broken_clip_costs_status_one_and_a_row(source: Path, tmp_path: Path) -> None:
    clips = Path(shutil.copytree(source, tmp_path / "clips"))
    (clips / "walk/bad.mp4").write_bytes(b"no video at all")
    outcome = prep("run", clips, tmp_path / "work", "--jobs", 1)
    assert outcome.status == 1
    assert "1 of 7 clips failed" in outcome.err.splitlines()[-1]
    assert "1 failed with not-video" in outcome.out
    with (tmp_path / "work/reports/failures.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["clip_id"], row["path"], row["stage"], row["code"]) for row in rows] == [
        ("walk__bad", "walk/bad.mp4", "transcode", "not-video")
    ]
    assert "walk/bad.mp4" in rows[0]["detail"]
    summary = json.loads((tmp_path / "work/reports/summary.json").read_text())["stages"][0]
    assert (summary["clips"], summary["failed"], summary["status"]) == (
        7,
        {"not-video": 1},
        {"ok": 6, "failed": 1},
    )
    index = json.loads((tmp_path / f"work/shards/{DEFAULT}/dataset.json").read_text())
    assert sum(shard["rows"] for shard in index["shards"]) == 6


def test_a_broken_clip_passes_through_the_stages_as_the_same_failure(source: Path, tmp_path: Path) -> None:
    clips = Path(shutil.copytree(source, tmp_path / "clips"))
    (clips / "walk/bad.mp4").write_bytes(b"no video at all")
    assert prep("run", clips, tmp_path / "fused", "--jobs", 1).status == 1
    for command in (("transcode", clips), ("extract",), ("crop",), ("shard",)):
        outcome = prep(*command, tmp_path / "work", "--jobs", 1)
        assert outcome.status == 1, command
        assert "1 of 7 clips failed" in outcome.err
        failures = (tmp_path / "work/reports/failures.csv").read_text().splitlines()
        assert len(failures) == 2
        assert failures[1].startswith("walk__bad,walk/bad.mp4,")
        assert ",not-video," in failures[1]
    assert outputs(tmp_path / "work") == outputs(tmp_path / "fused")


def test_status_two_when_every_clip_fails(tmp_path: Path) -> None:
    for name in ("walk/a.mp4", "run/b.avi"):
        path = tmp_path / "clips" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"nothing")
    outcome = prep("run", tmp_path / "clips", tmp_path / "work", "--jobs", 1)
    assert outcome.status == 2
    assert "2 of 2 clips failed" in outcome.err.splitlines()[-1]
    assert len((tmp_path / "work/reports/failures.csv").read_text().splitlines()) == 3
    assert not (tmp_path / "work/shards").exists()
    assert len((tmp_path / f"work/crops/{DEFAULT}.csv").read_text().splitlines()) == 3
    assert prep("run", tmp_path / "clips", tmp_path / "work", "--jobs", 1).status == 2


@pytest.mark.parametrize("limit", [1, 2, 3, 99])
def test_limit_takes_so_many_clips_from_all_classes_in_turn(source: Path, tmp_path: Path, limit: int) -> None:
    ok("run", source, tmp_path / "work", "--limit", limit)
    rows = (tmp_path / f"work/crops/{DEFAULT}.csv").read_text().splitlines()[1:]
    assert len(rows) == min(limit, 6)
    if limit >= 2:
        assert {row.split("__")[0] for row in rows} == {"run", "walk"}


def test_limit_of_a_stage_leaves_the_rest_for_later(source: Path, kept: Path, tmp_path: Path) -> None:
    ok("transcode", source, tmp_path, *HOLDOUT)
    for command in STAGES[1:]:
        ok(command, tmp_path, "--limit", 2)
    assert len(list((tmp_path / "motion").iterdir())) == 2
    for command in STAGES[1:]:
        ok(command, tmp_path)
    assert outputs(tmp_path) == outputs(kept)


def test_quiet_prints_nothing_and_progress_goes_to_stderr(source: Path, tmp_path: Path) -> None:
    outcome = prep("run", source, tmp_path / "quiet", "--quiet", "--jobs", 1)
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")
    outcome = prep("run", source, tmp_path / "loud", "--jobs", 1)
    assert f"crops/{DEFAULT}.csv: 6 ok, 0 fallback, 0 failed" in outcome.out
    assert "6/6 clips" in outcome.err
    assert "6/6" not in outcome.out
    assert not re.search(r"[\r\x1b]", outcome.out + outcome.err)


def test_status_says_what_is_done(source: Path, workdir: Path) -> None:
    outcome = prep("status", workdir)
    assert (outcome.status, outcome.err) == (0, "")
    for part in (
        "clips       6 in 2 classes",
        "transcode   6 of 6 done, 0 failed",
        f"run-{DEFAULT} 6 of 6 done, 0 failed",
        f"crops       {DEFAULT}: 6 ok, 0 fallback, 0 failed",
        "train 4, test 2 clips in 2 shards",
    ):
        assert part in outcome.out, part
    before = tree(workdir)
    prep("status", workdir)
    assert tree(workdir) == before


def test_status_names_a_damaged_manifest_and_set(workdir: Path) -> None:
    (workdir / f"crops/{DEFAULT}.csv").write_text("nonsense\n")
    (workdir / f"shards/{DEFAULT}/dataset.json").unlink()
    outcome = prep("status", workdir)
    assert outcome.status == 0
    assert "damaged" in outcome.out
    assert "not finished" in outcome.out


def test_a_config_file_says_the_same_as_options_and_options_win(source: Path, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(
        'seed = 3\n[clips]\nholdout-groups = "1"\n[transcode]\ngop = 8\ncrf = 25\n'
        '[crop]\nmethod = "mocrop-v2"\narea = 0.6\n[shard]\nformat = "parquet"\nsize = 40\nframes = "all"\n'
        "[run]\njobs = 1\n"
    )
    options = "--seed 3 --holdout-groups 1 --gop 8 --crf 25 --method mocrop-v2 --format parquet --frames all"
    ok("run", source, tmp_path / "options", *options.split(), "--area", 0.6, "--size", 48)
    ok("run", source, tmp_path / "file", "--config", tmp_path / "settings.toml", "--size", 48)
    assert outputs(tmp_path / "file") == outputs(tmp_path / "options")
    config = json.loads((tmp_path / "file/shards/mocrop-v2/dataset.json").read_text())["config"]
    assert (config["shard"]["size"], config["transcode"]["gop"], config["crop"]["area"]) == (48, 8, 0.6)


def test_every_setting_can_stand_in_a_config_file(source: Path, tmp_path: Path) -> None:
    lines = []
    for table, kind in TABLES.items():
        lines.append(f"[{table}]")
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]
            if field.default is not None:
                value = list(field.default) if isinstance(field.default, tuple) else field.default
                lines.append(f"{flag(field)[2:]} = {json.dumps(value)}")
    (tmp_path / "all.toml").write_text("\n".join(lines))
    ok("run", source, tmp_path / "file", "--config", tmp_path / "all.toml", "--limit", 2)
    ok("run", source, tmp_path / "plain", "--limit", 2)
    assert outputs(tmp_path / "file") == outputs(tmp_path / "plain")


def test_lists_in_a_config_file_stand_in_brackets(source: Path, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("walk/v_walk_g01_c01.avi 2\nrun/v_run_g02_c01.webm 1\n")
    file = tmp_path / "lists.toml"
    file.write_text(f'[clips]\ntrain-list = ["{tmp_path / "train.txt"}"]\n')
    ok("run", source, tmp_path / "work", "--config", file)
    assert len((tmp_path / f"work/crops/{DEFAULT}.csv").read_text().splitlines()) == 3
    file.write_text('[clips]\ntrain-list = "train.txt"\n')
    outcome = prep("run", source, tmp_path / "other", "--config", file)
    assert outcome.status == 2
    assert "train-list" in outcome.errors[0]


def test_seeds_that_contradict_each_other_are_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "seeds.toml").write_text("[crop]\nseed = 1\n[shard]\nseed = 2\n")
    outcome = prep("run", source, tmp_path / "work", "--config", tmp_path / "seeds.toml")
    assert outcome.status == 2
    assert "seed" in outcome.errors[0]


def test_the_settings_are_saved_beside_the_outputs(kept: Path) -> None:
    kinds = {"transcode": TranscodeSettings, "crop": CropSettings, "shard": ShardSettings}
    for stage, names in {
        "transcode": ["transcode"],
        f"crop-{DEFAULT}": ["crop"],
        f"shard-{DEFAULT}": ["shard"],
        f"run-{DEFAULT}": ["transcode", "crop", "shard"],
    }.items():
        saved = json.loads((kept / f"journal/{stage}.settings.json").read_text())
        for name in names:
            assert kinds[name](**saved[name]) == kinds[name]()


def test_a_csv_is_a_source_too(source: Path, tmp_path: Path) -> None:
    rows = ["path,label,split,group"]
    rows += [f"{path.relative_to(source)},{path.parent.name},test,g" for path in source.glob("*/*g02*")]
    rows += ["walk/v_walk_g01_c01.avi,walk,train,h", "absent.mp4,walk,train,h"]
    clips = Path(shutil.copytree(source, tmp_path / "clips"))
    (clips / "list.csv").write_text("\n".join(rows) + "\n")
    outcome = prep("run", clips / "list.csv", tmp_path / "work", "--jobs", 1)
    assert outcome.status == 1
    failures = (tmp_path / "work/reports/failures.csv").read_text()
    assert "absent,absent.mp4,transcode,missing-file," in failures
    index = json.loads((tmp_path / f"work/shards/{DEFAULT}/dataset.json").read_text())
    assert {shard["split"]: shard["rows"] for shard in index["shards"]} == {"train": 1, "test": 2}


def test_on_corrupt_keep_takes_what_decodes(tmp_path: Path) -> None:
    path = encode(tmp_path / "clips/walk/a.avi", moving_square(40), XVID)
    encode(tmp_path / "clips/run/b.avi", moving_square(20), XVID)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    path.write_bytes(content)
    assert prep("run", tmp_path / "clips", tmp_path / "work", "--jobs", 1).status == 1
    assert ",corrupt," in (tmp_path / "work/reports/failures.csv").read_text()
    ok("run", tmp_path / "clips", tmp_path / "work", "--on-corrupt", "keep")
    assert prep("verify", tmp_path / "work").status == 0


def test_a_workdir_in_use_is_refused_by_name_of_the_process(source: Path, workdir: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom mocrop_prep.workdir import open_workdir\n"
        "with open_workdir(Path(sys.argv[1])).lock():\n"
        "    print('locked', flush=True)\n    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(workdir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        before = tree(workdir)
        for command in (
            ("run", source, workdir),
            ("transcode", source, workdir),
            ("extract", workdir),
            ("crop", workdir, "--area", "0.5"),
            ("shard", workdir, "--quality", "10"),
        ):
            outcome = prep(*command)
            assert outcome.status == 2, command
            assert len(outcome.errors) == 1
            assert f"in use by process {holder.pid}" in outcome.errors[0]
        assert tree(workdir) == before
        assert prep("status", workdir).status == 0
        holder.kill()
    ok("extract", workdir)


def test_debug_shows_the_traceback_of_an_error(tmp_path: Path) -> None:
    plain = prep("extract", tmp_path / "nowhere")
    debug = prep("extract", tmp_path / "nowhere", "--debug")
    assert "Traceback" not in plain.err
    assert "Traceback" in debug.err
    assert debug.err.splitlines()[-1] == plain.err.strip()


def test_a_pipe_that_closes_early_is_no_crash(workdir: Path) -> None:
    line = " ".join([*map(str, ('"$@"',)), "| true"])
    shell = ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}", "x", *COMMAND, "status", str(workdir)]
    done = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_the_installed_command_runs_in_a_process_of_its_own(source: Path, kept: Path, tmp_path: Path) -> None:
    process = start("run", source, tmp_path / "work", *HOLDOUT, "--jobs", 2, "--quiet")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
    assert outputs(tmp_path / "work") == outputs(kept)


def test_a_workdir_may_lie_beside_a_csv(source: Path, tmp_path: Path) -> None:
    video = next(path for path in sorted(source.rglob("*")) if path.is_file())
    (tmp_path / "clips.csv").write_text(f"path,label\n{video},a\n", encoding="utf-8")
    assert prep("run", tmp_path / "clips.csv", tmp_path / "work").status == 0

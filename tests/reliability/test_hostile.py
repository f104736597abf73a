"""Names are data: whatever a source calls its clips, no file leaves the WORKDIR and no table breaks."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from mocrop_manifests import read_clips, read_crops
from mocrop_prep.clips.paths import cell, unescape

from tests.commands import DEFAULT, ok, prep, tree
from tests.conftest import HOLDOUT
from tests.films import Film, encode, moving_square

LABELS = [
    "../../x",
    "/etc/passwd",
    "..",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)",
    'say "hi", twice',
    "line\nbreak",
    "<script>alert(1)</script>",
    "naïve 跳绳 🤸",
    "tab\there",
    "-rf",
    "{label} %s $HOME `id`",
    "decimals;=with commas",
    "+1",
    r"\x2b1",
    "\u202eesrever",
    "zero\u200bwidth",
    "two\u2028lines\x85on",
]
FORMULA = re.compile(r"\s*[=+\-@\t\r\uff0b\uff0d\uff1d\uff20]")
NAMES = [
    "a b'c\"d.mp4",
    "跳绳 🤸.mp4",
    "two..dots..mp4.mp4",
    "-rf *.mp4",
    "semi;colon&amp.mp4",
    "back\\slash.mp4",
    "line\nbreak.mp4",
    "x" * 240 + ".mp4",
    "CON.mp4",
    "%2e%2e%2f.mp4",
    "{0}.mp4",
    "A.mp4",
    "a.mp4",
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", moving_square(14), Film(codec="mpeg4"))


def outside(root: Path, workdir: Path) -> dict[str, str]:
    inside = workdir.relative_to(root).as_posix() + "/"
    return {name: digest for name, digest in tree(root).items() if not name.startswith(inside)}


@pytest.fixture(scope="module")
def labelled(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A WORKDIR of clips with the worst labels and groups that a table can hold; what lay around it."""
    root = tmp_path_factory.mktemp("labels") / "deep" / "er"
    (root / "in").mkdir(parents=True)
    shutil.copy(clip, root / "outside.mp4")
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["path", "label", "split", "group"])
    for number, label in enumerate(LABELS):
        shutil.copy(clip, root / f"in/{number}.mp4")
        writer.writerow([f"{number}.mp4", label, "train", f"../{label}"])
    writer.writerow(["../outside.mp4", "walk", "test", "=1+1"])
    (root / "in/clips.csv").write_text(table.getvalue())
    before = outside(root.parent.parent, root / "work")
    ok("run", root / "in/clips.csv", root / "work", "--size", 32)
    assert outside(root.parent.parent, root / "work") == before
    return root / "work", before


def test_labels_are_stored_and_never_paths(labelled: tuple[Path, dict[str, str]]) -> None:
    workdir, _ = labelled
    rows = read_crops(workdir / f"crops/{DEFAULT}.csv")
    assert len(rows) == len(LABELS) + 1
    escaped = {cell(label) for label in LABELS} | {"walk"}
    assert {unescape(name) for name in escaped} == {*LABELS, "walk"}
    assert {row.label_name for row in rows} == escaped
    index = json.loads((workdir / f"shards/{DEFAULT}/dataset.json").read_text())
    assert index["classes"] == sorted(escaped)
    for shard in index["shards"]:
        with tarfile.open(workdir / f"shards/{DEFAULT}" / shard["file"]) as archive:
            for name in archive.getnames():
                assert re.fullmatch(r"[A-Za-z0-9_-]+\.([0-9]{3}\.jpg|cls|json)", name)


def test_labels_come_back_from_parquet(labelled: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    workdir = Path(shutil.copytree(labelled[0], tmp_path / "work"))
    source = Path(json.loads((workdir / "journal/workdir.json").read_text())["source"])
    ok("run", source / "clips.csv", workdir, "--size", 32, "--format", "parquet", "--name", "set")
    table = pq.read_table(workdir / "shards/set/train-000000.parquet", columns=["label", "label_name"])
    index = json.loads((workdir / "shards/set/dataset.json").read_text())
    for row in table.to_pylist():
        assert index["classes"][row["label"]] == row["label_name"]
    assert prep("verify", workdir).status == 0


def test_tables_keep_one_line_a_clip(labelled: tuple[Path, dict[str, str]]) -> None:
    workdir, _ = labelled
    for table in ("clips.csv", f"crops/{DEFAULT}.csv"):
        text = (workdir / table).read_bytes().decode()
        assert text.count("\n") == len(LABELS) + 2
        assert "\r" not in text


def test_no_cell_of_a_table_is_a_formula(labelled: tuple[Path, dict[str, str]]) -> None:
    workdir, _ = labelled
    seen = 0
    for table in workdir.rglob("*.csv"):
        # a spreadsheet splits at commas, or at semicolons where decimals have commas
        with table.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                # an id may begin with a hyphen, and has no character that could call or run anything
                assert re.fullmatch(r"[A-Za-z0-9_-]+", row.pop("clip_id"))
                parts = [part for text in row.values() for part in text.split(";")]
                assert not [part for part in parts if FORMULA.match(part)]
                seen += len(parts)
    assert seen > 30 * len(LABELS)


def test_every_file_of_the_workdir_has_a_plain_name(labelled: tuple[Path, dict[str, str]]) -> None:
    workdir, _ = labelled
    for path in workdir.rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9._-]+", path.name), path
        assert not path.is_symlink()


def test_status_and_verify_print_one_line_a_thing(labelled: tuple[Path, dict[str, str]]) -> None:
    workdir, _ = labelled
    assert prep("verify", workdir).status == 0
    assert prep("status", workdir).status == 0


@pytest.mark.parametrize("storage", ["webdataset", "parquet"])
def test_odd_file_names_come_through_whole(clip: Path, tmp_path: Path, storage: str) -> None:
    source = tmp_path / "clips"
    for number, name in enumerate(NAMES):
        folder = source / ("walk" if number % 2 else "run & jump")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip, folder / name)
    raw = os.fsencode(source / "walk") + b"/caf\xe9 \xff.mp4"
    shutil.copy(os.fsencode(clip), raw)
    ok("run", source, tmp_path / "work", "--size", 32, "--format", storage)
    clips = read_clips(tmp_path / "work/clips.csv")
    assert len(clips) == len(NAMES) + 1
    assert len({row.clip_id.lower() for row in clips}) == len(clips)
    assert any("caf\\xe9 \\xff.mp4" in row.path for row in clips)
    rows = read_crops(tmp_path / f"work/crops/{DEFAULT}.csv")
    assert sum(row.status == "ok" for row in rows) == len(NAMES) + 1
    assert prep("verify", tmp_path / "work").status == 0
    assert {path.name for path in tmp_path.iterdir()} == {"clips", "work"}


BROKEN = {"a line break": b"bad\nname.mp4", "bytes that are no UTF-8": b"bad \xe9\xff.mp4"}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_broken_file_may_have_an_odd_name_too(clip: Path, tmp_path: Path, what: str, jobs: int) -> None:
    source = tmp_path / "clips"
    (source / "walk").mkdir(parents=True)
    shutil.copy(clip, source / "walk/good.mp4")
    (Path(os.fsdecode(os.fsencode(source / "walk") + b"/" + BROKEN[what]))).write_bytes(b"no video")
    for command in ("run", "transcode"):
        outcome = prep(command, source, tmp_path / command, "--jobs", jobs)
        assert outcome.status == 1, outcome
        assert "1 of 2 clips failed" in outcome.err
        with (tmp_path / command / "reports/failures.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert [(row["code"], row["stage"]) for row in rows] == [("not-video", "transcode")]
        assert prep("status", tmp_path / command).status == 0


def test_a_folder_that_begins_as_a_formula_makes_none_in_the_reports(clip: Path, tmp_path: Path) -> None:
    source = tmp_path / "clips"
    for name in ("=cmd|'.mp4", "@x;+1.mp4", "good.mp4"):
        (source / "-walk").mkdir(parents=True, exist_ok=True)
        (source / "-walk" / name).write_bytes(clip.read_bytes() if name == "good.mp4" else b"no video")
    assert prep("run", source, tmp_path / "work", "--jobs", 1).status == 1
    with (tmp_path / "work/reports/failures.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["path"] for row in rows) == [r"\x2dwalk/=cmd|'.mp4", r"\x2dwalk/@x;\x2b1.mp4"]
    parts = [part for row in rows for name in ("path", "detail") for part in row[name].split(";")]
    assert not [part for part in parts if FORMULA.match(part)]


def test_a_command_says_names_in_one_line(tmp_path: Path) -> None:
    outcome = prep("run", tmp_path / "no\nsuch\x1b[31mfolder", tmp_path / "work")
    assert outcome.status == 2
    assert len(outcome.errors) == 1
    assert "\x1b" not in outcome.err


def test_a_link_out_of_the_workdir_is_replaced_and_not_followed(source: Path, workdir: Path) -> None:
    victim, precious = workdir / "transcoded/walk__v_walk_g02_c01.mp4", workdir.parent / "precious.mp4"
    content = victim.read_bytes()
    precious.write_bytes(b"precious")
    victim.unlink()
    victim.symlink_to(precious)
    ok("transcode", source, workdir, *HOLDOUT)
    assert precious.read_bytes() == b"precious"
    assert victim.read_bytes() == content
    assert not victim.is_symlink()


def test_metadata_that_is_no_utf8_does_no_harm(clip: Path, tmp_path: Path) -> None:
    film = encode(tmp_path / "clips/walk/a.mkv", moving_square(14), Film(codec="mpeg4"))
    content = film.read_bytes()
    assert b"Lavf" in content
    film.write_bytes(content.replace(b"Lavf", b"\xff\xfe\xe9\x80"))
    ok("run", tmp_path / "clips", tmp_path / "work", "--size", 32)

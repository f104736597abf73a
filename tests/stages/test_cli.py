"""The command line explains itself, and refuses in one line what it cannot do."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
from mocrop_prep.cli import cli
from mocrop_prep.config import (
    ClipSettings,
    CropSettings,
    RunSettings,
    Settings,
    ShardSettings,
    TranscodeSettings,
    flag,
)

from tests.commands import DEFAULT, ok, prep, tree

COMMANDS: dict[str, tuple[type[Settings], ...]] = {
    "run": (ClipSettings, TranscodeSettings, CropSettings, ShardSettings, RunSettings),
    "transcode": (ClipSettings, TranscodeSettings, RunSettings),
    "extract": (RunSettings,),
    "crop": (CropSettings, RunSettings),
    "shard": (ShardSettings, RunSettings),
}


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_every_setting_with_its_help_and_default(command: str) -> None:
    outcome = prep(command, "--help")
    assert (outcome.status, outcome.err) == (0, "")
    shown = words(outcome.out)
    for kind in COMMANDS[command]:
        for field in dataclasses.fields(kind):  # type: ignore[arg-type]
            assert re.search(rf"{flag(field)}\b", shown), field.name
            assert words(field.metadata["help"]) in shown, field.name
            for choice in field.metadata["choices"]:
                assert choice in shown
            if field.default not in (None, "", (), False):
                assert f"default: {field.default}" in shown, field.name


def test_every_command_has_help_and_is_in_the_groups(kept: Path) -> None:
    shown = prep("--help").out
    assert {"run", "transcode", "extract", "crop", "shard", "status", "verify"} <= set(cli.commands)
    for name, command in cli.commands.items():
        assert re.search(rf"^  {name}\b", shown, re.MULTILINE), name
        assert command.help
        outcome = prep(name, "--help")
        assert (outcome.status, outcome.err) == (0, "")
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.name}"


def test_help_is_quick_and_loads_no_heavy_library() -> None:
    script = (
        "import sys\n"
        "from mocrop_prep.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'av', 'cv2', 'pyarrow', 'numpy', 'joblib', 'torch'} & set(sys.modules)\n"
        "print(*sorted(heavy), file=sys.stderr)\n"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert time.monotonic() - began < 1.5
    assert done.stderr.strip() == ""
    assert "Usage: mocrop-prep" in done.stdout


def test_version_is_that_of_the_package() -> None:
    from mocrop_manifests import __version__

    assert prep("--version").out.strip().endswith(__version__)


USAGE = {
    "no command": (),
    "unknown command": ("crap", "{source}", "{new}"),
    "unknown option": ("run", "{source}", "{new}", "--sped", "1"),
    "no WORKDIR": ("run", "{source}"),
    "SOURCE is not there": ("run", "{tmp}/nowhere", "{new}"),
    "SOURCE is empty": ("run", "{empty}", "{new}"),
    "SOURCE is some file": ("run", "{file}", "{new}"),
    "SOURCE is a CSV without rows": ("run", "{csv}", "{new}"),
    "unknown method": ("run", "{source}", "{new}", "--method", "mocrop-v9"),
    "area 0": ("run", "{source}", "{new}", "--area", "0"),
    "area 2": ("run", "{source}", "{new}", "--area", "2"),
    "area is no number": ("run", "{source}", "{new}", "--area", "nan"),
    "eps is no number": ("run", "{source}", "{new}", "--eps", "nan"),
    "crf is infinite": ("run", "{source}", "{new}", "--crf", "inf"),
    "share 0": ("run", "{source}", "{new}", "--share", "0"),
    "most side above the frame's": ("run", "{source}", "{new}", "--most-side", "1.01"),
    "least side above most side": ("crop", "{several}", "--least-side", "0.8", "--most-side", "0.7"),
    "no shape": ("run", "{source}", "{new}", "--shape", "round"),
    "shape with a side of nothing": ("run", "{source}", "{new}", "--shape", "0:1"),
    "shapes from wide to tall": ("crop", "{several}", "--shape", "4:3-3:4"),
    "config with sides that cross": ("run", "{source}", "{new}", "--config", "{odd_sides}"),
    "no grid": ("run", "{source}", "{new}", "--grid", "6by8"),
    "grid of nothing": ("run", "{source}", "{new}", "--grid", "0x8"),
    "grid too coarse for the area": ("run", "{source}", "{new}", "--method", "mocrop-v1", "--grid", "1x1"),
    "grid too large": ("run", "{source}", "{new}", "--grid", "9999x9999"),
    "bad frames": ("run", "{source}", "{new}", "--frames", "some"),
    "no frames": ("run", "{source}", "{new}", "--frames", "0"),
    "frames of no kind": ("run", "{source}", "{new}", "--frames", "odd:3"),
    "bad shard size": ("run", "{source}", "{new}", "--shard-size", "1TB"),
    "quality 0": ("run", "{source}", "{new}", "--quality", "0"),
    "negative jobs": ("run", "{source}", "{new}", "--jobs", "-1"),
    "limit 0": ("run", "{source}", "{new}", "--limit", "0"),
    "bad name": ("run", "{source}", "{new}", "--name", "../x"),
    "hidden name": ("run", "{source}", "{new}", "--name", ".x"),
    "no such group": ("run", "{source}", "{new}", "--holdout-groups", "77"),
    "no such list": ("run", "{source}", "{new}", "--train-list", "{tmp}/nolist.txt"),
    "no such config": ("run", "{source}", "{new}", "--config", "{tmp}/no.toml"),
    "config is no TOML": ("run", "{source}", "{new}", "--config", "{bad_toml}"),
    "config with an unknown key": ("run", "{source}", "{new}", "--config", "{odd_key}"),
    "config with an unknown table": ("run", "{source}", "{new}", "--config", "{odd_table}"),
    "config with a value out of range": ("run", "{source}", "{new}", "--config", "{odd_value}"),
    "config with a value of another type": ("run", "{source}", "{new}", "--config", "{odd_type}"),
    "config with a fraction for a count": ("run", "{source}", "{new}", "--config", "{odd_count}"),
    "config is a folder": ("run", "{source}", "{new}", "--config", "{tmp}"),
    "WORKDIR is a file": ("run", "{source}", "{file}"),
    "WORKDIR below a file": ("run", "{source}", "{file}/work"),
    "WORKDIR with foreign files": ("run", "{source}", "{foreign}"),
    "WORKDIR is SOURCE": ("run", "{source}", "{source}"),
    "WORKDIR inside SOURCE": ("run", "{source}", "{source}/work"),
    "WORKDIR inside SOURCE by a detour": ("run", "{source}", "{empty}/../clips/work"),
    "WORKDIR of another source": ("run", "{source}", "{other}"),
    "extract without a WORKDIR": ("extract", "{new}"),
    "extract in a foreign folder": ("extract", "{foreign}"),
    "crop before extract": ("crop", "{transcoded}"),
    "shard without crops": ("shard", "{transcoded}"),
    "shard with several crops": ("shard", "{several}"),
    "shard with crops that are not there": ("shard", "{several}", "--crops", "third"),
    "shard with crops elsewhere": ("shard", "{several}", "--crops", "../clips", "--name", "x"),
    "crop on a grid too coarse": ("crop", "{several}", "--method", "mocrop-v1", "--grid", "1x1"),
    "status of nothing": ("status", "{new}"),
    "verify of a foreign folder": ("verify", "{foreign}"),
}


@pytest.fixture(scope="module")
def places(source: Path, kept: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Good and bad places to point a command at."""
    tmp = tmp_path_factory.mktemp("places")
    found = {"tmp": tmp, "source": Path(shutil.copytree(source, tmp / "clips")), "new": tmp / "new"}
    for name in ("empty", "foreign"):
        found[name] = tmp / name
        found[name].mkdir()
    (found["foreign"] / "thesis.txt").write_text("years of work")
    for name, text in {
        "file": "a file",
        "bad_toml": "[crop\n",
        "odd_key": "[crop]\nspeed = 3\n",
        "odd_table": "[cropping]\narea = 0.5\n",
        "odd_value": "[crop]\narea = 1.5\n",
        "odd_type": '[crop]\narea = "much"\n',
        "odd_sides": "[crop]\nleast-side = 0.6\nmost-side = 0.5\n",
        "odd_count": "[transcode]\ngop = 12.7\n",
    }.items():
        found[name] = tmp / f"{name}.txt"
        found[name].write_text(text)
    found["csv"] = tmp / "clips.csv"
    found["csv"].write_text("path,label\n")
    elsewhere = Path(shutil.copytree(source / "walk", tmp / "elsewhere"))
    found["other"], found["transcoded"], found["several"] = (tmp / n for n in ("other", "half", "several"))
    ok("run", elsewhere, found["other"], "--limit", 1)
    ok("transcode", elsewhere, found["transcoded"], "--limit", 1)
    ok("transcode", elsewhere, found["several"], "--limit", 1)
    ok("extract", found["several"])
    ok("crop", found["several"])
    ok("crop", found["several"], "--method", "full")
    return found


@pytest.mark.parametrize("mistake", USAGE)
def test_a_mistake_costs_one_line_and_changes_nothing(places: dict[str, Path], mistake: str) -> None:
    shutil.rmtree(places["new"], ignore_errors=True)
    before = tree(places["tmp"])
    folders = sorted(path for path in places["tmp"].rglob("*") if path.is_dir())
    outcome = prep(*(part.format(**places) for part in USAGE[mistake]))
    assert outcome.status == 2, outcome
    assert outcome.out == ""
    assert len(outcome.errors) == 1, outcome.err
    assert outcome.errors[0].startswith("mocrop-prep: ")
    assert "internal error" not in outcome.err
    assert "Traceback" not in outcome.err
    assert tree(places["tmp"]) == before
    assert sorted(path for path in places["tmp"].rglob("*") if path.is_dir()) == folders


HINTS = {
    "SOURCE is not there": "nowhere",
    "SOURCE is empty": "one folder per class",
    "unknown method": "mocrop-v1",
    "area 2": "2",
    "area 0": "0",
    "grid too coarse for the area": "finer --grid",
    "least side above most side": "--least-side 0.8 is above --most-side 0.7",
    "no shape": "3:4-4:3",
    "shapes from wide to tall": "4:3-3:4",
    "config with sides that cross": "--least-side 0.6 is above --most-side 0.5",
    "bad frames": "uniform:N",
    "config with an unknown key": "speed",
    "config with a value out of range": "1.5",
    "config with a value of another type": "much",
    "config with a fraction for a count": "12.7",
    "WORKDIR with foreign files": "thesis.txt",
    "WORKDIR of another source": "elsewhere",
    "WORKDIR inside SOURCE": "inside SOURCE",
    "crop before extract": "mocrop-prep extract",
    "shard without crops": "mocrop-prep crop",
    "shard with several crops": f"{DEFAULT}, full",
    "shard with crops that are not there": f"{DEFAULT}, full",
    "extract without a WORKDIR": "mocrop-prep transcode",
}


@pytest.mark.parametrize("mistake", HINTS)
def test_the_line_says_what_was_found_or_what_to_do(places: dict[str, Path], mistake: str) -> None:
    shutil.rmtree(places["new"], ignore_errors=True)
    assert HINTS[mistake] in prep(*(part.format(**places) for part in USAGE[mistake])).err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_workdir_that_may_not_be_written_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    outcome = prep("run", source, tmp_path / "locked" / "work")
    assert outcome.status == 2
    assert "cannot be written" in outcome.errors[0]

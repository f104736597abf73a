"""Settings: one table of ranges for the command line, the file and the API, and one line for each mistake."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mocrop_prep.config import (
    TABLES,
    ClipSettings,
    CropSettings,
    RunSettings,
    Settings,
    ShardSettings,
    TranscodeSettings,
    check_name,
    flag,
    parse_frames,
    parse_grid,
    parse_shape,
    parse_shard_size,
    read_toml,
)
from mocrop_prep.errors import UsageError

from tests.commands import prep

KINDS: tuple[type[Settings], ...] = tuple(TABLES.values())
SEED = 2**63 - 1


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as raised:
        call()
    message = str(raised.value)
    assert message
    assert "\n" not in message
    return message


def toml(folder: Path, text: str) -> Path:
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("kind", "name", "accepted", "outside"),
    [
        (ClipSettings, "list_split", (1, 3), (0, 4)),
        (ClipSettings, "val_fraction", (0.0, 0.9), (-0.01, 0.91)),
        (ClipSettings, "seed", (0, SEED), (-1, SEED + 1)),
        (ClipSettings, "limit", (1, 10**12, None), (0, -1)),
        (TranscodeSettings, "gop", (1, 600), (0, 601)),
        (TranscodeSettings, "crf", (0.0, 51.0), (-0.1, 51.1)),
        (TranscodeSettings, "short_side", (16, 16384, None), (15, 16385)),
        (TranscodeSettings, "transcode", ("auto", "always", "never"), ("Auto", "", "sometimes")),
        (TranscodeSettings, "preset", ("ultrafast", "medium", "veryslow"), ("placebo", "fast ")),
        (TranscodeSettings, "direct", (True, False), (1, "yes")),
        (TranscodeSettings, "entropy", ("cabac", "cavlc"), ("huffman",)),
        (TranscodeSettings, "on_corrupt", ("fail", "keep"), ("drop",)),
        (CropSettings, "method", ("foreground", "mocrop-v1", "random", "full"), ("mocrop", "v1", "")),
        (CropSettings, "area", (1e-6, 1.0, None), (0.0, -0.1, 1.0001)),
        (CropSettings, "share", (1e-6, 1.0), (0.0, -0.1, 1.0001)),
        (CropSettings, "least_side", (1e-6, CropSettings().most_side), (0.0, -0.1, 1.0001)),
        (CropSettings, "most_side", (CropSettings().least_side, 1.0), (0.0, -0.1, 1.0001)),
        (CropSettings, "shape", ("square", "frame", "4:3", "3:4-4:3"), ("", "round", "4:3-3:4")),
        (CropSettings, "grid", ("", "6x8", "1x1"), ("6", "x", "6x8x9")),
        (CropSettings, "eps", (0.0, 1000.0), (-0.001, 1000.1)),
        (CropSettings, "samples", (1, 10**9), (0, 10**9 + 1)),
        (CropSettings, "seed", (0, SEED), (-1, SEED + 1)),
        (ShardSettings, "format", ("webdataset", "parquet"), ("tar", "")),
        (ShardSettings, "setting", ("attention", "efficiency"), ("fast",)),
        (ShardSettings, "size", (8, 4096, None), (7, 4097)),
        (ShardSettings, "aspect", ("squash", "keep"), ("pad",)),
        (ShardSettings, "quality", (1, 100), (0, 101)),
        (ShardSettings, "frames", ("8", "all", "key:1", "uniform:16"), ("0", "", "uniform:")),
        (ShardSettings, "sample", ("clip", "frame"), ("clips",)),
        (ShardSettings, "shard_size", ("1", "256MB"), ("0", "MB")),
        (ShardSettings, "seed", (0, SEED), (-1, SEED + 1)),
        (RunSettings, "jobs", (0, 4096), (-1, 4097)),
        (RunSettings, "backend", ("loky", "threading", "sequential", "dask", "ray", "spark"), ("celery",)),
        (RunSettings, "timeout", (1e-6, 1e9, None), (0.0, -1.0)),
        (RunSettings, "max_memory", ("", "1KB", "2GB"), ("2", "GB", "2 GB", "-1GB")),
        (RunSettings, "retry_failed", (True, False), (1, "yes")),
        (RunSettings, "fail_fast", (True, False), (0, "no")),
    ],
)
def test_the_ends_of_a_range_are_accepted_and_what_lies_beyond_is_refused(
    kind: type[Settings], name: str, accepted: tuple[Any, ...], outside: tuple[Any, ...]
) -> None:
    for value in accepted:
        kept = 224 if (name, value) == ("size", None) else value  # what --setting says
        assert getattr(kind(**{name: value}), name) == kept
    for value in outside:
        message = refused(lambda value=value: kind(**{name: value}))  # type: ignore[misc]
        assert message.startswith(f"--{name.replace('_', '-')} ")
        assert str(value) in message


def test_the_ranges_above_cover_every_setting() -> None:
    mark = next(
        mark
        for mark in test_the_ends_of_a_range_are_accepted_and_what_lies_beyond_is_refused.pytestmark
        if mark.name == "parametrize"
    )
    covered = {(kind, name) for kind, name, _, _ in mark.args[1]}
    lists = ("train_list", "val_list", "test_list", "holdout_groups")
    free_text = {*((ClipSettings, name) for name in lists), (RunSettings, "scheduler")}
    declared = {(kind, field.name) for kind in KINDS for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    assert covered | free_text == declared


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ClipSettings, "val_fraction"),
        (TranscodeSettings, "crf"),
        (CropSettings, "area"),
        (CropSettings, "share"),
        (CropSettings, "least_side"),
        (CropSettings, "most_side"),
        (CropSettings, "eps"),
    ],
)
def test_nan_is_in_no_range(kind: type[Settings], name: str) -> None:
    assert refused(lambda: kind(**{name: float("nan")})).startswith(f"--{name.replace('_', '-')} ")


def test_defaults_are_valid_and_explained() -> None:
    for kind in KINDS:
        settings = kind()
        for field in dataclasses.fields(settings):  # type: ignore[arg-type]
            assert field.metadata["help"].endswith("."), field.name
            assert flag(field) == "--" + field.name.replace("_", "-")


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        CropSettings().area = 2.0  # type: ignore[misc]


def test_the_papers_settings_are_sizes() -> None:
    assert ShardSettings().pixels == 224
    assert ShardSettings(setting="efficiency").pixels == 192
    assert ShardSettings(setting="efficiency", size=100).pixels == 100


def test_methods_of_fixed_area_cover_three_quarters_unless_told_otherwise() -> None:
    assert CropSettings().area is None
    assert CropSettings().covered == CropSettings(area=0.75).covered == 0.75
    assert CropSettings(area=0.4).covered == 0.4


@pytest.mark.parametrize(("least", "most"), [(0.8, 0.7), (1.0, 0.999), (0.5001, 0.5)])
def test_sides_that_leave_no_room_between_them_are_refused(least: float, most: float) -> None:
    message = refused(lambda: CropSettings(least_side=least, most_side=most))
    assert message == f"--least-side {least:g} is above --most-side {most:g}"
    assert CropSettings(least_side=most, most_side=least).least_side == most
    assert CropSettings(least_side=most, most_side=most).most_side == most


def test_one_side_is_held_against_the_default_of_the_other() -> None:
    below = CropSettings().least_side / 2
    assert "is above --most-side" in refused(lambda: CropSettings(most_side=below))
    assert CropSettings(least_side=below / 2, most_side=below).most_side == below


class TestDigest:
    def test_equal_settings_have_equal_digests(self) -> None:
        spelled_out = CropSettings(method="foreground", area=None, shape="square", grid="", samples=10_000)
        assert CropSettings().digest() == spelled_out.digest()
        assert CropSettings(eps=1) == CropSettings(eps=1.0)
        assert CropSettings(eps=1).digest() == CropSettings(eps=1.0).digest()

    @pytest.mark.parametrize("kind", [TranscodeSettings, CropSettings, ShardSettings])
    def test_every_setting_changes_the_digest(self, kind: type[Settings]) -> None:
        other: dict[str, Any] = {
            "transcode": "always",
            "gop": 13,
            "preset": "fast",
            "crf": 21.0,
            "short_side": 240,
            "entropy": "cavlc",
            "on_corrupt": "keep",
            "direct": True,
            "method": "random",
            "area": 0.7,
            "share": 0.7,
            "least_side": 0.4,
            "most_side": 0.9,
            "shape": "frame",
            "grid": "6x8",
            "eps": 1.1,
            "samples": 9999,
            "seed": 1,
            "format": "parquet",
            "setting": "efficiency",
            "size": 100,
            "aspect": "keep",
            "quality": 94,
            "frames": "all",
            "sample": "frame",
            "shard_size": "1000",
        }
        names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
        digests = {kind().digest(), *(kind(**{name: other[name]}).digest() for name in names)}
        assert len(digests) == 1 + len(names)

    def test_a_digest_is_the_same_in_every_process(self) -> None:
        program = "from mocrop_prep.config import *; print(CropSettings(grid='3x4').digest())"
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": "3"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == CropSettings(grid="3x4").digest()
        assert len(done.stdout.strip()) == 12


class TestParsing:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [("6x8", (6, 8)), ("1x1", (1, 1)), ("1024x1024", (1024, 1024)), ("9999x104", (9999, 104))],
    )
    def test_grids(self, text: str, expected: tuple[int, int]) -> None:
        assert parse_grid(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            *("", "6", "6x", "x8", "0x8", "6x0", "06x8", "6X8", "6 x 8", "-6x8", "6x8\n", "6.5x8", "٦x8"),
            *("10000x1", "1025x1024", "6x8x9", "9" * 5000 + "x1"),
        ],
    )
    def test_other_grids_are_refused(self, text: str) -> None:
        assert refused(lambda: parse_grid(text)).startswith("--grid ")

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("square", (1, 1)),
            ("frame", (320 / 240, 320 / 240)),
            ("4:3", (4 / 3, 4 / 3)),
            ("9:16", (9 / 16, 9 / 16)),
            ("3:4-4:3", (3 / 4, 4 / 3)),
            ("1:1-1:1", (1, 1)),
            ("1:9999-9999:1", (1 / 9999, 9999)),
        ],
    )
    def test_shapes(self, text: str, expected: tuple[float, float]) -> None:
        assert parse_shape(text, 320, 240) == expected

    @pytest.mark.parametrize(
        "text",
        [
            *("", "4", "4:", ":3", "4:3:2", "4/3", "4x3", "1.5:1", "0:1", "1:0", "-4:3", "04:3", "4:3\n"),
            *("3:4-", "-4:3", "-", "3:4-4:3-2:1", "4:3-3:4", "3:4 - 4:3", "square-4:3", "frame-frame"),
            *("Square", " square", "10000:1", "٤:3"),
        ],
    )
    def test_other_shapes_are_refused(self, text: str) -> None:
        message = refused(lambda: parse_shape(text, 320, 240))
        assert message.startswith(f"--shape {text!r}: expected ")
        assert refused(lambda: CropSettings(shape=text)) == message

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("8", ("key", 8)),
            ("key:3", ("key", 3)),
            ("uniform:16", ("uniform", 16)),
            ("all", ("key", None)),
            ("1000000", ("key", 1_000_000)),
        ],
    )
    def test_frames(self, text: str, expected: tuple[str, int | None]) -> None:
        assert parse_frames(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "0",
            "-1",
            "08",
            "8.0",
            "key",
            "key:",
            "key:0",
            "key:all",
            "Key:3",
            "uniform",
            " 8",
            "8\n",
            "any:3",
        ],
    )
    def test_other_frames_are_refused(self, text: str) -> None:
        assert refused(lambda: parse_frames(text)).startswith("--frames ")

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("1000", ("samples", 1000)),
            ("1", ("samples", 1)),
            ("256MB", ("bytes", 256_000_000)),
            ("5kb", ("bytes", 5000)),
            ("2Gb", ("bytes", 2_000_000_000)),
        ],
    )
    def test_shard_sizes(self, text: str, expected: tuple[str, int]) -> None:
        assert parse_shard_size(text) == expected

    @pytest.mark.parametrize(
        "text", ["", "0", "0MB", "-5", "1.5GB", "MB", "10 MB", "10TB", "10B", "1e3", "10MB\n"]
    )
    def test_other_shard_sizes_are_refused(self, text: str) -> None:
        assert refused(lambda: parse_shard_size(text)).startswith("--shard-size ")

    @given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True))
    def test_safe_names_are_taken_as_they_are(self, name: str) -> None:
        assert check_name(name) == name

    @pytest.mark.parametrize(
        "name", ["", ".", "..", ".hidden", "-x", "_x", "a/b", "../a", "a b", "ä", "a\n", "a\0", "x" * 101]
    )
    def test_names_that_are_no_safe_file_names_are_refused(self, name: str) -> None:
        assert refused(lambda: check_name(name)).startswith("--name ")


class TestToml:
    def test_values_arrive_under_the_names_of_their_settings(self, tmp_path: Path) -> None:
        text = """
            seed = 7
            [clips]
            train-list = ["a.txt", "b.txt"]
            val_fraction = 0.1
            [transcode]
            short-side = 240
            [crop]
            method = "mocrop-v2"
            area = 0.5
            [shard]
            shard-size = "1GB"
            [run]
            jobs = 2
        """
        assert read_toml(toml(tmp_path, text)) == {
            "seed": 7,
            "train_list": ("a.txt", "b.txt"),
            "val_fraction": 0.1,
            "short_side": 240,
            "method": "mocrop-v2",
            "area": 0.5,
            "shard_size": "1GB",
            "jobs": 2,
        }
        assert read_toml(toml(tmp_path, "")) == {}

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("[crops]\narea = 0.5", "unknown table [crops]"),
            ("area = 0.5", "unknown table [area]"),
            ("crop = 3", "unknown table [crop]"),
            ('[[crop]]\nmethod = "full"', "unknown table [crop]"),
            ("[crop]\nareas = 0.5", "unknown key areas in [crop]"),
            ("[shard]\nmethod = 'full'", "unknown key method in [shard]"),
            ("[crop", ""),
            ("[crop]\narea = ", ""),
            ("[crop]\narea = 1\narea = 2", ""),
        ],
    )
    def test_what_the_file_may_not_say_is_told_with_the_file(
        self, tmp_path: Path, text: str, found: str
    ) -> None:
        path = toml(tmp_path, text)
        message = refused(lambda: read_toml(path))
        assert message.startswith(f"--config {path}: {found}")

    def test_a_file_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        for path in (tmp_path / "none.toml", tmp_path):
            assert refused(lambda path=path: read_toml(path)).startswith(f"--config {path}: ")  # type: ignore[misc]
        (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
        assert "latin.toml" in refused(lambda: read_toml(tmp_path / "latin.toml"))

    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ('[crop]\nsamples = "many"', "--samples"),
            ("[crop]\nsamples = 12.5", "--samples"),
            ("[crop]\nsamples = true", "--samples"),
            ("[crop]\nsamples = [1]", "--samples"),
            ("[crop]\nsamples = {a = 1}", "--samples"),
            ("[crop]\nsamples = 1979-05-27", "--samples"),
            ("[crop]\nsamples = 0", "--samples"),
            ("[crop]\narea = nan", "--area"),
            ("[crop]\narea = inf", "--area"),
            ("[crop]\narea = 0", "--area"),
            ("[crop]\nleast-side = 0.8\nmost-side = 0.7", "--least-side"),
            ("[crop]\nleast-side = 'half'", "--least-side"),
            ("[crop]\nshape = '4:3-3:4'", "--shape"),
            ("[crop]\nshape = 1", "--shape"),
            ("[crop]\nshare = 0", "--share"),
            ("[crop]\nmethod = 3", "--method"),
            ("[crop]\nmethod = ['full']", "--method"),
            ("[crop]\ngrid = 6", "--grid"),
            ("seed = 'x'", "--seed"),
            ("[seed]\na = 1", "seed"),
            ("[run]\njobs = 1.5", "--jobs"),
        ],
    )
    def test_a_value_of_another_type_or_range_is_refused_in_one_line_that_names_it(
        self, tmp_path: Path, text: str, name: str
    ) -> None:
        outcome = prep("crop", tmp_path / "work", "--config", toml(tmp_path, text))
        assert outcome.status == 2
        (line,) = outcome.errors
        assert name in line
        assert "internal error" not in line

    def test_the_command_line_wins_over_the_file_and_the_file_over_the_default(self, tmp_path: Path) -> None:
        path = toml(tmp_path, '[shard]\nframes = "none"\n[crop]\ngrid = "big"\n')
        assert "--grid 'big'" in prep("crop", tmp_path / "work", "--config", path).err
        assert "no such folder" in prep("crop", tmp_path / "work", "--config", path, "--grid", "6x8").err
        assert "no such folder" in prep("crop", tmp_path / "work").err

    def test_tables_that_give_different_seeds_are_refused(self, tmp_path: Path) -> None:
        # --seed is one option: the seed of [shard] would silently be that of the crops
        path = toml(tmp_path, "[crop]\nseed = 1\n[shard]\nseed = 2\n")
        assert "seed" in refused(lambda: read_toml(path))

"""A disk that takes no more costs the clips that did not fit, and they are done once there is room."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from mocrop_manifests import read_crops

from tests.commands import COMMAND, DEFAULT, ok, outputs, prep, tree
from tests.films import Film, encode, moving_square, texture
from tests.reliability.disks import Disk, disk
from tests.reliability.kills import state
from tests.reliability.steps import Fate, Stepper, stepper

COMMANDS: dict[str, list[tuple[str, ...]]] = {
    "run": [("run", "SOURCE", "WORKDIR")],
    "run --keep": [("run", "SOURCE", "WORKDIR", "--keep", "--format", "parquet", "--sample", "frame")],
    "stages": [
        ("transcode", "SOURCE", "WORKDIR"),
        ("extract", "WORKDIR"),
        ("crop", "WORKDIR"),
        ("shard", "WORKDIR"),
    ],
}
ROOM = "size=16m,nr_inodes=10000"
LIMITS = [f"size={4 * pages}k" for pages in range(1, 40)] + [f"nr_inodes={files}" for files in range(2, 36)]
FINE = ("--crf", "1", "--size", "64", "--quiet", "--jobs", "1")


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small clips and a large one."""
    root = tmp_path_factory.mktemp("uneven") / "clips"
    small = Film(codec="mpeg4", options={"qmin": "2", "qmax": "3"})
    encode(root / "walk/a.avi", moving_square(14), small)
    encode(root / "run/b.avi", moving_square(14, seed=1), small)
    noise = [texture(480, 360, seed, contrast=90) for seed in range(24)]
    encode(root / "run/large.avi", noise, small)
    return root


def with_small_files(kibibytes: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run mocrop-prep where no file may grow beyond a size: the system answers as a full disk does."""
    shell = ["bash", "-c", 'ulimit -f "$0"; exec "$@"', str(kibibytes), *COMMAND]
    command = [*shell, *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_clip_that_does_not_fit_fails_alone_and_is_done_later(uneven: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "work"
    done = with_small_files(250, "run", uneven, workdir, *FINE)
    assert done.returncode == 1, done
    assert len(done.stderr.splitlines()) == 1
    with (workdir / "reports/failures.csv").open(newline="") as stream:
        failures = [(row["clip_id"], row["code"]) for row in csv.DictReader(stream)]
    assert failures == [("run__large", "disk")]
    assert list(workdir.rglob(".tmp-*")) == []
    assert prep("run", uneven, workdir, *FINE).status == 0


def test_shards_that_do_not_fit_leave_no_set_that_looks_whole(uneven: Path, tmp_path: Path) -> None:
    workdir, options = tmp_path / "work", (*FINE, "--limit", "2", "--size", "512", "--frames", "uniform:5")
    done = with_small_files(400, "run", uneven, workdir, *options)
    assert done.returncode == 2, done
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert not (workdir / f"shards/{DEFAULT}/dataset.json").exists()
    ok("run", uneven, workdir, *options)
    ok("run", uneven, tmp_path / "fresh", *options)
    assert outputs(workdir) == outputs(tmp_path / "fresh")
    assert prep("verify", workdir).status == 0


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Disk, Stepper]]:
    """A small disk, and what runs commands on it."""
    with (
        disk(tmp_path_factory.mktemp("small") / "disk", ROOM) as small,
        stepper(small.through) as forks,
    ):
        yield small, forks


@pytest.fixture
def small_disk(mounted: tuple[Disk, Stepper]) -> Iterator[tuple[Disk, Stepper]]:
    """A small disk that is empty."""
    yield mounted
    small, _ = mounted
    small.mount(ROOM)
    for path in small.seen.iterdir():
        shutil.rmtree(path)


def placed(commands: Sequence[Sequence[str]], source: Path, workdir: Path) -> list[tuple[object, ...]]:
    """Return commands with the paths in their places."""
    places: dict[str, object] = {"SOURCE": source, "WORKDIR": workdir}
    return [tuple(places.get(part, part) for part in command) for command in commands]


def settled(workdir: Path) -> dict[str, Any]:
    """Return what a WORKDIR holds, of journals the last record of each clip; without earlier checksums."""
    return {
        name: {record["clip_id"]: record for record in content} if isinstance(content, list) else content
        for name, content in state(workdir).items()
        if name != "journal/sums.json"
    }


def check_nothing_is_torn(workdir: Path, whole: dict[str, str]) -> None:
    """Fail unless every file that has its final name has its final content: clips, vectors, shards, notes."""
    for name, digest in tree(workdir).items():
        grows = name.endswith((".jsonl", "/lock", "/sums.json")) or name.startswith(("reports/", "crops/"))
        unfinished = ".tmp-" in name or name.startswith("journal/samples-")
        assert grows or unfinished or digest == whole[name], name
    for manifest in workdir.glob("crops/*.csv"):
        read_crops(manifest)


def check_words(fate: Fate) -> None:
    """Fail unless a command that found no room says so in a line, or says which clips found none."""
    lines = fate.err.splitlines()
    assert len(lines) == (fate.status != 0), fate
    assert fate.status == 0 or "No space left" in fate.err or "failures.csv" in fate.err, fate
    assert "internal" not in fate.err, fate


def fill_up(
    name: str, tiny: Path, mounted: tuple[Disk, Stepper], folder: Path, limits: Sequence[str]
) -> None:
    """Run commands on a disk that is too small in one way after the other, make room, and go on."""
    small, forks = mounted
    forks.ok(*placed(COMMANDS[name], tiny, folder / "whole"))
    whole, digests = settled(folder / "whole"), tree(folder / "whole")
    full = 0
    there = placed(COMMANDS[name], tiny, small.path / "work")
    for limit in limits:
        small.mount(limit)
        fate = forks.run(*there)
        check_words(fate)
        check_nothing_is_torn(small.seen / "work", digests)
        full += fate.status != 0
        small.mount(ROOM)
        forks.ok(*there)
        assert settled(small.seen / "work") == whole, limit
        shutil.rmtree(small.seen / "work")
    assert full > len(limits) / 2


def test_where_the_disk_fills_up_nothing_is_torn_and_room_is_all_it_takes(
    tiny: Path, small_disk: tuple[Disk, Stepper], tmp_path: Path
) -> None:
    fill_up("run --keep", tiny, small_disk, tmp_path, LIMITS[::8])


@pytest.mark.slow
@pytest.mark.parametrize("commands", COMMANDS)
def test_wherever_the_disk_fills_up_nothing_is_torn_and_room_is_all_it_takes(
    tiny: Path, small_disk: tuple[Disk, Stepper], tmp_path: Path, commands: str
) -> None:
    fill_up(commands, tiny, small_disk, tmp_path, LIMITS)


def test_a_disk_that_is_full_from_the_start_is_named(tiny: Path, small_disk: tuple[Disk, Stepper]) -> None:
    small, forks = small_disk
    (small.seen / "ballast").mkdir()
    (small.seen / "ballast/a").write_bytes(bytes(8192))
    small.mount("size=8k")
    for number, commands in enumerate(COMMANDS.values()):
        workdir = small.path / f"{number}"
        fate = forks.run(*placed(commands, tiny, workdir))
        assert fate.status == 2
        assert len(fate.err.splitlines()) == 1
        assert f"{workdir}" in fate.err
        assert "No space left" in fate.err
    small.mount(ROOM)
    for number, commands in enumerate(COMMANDS.values()):
        forks.ok(*placed(commands, tiny, small.path / f"{number}"))


def test_a_finished_workdir_on_a_full_disk_can_be_looked_at(
    tiny: Path, small_disk: tuple[Disk, Stepper]
) -> None:
    small, forks = small_disk
    workdir = small.path / "work"
    forks.ok(("run", tiny, workdir, "--keep"))
    before = state(small.seen / "work")
    used = sum(-(-path.stat().st_size // 4096) for path in small.seen.rglob("*") if path.is_file())
    small.mount(f"size={4 * used}k")
    with pytest.raises(OSError, match="No space left"):
        (small.seen / "more").write_bytes(bytes(8192))
    (small.seen / "more").unlink()
    for command in ("status", "verify"):
        assert prep(command, small.seen / "work").status == 0
    again = forks.run(("run", tiny, workdir, "--keep"))
    assert again.status in (0, 2)
    assert len(again.err.splitlines()) == (again.status == 2)
    assert state(small.seen / "work") == before
    small.mount(ROOM)
    forks.ok(("run", tiny, workdir, "--keep"))

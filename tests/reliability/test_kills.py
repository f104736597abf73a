"""A command may be killed at any moment: started again, it ends where it would have ended anyway."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.commands import DEFAULT, prep
from tests.conftest import FORMS
from tests.films import WEB, XVID, encode, moving_square
from tests.reliability.kills import assert_same, disturb, rehearse, state
from tests.reliability.steps import Stepper, stepper

MANY = ("--quiet", "--holdout-groups", "1", "--preset", "medium")
SMALL_SHARDS = ("--shard-size", "3")
STAGES = {
    "transcode": ("transcode", "SOURCE", "WORKDIR", *MANY),
    "extract": ("extract", "WORKDIR", "--quiet"),
    "crop": ("crop", "WORKDIR", "--quiet", "--method", "mocrop-v1", "--name", "v1"),
    "shard": ("shard", "WORKDIR", "--quiet", "--crops", "v1", *SMALL_SHARDS),
    "shard parquet": ("shard", "WORKDIR", "--quiet", "--crops", "v1", "--format", "parquet", *SMALL_SHARDS),
}


def filled(command: Sequence[str], source: Path, workdir: Path) -> tuple[object, ...]:
    """Return the arguments of a command with the paths in their places."""
    places: dict[str, object] = {"SOURCE": source, "WORKDIR": workdir}
    return tuple(places.get(argument, argument) for argument in command)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips that take a moment each, one that stands still, and one that is no video."""
    root = tmp_path_factory.mktemp("source") / "clips"
    for number in range(6):
        label = ("walk", "run")[number % 2]
        film = moving_square(40, size=(240, 180), seed=number)
        encode(root / label / f"v_{label}_g{number:02d}_c01.avi", film, XVID if number % 3 else WEB)
    encode(root / "walk/v_walk_g90_c01.mp4", moving_square(1) * 20, WEB)
    (root / "walk/v_walk_g91_c01.mp4").write_text("no video")
    return root


@pytest.fixture(scope="module")
def staged(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of a WORKDIR before each stage, named after it."""
    root = tmp_path_factory.mktemp("staged")
    workdir = root / "work"
    for stage, command in STAGES.items():
        if workdir.exists():
            shutil.copytree(workdir, root / stage)
        assert prep(*filled(command, source, workdir)).status == 1
    return root


def test_a_run_that_is_killed_six_times_ends_as_if_nothing_had_been(source: Path, tmp_path: Path) -> None:
    play = rehearse(
        lambda workdir: ("run", source, workdir, "--keep", *MANY, *SMALL_SHARDS), tmp_path / "whole", status=1
    )
    assert sum(name.startswith("shards/") for name in play.made) > 4
    disturb(play, tmp_path, 6, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_may_be_killed_at_any_moment(source: Path, staged: Path, tmp_path: Path, stage: str) -> None:
    before = staged / stage if (staged / stage).exists() else None
    play = rehearse(
        lambda workdir: filled(STAGES[stage], source, workdir), tmp_path / "whole", before, status=1
    )
    disturb(play, tmp_path, 8, seed=len(stage))


@pytest.mark.slow
@pytest.mark.parametrize("keep", [(), ("--keep",)], ids=["lean", "keep"])
@pytest.mark.parametrize("form", FORMS)
def test_a_run_may_be_killed_at_any_moment(
    source: Path, tmp_path: Path, form: str, keep: tuple[str, ...]
) -> None:
    play = rehearse(
        lambda workdir: ("run", source, workdir, *keep, *MANY, *SMALL_SHARDS, *FORMS[form]),
        tmp_path / "whole",
        status=1,
    )
    disturb(play, tmp_path, 6, seed=len(form) + len(keep))


@pytest.fixture(scope="module")
def forks() -> Iterator[Stepper]:
    with stepper() as forks:
        yield forks


def story(source: Path, workdir: Path) -> list[tuple[object, ...]]:
    """Return commands that make every kind of file, and then put another shard set in the place of one."""
    return [
        ("run", source, workdir, "--keep", "--holdout-groups", "1", "--size", 32),
        ("crop", workdir, "--name", "tight", "--area", "0.4"),
        ("shard", workdir, "--crops", "tight", "--name", DEFAULT, "--size", 48, "--shard-size", 1),
        ("shard", workdir, "--crops", "tight", "--name", DEFAULT, "--format", "parquet"),
    ]


def die_at_steps(tiny: Path, forks: Stepper, folder: Path, *, every: int) -> None:
    """Kill the story before every so many steps of it, go on from the command that died, and check."""
    count = forks.ok(*story(tiny, folder / "whole")).steps
    whole = state(folder / "whole")
    assert count > 200
    for step in range(1, count + 1, every):
        workdir = folder / f"{step}"
        commands = story(tiny, workdir)
        died_in = forks.run(*commands, die_at=step).died_in
        assert died_in is not None
        forks.ok(*commands[died_in:])
        assert_same(workdir, whole, f"killed before step {step} of {count}, in {commands[died_in][0]}")
        shutil.rmtree(workdir)


def test_a_kill_at_any_step_towards_the_disk_changes_nothing(
    tiny: Path, forks: Stepper, tmp_path: Path
) -> None:
    die_at_steps(tiny, forks, tmp_path, every=25)


@pytest.mark.slow
def test_a_kill_at_every_step_towards_the_disk_changes_nothing(
    tiny: Path, forks: Stepper, tmp_path: Path
) -> None:
    die_at_steps(tiny, forks, tmp_path, every=1)

"""mocrop-prep: reads arguments, calls, prints. The settings' defaults, ranges and help live in config.py."""

from __future__ import annotations

import dataclasses
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from mocrop_manifests import __version__

from mocrop_prep.config import (
    ClipSettings,
    CropSettings,
    RunSettings,
    Settings,
    ShardSettings,
    TranscodeSettings,
    check_name,
)
from mocrop_prep.errors import UsageError
from mocrop_prep.options import (
    common_options,
    limit_option,
    name_option,
    settings_options,
    source_argument,
    workdir_argument,
)

if TYPE_CHECKING:  # heavy modules load with the command that needs them: `--help` must be quick
    from mocrop_manifests import Clip

    from mocrop_prep.workdir import Workdir
    from mocrop_prep.workflow import Session, StageReport

T = TypeVar("T", bound=Settings)

OK, SOME_FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="mocrop-prep")
def cli() -> None:
    """Turn labelled videos into motion-cropped frame datasets.

    Compressed video already says what moves: MoCrop reads the motion vectors of H.264, finds one crop for
    each clip that keeps the action, and writes the cropped key frames into shards for training.

    \b
    In one go:     mocrop-prep run videos/ work/
    In stages:     mocrop-prep transcode videos/ work/
                   mocrop-prep extract work/
                   mocrop-prep crop work/ --method mocrop-v1
                   mocrop-prep shard work/
    Look at it:    mocrop-prep status work/ ; mocrop-prep preview work/
    Train:         mocrop-train --shards work/shards/mocrop-v1 --out runs/first

    videos/ holds one folder per class. Every command can be stopped at any time: the same command goes on
    where it was. Exit status: 0 all clips are ok, 1 some failed (the rest are done), 2 nothing could be done.
    """


@cli.command()
@source_argument
@workdir_argument
@settings_options(ClipSettings, TranscodeSettings, CropSettings, ShardSettings, RunSettings)
@name_option("the crop manifest and the shard set")
@click.option("--keep", is_flag=True, help="Keep the transcoded clips and the motion vectors in WORKDIR.")
@common_options
def run(source: Path, workdir: Path, name: str | None, keep: bool, **values: Any) -> int:
    """Do all four stages, fused: SOURCE to shards in WORKDIR, each clip decoded once.

    SOURCE is a folder with one folder per class, a CSV with the columns path,label[,split][,group], or a
    folder with official lists (--train-list, --test-list of UCF101, HMDB51 or Kinetics).

    \b
    Examples:
      mocrop-prep run UCF-101/ work/ --holdout-groups 1-7
      mocrop-prep run UCF-101/ work/ --train-list trainlist01.txt --test-list testlist01.txt
      mocrop-prep run clips.csv work/ --method mocrop-v2 --setting efficiency --name v2-192
    """
    from mocrop_prep import workflow

    crop = _checked(CropSettings, values)
    shard = _checked(ShardSettings, values)
    transcode = _checked(TranscodeSettings, values)
    name = check_name(name or crop.method)
    _check_grid(crop)
    home, clips = _prepare(source, workdir, values)
    with home.lock():
        workflow.save_clips(home, clips)
        session = _session(home, clips, values)
        report = workflow.run(session, transcode, crop, shard, name=name, keep=keep)
        return _finish(session, report)


@cli.command()
@source_argument
@workdir_argument
@settings_options(ClipSettings, TranscodeSettings, RunSettings)
@common_options
def transcode(source: Path, workdir: Path, **values: Any) -> int:
    """Stage 1: make plain H.264 of every clip of SOURCE, in WORKDIR/transcoded.

    The result is yuv420p with a fixed GOP, no B-frames, one reference, square pixels, upright, without
    sound. A source that is like that already is copied. SOURCE is as for `run`.
    """
    from mocrop_prep import workflow

    settings = _checked(TranscodeSettings, values)
    home, clips = _prepare(source, workdir, values)
    with home.lock():
        workflow.save_clips(home, clips)
        session = _session(home, clips, values)
        return _finish(session, workflow.transcode(session, settings))


@cli.command()
@workdir_argument
@settings_options(RunSettings)
@limit_option
@common_options
def extract(workdir: Path, **values: Any) -> int:
    """Stage 2: write every motion vector of every clip to WORKDIR/motion, as Parquet."""
    from mocrop_prep import workflow

    return _in_workdir(workdir, values, workflow.extract)


@cli.command()
@workdir_argument
@settings_options(CropSettings, RunSettings)
@name_option("the crop manifest")
@limit_option
@common_options
def crop(workdir: Path, name: str | None, **values: Any) -> int:
    """Stage 3: choose one crop per clip, in WORKDIR/crops/NAME.csv.

    \b
    Methods:
      mocrop-v1       the paper's first version: vector counts on a coarse grid, greatest sum
      mocrop-v2       its second version: the longest 1 % of the vectors, weighted by length
    Controls, to know what a method is worth:
      full            the whole frame
      center          the same area in the middle, of the frame's shape
      center-square   the same area in the middle, square
      random          one of mocrop-v1's candidate windows, drawn for each clip
    """
    from mocrop_prep import workflow

    settings = _checked(CropSettings, values)
    name = check_name(name or settings.method)
    _check_grid(settings)
    return _in_workdir(workdir, values, lambda session: workflow.crop(session, settings, name))


@cli.command()
@workdir_argument
@click.option("--crops", help="Crop manifest to use; needed only if there are several.")
@settings_options(ShardSettings, RunSettings)
@click.option("--name", help="Name of the shard set; default is the crop manifest's.")
@limit_option
@common_options
def shard(workdir: Path, crops: str | None, name: str | None, **values: Any) -> int:
    """Stage 4: write the cropped frames to WORKDIR/shards/NAME.

    \b
    Examples:
      mocrop-prep shard work/
      mocrop-prep shard work/ --crops mocrop-v1 --setting efficiency --name mocrop-v1-192
      mocrop-prep shard work/ --format parquet --frames uniform:16 --aspect keep --name wide
    """
    from mocrop_prep import workflow

    settings = _checked(ShardSettings, values)
    home = _open(workdir)
    crops = crops or _only_manifest(home)
    name = check_name(name or crops)
    return _in_workdir(
        workdir, values, lambda session: workflow.shard(session, settings, crops=crops, name=name)
    )


@cli.command()
@workdir_argument
@common_options
def status(workdir: Path, **_: Any) -> int:
    """Say what is done in WORKDIR, and what failed and why."""
    from mocrop_prep.status import status_lines

    for line in status_lines(_open(workdir)):
        click.echo(line)
    return OK


@cli.command()
@workdir_argument
@common_options
def verify(workdir: Path, quiet: bool, **_: Any) -> int:
    """Recount and checksum everything in WORKDIR; exit status 1 if anything is wrong."""
    from mocrop_prep.verify import verify as check

    problems = 0
    for what, problem in check(_open(workdir)):
        if problem:
            problems += 1
            click.echo(f"BAD  {problem if what in problem else f'{what}: {problem}'}")
        elif not quiet:
            click.echo(f"ok   {what}")
    if problems:
        click.echo(f"{problems} problems found", err=True)
    return SOME_FAILED if problems else OK


@cli.command()
@source_argument
@click.option(
    "--groups",
    type=click.IntRange(1, 99),
    default=24,
    show_default=True,
    help="Scenes, each with every action.",
)
@click.option(
    "--clips-per-group",
    type=click.IntRange(1, 99),
    default=1,
    show_default=True,
    help="Clips of an action in a scene.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, another set."
)
@click.option(
    "--jobs", type=click.IntRange(min=0), default=0, help="Worker processes; 0 takes one for each core."
)
@common_options
def demo(source: Path, groups: int, clips_per_group: int, seed: int, jobs: int, quiet: bool, **_: Any) -> int:
    """Make a small labelled set of drawn clips in SOURCE, with actor boxes in SOURCE/boxes.csv.

    Small actors away from the centre, before textured places, with still, panning and hand-held cameras and
    things that move and do not matter: a set on which it shows where one crops.
    """
    from mocrop_prep.demo import make_demo
    from mocrop_prep.runner import worker_count

    made = make_demo(
        source,
        seed=seed,
        groups=groups,
        clips_per_group=clips_per_group,
        jobs=worker_count(RunSettings(jobs=jobs)),
        quiet=quiet,
    )
    if not quiet:
        click.echo(f"{source}: {made} clips made" if made else f"{source}: the set is there already")
    return OK


@cli.command()
@workdir_argument
@click.option("--crops", multiple=True, help="Crop manifest to show; give several to see them side by side.")
@click.option("--worst", type=click.IntRange(min=0), default=0, help="Show the N clips that look worst.")
@click.option("--random", type=click.IntRange(min=0), default=0, help="Show N clips drawn from all classes.")
@click.option("--clip", "clip_ids", multiple=True, help="Show the clip with this id.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of --random.")
@click.option(
    "--boxes",
    type=click.Path(path_type=Path),
    help="CSV of actor boxes to draw: clip,actor,frame,x,y,w,h in pixels.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="The page; default WORKDIR/reports/preview.html."
)
@common_options
def preview(
    workdir: Path,
    crops: tuple[str, ...],
    worst: int,
    random: int,
    clip_ids: tuple[str, ...],
    seed: int,
    boxes: Path | None,
    out: Path | None,
    quiet: bool,
    **_: Any,
) -> int:
    """Make one HTML page that shows the crops: frame, density map, crop and numbers of some clips.

    Without --worst, --random or --clip it shows the six that look worst, those with the least of the motion
    in the area of their crop, and six at random. The page needs no network.
    """
    from mocrop_prep.preview import write_preview

    home = _open(workdir)
    target = out or home.reports / "preview.html"
    report = write_preview(
        home,
        names=crops,
        worst=worst,
        random=random,
        clip_ids=clip_ids,
        seed=seed,
        target=target,
        boxes=boxes,
        quiet=quiet,
    )
    for note in report.notes:
        click.echo(f"note: {note}", err=True)
    if not quiet:
        click.echo(f"{target}: {report.clips} clips")
    return OK


def _prepare(source: Path, workdir: Path, values: dict[str, Any]) -> tuple[Workdir, list[Clip]]:
    """Find the clips first, then make the WORKDIR: a bad SOURCE leaves nothing behind."""
    from mocrop_prep.clips import find_clips
    from mocrop_prep.workdir import make_workdir

    wanted = _checked(ClipSettings, values)
    found = find_clips(
        source,
        train_lists=[Path(path) for path in wanted.train_list],
        val_lists=[Path(path) for path in wanted.val_list],
        test_lists=[Path(path) for path in wanted.test_list],
        list_split=wanted.list_split,
        holdout_groups=wanted.holdout_groups,
        val_fraction=wanted.val_fraction,
        seed=wanted.seed,
        limit=wanted.limit,
    )
    home = make_workdir(workdir, found.root, searched=source.is_dir())
    if not values["quiet"]:
        for note in found.notes:
            click.echo(f"note: {note}", err=True)
    return home, found.clips


def _open(workdir: Path) -> Workdir:
    from mocrop_prep.workdir import open_workdir

    return open_workdir(workdir)


def _session(home: Workdir, clips: list[Clip], values: dict[str, Any]) -> Session:
    from mocrop_prep.workflow import Session

    return Session(home, clips, _checked(RunSettings, values), values["quiet"])


def _in_workdir(workdir: Path, values: dict[str, Any], stage: Callable[[Session], StageReport]) -> int:
    from mocrop_prep.clips import spread

    home = _open(workdir)
    with home.lock():
        clips = home.read_clips()
        limit = values["limit"]
        session = _session(home, spread(clips, limit) if limit else clips, values)
        return _finish(session, stage(session))


def _finish(session: Session, report: StageReport) -> int:
    from mocrop_prep.reports import summary_table, write_reports

    write_reports(session.workdir, session.clips, [report])
    if not session.quiet:
        for line in summary_table([report]):
            click.echo(line)
    if report.failed:
        click.echo(
            f"{len(report.failed)} of {len(session.clips)} clips failed: "
            f"see {session.workdir.reports / 'failures.csv'}",
            err=True,
        )
        return BAD_USAGE if len(report.failed) == len(report.records) else SOME_FAILED
    return OK


def _check_grid(settings: CropSettings) -> None:
    """Refuse an area that no window of the grid has, before anything is done."""
    from mocrop_prep.methods import grid_of

    grid_of(settings)


def _only_manifest(home: Workdir) -> str:
    names = home.manifest_names()
    if len(names) == 1:
        return names[0]
    if not names:
        raise UsageError(f"{home.root} has no crop manifest: run `mocrop-prep crop {home.root}` first")
    raise UsageError(f"{home.root} has several crop manifests: choose one with --crops ({', '.join(names)})")


def _checked(kind: type[T], values: dict[str, Any]) -> T:
    names = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: values[name] for name in names})


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line; every error is one line on stderr and an exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = cli.main(arguments, prog_name="mocrop-prep", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        click.echo(
            "mocrop-prep: stopped; what is done is kept, the same command goes on from there", err=True
        )
        status = INTERRUPTED
    except Exception as error:  # noqa: BLE001  the last resort: a line for people instead of a traceback
        if "--debug" in arguments:
            traceback.print_exc()
        click.echo(f"mocrop-prep: {_one_line(error)}", err=True)
        status = BAD_USAGE
    sys.exit(status if isinstance(status, int) else OK)


def _one_line(error: Exception) -> str:
    if isinstance(error, click.ClickException):
        return " ".join(error.format_message().split())
    if isinstance(error, UsageError):
        return str(error)
    return f"internal error: {type(error).__name__}: {error} (--debug shows where)"

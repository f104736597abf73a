"""The commands that work on clips: the four stages, and all of them fused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from mocrop_prep.cli.group import BAD_USAGE, OK, SOME_FAILED, checked, cli, on_disk, opened
from mocrop_prep.cli.places import made_place, only_manifest, part_notes, place_of
from mocrop_prep.config import (
    ClipSettings,
    CropSettings,
    RunSettings,
    ShardSettings,
    TranscodeSettings,
    check_name,
)
from mocrop_prep.errors import FirstFailure, UsageError
from mocrop_prep.options import (
    checksum_option,
    common_options,
    limit_option,
    name_option,
    part_options,
    settings_options,
    source_argument,
    work_options,
    workdir_argument,
)
from mocrop_prep.parts import note_part

if TYPE_CHECKING:  # heavy modules load with the command that needs them: `--help` must be quick
    from collections.abc import Mapping

    from mocrop_manifests import Clip

    from mocrop_prep.remote import Location, State
    from mocrop_prep.workdir import Workdir
    from mocrop_prep.workflow import Session, StageReport
    from mocrop_prep.workflow.stage import Stage


@cli.command()
@source_argument
@workdir_argument
@settings_options(ClipSettings, TranscodeSettings, CropSettings, ShardSettings, RunSettings)
@name_option("the crop manifest and the shard set")
@click.option("--keep", is_flag=True, help="Keep the transcoded clips and the motion vectors in WORKDIR.")
@checksum_option
@part_options
@work_options
@common_options
def run(source: Location, workdir: Location, name: str | None, keep: bool, **values: Any) -> int:
    """Do all four stages, fused: SOURCE to shards in WORKDIR, each clip decoded once.

    SOURCE is a folder with one folder per class, a CSV with the columns path,label[,split][,group], or a
    folder with official lists (--train-list, --test-list of UCF101, HMDB51 or Kinetics). SOURCE and WORKDIR
    may be URLs of a store: videos are streamed one by one, and a working copy on disk (--local) is kept up
    to date there.

    \b
    Examples:
      mocrop-prep run UCF-101/ work/ --holdout-groups 1-7
      mocrop-prep run UCF-101/ work/ --train-list trainlist01.txt --test-list testlist01.txt
      mocrop-prep run UCF-101/ work/ --direct --name quick
      mocrop-prep run clips.csv work/ --method mocrop-v2 --setting efficiency --name v2-192
      mocrop-prep run s3://bucket/videos s3://bucket/work --jobs 16
    """
    from mocrop_prep import workflow

    crop = checked(CropSettings, values)
    shard = checked(ShardSettings, values)
    transcode = checked(TranscodeSettings, values)
    name = check_name(name or crop.method)
    _check_grid(crop)

    def stage(session: Session) -> Stage:
        return workflow.RunStage(session, transcode, crop, shard, name=name, keep=keep)

    return _from_source(source, workdir, values, stage, whole=(f"shards/{name}/",))


@cli.command()
@source_argument
@workdir_argument
@settings_options(ClipSettings, TranscodeSettings, RunSettings)
@checksum_option
@part_options
@work_options
@common_options
def transcode(source: Location, workdir: Location, **values: Any) -> int:
    """Stage 1: make plain H.264 of every clip of SOURCE, in WORKDIR/transcoded.

    The result is yuv420p with a fixed GOP, no B-frames, one reference, square pixels, upright, without
    sound. A source that is like that already is copied. With --direct, sources whose codec exports motion
    vectors are left where they are, and the other stages read them there. SOURCE is as for `run`.
    """
    from mocrop_prep import workflow

    settings = checked(TranscodeSettings, values)
    return _from_source(source, workdir, values, lambda session: workflow.TranscodeStage(session, settings))


@cli.command()
@workdir_argument
@settings_options(RunSettings)
@limit_option
@part_options
@work_options
@common_options
def extract(workdir: Location, **values: Any) -> int:
    """Stage 2: write every motion vector of every clip to WORKDIR/motion, as Parquet."""
    from mocrop_prep import workflow

    return _in_workdir(workdir, values, workflow.ExtractStage, whole=("transcoded/",))


@cli.command()
@workdir_argument
@settings_options(CropSettings, RunSettings)
@name_option("the crop manifest")
@limit_option
@part_options
@work_options
@common_options
def crop(workdir: Location, name: str | None, **values: Any) -> int:
    """Stage 3: choose one crop per clip, in WORKDIR/crops/NAME.csv.

    \b
    Methods:
      foreground      motion that the camera does not explain, with a prior for the centre; a square as large
                      as the motion needs (--share, --least-side, --most-side), or of an --area
      mocrop-v1       the paper's first version: vector counts on a coarse grid, greatest sum
      mocrop-v2       its second version: the longest 1 % of the vectors, weighted by length
    Controls, to know what a method is worth:
      full            the whole frame
      center          the same area in the middle, of the frame's shape
      center-square   the same area in the middle, square
      random          one of mocrop-v1's candidate windows, drawn for each clip

    \b
    Examples:
      mocrop-prep crop work/
      mocrop-prep crop work/ --area 0.35 --name tight
      mocrop-prep crop work/ --shape 3:4-4:3 --share 0.95 --most-side 1 --name roomy
      mocrop-prep crop work/ --method center-square --area 0.35
    """
    from mocrop_prep import workflow

    settings = checked(CropSettings, values)
    name = check_name(name or settings.method)
    _check_grid(settings)

    def stage(session: Session) -> Stage:
        return workflow.CropStage(session, settings, name)

    return _in_workdir(workdir, values, stage, whole=("motion/",))


@cli.command()
@workdir_argument
@click.option("--crops", help="Crop manifest to use; needed only if there are several.")
@settings_options(ShardSettings, RunSettings)
@click.option("--name", help="Name of the shard set; default is the crop manifest's.")
@limit_option
@part_options
@work_options
@common_options
def shard(workdir: Location, crops: str | None, name: str | None, **values: Any) -> int:
    """Stage 4: write the cropped frames to WORKDIR/shards/NAME.

    \b
    Examples:
      mocrop-prep shard work/
      mocrop-prep shard work/ --crops foreground --setting efficiency --name foreground-192
      mocrop-prep shard work/ --format parquet --frames uniform:16 --aspect keep --name wide
    """
    from mocrop_prep import workflow

    settings = checked(ShardSettings, values)

    def stage(session: Session) -> Stage:
        manifest = crops or only_manifest(session.workdir)
        return workflow.ShardStage(session, settings, crops=manifest, name=check_name(name or manifest))

    return _in_workdir(workdir, values, stage, whole=("transcoded/", f"shards/{name or crops or ''}"))


def _from_source(
    source: Location,
    workdir: Location,
    values: dict[str, Any],
    stage: Callable[[Session], Stage],
    whole: tuple[str, ...] = (),
) -> int:
    """Find the clips first, then make the WORKDIR: a bad SOURCE leaves nothing behind."""
    from mocrop_manifests.crops import class_names

    from mocrop_prep.clips import find_clips
    from mocrop_prep.remote import location
    from mocrop_prep.remote.session import Errand, check_places
    from mocrop_prep.workdir import make_workdir
    from mocrop_prep.workflow import save_clips

    wanted, run = checked(ClipSettings, values), checked(RunSettings, values)
    if wanted.limit and values["prune"]:
        raise UsageError("--prune with --limit would remove what is done of all the other clips; drop one")
    part, place = made_place(workdir, values)
    check_places(source, place, run.backend)
    found = find_clips(
        source,
        train_lists=[location(path) for path in wanted.train_list],
        val_lists=[location(path) for path in wanted.val_list],
        test_lists=[location(path) for path in wanted.test_list],
        list_split=wanted.list_split,
        holdout_groups=wanted.holdout_groups,
        val_fraction=wanted.val_fraction,
        seed=wanted.seed,
        limit=wanted.limit,
    )
    clips = part.share(found.clips) if part else found.clips
    dry = values["dry_run"]
    with on_disk(place, values, Errand(makes=True, changes=not dry, whole=() if dry else whole)) as folder:
        home = make_workdir(folder, found.root, searched=found.root == source, make=not dry)
        if not values["quiet"]:
            for note in (*found.notes, *part_notes(part, clips, found.clips)):
                click.echo(f"note: {note}", err=True)
        session = _session(home, clips, run, values, found.states)
        if dry:
            return _foresee(stage(session), session)
        with home.lock():
            if part:
                classes = class_names({clip.label: clip.label_name for clip in found.clips})
                note_part(home.root, part, found.clips, classes)
            save_clips(home, clips)
            status = _carry_out(stage(session), session)
            _stale(session, clips, prune=values["prune"])
            return status


def _in_workdir(
    workdir: Location,
    values: dict[str, Any],
    stage: Callable[[Session], Stage],
    whole: tuple[str, ...],
) -> int:
    from mocrop_prep.remote.session import Errand

    dry = values["dry_run"]
    place = place_of(workdir, values)
    with on_disk(place, values, Errand(changes=not dry, whole=() if dry else whole)) as folder:
        return _in_folder(opened(folder), values, stage)


def _in_folder(home: Workdir, values: dict[str, Any], stage: Callable[[Session], Stage]) -> int:
    from mocrop_prep.clips import spread

    run = checked(RunSettings, values)
    with nullcontext() if values["dry_run"] else home.lock():
        clips = home.read_clips()
        wanted = spread(clips, values["limit"]) if values["limit"] else clips
        session = _session(home, wanted, run, values)
        if values["dry_run"]:
            return _foresee(stage(session), session)
        status = _carry_out(stage(session), session)
        if values["prune"]:
            _stale(session, clips, prune=True)
        return status


def _session(
    home: Workdir,
    clips: list[Clip],
    run: RunSettings,
    values: dict[str, Any],
    listed: Mapping[str, State] | None = None,
) -> Session:
    from mocrop_prep.workflow import Session

    return Session(home, clips, run, values["quiet"], values.get("checksum", False), listed or {})


def _foresee(stage: Stage, session: Session) -> int:
    from mocrop_prep.status import foresight_lines
    from mocrop_prep.workflow import foresee, foresee_recorded

    first = foresee(stage)
    for foresight in (first, *foresee_recorded(session, first)):
        for line in foresight_lines(foresight):
            click.echo(line)
    click.echo("nothing was done (--dry-run)", err=True)
    return OK


def _carry_out(stage: Stage, session: Session) -> int:
    from mocrop_prep.reports import summary_table, write_reports
    from mocrop_prep.workflow import perform, records_of

    try:
        report = perform(stage)
    except FirstFailure as end:
        write_reports(session.workdir, session.clips, [records_of(stage)])
        click.echo(f"mocrop-prep: {end}", err=True)
        return SOME_FAILED
    write_reports(session.workdir, session.clips, [report])
    if not session.quiet:
        for line in summary_table([report]):
            click.echo(line)
    return _status(report, session)


def _status(report: StageReport, session: Session) -> int:
    if not report.failed:
        return OK
    click.echo(
        f"{len(report.failed)} of {len(session.clips)} clips failed: "
        f"see {session.workdir.reports / 'failures.csv'}; --retry-failed tries them again",
        err=True,
    )
    return BAD_USAGE if len(report.failed) == len(report.records) else SOME_FAILED


def _stale(session: Session, clips: list[Clip], *, prune: bool) -> None:
    """Name the files of clips that are no longer on the list, or remove them."""
    from mocrop_prep import workflow

    ids = {clip.clip_id for clip in clips}
    home = session.workdir
    files = workflow.prune(home, ids) if prune else workflow.stale_files(home, ids)
    if files and not session.quiet:
        some = ", ".join(home.name_of(path) for path in files[:3])
        more = f" and {len(files) - 3} more" if len(files) > 3 else ""
        what = "removed" if prune else "left there, --prune removes them"
        click.echo(f"note: files of clips that are no longer on the list, {what}: {some}{more}", err=True)


def _check_grid(settings: CropSettings) -> None:
    """Refuse an area that no window of the grid has, before anything is done."""
    from mocrop_prep.methods import grid_of

    grid_of(settings)

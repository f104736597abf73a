"""The commands that work on clips: the four stages, and all of them fused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mocrop_prep.cli.group import checked, cli
from mocrop_prep.cli.places import only_manifest
from mocrop_prep.cli.work import from_source, in_workdir
from mocrop_prep.config import (
    ClipSettings,
    CropSettings,
    RunSettings,
    ShardSettings,
    TranscodeSettings,
    check_name,
)
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

if TYPE_CHECKING:  # heavy modules load with the command that needs them: `--help` must be quick
    from mocrop_prep.remote import Location
    from mocrop_prep.workflow import Session
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

    return from_source(source, workdir, values, stage, whole=(f"shards/{name}/",))


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
    return from_source(source, workdir, values, lambda session: workflow.TranscodeStage(session, settings))


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

    return in_workdir(workdir, values, workflow.ExtractStage, whole=("transcoded/",))


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

    return in_workdir(workdir, values, stage, whole=("motion/",))


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

    own = name or crops
    return in_workdir(workdir, values, stage, whole=("transcoded/", f"shards/{own}/" if own else "shards/"))


def _check_grid(settings: CropSettings) -> None:
    """Refuse an area that no window of the grid has, before anything is done."""
    from mocrop_prep.methods import grid_of

    grid_of(settings)

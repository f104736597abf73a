"""The commands that change no clip: status, checks, the preview page, what crops keep, and the demo set."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from mocrop_manifests.clips import SPLITS

from mocrop_prep.cli.group import OK, SOME_FAILED, checked, cli, on_disk, opened
from mocrop_prep.config import METHODS, JobSettings, RunSettings
from mocrop_prep.options import (
    common_options,
    limit_option,
    settings_options,
    workdir_argument,
)

if TYPE_CHECKING:  # heavy modules load with the command that needs them: `--help` must be quick
    from mocrop_prep.remote import Location


@cli.command()
@workdir_argument
@common_options
def status(workdir: Location, **values: Any) -> int:
    """Say what is done in WORKDIR, and what failed and why."""
    from mocrop_prep.remote.session import Errand
    from mocrop_prep.status import status_lines

    with on_disk(workdir, values, Errand()) as folder:
        for line in status_lines(opened(folder)):
            click.echo(line)
    return OK


@cli.command()
@workdir_argument
@common_options
def verify(workdir: Location, **values: Any) -> int:
    """Recount and checksum everything in WORKDIR; exit status 1 if anything is wrong."""
    from mocrop_prep.remote.session import EVERYTHING
    from mocrop_prep.verify import verify as check

    problems, quiet = 0, values["quiet"]
    with on_disk(workdir, values, EVERYTHING) as folder:
        for what, problem in check(opened(folder), quiet=quiet):
            if problem:
                problems += 1
                click.echo(f"BAD  {problem if what in problem else f'{what}: {problem}'}")
            elif not quiet:
                click.echo(f"ok   {what}")
    if problems:
        click.echo(f"{problems} problems found", err=True)
    return SOME_FAILED if problems else OK


@cli.command()
@click.argument("source", type=click.Path(path_type=Path))
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
        jobs=worker_count(JobSettings(jobs=jobs)),
        quiet=quiet,
    )
    if not quiet:
        click.echo(f"{source}: {made} clips made" if made else f"{source}: the set is there already")
    return OK


@cli.command()
@workdir_argument
@click.option("--crops", multiple=True, help="Crop manifest to show; give several to see them side by side.")
@click.option("--all", "everything", is_flag=True, help="Show every clip, the worst first.")
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
@settings_options(JobSettings)
@common_options
def preview(
    workdir: Location,
    crops: tuple[str, ...],
    everything: bool,
    worst: int,
    random: int,
    clip_ids: tuple[str, ...],
    seed: int,
    boxes: Path | None,
    out: Path | None,
    **values: Any,
) -> int:
    """Make one HTML page that shows the crops: frame, motion, density map, crop and numbers of some clips.

    The page needs no network. It filters and sorts, and shows several crop manifests side by side. The worst
    are fallbacks, then the crops that their method is least sure of; where it does not say, those with the
    least motion for their area. Without --all, --worst, --random or --clip it is six of the worst and six at
    random; a page holds up to 1,000.
    """
    from mocrop_prep.preview import Wanted, write_preview
    from mocrop_prep.remote.session import EVERYTHING

    quiet = values["quiet"]
    with on_disk(workdir, values, EVERYTHING) as folder:
        home = opened(folder)
        target = out or home.reports / "preview.html"
        report = write_preview(
            home,
            Wanted(worst, random, clip_ids, seed, everything),
            names=crops,
            target=target,
            boxes=boxes,
            run=_jobs(values),
            quiet=quiet,
        )
    for note in report.notes:
        click.echo(f"note: {note}", err=True)
    if not quiet:
        click.echo(f"{target}: {report.clips} clips")
    return OK


@cli.command("evaluate-crops")
@workdir_argument
@click.option(
    "--boxes",
    required=True,
    type=click.Path(path_type=Path),
    help="CSV of actor boxes, clip,actor,frame,x,y,w,h: pixels of the upright video, frames from 0; clip is "
    "the name of its file without folder and extension, or its clip_id.",
)
@click.option(
    "--areas",
    default="",
    metavar="LIST",
    help="Shares of the frame to judge the methods at.  [default: .75,.5,.35,.25]",
)
@click.option(
    "--method", "methods", multiple=True, type=click.Choice(METHODS), help="Judge this method; default all."
)
@click.option(
    "--crops", multiple=True, help="Judge this crop manifest as it is; then no method unless named."
)
@click.option("--split", "splits", multiple=True, type=click.Choice(SPLITS), help="Take only this split.")
@click.option("--markdown", is_flag=True, help="Print the tables in Markdown.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures to this file.")
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path), help="Write a row for each clip and crop."
)
@settings_options(JobSettings)
@limit_option
@common_options
def evaluate_crops(workdir: Location, boxes: Path, **values: Any) -> int:
    """Measure crops against boxes of your actors: how much of them does each method keep?

    Every clip with boxes is cropped by every method and control at every area, in memory, from the vectors
    in WORKDIR/motion; nothing in WORKDIR changes. Larger crops always keep more: compare at one area, and
    with `center`, which needs no vectors at all. A difference counts if its interval leaves out 0; the
    intervals draw whole clips, since frames of one clip resemble each other.

    \b
    Examples:
      mocrop-prep evaluate-crops work/ --boxes boxes.csv
      mocrop-prep evaluate-crops work/ --boxes boxes.csv --areas .5 --method mocrop-v1 --method center
      mocrop-prep evaluate-crops work/ --boxes boxes.csv --crops mine --crops center --csv clips.csv
    """
    from mocrop_prep import evaluation
    from mocrop_prep.remote.session import Errand

    request = evaluation.Request(
        methods=values["methods"],
        areas=evaluation.parse_areas(values["areas"]),
        manifests=values["crops"],
        splits=values["splits"],
        limit=values["limit"],
    )
    with on_disk(workdir, values, Errand(whole=("motion/",))) as folder:
        found = evaluation.evaluate_crops(
            opened(folder), boxes, request, run=_jobs(values), quiet=values["quiet"]
        )
    evaluation.write_files(found, json_file=values["json_file"], csv_file=values["csv_file"])
    if not values["quiet"]:
        for note in found.notes:
            click.echo(f"note: {note}", err=True)
        for line in evaluation.evaluation_lines(found, markdown=values["markdown"]):
            click.echo(line)
    return SOME_FAILED if found.failed else OK


def _jobs(values: dict[str, Any]) -> RunSettings:
    """Return how to run work that has no settings but the jobs."""
    return RunSettings(**dataclasses.asdict(checked(JobSettings, values)))

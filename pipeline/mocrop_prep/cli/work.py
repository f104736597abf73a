"""From a command's arguments to a stage that is planned or carried out, and to what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from mocrop_prep.cli.group import BAD_USAGE, OK, SOME_FAILED, checked, on_disk, opened
from mocrop_prep.cli.places import made_place, part_notes, place_of
from mocrop_prep.config import ClipSettings, RunSettings
from mocrop_prep.errors import FirstFailure, UsageError
from mocrop_prep.parts import note_part

if TYPE_CHECKING:  # heavy modules load with the command that needs them: `--help` must be quick
    from collections.abc import Mapping

    from mocrop_manifests import Clip

    from mocrop_prep.remote import Location, State
    from mocrop_prep.workdir import Workdir
    from mocrop_prep.workflow import Session, StageReport
    from mocrop_prep.workflow.stage import Stage


def from_source(
    source: Location,
    workdir: Location,
    values: dict[str, Any],
    stage: Callable[[Session], Stage],
    whole: tuple[str, ...] = (),
) -> int:
    """Find the clips, then make the WORKDIR, and do a stage: a bad SOURCE leaves nothing behind.

    `whole` names what of a WORKDIR that is there the stage reads. Returns the command's exit status.
    """
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


def in_workdir(
    workdir: Location,
    values: dict[str, Any],
    stage: Callable[[Session], Stage],
    whole: tuple[str, ...],
) -> int:
    """Do a stage in a WORKDIR that is there; `whole` names what of it the stage reads.

    Returns the command's exit status.
    """
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

"""Parts -> one WORKDIR: checked, joined in an order that a kill cannot break, and made a WORKDIR last."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from mocrop_manifests.files import make_folder, publish_bytes, remove, sha256

from mocrop_prep.errors import UsageError
from mocrop_prep.merge.check import Checked, check_part, hold_together
from mocrop_prep.merge.found import FoundPart, Wanted, find_parts, find_wanted, print_of, settings_files
from mocrop_prep.merge.note import MergeNote, read_merge_note, write_merge_note
from mocrop_prep.merge.pieces import join_clip_files, join_journals, join_set
from mocrop_prep.merge.tables import join_reports, join_table
from mocrop_prep.parts import part_folders
from mocrop_prep.progress import Progress
from mocrop_prep.shardset import describe_set
from mocrop_prep.sums import Sums
from mocrop_prep.workdir import Workdir, mark_workdir, marker_of

_OPEN_BESIDE = 256
"""Files that are open at once beside those of the parts."""
_OUTPUTS = ("clips.csv", "crops", "shards", "transcoded", "motion")


@dataclass(frozen=True, slots=True)
class MergeReport:
    """How a merge ended: `problems`, one line each, if nothing was joined; else what there is now."""

    problems: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    failed: int = 0


def merge(root: Path, names: Collection[str] = (), *, move: bool = False, quiet: bool = True) -> MergeReport:
    """Make the folder that parts lie in the WORKDIR of all their clips.

    Only the crop manifests and shard sets of these names are joined, if any are given. With `move` the parts
    are removed when all is in place. Raises UsageError, with nothing changed, if there are no parts, or if
    what would be written anew was changed by somebody else.
    """
    note = read_merge_note(root)
    parts: list[FoundPart] = []
    problems: list[str] = []
    # a merge with --move leaves none
    if note is None or part_folders(root) or not _holds(root, note, [*note.names, *names], {}):
        parts, problems = find_parts(root)
    # a merge of more names keeps those that were merged before
    names = {*names, *(note.names if note is not None else ())} if names else ()
    make_folder(root / "journal")
    with Workdir(root, root).lock():
        _drop_removed(root)
        with _held(parts) as busy:
            wanted = find_wanted(parts, names) if parts else Wanted((), note.names if note else ())
            prints = {part.name: print_of(part, wanted) for part in parts}
            if note is not None and _holds(root, note, wanted.names, prints):
                report = _done(root, note)
            elif problems or busy:
                return MergeReport(problems=(*problems, *busy))
            else:
                report = _check_and_join(
                    root, parts, wanted, MergeNote(sorted(wanted.names), prints), move=move, quiet=quiet
                )
            if move and not report.problems:
                _put_aside(root, parts)
        _drop_removed(root)
    return report


def _done(root: Path, note: MergeNote) -> MergeReport:
    return MergeReport(lines=(f"{root}: merged already, there is nothing to do",), failed=note.failed)


def _check_and_join(
    root: Path, parts: Sequence[FoundPart], wanted: Wanted, note: MergeNote, *, move: bool, quiet: bool
) -> MergeReport:
    before = read_merge_note(root)
    home = Workdir(root, parts[0].home.source)
    _refuse_changed(home, wanted, before)
    begun = before is not None and before.parts == note.parts and not marker_of(root).exists()
    checked: dict[str, Checked] = {}
    with Progress("merge", len(parts), quiet=quiet, unit="part") as progress:
        for part in parts:
            checked[part.name] = check_part(part, wanted, moved=begun)
            progress.advance()
    problems = [line for one in checked.values() for line in one.problems] or list(hold_together(checked))
    if problems:
        return MergeReport(problems=tuple(problems))
    # from here until it is marked again it is no WORKDIR: only a merge can go on with it
    write_merge_note(root, note)
    remove(marker_of(root))
    lines = _join(home, parts, wanted, list(checked.values()), move=move)
    failed = sum(len(one.failed) for one in checked.values())
    made = {home.name_of(path): sha256(path) for path in _targets(home, wanted) if path.exists()}
    write_merge_note(root, replace(note, files=made, failed=failed))
    mark_workdir(root, home.source)
    said = f"{root}: {len(parts)} parts merged, {parts[0].note.clips} clips, {failed} of them failed"
    return MergeReport(lines=(said, *lines), failed=failed)


def _join(
    home: Workdir, parts: Sequence[FoundPart], wanted: Wanted, checked: Sequence[Checked], *, move: bool
) -> list[str]:
    """Put everything in its place, what tells of a thing after the thing; return lines on the shard sets."""
    whole = parts[0].note.sha256
    join_table(home, home.clips_csv, [part.home.clips_csv for part in parts], expected=whole)
    join_clip_files(home, parts, wanted, move=move)
    for name in wanted.manifests:
        join_table(home, home.crops(name), [part.home.crops(name) for part in parts])
    settings = {path.name: path for part in parts for path in settings_files(part, wanted)}
    for name, path in settings.items():
        publish_bytes(home.root / "journal" / name, path.read_bytes())
    join_journals(home, parts, wanted)
    lines = []
    for name, crops in wanted.sets.items():
        index = join_set(home, parts, checked, name, crops, move=move)
        if index is not None:
            lines.append(describe_set(index, home.shards(name)))
    reports = [part.home.reports / "failures.csv" for part in parts]
    if all(path.exists() for path in reports):
        join_reports(home.reports / "failures.csv", reports)
    return lines


def _targets(home: Workdir, wanted: Wanted) -> list[Path]:
    """Return the files that say what a merged WORKDIR holds."""
    return [
        home.clips_csv,
        *(home.crops(name) for name in wanted.manifests),
        *(home.shards(name) / "dataset.json" for name in wanted.sets),
        *(home.root / "journal" / f"{stage}.jsonl" for stage in wanted.stages),
    ]


def _holds(root: Path, note: MergeNote, names: Collection[str], prints: Mapping[str, str]) -> bool:
    """Say whether these parts, perhaps the last that were not removed yet, are in the WORKDIR as they are."""
    return marker_of(root).exists() and set(names) == set(note.names) and prints.items() <= note.parts.items()


def _refuse_changed(home: Workdir, wanted: Wanted, before: MergeNote | None) -> None:
    """Raise UsageError if what a merge would write holds what no merge has written."""
    root = home.root
    if before is None:
        foreign = next((name for name in _OUTPUTS if (root / name).exists()), "")
        if foreign:
            raise UsageError(f"{root / foreign} was not made by a merge: move it away, then merge")
        return
    is_whole, sums = marker_of(root).exists(), Sums(home.sums)
    for path in _targets(home, wanted):
        if not path.exists():
            continue
        if not is_whole and path.suffix != ".csv":  # of a merge that was ended; nobody else works there
            continue
        name = home.name_of(path)
        known = {before.files.get(name)} if is_whole else {each.sha256 for each in sums.known(name)}
        if sha256(path) not in known:
            raise UsageError(
                f"{path} was changed since it was merged, and so were the parts: do the rest in {root} "
                "itself, without --part; or move all but the part folders away, and merge anew"
            )


@contextmanager
def _held(parts: Sequence[FoundPart]) -> Iterator[list[str]]:
    """Hold the locks of all parts; yield a line for each that is in use."""
    _allow_open(2 * len(parts) + _OPEN_BESIDE)
    busy = []
    with ExitStack() as locks:
        for part in parts:
            try:
                locks.enter_context(part.home.lock())
            except UsageError as error:
                busy.append(f"{part.name}: {error}")
        yield busy


def _allow_open(files: int) -> None:
    """Allow this process to open so many files at once; raises UsageError where it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY in (soft, hard) or soft >= files:
        return
    if hard < files:
        raise UsageError(f"merging takes {files} open files, this system allows {hard}: raise `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


def _put_aside(root: Path, parts: Sequence[FoundPart]) -> None:
    """Take parts that are merged out of the way, each whole, before anything of them is deleted."""
    make_folder(_removed(root))
    for part in parts:
        part.home.root.rename(_removed(root) / part.name)


def _drop_removed(root: Path) -> None:
    if _removed(root).exists():
        shutil.rmtree(_removed(root))


def _removed(root: Path) -> Path:
    return root / "journal" / "merged-parts"

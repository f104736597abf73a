"""The whole of a WORKDIR, part by part, from what is on disk alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mocrop_prep.shardset import noted_names
from mocrop_prep.sums import Sums
from mocrop_prep.verify.advice import FOREIGN
from mocrop_prep.verify.clipfiles import check_clip_files, check_sources
from mocrop_prep.verify.inventory import Finding, Inventory, take_inventory
from mocrop_prep.verify.notes import check_notes
from mocrop_prep.verify.sets import check_origin, check_set
from mocrop_prep.verify.tables import check_clips, check_manifests, with_problem
from mocrop_prep.workdir import Workdir


def verify(workdir: Workdir, *, quiet: bool = True) -> Iterator[Finding]:
    """Yield (what was checked, problem or empty text), one for each thing checked; nothing is changed.

    Files are read in threads, with progress on stderr unless `quiet`. Nothing that lies in WORKDIR raises.
    If all is well the last one counts the files.
    """
    house = take_inventory(workdir, quiet=quiet)
    problems = 0
    for finding in _findings(house):
        problems += bool(finding[1])
        yield finding
    if not problems:
        size = sum(seen.size for seen in house.entries.values())
        yield f"{workdir.root}: {len(house.entries)} files, {size / 1e6:.1f} MB, no problem", ""


def _findings(house: Inventory) -> Iterator[Finding]:
    workdir = house.workdir
    sums = Sums(workdir.sums)
    yield from check_notes(house, sums)
    finding, listed = check_clips(house, sums)
    yield finding
    yield from check_clip_files(house, "transcode", workdir.transcoded("x"), listed)
    yield from check_sources(house, (listed or {}).values())
    yield from check_clip_files(house, "extract", workdir.motion("x"), listed)
    shards = workdir.root / "shards"
    names = sorted({*(path.name for path in house.folders(shards)), *noted_names(workdir)})
    sets = [check_set(house, name) for name in names]
    taken_up = {found.index.crops["sha256"]: found.name for found in sets if found.index and found.is_sound}
    manifests = list(check_manifests(house, sums, taken_up))
    yield from manifests
    yield from _strays(house, shards)
    for found in sets:
        yield from found.findings
        yield from check_origin(house, found, with_problem(manifests))


def _strays(house: Inventory, folder: Path) -> Iterator[Finding]:
    """Yield what lies in a folder beside other folders."""
    if folder in house.faults:
        yield str(folder), house.faults[folder]
    for path in sorted({*house.inside(folder)} - {*house.folders(folder)}):
        seen = house.of(path)
        yield str(path), seen.remedy("") if seen.is_denied else FOREIGN

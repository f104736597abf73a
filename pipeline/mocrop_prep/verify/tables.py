"""The clip list and the crop manifests, against the checksums that were noted when they were written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mocrop_manifests import Clip, Extras, ManifestError, read_extras
from mocrop_manifests.files import sha256_of_text

from mocrop_prep.sums import Sum, Sums
from mocrop_prep.verify.advice import FOREIGN, crops_again, shard_command, stage_again
from mocrop_prep.verify.inventory import Finding, Inventory
from mocrop_prep.workflow.tables import CLIP_LIST, MANIFEST, TableForm


@dataclass(frozen=True, slots=True)
class _Table:
    """A table that could be read."""

    form: TableForm
    rows: Sequence[Any]
    extras: Extras

    def plain(self) -> str:
        """Return the SHA-256 of the table without the columns that users added."""
        return sha256_of_text(self.form.write(self.rows))

    def whole(self) -> str:
        """Return the SHA-256 of the table with them, as the pipeline would write it."""
        return sha256_of_text(self.form.write(self.rows, self.extras))


def check_clips(house: Inventory, sums: Sums) -> tuple[Finding, dict[str, Clip] | None]:
    """Check the clip list; return the finding, and the clips on it, None if it cannot be read."""
    path = house.workdir.clips_csv
    again = stage_again(house.workdir, "transcode")
    seen = house.of(path)
    if seen.fault:
        return (str(path), seen.remedy(f"{again}, or `run`")), None
    try:
        table = _read(path, CLIP_LIST)
    except (ManifestError, OSError) as error:
        return (str(path), f"{error}: mend it, or delete it and {again}, or `run`"), None
    listed = {clip.clip_id: clip for clip in table.rows}
    known = sums.known(path.name)
    said = f"{path}: {len(listed)} clips"
    if not known:
        return (said + _unknown(sums), ""), listed
    verdict = _verdict(seen.sha256, known, table)
    if verdict.harmless:
        return (f"{said}, {verdict.harmless}", ""), listed
    if verdict.is_readable_change:
        return (str(path), f"{verdict.problem}: {again}, or `run`"), listed
    return (str(path), f"{verdict.problem}: delete it, then {again}, or `run`"), listed


def check_manifests(house: Inventory, sums: Sums, taken_up: Mapping[str, str]) -> Iterator[Finding]:
    """Check every crop manifest; `taken_up` names a sound shard set by the SHA-256 of its manifest."""
    folder = house.workdir.crops("x").parent
    if folder in house.faults:
        yield str(folder), house.faults[folder]
        return
    found = house.inside(folder)
    for path in found:
        if path.suffix == ".csv":
            yield _check_manifest(house, sums, taken_up, path)
        else:
            yield str(path), FOREIGN
    noted = {house.workdir.root / name for name in sums.names() if name.startswith("crops/")}
    for path in sorted(noted - set(found)):
        yield str(path), f"missing: {crops_again(house.workdir, path.stem)}"


def with_problem(findings: Collection[Finding]) -> set[str]:
    """Return what has a problem among findings."""
    return {what for what, problem in findings if problem}


def _check_manifest(house: Inventory, sums: Sums, taken_up: Mapping[str, str], path: Path) -> Finding:
    seen, known = house.of(path), sums.known(house.workdir.name_of(path))
    again = crops_again(house.workdir, path.stem)
    is_ours = bool(known) or _has_journal(house, path.stem)
    remedy = f"delete it, then {again}" if is_ours else "this pipeline did not write it: mend or delete it"
    if seen.fault:
        return str(path), seen.remedy(again if is_ours else "verify again")
    try:
        table = _read(path, MANIFEST)
    except (ManifestError, OSError) as error:
        return str(path), f"{error}: {remedy}"
    said = f"{path}: {len(table.rows)} rows"
    if not known and not is_ours:
        return f"{said}, not written by this pipeline", ""
    verdict = _verdict(seen.sha256, known, table)
    if known and verdict.harmless:
        return f"{said}, {verdict.harmless}", ""
    if seen.sha256 in taken_up:
        return f"{said}, as shards/{taken_up[seen.sha256]} was made from them", ""
    if not known:
        return said + _unknown(sums), ""
    if verdict.is_readable_change:
        return str(path), f"{verdict.problem}: {again}"
    keep = f"run `{shard_command(house.workdir, path.stem)}` to take your changes up"
    return str(path), f"{verdict.problem}: {keep}, or {remedy}"


@dataclass(frozen=True, slots=True)
class _Verdict:
    """How a table stands to its sums: `harmless` says why all is well, or `problem` what is not.

    is_readable_change: what the pipeline wrote reads the same, so that it can simply be written anew.
    """

    harmless: str = ""
    problem: str = ""
    is_readable_change: bool = False


def _verdict(digest: str, known: Sequence[Sum], table: _Table) -> _Verdict:
    if digest in {entry.sha256 for entry in known}:
        return _Verdict(harmless="SHA-256 matches")
    plain = table.plain()
    alike = [entry for entry in known if entry.plain == plain]
    if not alike:
        return _Verdict(problem="changed since it was written")
    # columns where none were on record can only have been added: no accident adds a cell to every line
    is_new = alike[0].sha256 == plain and all(table.extras.names)
    if is_new and table.extras.names and table.whole() == digest:
        names = ", ".join(table.extras.names)
        return _Verdict(harmless=f"with columns that were added: {names}; the next run puts them on record")
    return _Verdict(
        problem="its form or columns of your own changed since it was written, its crops and labels did not",
        is_readable_change=True,
    )


def _read(path: Path, form: TableForm) -> _Table:
    return _Table(form, form.read(path), read_extras(form.row, path))


def _unknown(sums: Sums) -> str:
    """Return what to add for a table without a sum, unless that is true of all of them and said once."""
    return ", no checksum on record" if sums.names() else ""


def _has_journal(house: Inventory, name: str) -> bool:
    return any(
        (house.workdir.root / "journal" / f"{stage}-{name}.jsonl").exists() for stage in ("crop", "run")
    )

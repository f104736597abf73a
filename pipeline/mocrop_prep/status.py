"""What a WORKDIR holds: printed from what is on disk, nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from mocrop_manifests import ManifestError, read_dataset

from mocrop_prep.config import RunSettings
from mocrop_prep.errors import CODES
from mocrop_prep.journal import Records
from mocrop_prep.shardset import describe_set
from mocrop_prep.workdir import Workdir
from mocrop_prep.workflow import (
    Foresight,
    Session,
    count_rows,
    describe_routes,
    foresee_recorded,
    stale_files,
)


def status_lines(workdir: Workdir) -> Iterator[str]:
    """Yield the state of every stage, manifest and shard set, and why clips failed."""
    clips = workdir.read_clips()
    ids = {clip.clip_id for clip in clips}
    splits = Counter(clip.split for clip in clips)
    counts = ", ".join(f"{split} {count}" for split, count in splits.items())
    yield f"{workdir.root}, made from {workdir.source}"
    yield f"clips       {len(clips)} in {len({clip.label for clip in clips})} classes ({counts})"
    session = Session(workdir, clips, RunSettings(), quiet=True)
    foresights = {foresight.stage: foresight for foresight in foresee_recorded(session)}
    for stage in workdir.stages():
        foresight = foresights.get(stage)
        # a plan has read the journal already, and it may be long
        records = workdir.journal(stage).read() if foresight is None else foresight.plan.records
        yield from _stage_lines(stage, records, ids)
        if foresight is not None:
            yield from _to_do(foresight)
    for name in workdir.manifest_names():
        yield f"crops       {name}: {_manifest(workdir, name)}"
    for name in workdir.shard_names():
        yield f"shards      {name}: {_shard_set(workdir, name)}"
    for path in stale_files(workdir, ids):
        yield f"stale       {workdir.name_of(path)}: its clip is no longer on the list; --prune removes it"


def foresight_lines(foresight: Foresight) -> Iterator[str]:
    """Yield what a stage would do, and why."""
    plan = foresight.plan
    failed = len(plan.known_failures)
    left = f", {failed} of them failed: --retry-failed tries again" if failed else ""
    yield f"{foresight.stage}: {len(plan.why)} to do, {plan.reused} done before{left}"
    yield from (f"    {count} x {reason}" for reason, count in foresight.reasons)
    yield from (f"    {change}" for change in foresight.changes)


def _to_do(foresight: Foresight) -> Iterator[str]:
    for reason, count in foresight.reasons:
        yield f"            {count} to do: {reason}"


def _stage_lines(stage: str, records: Records, ids: Collection[str]) -> Iterator[str]:
    done = sum(clip_id in ids for clip_id in records)
    failed = [record for record in records.failures() if record.clip_id in ids]
    routes = ""
    if stage == "transcode":
        counts = Counter(records[clip_id].data.get("action") for clip_id in records if clip_id in ids)
        routes = f"; {describe_routes(counts)}"
    yield f"{stage:<11} {done} of {len(ids)} done, {len(failed)} failed{routes}"
    for code, count in sorted(Counter(record.code for record in failed).items()):
        example = next(record for record in failed if record.code == code)
        yield f"            {count} x {code} ({CODES.get(code, 'unknown code')}), such as {example.clip_id}"


def _manifest(workdir: Workdir, name: str) -> str:
    try:
        count = count_rows(workdir, name)
    except ManifestError as error:
        return f"damaged: {error}"
    why = "".join(f"; {number} x {reason}" for reason, number in sorted(count.reasons.items()))
    status, routes = count.status, describe_routes(count.routes)
    return f"{status['ok']} ok, {status['fallback']} fallback, {status['failed']} failed{why}; {routes}"


def _shard_set(workdir: Workdir, name: str) -> str:
    try:
        index = read_dataset(workdir.shards(name))
    except ManifestError as error:
        return f"not finished or damaged: {error}"
    return describe_set(index, workdir.shards(name))

"""Write the preview page of a WORKDIR."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from mocrop_manifests import CropRow, ManifestError, read_crops

from mocrop_prep.clips.paths import escape, unescape
from mocrop_prep.errors import UsageError
from mocrop_prep.files import publish_text
from mocrop_prep.preview.boxes import ActorBox, read_boxes
from mocrop_prep.preview.cards import ClipReport, clip_card
from mocrop_prep.preview.evidence import Recipe, gather, read_recipe
from mocrop_prep.preview.page import Failure, PageContent, build_page
from mocrop_prep.preview.select import Manifests, Pick, Wanted, choose_clips
from mocrop_prep.preview.stored import Stored, stored_samples
from mocrop_prep.preview.summary import manifest_summary
from mocrop_prep.progress import Progress
from mocrop_prep.samples import Sample
from mocrop_prep.stages.shard import box_of
from mocrop_prep.workdir import Workdir

MOST_MANIFESTS = 6
"""There are this many colours that everybody can tell apart."""


@dataclass(frozen=True, slots=True)
class PreviewReport:
    """How many clips the page shows, and what it could not show, one line each."""

    clips: int
    notes: tuple[str, ...]


def write_preview(
    workdir: Workdir,
    *,
    names: Sequence[str],
    worst: int,
    random: int,
    clip_ids: Sequence[str],
    seed: int,
    target: Path,
    boxes: Path | None,
    quiet: bool = False,
) -> PreviewReport:
    """Write `target`, one HTML file that shows some clips with their crops; nothing else is changed.

    `names` are crop manifests, side by side; empty means all there are. `worst` and `random` are numbers of
    clips, `clip_ids` names others; with none of the three it is six worst and six random, drawn with `seed`.
    `boxes` is a CSV of actor boxes (clip,actor,frame,x,y,w,h). Raises UsageError.
    """
    manifests = _read_manifests(workdir, names)
    picks = choose_clips(manifests, Wanted(worst, random, clip_ids, seed))
    sources = _open_sources(workdir, manifests, picks, boxes)
    cards, notes = _cards(sources, picks, quiet=quiet)
    content = PageContent(
        title=f"MoCrop preview: {escape(workdir.root.resolve().name)}",
        origin=f"{escape(str(workdir.root))}, made from {escape(str(workdir.source))}",
        selection=_selection(picks, seed),
        summaries=[
            manifest_summary(name, list(rows.values()), colour, _set_notes(sources.stored[name]))
            for colour, (name, rows) in enumerate(manifests.items())
        ],
        cards=cards,
        shown=[rows[pick.clip_id] for pick in picks for rows in manifests.values() if pick.clip_id in rows],
        failures=_failures(workdir, manifests),
    )
    try:
        publish_text(target, build_page(content))
    except OSError as error:
        raise UsageError(f"{escape(str(target))} cannot be written: {error.strerror}") from None
    set_notes = [f"{name}: {note}" for name in manifests for note in _set_notes(sources.stored[name])]
    return PreviewReport(len(picks), (*set_notes, *notes))


def _cards(sources: _Sources, picks: Sequence[Pick], *, quiet: bool) -> tuple[list[Element], list[str]]:
    """Return a card for each clip, and a line on those that have no frame."""
    colours = {name: number for number, name in enumerate(sources.manifests)}
    cards, unseen = [], []
    with Progress("preview", len(picks), quiet=quiet) as progress:
        for report in _reports(sources, picks):
            cards.append(clip_card(report, colours))
            if report.evidence and report.evidence.view.picture is None:
                unseen.append(report.pick.clip_id)
            progress.advance()
    if not unseen:
        return cards, []
    return cards, [
        f"{len(unseen)} of {len(picks)} clips have no frame, such as {unseen[0]}: the page says why"
    ]


def _read_manifests(workdir: Workdir, names: Sequence[str]) -> dict[str, dict[str, CropRow]]:
    there = workdir.manifest_names()
    if not there:
        raise UsageError(f"{workdir.root} has no crop manifest: run `mocrop-prep crop {workdir.root}` first")
    wanted = list(dict.fromkeys(names)) or there
    unknown = [name for name in wanted if name not in there]
    if unknown:
        raise UsageError(f"--crops {unknown[0]}: no such manifest; there are {', '.join(there)}")
    if len(wanted) > MOST_MANIFESTS:
        raise UsageError(
            f"{len(wanted)} crop manifests: a page shows at most {MOST_MANIFESTS}; "
            f"choose with --crops ({', '.join(there)})"
        )
    try:
        return {name: {row.clip_id: row for row in read_crops(workdir.crops(name))} for name in wanted}
    except ManifestError as error:
        raise UsageError(f"{error}; make it again with `mocrop-prep crop`") from None


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where the parts of the cards come from; mappings go by manifest name, `boxes` by the stem of a path."""

    workdir: Workdir
    manifests: Manifests
    recipe: Recipe
    stored: Mapping[str, Stored]
    boxes: Mapping[str, Sequence[ActorBox]]


def _open_sources(
    workdir: Workdir, manifests: Manifests, picks: Sequence[Pick], boxes: Path | None
) -> _Sources:
    picked = {pick.clip_id for pick in picks}
    stored = {name: stored_samples(workdir, name, rows, picked) for name, rows in manifests.items()}
    stems = {_stem(rows[clip_id]) for rows in manifests.values() for clip_id in picked & rows.keys()}
    actors = read_boxes(boxes, stems) if boxes else {}
    return _Sources(workdir, manifests, read_recipe(workdir, list(manifests)), stored, actors)


def _reports(sources: _Sources, picks: Sequence[Pick]) -> Iterator[ClipReport]:
    """Yield the clips one at a time: their frames are large."""
    for pick in picks:
        rows = {
            name: found[pick.clip_id] for name, found in sources.manifests.items() if pick.clip_id in found
        }
        crops = {name: row for name, row in rows.items() if row.status != "failed"}
        evidence = gather(sources.workdir, crops, sources.recipe) if crops else None
        samples, remarks = _samples(pick, crops, sources.stored)
        boxes = sources.boxes.get(_stem(next(iter(rows.values()))), ())
        notes = [*(evidence.notes if evidence else ()), *remarks]
        yield ClipReport(pick, rows, evidence, samples, boxes, notes)


def _samples(
    pick: Pick, crops: Mapping[str, CropRow], stored: Mapping[str, Stored]
) -> tuple[dict[str, Sample], list[str]]:
    """Return the stored samples that hold the crops of the manifests, and remarks on those that do not."""
    samples, remarks = {}, []
    for name, row in crops.items():
        sample, box = stored[name].samples.get(pick.clip_id), box_of(row)
        if sample is not None and sample.info.crop == (box.x, box.y, box.w, box.h):
            samples[name] = sample
        elif sample is not None:
            remarks.append(
                f"{name}: shards/{stored[name].name} holds another crop of this clip; run shard again"
            )
        elif stored[name].name and not stored[name].problem:
            remarks.append(f"{name}: this clip is not in shards/{stored[name].name}")
    return samples, remarks


def _stem(row: CropRow) -> str:
    return Path(unescape(row.path)).stem


def _set_notes(stored: Stored) -> list[str]:
    if stored.problem:
        return [f"no stored frames: {escape(stored.problem)}"]
    return [] if stored.name else ["no shards of these crops yet, so no stored frames"]


def _selection(picks: Sequence[Pick], seed: int) -> str:
    kinds = [pick.why.split()[0] for pick in picks]
    parts = []
    if named := kinds.count("named"):
        parts.append(f"{named} asked for")
    if worst := kinds.count("worst"):
        parts.append(f"the {worst} with the least motion inside for their area, fallbacks first")
    if drawn := kinds.count("random"):
        parts.append(f"{drawn} drawn over the classes in turn with seed {seed}")
    return f"Shown: {'; '.join(parts) or 'no clip'}."


def _failures(workdir: Workdir, manifests: Manifests) -> list[Failure]:
    """Return the failed clips by id and code, with what the journals say of them."""
    failed: dict[tuple[str, str], dict[str, CropRow]] = {}
    for name, rows in manifests.items():
        for row in rows.values():
            if row.status == "failed":
                failed.setdefault((row.clip_id, row.reason), {})[name] = row
    details: dict[tuple[str, str], str] = {}
    stages = ["transcode", "extract", *(f"{stage}-{name}" for name in manifests for stage in ("crop", "run"))]
    for stage in stages if failed else ():
        for record in workdir.journal(stage).read().values():
            if record.failed:
                details[record.clip_id, record.code] = record.detail
    return [
        Failure(next(iter(rows.values())), list(rows), escape(details.get(key, "")))
        for key, rows in sorted(failed.items(), key=lambda item: item[0])
    ]

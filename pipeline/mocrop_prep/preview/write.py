"""Write the preview page of a WORKDIR."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mocrop_manifests import CropRow, ManifestError, read_crops
from mocrop_manifests.files import publish_text

from mocrop_prep.boxes import ActorBox, read_boxes
from mocrop_prep.clips.paths import escape, unescape
from mocrop_prep.config import RunSettings
from mocrop_prep.errors import UsageError
from mocrop_prep.preview.boxes import inside_share, nearest_boxes
from mocrop_prep.preview.cards import ClipReport, clip_card
from mocrop_prep.preview.controls import Offer
from mocrop_prep.preview.crew import Crew, Stored, make_exhibits, make_strips
from mocrop_prep.preview.exhibit import Exhibit
from mocrop_prep.preview.figures import size_of
from mocrop_prep.preview.page import Failure, PageContent, build_page
from mocrop_prep.preview.select import Manifests, Pick, Wanted, choose_clips
from mocrop_prep.preview.stored import Strip
from mocrop_prep.preview.summary import manifest_summary
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
    wanted: Wanted,
    *,
    names: Sequence[str],
    target: Path,
    boxes: Path | None,
    run: RunSettings,
    quiet: bool = False,
) -> PreviewReport:
    """Write `target`, one HTML file that shows the clips `wanted` with their crops; nothing else is changed.

    `names` are crop manifests, side by side; empty means all there are. `boxes` is a CSV of actor boxes
    (clip,actor,frame,x,y,w,h). Raises UsageError.
    """
    manifests = _read_manifests(workdir, names)
    picks = choose_clips(manifests, wanted)
    colours = {name: number for number, name in enumerate(manifests)}
    with tempfile.TemporaryDirectory(prefix="mocrop-preview-") as folder:
        crew = Crew(run, Path(folder), quiet)
        sources = _open_sources(workdir, manifests, picks, boxes, crew)
        exhibits = make_exhibits(workdir, _crops(manifests, picks), list(manifests), crew)
    reports = [_report(sources, pick, exhibits.get(pick.clip_id)) for pick in picks]
    set_notes = {name: _set_notes(sources.stored[name]) for name in manifests}
    content = PageContent(
        title=f"MoCrop preview: {escape(workdir.root.resolve().name)}",
        origin=f"{escape(str(workdir.root))}, made from {escape(str(workdir.source))}",
        selection=_selection(picks, reports, wanted),
        summaries=[
            manifest_summary(name, list(rows.values()), colours[name], set_notes[name])
            for name, rows in manifests.items()
        ],
        offer=Offer([row for report in reports for row in report.rows.values()], colours, bool(boxes)),
        cards=[clip_card(report, colours) for report in reports],
        failures=_failures(workdir, manifests),
    )
    try:
        publish_text(target, build_page(content))
    except OSError as error:
        raise UsageError(f"{escape(str(target))} cannot be written: {error.strerror}") from None
    notes = [f"{name}: {note}" for name in manifests for note in set_notes[name]]
    return PreviewReport(len(picks), (*notes, *_unseen(exhibits, len(picks))))


def _unseen(exhibits: Mapping[str, Exhibit], clips: int) -> list[str]:
    """Return a line on the clips that have no frame."""
    unseen = [clip_id for clip_id, exhibit in exhibits.items() if not exhibit.picture]
    if not unseen:
        return []
    return [f"{len(unseen)} of {clips} clips have no frame, such as {unseen[0]}: the page says why"]


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

    manifests: Manifests
    stored: Mapping[str, Stored]
    boxes: Mapping[str, Sequence[ActorBox]]


def _open_sources(
    workdir: Workdir, manifests: Manifests, picks: Sequence[Pick], boxes: Path | None, crew: Crew
) -> _Sources:
    picked = {pick.clip_id for pick in picks}
    stems = {_stem(rows[clip_id]) for rows in manifests.values() for clip_id in picked & rows.keys()}
    actors = read_boxes(boxes, stems) if boxes else {}
    return _Sources(manifests, make_strips(workdir, manifests, picked, crew), actors)


def _crops(manifests: Manifests, picks: Sequence[Pick]) -> dict[str, dict[str, CropRow]]:
    """Return the rows with a crop of the clips that have any, by clip and manifest."""
    found = {
        pick.clip_id: {
            name: rows[pick.clip_id]
            for name, rows in manifests.items()
            if pick.clip_id in rows and rows[pick.clip_id].status != "failed"
        }
        for pick in picks
    }
    return {clip_id: rows for clip_id, rows in found.items() if rows}


def _report(sources: _Sources, pick: Pick, exhibit: Exhibit | None) -> ClipReport:
    """Bring together what a card shows."""
    rows = {name: found[pick.clip_id] for name, found in sources.manifests.items() if pick.clip_id in found}
    crops = {name: row for name, row in rows.items() if row.status != "failed"}
    if not crops or exhibit is None:
        return ClipReport(pick, rows, None)
    strips, remarks = _strips(pick, crops, sources.stored)
    boxes = sources.boxes.get(_stem(next(iter(crops.values()))), ())
    width, height = size_of(crops)
    shares = {name: inside_share(boxes, box_of(row), width, height) for name, row in crops.items()}
    return ClipReport(
        pick,
        rows,
        exhibit,
        strips,
        nearest_boxes(boxes, exhibit.frame, width, height),
        {name: share for name, share in shares.items() if share is not None},
        [*exhibit.notes, *remarks],
    )


def _strips(
    pick: Pick, crops: Mapping[str, CropRow], stored: Mapping[str, Stored]
) -> tuple[dict[str, Strip], list[str]]:
    """Return the stored frames that hold the crops of the manifests, and remarks on those that do not."""
    strips, remarks = {}, []
    for name, row in crops.items():
        strip, box = stored[name].strips.get(pick.clip_id), box_of(row)
        if strip is not None and tuple(strip.crop) == (box.x, box.y, box.w, box.h):
            strips[name] = strip
        elif strip is not None:
            remarks.append(
                f"{name}: shards/{stored[name].name} holds another crop of this clip; run shard again"
            )
        elif stored[name].name and not stored[name].problem:
            remarks.append(f"{name}: this clip is not in shards/{stored[name].name}")
    return strips, remarks


def _stem(row: CropRow) -> str:
    return Path(unescape(row.path)).stem


def _set_notes(stored: Stored) -> list[str]:
    if stored.problem:
        return [f"no stored frames: {escape(stored.problem)}"]
    return [] if stored.name else ["no shards of these crops yet, so no stored frames"]


def _selection(picks: Sequence[Pick], reports: Sequence[ClipReport], wanted: Wanted) -> str:
    kinds = Counter(pick.why.partition(" ")[0] for pick in picks)
    sure = any(row.confidence is not None for report in reports for row in report.rows.values())
    order = "fallbacks first, then " + ("the least sure" if sure else "the least motion inside for the area")
    sentences = {
        "named": f"{kinds['named']} asked for",
        "": f"all {kinds['']} with a crop, {order}",
        "worst": f"the {kinds['worst']} worst, {order}",
        "random": f"{kinds['random']} drawn over the classes in turn with seed {wanted.seed}",
    }
    parts = [sentence for kind, sentence in sentences.items() if kinds[kind]]
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

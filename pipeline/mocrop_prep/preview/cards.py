"""One card per clip: its frame, the density behind each crop, the stored frames and the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from mocrop_manifests import CropRow

from mocrop_prep.preview.blocks import manifest_heading, note, number_list
from mocrop_prep.preview.boxes import ActorBox, nearest_boxes
from mocrop_prep.preview.evidence import Evidence
from mocrop_prep.preview.figures import density_figure, frame_figure, thumbnails
from mocrop_prep.preview.markup import tag
from mocrop_prep.preview.select import Pick, gain
from mocrop_prep.preview.words import UNKNOWN, count, meaning, percent, times
from mocrop_prep.samples import Sample


@dataclass(frozen=True, slots=True)
class ClipReport:
    """All that a card shows; mappings go by manifest name. `evidence` is None for a clip without any crop."""

    pick: Pick
    rows: Mapping[str, CropRow]
    evidence: Evidence | None
    stored: Mapping[str, Sample]
    boxes: Sequence[ActorBox]
    notes: Sequence[str]


def clip_card(report: ClipReport, colours: Mapping[str, int]) -> Element:
    """Return the card of a clip; `colours` are the numbers of the manifests' colours."""
    rows = list(report.rows.values())
    row = rows[0]
    heading = tag(
        "header",
        tag("h3", row.clip_id),
        tag(
            "p",
            tag("strong", row.label_name),
            tag("span", row.split, class_="chip"),
            tag("span", f"group {row.group}", class_="chip") if row.group else None,
            tag("span", report.pick.why, class_="chip why"),
            class_="chips",
        ),
    )
    return tag(
        "article",
        heading,
        _facts(rows),
        *map(note, report.notes),
        tag("div", _frame(report, colours), *_crops(report, colours), class_="views"),
        class_="card" if len(rows) == 1 else "card wide",
        data_label=row.label,
        data_status=" ".join(sorted({row.status for row in rows})),
    )


def _facts(rows: Sequence[CropRow]) -> Element | None:
    row = next((row for row in rows if row.status != "failed"), None)
    if row is None:
        return None
    parts = (
        f"{row.width}×{row.height} px",
        UNKNOWN if row.fps is None else f"{row.fps:.2f} fps",
        f"{count(row.frames)} frames",
        f"{count(row.key_frames)} key frames",
    )
    return tag("p", " · ".join(parts), class_="facts")


def _frame(report: ClipReport, colours: Mapping[str, int]) -> Element | None:
    """Return the frame with every crop on it."""
    if report.evidence is None or report.evidence.view.picture is None:
        return None
    view, image = report.evidence.view, report.evidence.view.picture
    crops = {name: row for name, row in report.rows.items() if row.status != "failed"}
    actors = nearest_boxes(report.boxes, view.frame, image.shape[1], image.shape[0])
    return frame_figure(image, view.frame, crops, colours, actors)


def _crops(report: ClipReport, colours: Mapping[str, int]) -> Iterator[Element]:
    """Yield what there is on each crop; that on a single one spreads out around the frame."""
    for name in report.rows:
        parts = [_density(name, report, colours[name]), _crop(name, report, colours[name])]
        known = [part for part in parts if part is not None]
        if len(report.rows) == 1:
            yield from known
        else:
            yield tag("div", *known, class_="crop")


def _density(name: str, report: ClipReport, colour: int) -> Element | None:
    if report.evidence is None or name not in report.evidence.choices:
        return None
    choice, image = report.evidence.choices[name], report.evidence.view.picture
    return density_figure(name, report.rows[name], choice, image, colour)


def _crop(name: str, report: ClipReport, colour: int) -> Element:
    """Return the numbers of one crop and the frames stored of it."""
    row, sample = report.rows[name], report.stored.get(name)
    return tag(
        "section",
        manifest_heading("h4", name, colour, tag("span", row.status, class_=f"chip {row.status}")),
        tag("p", tag("code", row.reason), f" {meaning(row)}", class_="reason") if row.reason else None,
        number_list(_numbers(row)) if row.status != "failed" else None,
        thumbnails(sample) if sample is not None else None,
    )


def _numbers(row: CropRow) -> list[tuple[str, str]]:
    return [
        ("motion inside", percent(row.motion_inside)),
        ("area", percent(row.area)),
        ("inside ÷ area", times(gain(row))),
        ("score", UNKNOWN if row.score is None else f"{row.score:.6g}"),
        ("crop w×h", f"{row.w}×{row.h}"),
        ("at x, y", f"{row.x}, {row.y}"),
        ("method", row.method),
        ("grid", row.grid),
        ("vectors", count(row.vectors)),
        ("kept", count(row.kept)),
        ("sampled", count(row.sampled)),
    ]

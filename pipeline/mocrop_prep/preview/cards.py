"""One card per clip: its frame with everything on it, and each crop with its density map and numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from xml.etree.ElementTree import Element

from mocrop_manifests import CropRow
from mocrop_manifests.markup import note, tag

from mocrop_prep.boxes import ActorBox
from mocrop_prep.preview.blocks import swatch
from mocrop_prep.preview.exhibit import Exhibit
from mocrop_prep.preview.figures import density_panel, frame_panel, frame_words, strip_figure
from mocrop_prep.preview.numbers import all_numbers, short_numbers, sortable
from mocrop_prep.preview.select import Pick
from mocrop_prep.preview.stored import Strip
from mocrop_prep.preview.words import UNKNOWN, count, meaning
from mocrop_prep.stages.shard import box_of


@dataclass(frozen=True, slots=True)
class ClipReport:
    """All that a card shows; mappings go by manifest name. `exhibit` is None for a clip without any crop.

    `actors` are the boxes on the frame shown, `actor_inside` the share of all the clip's boxes in each crop.
    """

    pick: Pick
    rows: Mapping[str, CropRow]
    exhibit: Exhibit | None
    stored: Mapping[str, Strip] = field(default_factory=dict)
    actors: Sequence[ActorBox] = ()
    actor_inside: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def crops(self) -> dict[str, CropRow]:
        """Return the rows that have a crop."""
        return {name: row for name, row in self.rows.items() if row.status != "failed"}


def clip_card(report: ClipReport, colours: Mapping[str, int]) -> Element:
    """Return the card of a clip; `colours` are the numbers of the manifests' colours."""
    row = next(iter(report.rows.values()))
    panel = None
    if report.exhibit is not None:
        panel = frame_panel(row.clip_id, report.exhibit, report.crops, colours, report.actors)
    return tag(
        "article",
        panel,
        _heading(report, row),
        *_crops(report, colours),
        *map(note, report.notes),
        _details(report, colours),
        class_="card",
        id=f"clip-{row.clip_id}",
        data_id=row.clip_id,
        data_class=row.label_name,
        data_split=row.split,
        data_group=row.group,
        data_agreement=_agreement(report.crops),
        data_crops=json.dumps(
            {
                colours[name]: sortable(some, report.actor_inside.get(name))
                for name, some in report.rows.items()
            }
        ),
    )


def _heading(report: ClipReport, row: CropRow) -> Element:
    folders, slashes, name = row.clip_id.rpartition("__")
    breakable = (folders + slashes, tag("wbr")) if slashes else ()
    return tag(
        "header",
        tag("h3", tag("a", *breakable, name, href=f"#clip={row.clip_id}", class_="open")),
        tag(
            "p",
            tag("strong", row.label_name),
            tag("span", row.split, class_="chip"),
            tag("span", f"group {row.group}", class_="chip") if row.group else None,
            tag("span", report.pick.why, class_="chip why") if report.pick.why else None,
            class_="chips",
        ),
    )


def _crops(report: ClipReport, colours: Mapping[str, int]) -> Iterator[Element]:
    """Yield a line for each manifest: the density map behind the crop, and the numbers to judge it by."""
    for name, row in report.rows.items():
        mini = None if report.exhibit is None else density_panel(name, row, report.exhibit, colours[name])
        numbers = [
            tag("div", tag("dt", what), tag("dd", value), title=explanation)
            for what, value, explanation in short_numbers(row, report.actor_inside.get(name))
        ]
        state = tag("span", row.status, class_=f"chip {row.status}") if row.status != "ok" else None
        reason = (
            tag("p", tag("code", row.reason), f" {meaning(row)}", class_="reason") if row.reason else None
        )
        yield tag(
            "section",
            mini,
            tag("h4", swatch(colours[name]), name, state),
            tag("dl", *numbers, class_="short") if row.status != "failed" else None,
            reason,
            class_="crop" if mini is not None else "crop mapless",
            data_of=colours[name],
        )


def _details(report: ClipReport, colours: Mapping[str, int]) -> Element | None:
    """Return what the large view shows beside the pictures: all numbers and the stored frames."""
    crops = report.crops
    if not crops or report.exhibit is None:
        return None
    row = next(iter(crops.values()))
    facts = (
        f"{row.width}×{row.height} px",
        UNKNOWN if row.fps is None else f"{row.fps:.2f} fps",
        f"{count(row.frames)} frames",
        f"{count(row.key_frames)} key frames",
    )
    strips = (strip_figure(name, strip) for name, strip in report.stored.items())
    return tag(
        "details",
        tag("summary", "all numbers"),
        tag("p", " · ".join(facts), class_="facts"),
        tag("p", frame_words(report.exhibit, report.actors), class_="facts"),
        _table(report, colours),
        *strips,
        class_="more",
    )


def _table(report: ClipReport, colours: Mapping[str, int]) -> Element:
    """Return all numbers, a column for each manifest."""
    columns = {name: all_numbers(row, report.actor_inside.get(name)) for name, row in report.crops.items()}
    names = dict.fromkeys(name for column in columns.values() for name in column)
    head = [tag("th", swatch(colours[name]), name, scope="col", data_of=colours[name]) for name in columns]
    lines = (
        tag(
            "tr",
            tag("th", name, scope="row"),
            *(tag("td", column.get(name, UNKNOWN), data_of=colours[of]) for of, column in columns.items()),
        )
        for name in names
    )
    return tag(
        "table", tag("thead", tag("tr", tag("td"), *head)), tag("tbody", *lines), class_="numbers-table"
    )


def _agreement(crops: Mapping[str, CropRow]) -> str | None:
    """Return the least overlap of two crops of a clip, intersection over union; None if there are not two."""
    overlaps = [box_of(a).overlap(box_of(b)) for a, b in combinations(crops.values(), 2)]
    return f"{min(overlaps):.4f}" if overlaps else None

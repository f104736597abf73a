"""The page as a whole: head, filters, cards, and the clips that failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from xml.etree.ElementTree import Element

from mocrop_manifests import CropRow

from mocrop_prep.errors import CODES
from mocrop_prep.preview.blocks import note
from mocrop_prep.preview.markup import document, tag

_MOST_FAILURES = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """A clip without a crop: the manifests that agree on its code, and what was found, if on record."""

    row: CropRow
    manifests: Sequence[str]
    detail: str


@dataclass(frozen=True, slots=True)
class PageContent:
    """Everything on the page, in the order of the page; `shown` are the rows on the cards."""

    title: str
    origin: str
    selection: str
    summaries: Sequence[Element]
    cards: Sequence[Element]
    shown: Sequence[CropRow]
    failures: Sequence[Failure]


def build_page(content: PageContent) -> str:
    """Return the page as one HTML text that needs no other file and no network."""
    main = tag(
        "main",
        tag("div", *content.summaries, class_="summaries"),
        _controls(content.shown),
        tag("div", *content.cards, class_="cards"),
        _failures(content.failures),
    )
    head = tag(
        "header",
        tag("h1", content.title),
        tag("p", content.origin, class_="facts"),
        tag("p", content.selection),
        class_="top",
    )
    files = resources.files(__package__)
    style = files.joinpath("page.css").read_text(encoding="utf-8")
    script = files.joinpath("page.js").read_text(encoding="utf-8")
    return document(content.title, style, script, head, main)


def _controls(rows: Sequence[CropRow]) -> Element:
    """Return the filters; the script shows them, since they do nothing without it."""
    if not rows:
        return note("No clip has a crop to show.")
    labels = sorted({(row.label_name, row.label) for row in rows})
    statuses = sorted({row.status for row in rows})
    return tag(
        "form",
        _select("class", "label", [(str(label), name) for name, label in labels]),
        _select("status", "status", [(status, status) for status in statuses]),
        tag("label", tag("input", type="checkbox", id="outlines", checked="checked"), " outlines"),
        tag("output", id="shown"),
        id="controls",
        hidden="hidden",
    )


def _select(what: str, key: str, options: Sequence[tuple[str, str]]) -> Element:
    choices = [tag("option", "all", value=""), *(tag("option", text, value=value) for value, text in options)]
    return tag("label", f"{what} ", tag("select", *choices, data_filter=key))


def _failures(failures: Sequence[Failure]) -> Element | None:
    if not failures:
        return None
    columns = ("clip", "class", "manifests", "reason", "what it means", "what was found")
    lines = [
        tag(
            "tr",
            tag("td", failure.row.clip_id, class_="mono"),
            tag("td", failure.row.label_name),
            tag("td", ", ".join(failure.manifests)),
            tag("td", tag("code", failure.row.reason)),
            tag("td", CODES.get(failure.row.reason, "a code of another release")),
            tag("td", failure.detail),
        )
        for failure in failures[:_MOST_FAILURES]
    ]
    rest = len(failures) - len(lines)
    clips = len({failure.row.clip_id for failure in failures})
    table = tag(
        "table",
        tag("thead", tag("tr", *(tag("th", column, scope="col") for column in columns))),
        tag("tbody", *lines),
    )
    return tag(
        "section",
        tag("h2", f"Failed clips: {clips}"),
        tag("div", table, class_="scroll"),
        note(f"{rest} more are in the manifests.") if rest else None,
        class_="failures",
    )

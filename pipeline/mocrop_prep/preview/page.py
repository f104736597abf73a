"""The page as a whole: head, filters, cards, and the clips that failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from xml.etree.ElementTree import Element

from mocrop_manifests import CropRow
from mocrop_manifests.markup import base_style, document, note, table, tag

from mocrop_prep.errors import CODES
from mocrop_prep.preview.controls import OVERLAYS, SHOWN_AT_FIRST, Offer, control_form
from mocrop_prep.preview.large import keyboard_help, large_view

STYLES = ("page.css", "controls.css", "cards.css", "large.css")
SCRIPTS = ("state.js", "cards.js", "large.js", "keys.js")
_MOST_FAILURES = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """A clip without a crop: the manifests that agree on its code, and what was found, if on record."""

    row: CropRow
    manifests: Sequence[str]
    detail: str


@dataclass(frozen=True, slots=True)
class PageContent:
    """Everything on the page, in the order of the page."""

    title: str
    origin: str
    selection: str
    summaries: Sequence[Element]
    offer: Offer
    cards: Sequence[Element]
    failures: Sequence[Failure]


def build_page(content: PageContent) -> str:
    """Return the page as one HTML text that needs no other file and no network."""
    hidden = [key for key, *_ in OVERLAYS if key not in SHOWN_AT_FIRST]
    head = tag(
        "header",
        tag("h1", content.title),
        tag("p", content.origin, class_="facts"),
        tag("p", content.selection),
        class_="top",
    )
    main = tag(
        "main",
        tag("div", *content.summaries, class_="summaries"),
        control_form(content.offer) if content.cards else note("No clip has a crop to show."),
        tag("div", *content.cards, class_="cards", id="cards"),
        tag("p", "No clip fits. ", id="none", class_="note", hidden="hidden"),
        _failures(content.failures),
        data_hide=" ".join(hidden),
        data_sole="0" if len(content.offer.colours) == 1 else None,
    )
    style, script = base_style() + _joined(STYLES), _joined(SCRIPTS)
    return document(content.title, style, script, head, main, large_view(), keyboard_help())


def _joined(files: Sequence[str]) -> str:
    folder = resources.files(__package__).joinpath("web")
    return "\n".join(folder.joinpath(file).read_text(encoding="utf-8") for file in files)


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
    return tag(
        "section",
        tag("h2", f"Failed clips: {clips}"),
        table(columns, lines),
        note(f"{rest} more are in the manifests.") if rest else None,
        class_="failures",
    )

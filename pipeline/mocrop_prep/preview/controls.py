"""The page's controls: which clips are shown, in which order, and what is drawn on them.

Their names are the keys of the page's address, `#status=fallback&sort=confidence`, which the script reads
and writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from mocrop_manifests import CropRow
from mocrop_manifests.markup import Child, tag

from mocrop_prep.preview.blocks import swatch

OVERLAYS = (
    ("crop", "crop", "c"),
    ("actor", "actor", "b"),
    ("density", "density", "d"),
    ("arrows", "arrows", "a"),
)
"""What can be drawn over a frame: key, name, and the key on the keyboard."""
SHOWN_AT_FIRST = ("crop", "actor")


@dataclass(frozen=True, slots=True)
class Offer:
    """What the clips on the page can be filtered and sorted by; `colours` go by manifest name."""

    rows: Sequence[CropRow]
    colours: Mapping[str, int]
    actors: bool


def control_form(offer: Offer) -> Element:
    """Return the form; the script shows it, since it does nothing without."""
    rows = offer.rows
    several = len(offer.colours) > 1
    return tag(
        "form",
        tag(
            "div",
            _search(),
            _select("class", "class", [(name, name) for name in sorted({row.label_name for row in rows})]),
            _select("split", "split", [(name, name) for name in sorted({row.split for row in rows})]),
            _select("status", "status", [(name, name) for name in sorted({row.status for row in rows})]),
            _select("judged by", "by", [(name, name) for name in offer.colours], "the worst crop")
            if several
            else None,
            *_ranges(rows),
            class_="line",
        ),
        tag(
            "div",
            _sorting(offer, several),
            _manifests(offer.colours) if several else None,
            _overlays(offer.actors),
            _sizes(),
            _flags(),
            tag("button", "reset", type="button", id="reset", title="show everything again (0)"),
            tag("button", "keys", type="button", id="help", title="the keys of the keyboard (?)"),
            tag("output", id="shown", aria_live="polite"),
            class_="line",
        ),
        id="controls",
        aria_label="filter and sort the clips",
        hidden="hidden",
    )


def _search() -> Element:
    hint = "words of the clip's id, class or group (press / to come here)"
    field = {"type": "search", "name": "q", "placeholder": "search ids", "aria_label": "search"}
    return tag("label", tag("input", title=hint, size=14, **field))


def _select(what: str, key: str, options: Iterable[tuple[str, str]], default: str = "all") -> Element:
    choices = [tag("option", default, value="")]
    choices += [tag("option", text, value=value) for value, text in options]
    return tag("label", f"{what} ", tag("select", *choices, name=key))


def _ranges(rows: Sequence[CropRow]) -> list[Element]:
    found = []
    if any(row.confidence is not None for row in rows):
        found.append(_range("confidence", "confidence"))
    if any(row.motion_inside is not None for row in rows):
        found.append(_range("motion inside", "inside"))
    return found


def _range(what: str, key: str) -> Element:
    """Return two sliders on one track: from and to."""
    ends = (("min", 0), ("max", 1))
    sliders = (
        tag(
            "input",
            type="range",
            name=f"{end}-{key}",
            min=0,
            max=1,
            step="0.01",
            value=value,
            aria_label=f"{'least' if end == 'min' else 'greatest'} {what}",
        )
        for end, value in ends
    )
    track = tag("span", *sliders, class_="range")
    return tag("span", f"{what} ", track, tag("output", class_="between", data_range=key), class_="field")


def _sorting(offer: Offer, several: bool) -> Element:
    keys = [
        ("confidence", "confidence") if any(row.confidence is not None for row in offer.rows) else None,
        ("gain", "inside ÷ area"),
        ("inside", "motion inside"),
        ("area", "area"),
        ("actor", "actor inside") if offer.actors else None,
        ("agreement", "agreement") if several else None,
        ("class", "class"),
        ("id", "id"),
    ]
    select = _select("sort by", "sort", [key for key in keys if key], "as chosen")
    turn = tag(
        "label",
        tag("input", type="checkbox", name="order", value="down"),
        " descending",
    )
    return tag("span", select, turn, class_="field")


def _manifests(colours: Mapping[str, int]) -> Element:
    boxes: list[Child] = [
        tag(
            "label",
            tag("input", type="checkbox", name="with", value=name, checked="checked", data_of=colour),
            swatch(colour),
            name,
            title=f"show {name} ({colour + 1})",
            class_="toggle",
        )
        for name, colour in colours.items()
    ]
    return tag("fieldset", tag("legend", "manifests"), *boxes)


def _overlays(actors: bool) -> Element:
    boxes: list[Child] = [
        tag(
            "label",
            tag(
                "input",
                type="checkbox",
                name="show",
                value=key,
                checked="checked" if key in SHOWN_AT_FIRST else None,
            ),
            name,
            title=f"show {name} ({letter})",
            class_="toggle",
        )
        for key, name, letter in OVERLAYS
        if actors or key != "actor"
    ]
    return tag("fieldset", tag("legend", "overlays"), *boxes)


def _sizes() -> Element:
    options = [tag("option", text, value=value) for value, text in (("s", "S"), ("", "M"), ("l", "L"))]
    options[1].set("selected", "selected")
    return tag("label", "size ", tag("select", *options, name="size"))


def _flags() -> Element:
    """Return the filter for clips that were flagged while looking, and the way to take their ids along."""
    box = tag("input", type="checkbox", name="flagged", value="only")
    link = tag("a", "save ids", id="save", href="#", download="flagged.txt", hidden="hidden")
    return tag(
        "span", tag("label", box, " flagged only", title="flag a clip with f"), " ", link, class_="field"
    )

"""Pieces that occur all over the page."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element

from mocrop_prep.preview.markup import tag


def swatch(colour: int) -> Element:
    """Return a small field of a manifest's colour."""
    return tag("span", class_=f"swatch c{colour}", aria_hidden="true")


def number_list(numbers: Iterable[tuple[str, str]]) -> Element:
    """Return (what, value) pairs as a list."""
    return tag(
        "dl", *(tag("div", tag("dt", what), tag("dd", value)) for what, value in numbers), class_="numbers"
    )


def note(text: str) -> Element:
    """Return a remark on something that is missing or odd."""
    return tag("p", text, class_="note")

"""Pieces that occur all over the page."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from mocrop_manifests.markup import tag


def swatch(colour: int) -> Element:
    """Return a small field of a manifest's colour."""
    return tag("span", class_=f"swatch c{colour}", aria_hidden="true")

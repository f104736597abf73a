"""HTML as a tree of elements: every text and attribute is escaped as it is written, whosever it is."""

from __future__ import annotations

import base64
import hashlib
from xml.etree.ElementTree import Element, tostring

Child = Element | str | None


def tag(name: str, /, *children: Child, **attributes: str | int | None) -> Element:
    """Return an element with its children; None children and attributes are left out.

    An underscore in an attribute's name stands for `-`; one at its end keeps it apart from Python's words.
    """
    element = Element(name)
    for key, value in attributes.items():
        if value is not None:
            element.set(key.rstrip("_").replace("_", "-"), str(value))
    for child in children:
        if isinstance(child, Element):
            element.append(child)
        elif child and len(element):
            element[-1].tail = (element[-1].tail or "") + child
        elif child:
            element.text = (element.text or "") + child
    return element


def picture(source: str, alt: str, width: int, height: int, **attributes: str | int | None) -> Element:
    """Return an <img> that the browser decodes only when it comes into view; `source` is a data: URI."""
    return tag(
        "img",
        src=source,
        alt=alt,
        width=width,
        height=height,
        loading="lazy",
        decoding="async",
        **attributes,
    )


def document(title: str, style: str, script: str, *body: Child) -> str:
    """Return a whole page that may load nothing and run nothing but its own style and script."""
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", style),
    )
    page = tag("html", head, tag("body", *body, tag("script", script)), lang="en")
    return "<!doctype html>\n" + tostring(page, encoding="unicode", method="html") + "\n"


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"

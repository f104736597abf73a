"""HTML as a tree of elements: every text and attribute is escaped as it is written, whosever it is.

The pages of the pipeline and of the trainer are made of it, and look alike by web/base.css.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib import resources
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


def data_uri(kind: str, content: bytes) -> str:
    """Return a picture as a data: URI; `kind` is png, jpeg or webp."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def number_list(numbers: Iterable[tuple[str, str]]) -> Element:
    """Return (what, value) pairs as a list."""
    return tag(
        "dl", *(tag("div", tag("dt", what), tag("dd", value)) for what, value in numbers), class_="numbers"
    )


def note(text: str) -> Element:
    """Return a remark on something that is missing or odd."""
    return tag("p", text, class_="note")


def table(columns: Sequence[str], lines: Iterable[Element]) -> Element:
    """Return rows, which are <tr>, under a head, in a frame that scrolls by itself if it is too wide."""
    head = tag("thead", tag("tr", *(tag("th", column, scope="col") for column in columns)))
    return tag("div", tag("table", head, tag("tbody", *lines)), class_="scroll")


def base_style() -> str:
    """Return the style that all pages share: colours, light and dark, texts, tables."""
    return resources.files(__package__).joinpath("web", "base.css").read_text(encoding="utf-8")


def document(title: str, style: str, script: str, *body: Child) -> str:
    """Return a whole page that may load nothing and run nothing but its own style and script.

    Without a script it runs none.
    """
    scripts = f"; script-src {_hash(script)}" if script else ""
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}{scripts}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", style),
    )
    last = tag("script", script) if script else None
    page = tag("html", head, tag("body", *body, last), lang="en")
    return "<!doctype html>\n" + tostring(page, encoding="unicode", method="html") + "\n"


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"

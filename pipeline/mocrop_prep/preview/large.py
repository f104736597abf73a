"""The frames of what the script opens over the page: the large view of one clip, and the list of keys."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from mocrop_manifests.markup import tag

_KEYS = (
    ("j k ← →", "next clip, clip before"),
    ("↑ ↓", "a row of clips up or down"),
    ("Enter", "open the clip large, Escape closes it"),
    ("f", "flag the clip, or take the flag off"),
    ("c b d a", "show crops, actor boxes, density, arrows"),
    ("1 … 6", "show a manifest"),
    ("/", "search, Enter goes to the first clip found"),
    ("0", "show everything again"),
    ("?", "this list"),
)


def large_view() -> Element:
    """Return the empty large view; the script fills it from a card."""
    return tag(
        "dialog",
        tag(
            "header",
            tag("h2", id="large-title"),
            tag("p", id="large-place", class_="facts"),
            _button("large-before", "←", "clip before (k)"),
            _button("large-next", "→", "next clip (j)"),
            _button("large-flag", "flag", "flag this clip (f)"),
            _button("large-close", "close", "close (Escape)"),
        ),
        tag("div", id="large-body", tabindex=-1, autofocus="autofocus"),
        id="large",
        aria_labelledby="large-title",
    )


def keyboard_help() -> Element:
    """Return the list of keys."""
    keys = (tag("div", tag("dt", tag("kbd", key)), tag("dd", what)) for key, what in _KEYS)
    return tag(
        "dialog",
        tag("h2", "Keys"),
        tag("dl", *keys),
        tag("p", "Escape closes this.", class_="facts"),
        id="keys",
        aria_label="keys",
    )


def _button(name: str, text: str, title: str) -> Element:
    return tag("button", text, type="button", id=name, title=title, aria_label=title)

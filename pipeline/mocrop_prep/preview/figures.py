"""A clip's pictures with outlines and arrows over them, as vectors that stay crisp and can be hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from mocrop_manifests import CropRow
from mocrop_manifests.markup import picture, tag

from mocrop_prep.boxes import ActorBox
from mocrop_prep.geometry import Box
from mocrop_prep.preview.arrows import STRETCH
from mocrop_prep.preview.exhibit import Exhibit
from mocrop_prep.preview.stored import Strip
from mocrop_prep.preview.words import count, percent
from mocrop_prep.stages.shard import box_of


def frame_panel(
    clip_id: str,
    exhibit: Exhibit,
    rows: Mapping[str, CropRow],
    colours: Mapping[str, int],
    actors: Sequence[ActorBox],
) -> Element:
    """Return the frame with the outline of each row's crop, the actors and the arrows; `rows` have crops."""
    width, height = size_of(rows)
    boxes = {name: box_of(row) for name, row in rows.items() if (row.width, row.height) == (width, height)}
    what = [f"the crop of {name}" for name in boxes] + [f"{len(actors)} boxes of actors"] * bool(actors)
    alt = f"frame {exhibit.frame} with {' and '.join(what) or 'no crop'} outlined"
    img = picture(exhibit.picture, alt, width, height) if exhibit.picture else _blank(width, height)
    shapes = [_outside(width, height, box, colours[name]) for name, box in boxes.items()]
    shapes += _outlines(boxes, colours)
    for actor in actors:
        shapes.append(_rectangle(actor, "actor-casing"))
        shapes.append(_rectangle(actor, "actor", title=f"actor {actor.actor}, frame {actor.frame}"))
    return tag(
        "div",
        img,
        _overlay(width, height, _arrows(f"arrows-{clip_id}", exhibit.arrows), "arrows")
        if exhibit.arrows
        else None,
        _overlay(width, height, shapes),
        class_="panel tall" if height > width else "panel",
        data_frame=exhibit.frame,
    )


def density_panel(name: str, row: CropRow, exhibit: Exhibit, colour: int) -> Element | None:
    """Return the density map behind a crop, with the crop's outline; None if it is not known."""
    if name not in exhibit.densities:
        return None
    width, height = row.width or 1, row.height or 1
    fullest = percent(exhibit.fullest.get(name))
    alt = f"density of {name} on a grid of {row.grid}; the fullest cell holds {fullest} of the motion"
    img = picture(exhibit.densities[name], alt, width, height, class_="heat")
    outline = _rectangle(box_of(row), f"outline c{colour}")
    return tag("div", img, _overlay(width, height, [outline]), class_="mini")


def strip_figure(name: str, strip: Strip) -> Element | None:
    """Return a clip's stored frames side by side; None if they cannot be read."""
    if not strip.picture:
        return None
    frames = ", ".join(map(str, strip.frames))
    shown = f", {len(strip.frames)} shown" if len(strip.frames) < strip.stored else ""
    times = f", from {strip.times[0]:.2f} to {strip.times[-1]:.2f} s" if strip.times else ""
    img = tag("img", src=strip.picture, alt=f"stored frames {frames}", loading="lazy", decoding="async")
    caption = f"{name}: {strip.stored} frames stored{shown}: {frames}{times}"
    return tag("figure", img, tag("figcaption", caption), class_="stored")


def frame_words(exhibit: Exhibit, actors: Sequence[ActorBox]) -> str:
    """Say which frame is shown, where the actor boxes on it are from, and what the arrows are."""
    parts = [f"frame {exhibit.frame}"]
    if actors:
        elsewhere = sorted({actor.frame for actor in actors} - {exhibit.frame})
        parts.append(
            f"{len(actors)} actor"
            + "s" * (len(actors) > 1)
            + (f" as in frame {', '.join(map(str, elsewhere))}" if elsewhere else "")
        )
    vectors, moving, drawn = exhibit.vectors
    if vectors:
        some = f"{count(drawn)} of them" if drawn < moving else "all of them"
        parts.append(
            f"arrows: the motion to frame {exhibit.frame + 1}, {STRETCH}× its length; "
            f"{count(moving)} of {count(vectors)} blocks move by a pixel or more"
            + (f", {some} drawn" if moving else "")
        )
    else:
        parts.append("no motion vectors of the next frame")
    return "; ".join(parts)


def size_of(rows: Mapping[str, CropRow]) -> tuple[int, int]:
    """Return (width, height) of a clip by its first crop."""
    row = next(iter(rows.values()))
    return row.width or 1, row.height or 1


def _blank(width: int, height: int) -> Element:
    """Return an empty picture of the size of the frame."""
    return tag("svg", class_="blank", viewBox=f"0 0 {width} {height}", aria_hidden="true")


def _arrows(name: str, path: str) -> list[Element]:
    """Return the arrows, light over dark, so that they show on any picture; the path is there once."""
    uses = (tag("use", href=f"#{name}", class_=kind) for kind in ("arrow-casing", "arrow"))
    return [tag("defs", tag("path", id=name, d=path)), *uses]


def _outlines(boxes: Mapping[str, Box], colours: Mapping[str, int]) -> list[Element]:
    """Return the outlines of crops; all lie over the dark casing of each."""
    shapes = [_rectangle(box, "casing", colours[name]) for name, box in boxes.items()]
    drawn: list[Box] = []
    for name, box in boxes.items():
        # dashed where an edge would hide that of another: all their colours show
        dash = sum(_share_an_edge(box, other) for other in drawn)
        shapes.append(_rectangle(box, f"outline c{colours[name]} dash{dash}", colours[name], name))
        drawn.append(box)
    return shapes


def _overlay(width: int, height: int, shapes: Sequence[Element], kind: str = "") -> Element:
    return tag(
        "svg",
        *shapes,
        class_=f"overlay {kind}".rstrip(),
        viewBox=f"0 0 {width} {height}",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def _rectangle(box: Box | ActorBox, kind: str, colour: int | None = None, title: str = "") -> Element:
    place = {"x": f"{box.x:g}", "y": f"{box.y:g}", "width": f"{box.w:g}", "height": f"{box.h:g}"}
    return tag("rect", tag("title", title) if title else None, class_=kind, data_of=colour, **place)


def _share_an_edge(a: Box, b: Box) -> bool:
    return a.x == b.x or a.y == b.y or a.x + a.w == b.x + b.w or a.y + a.h == b.y + b.h


def _outside(width: int, height: int, box: Box, colour: int) -> Element:
    path = f"M0 0H{width}V{height}H0ZM{box.x} {box.y}h{box.w}v{box.h}h-{box.w}Z"
    return tag("path", d=path, class_="shade", fill_rule="evenodd", data_of=colour)

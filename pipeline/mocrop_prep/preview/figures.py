"""Pictures with outlines over them: pixels as JPEG, outlines as vectors that stay crisp and can be hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from mocrop_manifests import CropRow

from mocrop_prep.methods import Box, Choice
from mocrop_prep.motion import Lattice
from mocrop_prep.preview.boxes import ActorBox
from mocrop_prep.preview.draw import density_jpeg, frame_jpeg, thumbnail_jpeg
from mocrop_prep.preview.evidence import Bgr
from mocrop_prep.preview.markup import picture, tag
from mocrop_prep.preview.words import percent
from mocrop_prep.samples import Sample
from mocrop_prep.stages.shard import box_of, evenly_spread

_MOST_THUMBNAILS = 8
_MOST_GRID_LINES = 48


def frame_figure(
    image: Bgr,
    frame: int,
    rows: Mapping[str, CropRow],
    colours: Mapping[str, int],
    actors: Sequence[ActorBox],
) -> Element:
    """Return a frame with the outline of each row's crop and of the actors."""
    height, width = image.shape[:2]
    boxes = {name: box_of(row) for name, row in rows.items() if (row.width, row.height) == (width, height)}
    what = [f"the crop of {name}" for name in boxes] + [f"{len(actors)} boxes of actors"] * bool(actors)
    img = picture(frame_jpeg(image), f"frame {frame} with {' and '.join(what) or 'no crop'} outlined")
    overlay = _overlay(width, height, boxes, colours, actors, shade=len(boxes) == 1)
    return _figure(img, overlay, f"frame {frame}{_actor_words(actors, frame)}", tall=height > width)


def density_figure(name: str, row: CropRow, choice: Choice, image: Bgr | None, colour: int) -> Element:
    """Return the density map that a crop was chosen from, with the crop's outline."""
    width, height = row.width or 1, row.height or 1
    if image is not None and image.shape[:2] != (height, width):
        image = None
    cells = choice.density.cells
    fullest = percent(float(cells.max() / cells.sum()) if cells.any() else None)
    alt = f"density of {name} on a grid of {row.grid}; the fullest cell holds {fullest} of the sampled motion"
    img = picture(density_jpeg(choice.density, image, width, height), alt)
    overlay = _overlay(width, height, {name: box_of(row)}, {name: colour}, (), shade=False)
    overlay.insert(0, _grid(Lattice(cells.shape[0], cells.shape[1], width, height)))
    caption = f"{name} density, " + (f"fullest cell {fullest}" if cells.any() else "empty")
    return _figure(img, overlay, caption, tall=height > width)


def thumbnails(sample: Sample) -> Element | None:
    """Return up to eight of a clip's stored frames side by side; None if none can be read."""
    chosen = evenly_spread(_MOST_THUMBNAILS, len(sample.jpegs))
    images = [
        picture(small, f"stored frame {sample.info.frame_index[place]}", title=_when(sample, place))
        for place in chosen
        if (small := thumbnail_jpeg(sample.jpegs[place]))
    ]
    if not images:
        return None
    count = f"{len(sample.jpegs)} frames stored" + (
        f", {len(images)} shown" if len(images) < len(sample.jpegs) else ""
    )
    return tag("figure", tag("div", *images, class_="strip"), tag("figcaption", count), class_="stored")


def _when(sample: Sample, place: int) -> str:
    return f"frame {sample.info.frame_index[place]}, {sample.info.pts[place]:.2f} s"


def _figure(img: Element, overlay: Element, caption: str, *, tall: bool) -> Element:
    panel = tag("div", img, overlay, class_="panel tall" if tall else "panel")
    return tag("figure", panel, tag("figcaption", caption))


def _overlay(
    width: int,
    height: int,
    boxes: Mapping[str, Box],
    colours: Mapping[str, int],
    actors: Sequence[ActorBox],
    *,
    shade: bool,
) -> Element:
    """Return outlines in the clip's own pixels; `shade` darkens what lies outside of the crops."""
    shapes = []
    if shade:
        shapes += [_outside(width, height, box) for box in boxes.values()]
    shapes += [_rectangle(box, "casing") for box in boxes.values()]
    drawn: list[Box] = []
    for name, box in boxes.items():
        # dashed where an edge would hide that of another: all their colours show
        dash = sum(_share_an_edge(box, other) for other in drawn)
        shapes.append(_rectangle(box, f"outline c{colours[name]} dash{dash}", name))
        drawn.append(box)
    for actor in actors:
        shapes.append(_rectangle(actor, "actor-casing"))
        shapes.append(_rectangle(actor, "actor", f"actor {actor.actor}, frame {actor.frame}"))
    view = f"0 0 {width} {height}"
    return tag("svg", *shapes, class_="overlay", viewBox=view, preserveAspectRatio="none", aria_hidden="true")


def _rectangle(box: Box | ActorBox, kind: str, title: str = "") -> Element:
    place = {"x": f"{box.x:g}", "y": f"{box.y:g}", "width": f"{box.w:g}", "height": f"{box.h:g}"}
    return tag("rect", tag("title", title) if title else None, class_=kind, **place)


def _grid(lattice: Lattice) -> Element:
    """Return the lines between cells; none where they would hide the map."""
    lines = []
    if lattice.columns <= _MOST_GRID_LINES:
        lines += [f"M{x} 0V{lattice.height}" for x in lattice.column_edges()[1:-1]]
    if lattice.rows <= _MOST_GRID_LINES:
        lines += [f"M0 {y}H{lattice.width}" for y in lattice.row_edges()[1:-1]]
    return tag("path", d="".join(lines), class_="grid")


def _share_an_edge(a: Box, b: Box) -> bool:
    return a.x == b.x or a.y == b.y or a.x + a.w == b.x + b.w or a.y + a.h == b.y + b.h


def _outside(width: int, height: int, box: Box) -> Element:
    path = f"M0 0H{width}V{height}H0ZM{box.x} {box.y}h{box.w}v{box.h}h-{box.w}Z"
    return tag("path", d=path, class_="shade", fill_rule="evenodd")


def _actor_words(actors: Sequence[ActorBox], frame: int) -> str:
    if not actors:
        return ""
    elsewhere = sorted({actor.frame for actor in actors} - {frame})
    words = f"; {len(actors)} actor" + "s" * (len(actors) > 1)
    return words + (f" as in frame {', '.join(map(str, elsewhere))}" if elsewhere else "")

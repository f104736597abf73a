"""A card for each clip that a model does badly on: its frame, its crop, what was said of it."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from mocrop_manifests.markup import data_uri, note, picture, tag

from mocrop_train.data.crops import Crop
from mocrop_train.evaluation.predictions import ClipPrediction
from mocrop_train.report.worst import Sight, WorstClip


def card(worst: WorstClip, classes: list[str], sight: Sight | None) -> Element:
    """Return the card of a clip; `sight` is None where the shards are not at hand."""
    clip = worst.clip
    chips = [worst.why, f"loss {worst.loss:.2f}"]
    if clip.group:
        chips.append(f"group {clip.group}")
    verdict = "right, but unsure" if clip.prediction == clip.label else None
    return tag(
        "article",
        _frame(clip, sight) if sight else None,
        tag("h3", clip.clip_id),
        tag(
            "dl",
            *_answer("true", classes, clip, clip.label),
            *_answer("predicted", classes, clip, clip.prediction),
            class_="answers",
        ),
        tag("p", verdict, class_="hint") if verdict else None,
        tag("p", *(tag("span", text, class_="chip") for text in chips), class_="chips"),
        _schematic(sight.crop) if sight and sight.crop else None,
        class_="card",
    )


def _answer(what: str, classes: list[str], clip: ClipPrediction, label: int) -> tuple[Element, Element]:
    share = tag("b", f"{clip.scores[label]:.1%}")
    return tag("dt", what), tag("dd", f"{classes[label]} ", share)


def _frame(clip: ClipPrediction, sight: Sight) -> Element:
    if not sight.jpeg:
        return note(f"no picture: {sight.problem}")
    alt = f"frame {sight.position + 1} of {sight.stored} stored of {clip.clip_id}, as cropped"
    return picture(data_uri("jpeg", sight.jpeg), alt, *sight.size, class_="seen")


def _schematic(crop: Crop) -> Element:
    """Return the source frame as a field with the crop in it, to scale."""
    words = f"{crop.w}×{crop.h} at {crop.x}, {crop.y} of {crop.width}×{crop.height}"
    box = {"x": crop.x, "y": crop.y, "width": crop.w, "height": crop.h}
    drawing = tag(
        "svg",
        tag("rect", x=0, y=0, width=crop.width, height=crop.height, class_="whole"),
        tag("rect", class_="crop", **box),
        viewBox=f"0 0 {crop.width} {crop.height}",
        role="img",
        aria_label=f"the crop in its source frame: {words}",
    )
    share = crop.w * crop.h / (crop.width * crop.height)
    return tag(
        "figure", drawing, tag("figcaption", f"crop {words} px, {share:.0%} of the frame"), class_="where"
    )

"""The report of a run: one HTML page that needs no other file, no network and no script."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from xml.etree.ElementTree import Element

from mocrop_manifests import ManifestError
from mocrop_manifests.files import publish_text, sha256
from mocrop_manifests.markup import base_style, document, note, tag

from mocrop_train.errors import TrainError, printable
from mocrop_train.evaluation.predictions import Predictions
from mocrop_train.progress import log
from mocrop_train.report import sections
from mocrop_train.report.cards import card
from mocrop_train.report.story import Story, read_story
from mocrop_train.report.worst import Sight, sights, worst_clips

NAME = "report.html"


def write_report(folder: Path, *, shards: Path | None = None, predictions: Path | None = None) -> Path:
    """Write the report of a run folder into it and return its path.

    `shards` is the set that the thumbnails come from, the one that config.json names by default; without it
    there are none, and the page says so. Raises TrainError if the folder holds no run or damaged files.
    """
    story = read_story(folder, predictions)
    path = folder / NAME
    publish_text(path, build_page(story, shards or _known_shards(story)))
    return path


def leave_report(folder: Path, *, shards: Path, predictions: Path | None = None) -> None:
    """Write the report at the end of a run; what goes wrong is one warning, as the run is done and saved."""
    try:
        path = write_report(folder, shards=shards, predictions=predictions)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is not worth a trained model
        log.warning("no %s: %s", NAME, printable(str(error) or type(error).__name__))
    else:
        log.info("report: %s", path)


def build_page(story: Story, shards: Path | None) -> str:
    """Return the page of a run as one HTML text."""
    found = story.predictions if story.predictions and story.predictions.clips else None
    parts = [sections.headline(found), sections.cost(story, found)] if found else []
    if not found:
        parts.append(note("No predictions on a test split are there, so there is no result."))
    parts.append(sections.curves(story))
    if found:
        parts += [sections.confusions(found), sections.per_class(found), sections.calibration(found)]
        parts.append(_worst(found, shards))
    parts.append(sections.settings(story))
    style = base_style() + resources.files(__package__).joinpath("web", "report.css").read_text("utf-8")
    title = f"Run {printable(story.name)}"
    return document(title, style, "", sections.head(story), tag("main", *parts))


def _worst(found: Predictions, shards: Path | None) -> Element:
    """Return the cards of the worst clips, with what the model saw of them as far as it can be had."""
    worst = worst_clips(found)
    seen, remarks = _sights(found, shards, [each.clip.clip_id for each in worst])
    cards = [card(each, found.classes, seen.get(each.clip.clip_id)) for each in worst]
    return tag(
        "section",
        tag("h2", "Worst clips"),
        tag(
            "p",
            "By the loss of the true class, then mistakes of which the model is sure. The picture is the "
            "middle one of the stored frames, which show the crop alone.",
            class_="hint",
        ),
        *map(note, remarks),
        tag("div", *cards, class_="cards") if cards else tag("p", "No clip is wrong or unsure."),
    )


def _sights(found: Predictions, shards: Path | None, clips: list[str]) -> tuple[dict[str, Sight], list[str]]:
    """Return what is to be seen of clips, and remarks on what is not."""
    if shards is None or not clips:
        return {}, ["No thumbnails: the shards are not known; name them with --shards."] if clips else []
    try:
        seen = sights(shards, found, clips)
    except (TrainError, ManifestError, OSError) as error:
        return {}, [f"No thumbnails: {printable(str(error))}"]
    remarks = []
    if found.shards_sha256 and found.shards_sha256 != sha256(shards / "dataset.json"):
        remarks.append(f"{printable(str(shards))} is not the set of the predictions, or was made again.")
    if missing := len(clips) - len(seen):
        remarks.append(f"{missing} of these clips are not in {printable(str(shards))}.")
    return seen, remarks


def _known_shards(story: Story) -> Path | None:
    path = story.shards.get("path")
    return Path(path) if path else None

"""The parts of a run's report, from its head to its settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from mocrop_manifests.markup import Child, data_uri, note, number_list, table, tag

from mocrop_train.config import TrainConfig
from mocrop_train.errors import TrainError, printable
from mocrop_train.evaluation import metrics
from mocrop_train.evaluation.predictions import Predictions
from mocrop_train.evaluation.statistics import bootstrap
from mocrop_train.models.cost import clip_cost
from mocrop_train.report import plots
from mocrop_train.report.story import Story
from mocrop_train.settings import flag, in_words, replaced

_MOST_CONFUSIONS = 12
_MOST_CLASSES = 400
_MOST_EPOCHS = 1000
_NONE = "–"


def head(story: Story) -> Element:
    """Return the title, what was run, and a warning if the result cannot be what it seems."""
    settings, found = story.settings, story.predictions
    facts = [
        str(settings.get("model", "")),
        f"shards {story.shards.get('name', _NONE)}",
        f"recipe {settings['recipe']}" if settings.get("recipe", "none") != "none" else "",
        f"{len(story.history)} epochs",
        f"best.pt: epoch {story.best}" if story.best else "",
        f"mocrop {story.versions.get('mocrop', _NONE)}",
    ]
    on = story.selected_on or (found.selected_on if found else "")
    return tag(
        "header",
        tag("h1", f"Run {printable(story.name)}"),
        tag("p", " · ".join(printable(fact) for fact in facts if fact), class_="facts"),
        tag("p", f"The epoch was selected on: {on}.") if on else None,
        tag(
            "p",
            "Selected on the test split: the accuracy below is too good, and none to report.",
            class_="alarm",
        )
        if on == "test" or settings.get("peek_at_test") is True
        else None,
        class_="top",
    )


def headline(found: Predictions) -> Element:
    """Return accuracy with its intervals, and calibration."""
    labels, predicted, _ = metrics.arrays(found)
    right = predicted == labels
    shown = [
        (f"top-1 on {printable(found.split)}", f"{right.mean():.1%}"),
        ("95 % over clips", _span(metrics.wilson(int(right.sum()), len(right)))),
    ]
    names, members = np.unique([clip.group for clip in found.clips], return_inverse=True)
    if len(names) > 1 and all(names):
        over = bootstrap(right.astype(np.int64), members.astype(np.int64), seed=0)
        shown.append((f"95 % over {len(names)} groups", _span(over)))
    if len(found.classes) > 5:
        shown.append(("top-5", f"{found.top5:.1%}"))
    good = metrics.calibration(found)
    shown += [
        ("clips", f"{len(found.clips):,}"),
        ("loss, nats", f"{good.nll:.3f}"),
        ("calibration error", f"{good.ece:.1%}"),
        ("Brier score", f"{good.brier:.3f}"),
    ]
    return _section("Result", number_list(shown), kind="result")


def cost(story: Story, found: Predictions) -> Element | None:
    """Return what a prediction costs the network, counted from the settings; None if they are not known."""
    frames = int(np.median([clip.frames for clip in found.clips]))
    if not frames:
        return None
    try:
        price = clip_cost(replaced(TrainConfig(), story.settings), len(found.classes), frames)
    except ValueError:  # settings of another release, or not resolved
        return None
    shown = [
        ("parameters", f"{price.parameters / 1e6:.2f} million"),
        ("multiply-adds of a frame", f"{price.multiply_adds / frames / 1e9:.2f} G"),
        (f"of a clip of {frames} frames, the median", f"{price.multiply_adds / 1e9:.2f} G"),
    ]
    return _section("Cost of a prediction", number_list(shown))


def curves(story: Story) -> Element | None:
    """Return the curves of training, how fast it was, and every epoch's numbers."""
    if not story.history:
        return None
    alt = f"loss, accuracy and learning rate over {len(story.history)} epochs"
    columns = list(story.history[-1])
    lines = [
        tag("tr", *(tag("td", _number(row.get(name))) for name in columns))
        for row in story.history[-_MOST_EPOCHS:]
    ]
    return _section(
        "Training",
        plot(lambda: plots.curves_png(story.history, story.best), alt, "wide"),
        number_list(_speeds(story.history)),
        tag("details", tag("summary", "Every epoch (log.csv)"), table(columns, lines)),
    )


def confusions(found: Predictions) -> Element:
    """Return the confusion matrix, and the largest confusions in words."""
    matrix = metrics.confusion(found)
    wrong = matrix - np.diag(matrix.diagonal())
    totals = matrix.sum(1)
    largest = [divmod(int(place), len(matrix)) for place in np.argsort(-wrong, axis=None, kind="stable")]
    lines = [
        tag(
            "tr",
            tag("td", found.classes[true]),
            tag("td", found.classes[taken]),
            tag("td", f"{wrong[true, taken]} of {totals[true]}"),
            tag("td", f"{wrong[true, taken] / totals[true]:.1%}"),
        )
        for true, taken in largest[:_MOST_CONFUSIONS]
        if wrong[true, taken]
    ]
    alt = f"confusion matrix of {len(matrix)} classes, rows true, columns predicted"
    wide = "vast" if len(matrix) > 40 else "wide" if len(matrix) > 12 else ""

    drawing = plot(lambda: plots.confusion_png(matrix, found.classes), alt, wide)
    words = (
        table(("true class", "taken for", "clips", "share"), lines)
        if lines
        else tag("p", "Every clip is right.")
    )
    return _section("Confusions", tag("div", drawing, words, class_="pair"))


def per_class(found: Predictions) -> Element:
    """Return the accuracy of every class with its interval, the worst first."""
    matrix = metrics.confusion(found)
    right, clips = matrix.diagonal(), matrix.sum(1)
    have = [place for place in range(len(matrix)) if clips[place]]
    order = sorted(have, key=lambda place: right[place] / clips[place])
    rows = [_class(found.classes[at], int(right[at]), int(clips[at])) for at in order[:_MOST_CLASSES]]
    notes = []
    if len(order) > len(rows):
        notes.append(note(f"{len(order) - len(rows)} better classes are not shown."))
    if missing := len(matrix) - len(have):
        notes.append(note(f"{missing} classes have no clips in this split."))
    caption = "Share of right clips, with the 95 % interval over clips (Wilson); the worst class first."
    body = (tag("p", caption, class_="hint"), tag("ol", *rows, class_="classes"), *notes)
    return _section("Classes", *body)


def calibration(found: Predictions) -> Element:
    """Return how far the model's confidence can be believed."""
    good = metrics.calibration(found)
    alt = f"accuracy by confidence; the expected calibration error is {good.ece:.1%}"
    gap = sum(clips * (sure - right) for sure, right, clips in good.bins) / len(found.clips)
    how = "surer than it is right" if gap > 0 else "less sure than it is right"
    return _section(
        "Calibration",
        plot(lambda: plots.reliability_png(good), alt),
        tag("p", f"On average the model is {abs(gap):.1%} {how}.", class_="hint"),
    )


def settings(story: Story) -> Element:
    """Return what was asked for, where it differs from the defaults, and all of it."""
    plain = dataclasses.asdict(TrainConfig())
    lines = [
        tag(
            "tr",
            tag("td", tag("code", flag(printable(name)))),
            tag("td", _setting(value)),
            tag("td", _setting(plain[name]) if name in plain else "of another release"),
        )
        for name, value in story.settings.items()
        if name not in plain or value != plain[name]
    ]
    every = [(printable(name), _setting(value)) for name, value in story.settings.items()]
    made = [(name, story.shards[name]) for name in ("name", "path") if name in story.shards]
    return _section(
        "Settings",
        table(("setting", "value", "default"), lines),
        tag("details", tag("summary", "All settings"), number_list(every)),
        tag("h3", "Shards"),
        number_list(made),
        tag("h3", "Versions"),
        number_list((printable(name), version) for name, version in story.versions.items()),
    )


def plot(draw: Callable[[], bytes], alt: str, kind: str = "") -> Element:
    """Return a plot, or a line on why there is none."""
    try:
        content = draw()
    except TrainError as error:
        return note(str(error))
    img = tag("img", src=data_uri("png", content), alt=alt, class_=f"plot {kind}".rstrip())
    return tag("div", img, class_="scroll")


def _section(title: str, *parts: Child, kind: str | None = None) -> Element:
    return tag("section", tag("h2", title), *parts, class_=kind)


def _class(name: str, right: int, clips: int) -> Element:
    low, high = metrics.wilson(right, clips)
    bar = tag(
        "svg",
        tag("rect", x=0, y=0, width=100, height=10, class_="whole"),
        tag("rect", x=0, y=0, width=f"{100 * right / clips:.2f}", height=10, class_="share"),
        tag("line", x1=f"{100 * low:.2f}", x2=f"{100 * high:.2f}", y1=5, y2=5, class_="span"),
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
    words = f"{right / clips:.0%}, {right} of {clips}"
    return tag("li", tag("span", name, class_="name"), bar, tag("span", words, class_="mono"))


def _speeds(history: Sequence[dict[str, float]]) -> list[tuple[str, str]]:
    """Return the medians over the epochs of what log.csv says of speed."""
    known = {name: [row[name] for row in history if name in row] for name in history[-1]}
    middle = {name: float(np.median(values)) for name, values in known.items() if values}
    shown = [
        ("training clips/s, median epoch", "clips_per_second", "{:.1f}"),
        ("waiting for data, median epoch", "wait", "{:.1%}"),
        ("seconds an epoch, median", "seconds", "{:.1f}"),
    ]
    return [(what, form.format(middle[name])) for what, name, form in shown if name in middle]


def _span(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.1f} to {interval[1]:.1%}"


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:.6g}"


def _setting(value: Any) -> str:
    return "automatic" if value is None else printable(in_words(value))

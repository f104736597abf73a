"""The report of a run: what it says, what it shows, and that nothing in it can do harm."""

from __future__ import annotations

import dataclasses
import html
import io
import json
import logging
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from mocrop_manifests import read_dataset
from mocrop_train import loop
from mocrop_train.cli import main
from mocrop_train.config import TrainConfig
from mocrop_train.data.loading import ClipFrames
from mocrop_train.data.splits import Selection
from mocrop_train.errors import TrainError
from mocrop_train.evaluation.predictions import ClipPrediction, Predictions, write_predictions
from mocrop_train.report import page, plots
from mocrop_train.report.page import write_report
from mocrop_train.report.worst import sights, worst_clips
from mocrop_train.run import runfolder
from PIL import Image

from tests.browser import CHROMIUM, Browser, browser

HOSTILE = ("<script>alert(1)</script>", "$\\frac{\x1b[31m", "x" * 300)
CROP = [40, 30, 160, 120]
HISTORY: list[dict[str, float]] = [
    {"epoch": 1, "lr": 1e-3, "train_loss": 1.2, "train_top1": 0.4, "seconds": 2.0, "wait": 0.25},
    {"epoch": 2, "lr": 1e-4, "train_loss": 0.9, "train_top1": 0.6, "seconds": 2.0, "wait": 0.25},
]


def prediction(clip_id: str, label: int, scores: list[float], group: str = "g0") -> ClipPrediction:
    return ClipPrediction(clip_id, group, label, int(np.argmax(scores)), scores, 4)


def predictions_of(clips: list[ClipPrediction], classes: list[str], **told: Any) -> Predictions:
    right = [clip.prediction == clip.label for clip in clips]
    accuracy = sum(right) / len(right)
    return Predictions("toy", "test", classes, "resnet18", "run/best.pt", accuracy, 1.0, {}, clips, **told)


class Run:
    """A run folder and its shards, as training leaves them, made without training."""

    def __init__(self, toys: Any, classes: tuple[str, ...] = ("across", "down", "slanted")) -> None:
        clips = [toys.clip(f"clip_{at}", at % 3, split="test", group=f"g{at % 2}") for at in range(9)]
        for clip in clips[:6]:
            clip.about = {"crop": CROP, "width": 320, "height": 240}
        for clip in clips[6:]:
            clip.about = {"crop": None}
        self.shards = Path(toys.write(clips=clips, classes=classes))
        self.folder = Path(toys.folder) / "run"
        self.classes = list(classes)
        self.clips = [prediction(clip.clip_id, clip.label, [0.5, 0.3, 0.2], clip.group) for clip in clips]
        self.settings = TrainConfig(model="resnet50", epochs=2, lr=0.125, input_size=224)

    def write(self, selection: str = "train groups", **told: Any) -> Path:
        self.folder.mkdir(exist_ok=True)
        index, path = read_dataset(self.shards), self.folder / "config.json"
        runfolder.write_config(path, self.settings, index, self.shards, Selection(selection))
        runfolder.write_log(self.folder / "log.csv", HISTORY)
        found = predictions_of(self.clips, self.classes, **told)
        (self.folder / "predictions.json").write_text(write_predictions(found), encoding="utf-8")
        return self.folder


class Seen(HTMLParser):
    """What a page holds: its text, and its elements with their attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.words = ""
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._within = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within != "style":
            self.words += f" {data}"

    def pictures(self, kind: str) -> list[dict[str, str | None]]:
        return [img for img in self.all("img") if (img["src"] or "").startswith(f"data:image/{kind};base64,")]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def run(toys: Any) -> Run:
    return Run(toys)


def test_the_page_says_what_was_run_and_how_it_went(run: Run) -> None:
    words = " ".join(Seen(write_report(run.write())).words.split())
    # 3 of 9 are right; Wilson's interval of that is known
    for text in ("33.3%", "12.1 to 64.6%", "selected on: train groups", "25.0%", "clip_8"):
        assert text in words, text
    assert re.search(r"down across 3 of 3 100.0%", words)
    # ResNet-50: 4.09 G multiply-adds at 224 px, 23.5 million parameters below the head
    assert re.search(r"parameters 23.51 million .* 4.09 G .* 4 frames, the median 16.3\d G", words)
    assert re.search(r"--model resnet50 resnet18", words)
    assert re.search(r"--lr 0.125 automatic", words)
    assert "--seed" not in words.partition("All settings")[0]
    assert "too good" not in words


@pytest.mark.parametrize("told", [{"selection": "test"}, {"selection": "", "selected_on": "test"}])
def test_a_run_that_peeked_at_test_is_called_so(run: Run, told: dict[str, str]) -> None:
    found = Seen(write_report(run.write(**told)))
    assert any(attributes.get("class") == "alarm" for attributes in found.all("p"))


def test_worst_clips_are_those_of_highest_loss_then_the_surest_mistakes() -> None:
    clips = [
        prediction("sure_right", 0, [0.98, 0.01, 0.01]),
        prediction("unsure_right", 0, [0.4, 0.35, 0.25]),
        prediction("lost", 2, [0.5, 0.49, 0.01]),
        prediction("sure_wrong", 1, [0.9, 0.06, 0.04]),
        prediction("near", 0, [0.45, 0.5, 0.05]),
    ]
    found = predictions_of(clips, ["a", "b", "c"])
    chosen = [worst.clip.clip_id for worst in worst_clips(found)]
    assert chosen == ["lost", "sure_wrong", "unsure_right", "near"]
    assert [worst.clip.clip_id for worst in worst_clips(found, most=2)] == ["lost", "sure_wrong"]
    assert worst_clips(found)[0].loss == pytest.approx(4.60517)
    assert worst_clips(predictions_of(clips[:1], ["a", "b", "c"])) == []


def test_pictures_are_those_of_the_clips(toys: Any, form: dict[str, str]) -> None:
    clip = toys.clip("clip", 0, split="test", frames=5, size=(300, 600))
    clip.about = {"crop": CROP, "width": 320, "height": 240}
    shards = toys.write("one", [clip], **form)
    found = predictions_of([prediction("clip", 0, [0.1, 0.8, 0.1])], list(toys.classes))
    seen = sights(shards, found, ["clip", "other"])
    assert list(seen) == ["clip"]
    sight = seen["clip"]
    assert (sight.position, sight.stored, sight.size) == (2, 5, (224, 112))
    shown = np.asarray(Image.open(io.BytesIO(sight.jpeg)).resize((60, 30)), float)
    stored = np.asarray(Image.fromarray(clip.frames[2]).resize((60, 30)), float)
    assert abs(shown - stored).mean() < 12
    assert sight.crop == (*CROP, 320, 240)


def test_a_card_draws_the_crop_to_scale_where_the_shards_tell_of_it(run: Run) -> None:
    found = Seen(write_report(run.write()))
    boxes = [attributes for attributes in found.all("rect") if attributes.get("class") == "crop"]
    assert len(boxes) == 4  # of the six clips that are wrong
    places = [[box[name] for name in ("x", "y", "width", "height")] for box in boxes]
    assert places == [["40", "30", "160", "120"]] * 4
    assert len(found.pictures("jpeg")) == 6


@pytest.mark.parametrize("loss", ["gone", "unknown", "damaged", "other"])
def test_without_its_shards_a_run_has_its_report_without_thumbnails(run: Run, toys: Any, loss: str) -> None:
    folder = run.write(shards_sha256="0" * 64 if loss == "other" else "")
    shard = next(run.shards.glob("*.tar"))
    if loss == "gone":
        run.shards.rename(run.shards.with_name("moved"))
    elif loss == "unknown":
        config = json.loads((folder / "config.json").read_text())
        del config["shards"]["path"]
        (folder / "config.json").write_text(json.dumps(config))
    elif loss == "damaged":
        shard.write_bytes(b"x" * shard.stat().st_size)
    found = Seen(write_report(folder))
    notes = [attributes for attributes in found.all("p") if attributes.get("class") == "note"]
    assert len(notes) == 1
    assert "33.3%" in found.words
    assert ("No thumbnails" in found.words) == (loss != "other")
    if loss == "gone":
        again = Seen(write_report(folder, shards=run.shards.with_name("moved")))
        assert "No thumbnails" not in again.words


def test_a_picture_that_is_none_costs_only_itself(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ClipFrames.encoded

    def encoded(self: ClipFrames, clip: int, positions: list[int]) -> list[bytes]:
        return [b"\xff\xd8"] if clip == 1 else whole(self, clip, positions)

    monkeypatch.setattr(ClipFrames, "encoded", encoded)
    found = Seen(write_report(run.write()))
    assert found.words.count("no picture: ") == 1
    assert len(found.pictures("jpeg")) == 5


def test_without_matplotlib_the_page_comes_without_plots(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "MISSING", True)
    found = Seen(write_report(run.write()))
    assert "pip install 'mocrop[train]'" in found.words
    assert "33.3%" in found.words
    assert found.pictures("png") == []
    assert len(found.pictures("jpeg")) == 6


def test_a_run_without_test_clips_has_a_report(run: Run) -> None:
    folder = run.write()
    (folder / "predictions.json").unlink()
    (folder / "log.csv").unlink()
    words = Seen(write_report(folder)).words
    assert "no result" in words
    config = json.loads((folder / "config.json").read_text())
    config["config"] |= {"model": "of another release", "input_size": None}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "predictions.json").write_text(write_predictions(predictions_of(run.clips, run.classes)))
    assert "Cost of a prediction" not in Seen(write_report(folder)).words
    assert "resnet50" in words


def test_names_can_do_no_harm(toys: Any) -> None:
    run = Run(toys, HOSTILE)
    run.clips = [dataclasses.replace(clip, group="<img src=x>\u202e") for clip in run.clips]
    path = write_report(run.write())
    found, text = Seen(path), path.read_text(encoding="utf-8")
    assert not found.all("script")
    assert len(found.all("img")) == len(found.pictures("jpeg") + found.pictures("png")) == 9
    assert html.escape(HOSTILE[0], quote=False) in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "default-src 'none'" in text
    assert "script-src" not in text
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]


def test_the_same_run_gives_the_same_page(run: Run) -> None:
    folder = run.write()
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


def test_many_classes_and_clips_make_no_large_page(run: Run) -> None:
    rng = np.random.default_rng(0)
    run.classes = [f"{number:03d}_" + "name" * 40 for number in range(101)]
    scores = rng.dirichlet(np.full(101, 0.05), 800)
    scores = (scores + 1e-6) / (scores + 1e-6).sum(1, keepdims=True)
    run.clips = [prediction(f"clip_{at}", at % 101, row.tolist()) for at, row in enumerate(scores)]
    path = write_report(run.write())
    assert path.stat().st_size < 3_000_000
    assert len(Seen(path).all("article")) == 24


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", None, "no config.json there"),
        ("config.json", "{", "config.json: not valid JSON"),
        ("log.csv", "epoch,lr\n1,x\n", "log.csv: line 2"),
        ("predictions.json", "{}", "not a prediction file"),
    ],
)
def test_what_is_no_run_folder_is_one_line(run: Run, file: str, content: str | None, message: str) -> None:
    folder = run.write()
    (folder / file).unlink() if content is None else (folder / file).write_text(content)
    with pytest.raises(TrainError, match=message):
        write_report(folder)
    assert not (folder / page.NAME).exists()


def test_the_command_makes_the_page_of_a_run_again(run: Run) -> None:
    folder = run.write()
    done = CliRunner().invoke(main, ["--report", str(folder)])
    assert (done.exit_code, done.output) == (0, f"report: {folder / 'report.html'}\n")
    assert (folder / "report.html").exists()
    done = CliRunner().invoke(main, ["--report", str(folder), "--json", str(folder / "no.json")])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "no.json: no such file of predictions" in done.stderr
    done = CliRunner().invoke(main, ["--report", str(folder), "--resume"])
    assert done.exit_code == 2
    assert "--report" in done.output


def test_training_leaves_a_report_and_no_failure_of_it_costs_the_run(
    toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = TrainConfig(model="mobilenet_v2", epochs=1, batch_size=8, segments=1, device="cpu", limit=6)
    shards = toys.write()
    loop.train(shards, tmp_path / "run", config)
    found = Seen(tmp_path / "run/report.html")
    assert "best.pt: epoch 1" in found.words
    assert found.all("article")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no ink\x1b[0m")

    monkeypatch.setattr(page, "build_page", fail)
    with caplog.at_level(logging.WARNING, "mocrop_train"):
        page.leave_report(tmp_path / "run", shards=shards)
    assert [record.getMessage() for record in caplog.records] == ["no report.html: no ink\\x1b[0m"]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("chromium") / "profile") as running:
        yield running


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
def test_a_browser_shows_all_of_it_at_any_width(run: Run, chromium: Browser) -> None:
    path = write_report(run.write())
    pictures = len(Seen(path).all("img"))
    for width, scheme in ((1200, "light"), (400, "dark")):
        chromium.resize(width, 900)
        chromium.prefer(prefers_color_scheme=scheme)
        chromium.open(path)
        assert chromium.evaluate("document.documentElement.scrollWidth") <= width
        chromium.evaluate("for (const img of document.images) img.loading = 'eager'")
        sizes = chromium.evaluate(
            "Promise.all([...document.images].map((img) => img.decode().then(() => img.naturalWidth)))"
        )
        assert len(sizes) == pictures
        assert min(sizes) > 0
        # a style of its own is the only one that the page may have, and it does have it
        assert chromium.evaluate("getComputedStyle(document.querySelector('.card')).borderRadius") == "10px"
        dark = chromium.screenshot().mean() < 128
        assert dark == (scheme == "dark")
    assert chromium.complaints == []

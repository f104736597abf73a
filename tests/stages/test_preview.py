"""The preview page, made of real clips in real WORKDIRs and read back as a browser would."""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from mocrop_manifests import CropRow, read_crops, write_crops
from mocrop_prep import workflow
from mocrop_prep.clips import find_clips
from mocrop_prep.config import CropSettings, RunSettings, ShardSettings, TranscodeSettings
from mocrop_prep.errors import UsageError
from mocrop_prep.preview import PreviewReport, write_preview
from mocrop_prep.preview.arrows import MOST_ARROWS, Flow, thinned
from mocrop_prep.preview.draw import density_png
from mocrop_prep.preview.evidence import frames_to_show
from mocrop_prep.preview.select import Wanted, choose_clips, gain
from mocrop_prep.preview.stored import find_stored, read_part
from mocrop_prep.shards import FORMS
from mocrop_prep.vectors import ClipInfo
from mocrop_prep.video.write import write_video
from mocrop_prep.workdir import Workdir, make_workdir, open_workdir

from tests.commands import ok

HOSTILE = "<script>alert(1)</script>\" onload='x'"
WIDTH, HEIGHT, FRAMES = 160, 120, 30
RUN = RunSettings(jobs=1, backend="sequential")
V1 = CropSettings(method="mocrop-v1")


def moving_square(start: tuple[int, int], step: tuple[int, int]) -> list[np.ndarray]:
    """Draw a textured square that moves over a still, textured ground."""
    rng = np.random.default_rng(7)
    ground = cv2.resize(rng.integers(0, 255, (15, 20, 3), np.uint8), (WIDTH, HEIGHT))
    square = cv2.resize(rng.integers(0, 255, (6, 6, 3), np.uint8), (32, 32), interpolation=cv2.INTER_NEAREST)
    pictures = []
    for number in range(FRAMES):
        picture = ground.copy()
        x = (start[0] + step[0] * number) % (WIDTH - 32)
        y = (start[1] + step[1] * number) % (HEIGHT - 32)
        picture[y : y + 32, x : x + 32] = square
        pictures.append(picture)
    return pictures


def write_clip(path: Path, pictures: Sequence[np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, pictures, fps=Fraction(25), codec="libx264", options={"crf": "18"}, b_frames=0)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of three clips that move, one that does not, one that is broken, in three classes."""
    root = tmp_path_factory.mktemp("source")
    write_clip(root / "right.mp4", moving_square((0, 10), (3, 0)))
    write_clip(root / "down.mp4", moving_square((120, 0), (0, 2)))
    write_clip(root / "corner.mp4", moving_square((100, 60), (1, 1)))
    still = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    write_video(
        root / "still.mp4", [still] * FRAMES, fps=Fraction(25), codec="libx264", options={}, b_frames=0
    )
    (root / "broken.avi").write_bytes(b"not a video at all" * 50)
    with (root / "clips.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(
            [
                ("path", "label", "split", "group"),
                ("right.mp4", "walk", "test", "g01"),
                ("down.mp4", HOSTILE, "train", 'g"2'),
                ("corner.mp4", "walk", "train", "g03"),
                ("still.mp4", "stand & wait", "train", ""),
                ("broken.avi", "walk", "train", "g04"),
            ]
        )
    return root


@pytest.fixture(scope="module")
def staged(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    """A WORKDIR with every intermediate, two manifests, and shards of one of them."""
    session = new_session(source, tmp_path_factory.mktemp("staged") / "work")
    workflow.perform(workflow.TranscodeStage(session, TranscodeSettings()))
    workflow.perform(workflow.ExtractStage(session))
    workflow.perform(workflow.CropStage(session, V1, "v1"))
    workflow.perform(workflow.CropStage(session, CropSettings(method="center"), "middle"))
    workflow.perform(workflow.ShardStage(session, ShardSettings(shard_size="1"), crops="v1", name="v1"))
    return session.workdir


@pytest.fixture(scope="module")
def fused(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    """A WORKDIR of a fused run, without intermediates."""
    session = new_session(source, tmp_path_factory.mktemp("fused") / "work")
    shard = ShardSettings(shard_size="1")
    workflow.perform(workflow.RunStage(session, TranscodeSettings(), V1, shard, name="v1", keep=False))
    return session.workdir


@pytest.fixture
def copy(staged: Workdir, tmp_path: Path) -> Workdir:
    """A copy of the staged WORKDIR that a test may damage."""
    shutil.copytree(staged.root, tmp_path / "work")
    return dataclasses.replace(staged, root=tmp_path / "work")


def new_session(source: Path, root: Path) -> workflow.Session:
    found = find_clips(source / "clips.csv")
    session = workflow.Session(make_workdir(root, found.root), found.clips, RUN, quiet=True)
    workflow.save_clips(session.workdir, found.clips)
    return session


@dataclass
class Card:
    """One card as a reader sees it."""

    text: str = ""
    images: list[tuple[str, bytes]] = field(default_factory=list)
    status: str = ""
    rectangles: list[dict[str, str]] = field(default_factory=list)
    arrows: str = ""

    def pictures(self, alt: str) -> list[bytes]:
        return [content for text, content in self.images if text.startswith(alt)]


class Page(HTMLParser):
    """A page taken apart: its text, its cards by clip id, and everything that a browser would run."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.cards: dict[str, Card] = {}
        self.scripts: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self._card: Card | None = None
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append((tag, values))
        if tag not in ("meta", "img", "input", "wbr"):
            self._open.append(tag)
        if tag == "article":
            crops = json.loads(values["data-crops"]).values()
            self._card = self.cards[values["data-id"]] = Card(
                status=" ".join(crop["status"] for crop in crops)
            )
        elif tag == "script":
            self.scripts.append("")
        elif self._card and tag == "img":
            prefix, _, content = values["src"].partition(",")
            assert prefix in ("data:image/webp;base64", "data:image/png;base64")
            self._card.images.append((values["alt"], base64.b64decode(content, validate=True)))
        elif self._card and tag == "rect":
            self._card.rectangles.append(values)
        elif self._card and tag == "path" and values.get("id", "").startswith("arrows-"):
            self._card.arrows = values["d"]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, "the page's elements must be nested"
        if tag == "article":
            self._card = None

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        if inside == "script":
            self.scripts[-1] += data
            return
        if self._card is not None:
            self._card.text += f" {data}"
        if inside not in ("style", "title"):
            self.text += f" {data}"


def preview(
    workdir: Workdir,
    *names: str,
    worst: int = 0,
    random: int = 0,
    clips: tuple[str, ...] = (),
    boxes: Path | None = None,
    seed: int = 0,
    everything: bool = False,
    run: RunSettings = RUN,
) -> tuple[Page, PreviewReport]:
    target = workdir.reports / "preview.html"
    wanted = Wanted(worst, random, clips, seed, everything)
    report = write_preview(workdir, wanted, names=names, target=target, boxes=boxes, run=run, quiet=True)
    return Page(target), report


def rows_of(workdir: Workdir, name: str) -> dict[str, CropRow]:
    return {row.clip_id: row for row in read_crops(workdir.crops(name))}


def test_a_card_shows_the_numbers_of_its_row(staged: Workdir) -> None:
    page, report = preview(staged, "v1", worst=10)
    rows = rows_of(staged, "v1")
    assert report == PreviewReport(4, ())
    assert set(page.cards) == {"right", "down", "corner", "still"}
    for clip_id, card in page.cards.items():
        row = rows[clip_id]
        shown = [
            row.label_name,
            row.split,
            row.status,
            f"{row.width}×{row.height} px · 25.00 fps · {row.frames} frames · {row.key_frames} key frames",
            f"{row.w}×{row.h}",
            f"{row.x}, {row.y}",
            f"{(row.area or 0) * 100:.1f}\N{NO-BREAK SPACE}%",
            row.method,
            row.grid,
            f"{row.vectors:,}",
            f"{row.kept:,}",
            f"{row.sampled:,}",
        ]
        if row.motion_inside is not None:
            shown += [f"{row.motion_inside * 100:.1f}\N{NO-BREAK SPACE}%", f"{row.score:.6g}"]
        assert [text for text in shown if text not in card.text] == []
        assert card.status == row.status


def test_the_pictures_are_frames_densities_and_stored_crops_of_modest_size(staged: Workdir) -> None:
    page, _ = preview(staged, "v1", clips=("right",))
    card = page.cards["right"]
    frames, densities, strips = (card.pictures(alt) for alt in ("frame", "density", "stored frames"))
    stored = rows_of(staged, "v1")["right"].key_frames or 0
    sizes = [decoded(picture).shape[:2] for picture in (*frames, *densities, *strips)]
    assert sizes == [(HEIGHT, WIDTH), (6, 8), (96, 96 * stored)]
    assert len(page.source) < 100_000


def test_the_crop_is_outlined_where_the_manifest_says(staged: Workdir) -> None:
    page, _ = preview(staged, "v1", clips=("right",))
    row = rows_of(staged, "v1")["right"]
    outlines = [shape for shape in page.cards["right"].rectangles if shape["class"].startswith("outline")]
    assert len(outlines) == 2  # on the frame and on the density
    for shape in outlines:
        assert [float(shape[side]) for side in ("x", "y", "width", "height")] == [row.x, row.y, row.w, row.h]


def test_the_density_is_brightest_where_the_square_moves(staged: Workdir) -> None:
    page, _ = preview(staged, "v1", clips=("down",))
    cells = decoded(page.cards["down"].pictures("density")[0])
    assert cells.shape == (6, 8, 4)
    opacity = cells[..., 3].astype(int)
    assert opacity.max() == pytest.approx(0.9 * 255, abs=1)
    assert opacity.max(axis=0).argmax() >= 6  # the square comes down at the right edge
    assert opacity[:, :4].max() < opacity.max() / 3


def test_a_fine_density_is_averaged_to_what_a_card_can_show() -> None:
    cells = np.zeros((400, 10), np.int64)
    cells[:200] = 7
    small = decoded(base64.b64decode(density_png(cells).partition(",")[2]))[..., 3]
    assert small.shape == (96, 10)
    assert (small[:48] == small.max()).all()
    assert (small[48:] == 0).all()


def test_the_arrows_point_where_the_content_moves(staged: Workdir) -> None:
    page, _ = preview(staged, "v1", clips=("right", "down", "still"))
    for clip_id, axis, step in (("right", 0, 3), ("down", 1, 2)):
        bases, shafts = arrows_of(page.cards[clip_id])
        assert np.median(shafts[:, axis]) == 2 * step  # drawn at twice their length
        assert np.median(np.abs(shafts[:, 1 - axis])) == 0
        # frame 12 is shown: there the square begins at 10 + 3 * 12, or at 2 * 12
        start = (46, 10) if clip_id == "right" else (120, 24)
        near = np.abs(bases - start - 16).max(axis=1) < 16 + 12
        assert near.mean() > 0.8
    assert page.cards["still"].arrows == ""
    assert "frame 12; arrows: the motion to frame 13, 2× its length" in page.cards["right"].text
    assert re.search(
        r"\d+ of \d+ blocks move by a pixel or more, all of them drawn", page.cards["right"].text
    )


def test_too_many_arrows_are_thinned_to_real_ones_all_over_the_picture() -> None:
    rng = np.random.default_rng(3)
    points = np.stack(np.meshgrid(np.arange(8, 1920, 16), np.arange(8, 1080, 16)), axis=-1).reshape(-1, 2)
    moves = rng.normal((6, 0), 1.5, points.shape)
    moves[rng.random(len(points)) < 0.05] *= -20  # outliers
    flow = Flow(points.astype(np.float64), moves)
    few = thinned(flow, 1920, 1080)
    assert 300 < len(few.points) <= MOST_ARROWS
    known = {tuple(point): tuple(move) for point, move in zip(flow.points, flow.moves, strict=True)}
    assert all(known[tuple(p)] == tuple(m) for p, m in zip(few.points, few.moves, strict=True))
    assert np.abs(few.moves - (6, 0)).max() < 6
    for side, size in enumerate((1920, 1080)):
        assert np.histogram(few.points[:, side], bins=4, range=(0, size))[0].min() > 60


def test_the_frame_shown_is_near_the_middle_and_a_p_frame_follows() -> None:
    info = ClipInfo(160, 120, 25.0, 13, (0, 12))
    assert frames_to_show(info) == [0]  # nothing comes after frame 12
    assert frames_to_show(dataclasses.replace(info, frames=30, key_frames=(0, 12, 24))) == [12, 0, 24]
    assert frames_to_show(dataclasses.replace(info, frames=3, key_frames=(0, 1, 2))) == [1, 0, 2]
    long = dataclasses.replace(info, frames=1200, key_frames=tuple(range(0, 1200, 12)))
    assert frames_to_show(long) == [600, 588, 612, 576, 624]


def test_a_frame_before_its_own_copy_is_passed_over(tmp_path: Path) -> None:
    frames = moving_square((10, 10), (3, 0))
    frames[13] = frames[12]  # the middle key frame is repeated, as films of another rate do
    write_clip(tmp_path / "clips" / "walk" / "copy.mp4", frames)
    ok("run", tmp_path / "clips", tmp_path / "work", "--keep")
    home = open_workdir(tmp_path / "work")
    for _ in range(2):
        page, _ = preview(home)
        assert "frame 0; arrows: the motion to frame 1" in page.cards["walk__copy"].text
        home.motion("walk__copy").unlink(missing_ok=True)


def test_a_hostile_label_is_text_and_nothing_else(staged: Workdir) -> None:
    page, _ = preview(staged, "v1", worst=10)
    assert HOSTILE in page.cards["down"].text
    assert 'group g"2' in page.cards["down"].text
    assert "stand & wait" in page.cards["still"].text
    assert len(page.scripts) == 1
    assert "alert" not in page.scripts[0]
    assert not [tag for tag, values in page.tags if any(name.startswith("on") for name in values)]


def test_the_page_needs_and_allows_nothing_from_outside(staged: Workdir) -> None:
    page, _ = preview(staged)
    assert not re.search(r"https?:", page.source)
    addresses = [values[name] for _, values in page.tags for name in ("src", "href") if name in values]
    assert addresses
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    policy = next(v["content"] for _, v in page.tags if v.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_every_picture_has_an_alt_text(staged: Workdir) -> None:
    page, _ = preview(staged, worst=10)
    pictures = [values for tag, values in page.tags if tag == "img"]
    assert pictures
    assert all(values["alt"] for values in pictures)


def test_several_manifests_stand_side_by_side_in_one_card(staged: Workdir) -> None:
    page, report = preview(staged, "v1", "middle", clips=("right",))
    card = page.cards["right"]
    assert list(page.cards) == ["right"]
    for name in ("v1", "middle"):
        row = rows_of(staged, name)["right"]
        assert f"{row.w}×{row.h}" in card.text
        assert len(card.pictures(f"density of {name}")) == 1
    assert len(card.pictures("frame")) == 1
    colours = {shape["class"].split()[1] for shape in card.rectangles if shape["class"].startswith("outline")}
    assert colours == {"c0", "c1"}
    assert report.notes == ("middle: no shards of these crops yet, so no stored frames",)


def test_without_intermediates_the_cards_are_the_same(staged: Workdir, fused: Workdir) -> None:
    assert not fused.transcoded("right").exists()
    assert not fused.motion("right").exists()
    kept, _ = preview(staged, "v1", worst=10)
    remade, report = preview(fused, "v1", worst=10)
    assert remade.cards == kept.cards
    assert kept.cards["right"].arrows
    assert report.notes == ()
    assert not fused.transcoded("right").exists()


def test_a_method_that_looks_at_pictures_too_is_shown_without_its_vectors_as_with_them(
    copy: Workdir, source: Path
) -> None:
    session = workflow.Session(copy, find_clips(source / "clips.csv").clips, RUN, quiet=True)
    workflow.perform(workflow.CropStage(session, CropSettings(method="foreground"), "own"))
    kept, _ = preview(copy, "own", clips=("right", "down"))
    shutil.rmtree(copy.root / "motion")
    remade, _ = preview(copy, "own", clips=("right", "down"))
    assert remade.cards == kept.cards
    rows = rows_of(copy, "own")
    for clip_id, card in kept.cards.items():
        assert len(card.pictures("density")) == 1
        assert f"conf {rows[clip_id].confidence:.2f}" in card.text


def test_with_the_source_gone_too_the_stored_crops_are_shown_and_the_rest_explained(
    fused: Workdir, tmp_path: Path
) -> None:
    orphan = dataclasses.replace(fused, source=tmp_path / "gone")
    page, report = preview(orphan, "v1", clips=("right",))
    card = page.cards["right"]
    assert len(card.pictures("stored frames")) == len(card.images) == 1
    assert "source is gone" in card.text
    assert report.notes == ("1 of 1 clips have no frame, such as right: the page says why",)


def test_with_vectors_alone_the_density_is_still_shown(copy: Workdir, tmp_path: Path) -> None:
    shutil.rmtree(copy.root / "transcoded")
    page, _ = preview(dataclasses.replace(copy, source=tmp_path / "gone"), "v1", clips=("right",))
    card = page.cards["right"]
    assert not card.pictures("frame")
    assert len(card.pictures("density")) == 1
    assert card.arrows


def test_a_damaged_vectors_file_is_replaced_by_a_decode(staged: Workdir, copy: Workdir) -> None:
    copy.motion("right").write_bytes(b"PAR1 broken")
    damaged, _ = preview(copy, "v1", clips=("right",))
    whole, _ = preview(staged, "v1", clips=("right",))
    assert damaged.cards == whole.cards


def test_a_manifest_that_does_not_follow_from_the_vectors_gets_no_density(copy: Workdir) -> None:
    rows = rows_of(copy, "v1")
    moved = dataclasses.replace(rows["right"], x=(rows["right"].x or 0) + 1, w=(rows["right"].w or 0) - 1)
    copy.crops("v1").write_text(write_crops([*(rows | {"right": moved}).values()]), encoding="utf-8")
    page, _ = preview(copy, "v1", clips=("right",))
    card = page.cards["right"]
    assert not card.pictures("density")
    assert "the vectors there now lead to another crop" in card.text
    assert "holds another crop of this clip" in card.text


def test_settings_changed_since_the_manifest_are_said_so(copy: Workdir) -> None:
    path = copy.settings_file("crop-v1")
    path.write_text(path.read_text().replace('"eps": 1.0', '"eps": 2.0'))
    page, _ = preview(copy, "v1", clips=("right",))
    assert not page.cards["right"].pictures("density")
    assert "the settings on record are not those of the manifest" in page.cards["right"].text


def test_another_video_in_place_of_the_cropped_one_is_not_shown(copy: Workdir) -> None:
    write_video(
        copy.transcoded("right"),
        [np.zeros((64, 64, 3), np.uint8)] * 5,
        fps=Fraction(25),
        codec="libx264",
        options={},
        b_frames=0,
    )
    page, _ = preview(copy, "v1", clips=("right",))
    assert not page.cards["right"].pictures("frame")
    assert "no longer the one that was cropped" in page.cards["right"].text


def test_failed_clips_are_listed_with_what_was_found_and_carded_only_by_name(staged: Workdir) -> None:
    page, _ = preview(staged, worst=10)
    assert "broken" not in page.cards
    assert "Failed clips: 1" in page.text
    assert page.text.count("Invalid data found when processing input") == 1
    named, _ = preview(staged, clips=("broken",))
    card = named.cards["broken"]
    assert card.images == []
    assert "not-video  no known container or stream was found in the file" in card.text


def test_the_worst_are_fallbacks_and_then_the_least_motion_for_the_area(staged: Workdir) -> None:
    page, _ = preview(staged, "v1", worst=10)
    rows = rows_of(staged, "v1")
    order = list(page.cards)
    gains = [gain(rows[clip_id]) or 0.0 for clip_id in order]
    assert rows[order[0]].status == "fallback"
    assert gains == sorted(gains)
    assert "Shown: the 4 worst, fallbacks first, then the least motion inside for the area." in page.text
    fewer, _ = preview(staged, "v1", worst=2)
    assert list(fewer.cards) == order[:2]


def test_where_a_method_says_how_sure_it_is_the_worst_are_the_least_sure() -> None:
    sure = {"a": 0.9, "b": 0.1, "c": 0.5, "d": 0.95, "e": None}
    rows = {
        name: dataclasses.replace(row(name, 0, inside=0.9 - place / 10), confidence=sure[name])
        for place, name in enumerate("abcde")
    }
    rows["d"] = dataclasses.replace(rows["d"], status="fallback", reason="no-motion")
    # the control says nothing of its confidence: it does not weigh in, however little it holds
    control = {name: row(name, 0, inside=0.01 if name == "a" else 0.99) for name in "abcd"}
    picks = choose_clips({"sure": rows, "control": control}, Wanted(worst=5))
    assert [pick.clip_id for pick in picks] == ["d", "b", "c", "a", "e"]


def test_all_clips_are_shown_from_the_worst_on(staged: Workdir) -> None:
    page, report = preview(staged, "v1", everything=True)
    worst, _ = preview(staged, "v1", worst=4)
    assert list(page.cards) == list(worst.cards)
    assert report.clips == 4
    assert "Shown: all 4 with a crop, fallbacks first" in page.text
    with pytest.raises(UsageError, match="--all shows every clip: leave out --worst and --random"):
        preview(staged, "v1", everything=True, worst=1)


def test_random_clips_are_drawn_evenly_over_classes_and_by_seed() -> None:
    manifest = {"v1": {f"c{label}_{n}": row(f"c{label}_{n}", label) for label in range(3) for n in range(20)}}
    drawn = choose_clips(manifest, Wanted(random=9, seed=1))
    assert sorted(int(pick.clip_id[1]) for pick in drawn) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert choose_clips(manifest, Wanted(random=9, seed=1)) == drawn
    assert choose_clips(manifest, Wanted(random=9, seed=2)) != drawn


def test_a_clip_is_chosen_once_and_named_ones_come_first() -> None:
    manifest = {"v1": {name: row(name, 0, inside=0.5 + place / 10) for place, name in enumerate("abc")}}
    picks = choose_clips(manifest, Wanted(worst=1, random=5, clip_ids=("b", "b")))
    assert [(pick.clip_id, pick.why) for pick in picks] == [("b", "named"), ("a", "worst 1"), ("c", "random")]


def test_with_nothing_asked_for_six_worst_and_six_random_clips_are_chosen() -> None:
    manifest = {"v1": {f"c{n:02}": row(f"c{n:02}", n % 2) for n in range(40)}}
    kinds = [pick.why.split()[0] for pick in choose_clips(manifest, Wanted())]
    assert kinds == ["worst"] * 6 + ["random"] * 6


def test_an_unknown_clip_is_refused_with_ids_like_it(staged: Workdir) -> None:
    with pytest.raises(UsageError, match=r"--clip rihgt: no such clip; did you mean right\?"):
        preview(staged, clips=("rihgt",))
    with pytest.raises(UsageError, match=r"--clip zzzzzzzz: no such clip; ids look like broken"):
        preview(staged, clips=("zzzzzzzz",))


def test_too_many_clips_are_refused(staged: Workdir) -> None:
    with pytest.raises(UsageError, match="1001 clips asked for: a page shows at most 1000; make several"):
        preview(staged, worst=501, random=500)
    manifest = {"v1": {f"c{n:04}": row(f"c{n:04}", 0) for n in range(1001)}}
    with pytest.raises(UsageError, match=r"1001 clips .* as with --worst 500 --random 500"):
        choose_clips(manifest, Wanted(everything=True))


def test_an_unknown_manifest_is_refused_with_those_there(staged: Workdir) -> None:
    with pytest.raises(UsageError, match="--crops v9: no such manifest; there are middle, v1"):
        preview(staged, "v9")


def test_a_workdir_without_a_manifest_says_what_to_run(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no crop manifest: run `mocrop-prep crop"):
        preview(make_workdir(tmp_path / "empty", source))


def test_a_target_that_cannot_be_written_is_a_usage_error(staged: Workdir, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"preview\.html cannot be written: "):
        write_preview(
            staged,
            Wanted(worst=1),
            names=("v1",),
            target=tmp_path / "file" / "preview.html",
            boxes=None,
            run=RUN,
            quiet=True,
        )


def test_actor_boxes_of_the_nearest_frame_are_drawn_if_they_fit(staged: Workdir, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(
        "clip,actor,frame,x,y,w,h\n"
        "right,0,2,1,2,3,4\n"
        "right,0,11,10,20,30,40\n"
        "right,1,11,150,0,20,20\n"  # leaves the picture: of another size
        "elsewhere,0,11,0,0,5,5\n"
    )
    page, _ = preview(staged, "v1", clips=("right",), boxes=boxes)
    actors = [shape for shape in page.cards["right"].rectangles if shape["class"] == "actor"]
    assert [(s["x"], s["y"], s["width"], s["height"]) for s in actors] == [("10", "20", "30", "40")]
    assert "1 actor as in frame 11" in page.cards["right"].text


def test_the_share_of_the_actor_inside_is_the_mean_over_all_boxes(staged: Workdir, tmp_path: Path) -> None:
    crop = rows_of(staged, "v1")["right"]
    assert crop.x is not None
    assert crop.y is not None
    assert crop.w is not None
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(
        "clip,actor,frame,x,y,w,h\n"
        f"right,0,2,{crop.x},{crop.y},10,10\n"  # inside
        f"right,0,3,{crop.x + crop.w - 5},{crop.y},10,10\n"  # half of it
    )
    page, _ = preview(staged, "v1", clips=("right",), boxes=boxes)
    assert "actor inside 75.0" in page.cards["right"].text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,frame,x,y,w,h\n", "missing columns actor"),
        (
            "clip,actor,frame,x,y,w,h\nright,0,0,1,2,x,4\n",
            "boxes.csv:2: could not convert string to float: 'x'",
        ),
        ("clip,actor,frame,x,y,w,h\nright,0,0,1\n", "boxes.csv:2: "),
        (None, "No such file or directory"),
    ],
)
def test_a_bad_file_of_boxes_is_refused_with_its_line(
    staged: Workdir, tmp_path: Path, text: str | None, message: str
) -> None:
    boxes = tmp_path / "boxes.csv"
    if text is not None:
        boxes.write_text(text)
    with pytest.raises(UsageError, match=re.escape(message)):
        preview(staged, "v1", clips=("right",), boxes=boxes)


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
@pytest.mark.parametrize("sample", ["clip", "frame"])
@pytest.mark.parametrize("size", ["1", "7", "256MB"])
def test_stored_frames_are_found_in_every_form_of_shards(
    copy: Workdir, source: Path, form: str, sample: str, size: str
) -> None:
    found = find_clips(source / "clips.csv")
    settings = ShardSettings(format=form, sample=sample, shard_size=size, frames="2", seed=5)
    session = workflow.Session(copy, found.clips, RUN, quiet=True)
    workflow.perform(workflow.ShardStage(session, settings, crops="middle", name="mine"))
    everything = {
        sample_read.info.clip_id: sample_read
        for path in copy.shards("mine").glob(f"*-*{FORMS[form].suffix}")
        for sample_read in FORMS[form].read(path, per_frame=sample == "frame")
    }
    assert set(everything) == {"right", "down", "corner", "still"}
    rows = rows_of(copy, "middle")
    for clip_id in everything:
        held = find_stored(copy, "middle", rows, [clip_id])
        assert (held.name, held.problem) == ("mine", "")
        assert [sample for part in held.parts for sample in read_part(part)] == [everything[clip_id]]
    parts = find_stored(copy, "middle", rows, list(everything)).parts
    found_all = {sample.info.clip_id: sample for part in parts for sample in read_part(part)}
    assert found_all == everything
    assert len({part.path for part in parts}) == len(parts)


def test_a_damaged_shard_costs_the_stored_frames_and_no_more(copy: Workdir) -> None:
    for path in copy.shards("v1").glob("*.tar"):
        path.write_bytes(b"x" * path.stat().st_size)
    page, report = preview(copy, "v1", clips=("right",))
    assert not page.cards["right"].pictures("stored frames")
    assert page.cards["right"].pictures("frame")
    assert re.search("no stored frames: .* is damaged", report.notes[0])


def test_a_shard_set_without_its_record_is_said_so_once(copy: Workdir) -> None:
    (copy.root / "journal" / "set-v1.json").unlink()
    page, report = preview(copy, "v1", clips=("right",))
    assert report.notes == ("v1: no stored frames: shards/v1 does not go with its records; run shard again",)
    assert page.text.count("does not go with its records") == 1


def test_the_summary_counts_and_averages_the_whole_manifest(staged: Workdir) -> None:
    page, _ = preview(staged, "v1", clips=("right",))
    inside = [row.motion_inside for row in rows_of(staged, "v1").values() if row.motion_inside is not None]
    head = " ".join(page.text[: page.text.index("right")].split())
    assert "5 clips 3 ok 1 fallback 1 failed" in head
    assert f"mean motion inside {np.mean(inside) * 100:.1f} %" in head


def test_the_same_workdir_gives_the_same_page(staged: Workdir) -> None:
    first, _ = preview(staged, worst=2, random=2)
    again, _ = preview(staged, worst=2, random=2)
    assert first.source == again.source


def test_workers_make_the_same_page(staged: Workdir) -> None:
    alone, _ = preview(staged, everything=True)
    together, _ = preview(staged, everything=True, run=RunSettings(jobs=2, backend="loky"))
    assert together.source == alone.source


def test_a_clip_that_cannot_be_drawn_costs_its_own_pictures_only(copy: Workdir) -> None:
    copy.transcoded("right").unlink()
    copy.transcoded("right").mkdir()  # opening a folder is an error that no code foresees
    page, report = preview(copy, "v1", everything=True)
    assert report.notes == ("1 of 4 clips have no frame, such as right: the page says why",)
    assert "no frame" in page.cards["right"].text
    assert page.cards["down"].pictures("frame")


def arrows_of(card: Card) -> tuple[np.ndarray, np.ndarray]:
    """Return the arrows' points and shafts, in pixels: (n, 2) each."""
    found = re.findall(r"M(\S+) (\S+)l(\S+) (\S+)", card.arrows)
    numbers = np.array(found, np.float64)
    return numbers[:, :2], numbers[:, 2:]


def decoded(content: bytes) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture


def row(clip_id: str, label: int, inside: float = 0.8) -> CropRow:
    return CropRow(
        clip_id=clip_id,
        path=f"{clip_id}.mp4",
        label=label,
        label_name=f"class {label}",
        split="train",
        group="",
        status="ok",
        reason="",
        width=160,
        height=120,
        fps=25.0,
        frames=30,
        key_frames=3,
        x=0,
        y=0,
        w=120,
        h=120,
        area=0.75,
        method="mocrop-v1",
        grid="6x8",
        vectors=100,
        kept=50,
        sampled=50,
        motion_inside=inside,
        score=40.0,
        seed=1,
        config="c",
    )

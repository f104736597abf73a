"""The preview page in a real browser: it is looked at, clicked on and typed into as people do."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from mocrop_manifests import CropRow, read_crops, write_crops
from mocrop_prep.config import RunSettings
from mocrop_prep.preview import Wanted, write_preview
from mocrop_prep.workdir import Workdir, open_workdir
from numpy.typing import NDArray

from tests.browser import CHROMIUM, Browser, browser
from tests.commands import prep
from tests.films import Film, encode, moving_square, square_corner

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")

BLUE, YELLOW = (0xE9, 0xB4, 0x56), (0x42, 0xE4, 0xF0)  # the first two manifests' colours, as BGR
RUN = RunSettings(jobs=1, backend="sequential")
SURE = {"run__a": 0.9, "run__b": 0.36, "walk__c": 0.6, "walk__d": None}
SEVERAL = 300


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    """Two manifests of four clips and a broken one: the first says how sure it is, and falls back once."""
    root = tmp_path_factory.mktemp("browser")
    for number, name in enumerate(("run/a", "run/b", "walk/c", "walk/d")):
        encode(root / f"clips/{name}.mp4", moving_square(18, seed=number, flip=name < "walk"), Film())
    (root / "clips/walk/e.mp4").write_bytes(b"no video at all")
    for command in (
        ("run", root / "clips", root / "work", "--method", "mocrop-v1", "--name", "sure", "--keep"),
        ("crop", root / "work", "--method", "random", "--name", "other"),
    ):
        assert prep(*command, "--quiet", "--jobs", 1).status == 1  # of five clips four are well
    home = open_workdir(root / "work")
    rows = [dataclasses.replace(row, confidence=SURE.get(one)) for one, row in rows_of(home, "sure").items()]
    rows[3] = dataclasses.replace(rows[3], status="fallback", reason="no-motion")
    home.crops("sure").write_text(write_crops(rows), encoding="utf-8")
    return home


@pytest.fixture(scope="module")
def page(workdir: Workdir) -> Path:
    """A page of all clips, the manifest that says how sure it is before the control."""
    return write(workdir, "sure", "other")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("chromium") / "profile") as running:
        yield running


@pytest.fixture
def window(chromium: Browser) -> Iterator[Browser]:
    """A window of 1200 x 900 pixels in which nothing may go wrong unseen."""
    chromium.resize(1200, 900)
    chromium.prefer(prefers_color_scheme="light")
    chromium.complaints.clear()
    yield chromium
    assert chromium.complaints == []


def write(workdir: Workdir, *names: str, boxes: Path | None = None) -> Path:
    target = workdir.reports / f"{'-'.join(names)}{'-boxes' if boxes else ''}.html"
    write_preview(
        workdir, Wanted(everything=True), names=names, target=target, boxes=boxes, run=RUN, quiet=True
    )
    return target


def rows_of(workdir: Workdir, name: str) -> dict[str, CropRow]:
    return {row.clip_id: row for row in read_crops(workdir.crops(name))}


def shown(window: Browser) -> list[str]:
    """Return the ids of the cards that can be seen, in their order on the page."""
    cards = "[...document.querySelectorAll('.card')]"
    return list(window.evaluate(f"{cards}.filter((card) => card.offsetWidth).map((card) => card.dataset.id)"))


def visible(window: Browser, selector: str) -> int:
    """Return how many of the elements take up room on the page."""
    boxes = f"[...document.querySelectorAll({selector!r})].map((one) => one.getBoundingClientRect())"
    return int(window.evaluate(f"{boxes}.filter(({{ width, height }}) => width && height).length"))


def address(window: Browser) -> str:
    return unquote(window.evaluate("location.hash"))


def panel(window: Browser, selector: str) -> NDArray[np.uint8]:
    """Return the pixels of a panel, and of the four around it."""
    corner = f"document.querySelector({selector!r}).getBoundingClientRect()"
    x, y, width, height = (
        round(window.evaluate(f"{corner}.{side}")) for side in ("x", "y", "width", "height")
    )
    return window.screenshot()[y - 4 : y + height + 4, x - 4 : x + width + 4]


def coloured(picture: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    near: NDArray[np.bool_] = np.abs(picture.astype(int) - colour).max(axis=2) < 24
    return near


def test_the_page_shows_all_clips_and_says_nothing_in_the_console(window: Browser, page: Path) -> None:
    window.open(page)
    assert shown(window) == ["walk__d", "run__b", "walk__c", "run__a"]
    assert window.evaluate("document.getElementById('shown').textContent") == "4 of 4 clips"
    seen = "[...document.images].filter((image) => image.offsetWidth)"
    assert window.evaluate(f"{seen}.length") == 14  # four frames, two density maps each, the crops' places
    assert window.evaluate(f"Promise.all({seen}.map((image) => image.decode())).then(() => true)")


def test_without_scripts_the_cards_are_there_and_what_does_nothing_is_not(
    window: Browser, page: Path
) -> None:
    window.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        window.open(page)
        assert sorted(shown(window)) == sorted(SURE)
        assert visible(window, ".card .outline") == 16  # two crops on four frames, and on their density maps
        assert visible(window, "#controls") == 0
        assert visible(window, ".more summary") == 4
    finally:
        window.call("Emulation.setScriptExecutionDisabled", value=False)


def test_the_outline_of_a_crop_is_where_the_manifest_says(
    window: Browser, workdir: Workdir, page: Path
) -> None:
    window.resize(1200, 1200)
    window.open(page, "q=run__a&size=l")
    picture = panel(window, "#clip-run__a .panel")
    width = picture.shape[1] - 8
    for name, colour in (("sure", BLUE), ("other", YELLOW)):
        row = rows_of(workdir, name)["run__a"]
        assert None not in (row.x, row.y, row.w, row.h, row.width, row.height)
        columns = coloured(picture, colour).mean(axis=0)
        edges = [4 + place / (row.width or 1) * width for place in (row.x or 0, (row.x or 0) + (row.w or 0))]
        for edge in edges:  # a line, solid or dashed, from top to bottom
            assert columns[round(edge) - 3 : round(edge) + 4].max() > 0.25 * (row.h or 0) / (row.height or 1)
        away = [x for x in range(len(columns)) if min(abs(x - edge) for edge in edges) > 8]
        assert columns[away].max() < 0.15


def test_overlays_and_manifests_are_shown_and_hidden_by_switch_and_key(window: Browser, page: Path) -> None:
    window.open(page)
    assert visible(window, ".card .panel .outline.c0") == 4
    assert (visible(window, ".card .panel .arrow"), visible(window, ".card .panel .heat")) == (0, 0)
    window.press("a", "d")
    assert visible(window, ".card .panel .arrow") == 4
    assert visible(window, ".card .panel .heat") == 4
    assert "show=crop,density,arrows" in address(window)
    window.press("1")
    assert visible(window, ".card .panel .outline.c0") == 0
    assert visible(window, ".card .crop") == 4
    assert visible(window, ".card .shade") == 4  # around the only crop that is left
    window.click("[name=show][value=crop]")
    assert visible(window, ".card .panel .outline") == 0


def test_the_arrows_lie_on_what_moves(window: Browser, workdir: Workdir) -> None:
    window.open(write(workdir, "sure"), "q=walk__c&size=l&show=arrows")
    picture = panel(window, "#clip-walk__c .panel")
    green = coloured(picture, (0x3C, 0xFF, 0xB6))
    rows, columns = np.nonzero(green)
    assert len(rows) > 50
    row = rows_of(workdir, "sure")["walk__c"]
    scale = (picture.shape[1] - 8) / (row.width or 1)
    x, y = (corner + 14 for corner in square_corner(12))  # of the frame shown: its middle
    assert abs(np.median(columns) - 4 - x * scale) < 16 * scale
    assert abs(np.median(rows) - 4 - y * scale) < 16 * scale


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("status=fallback", ["walk__d"]),
        ("status=ok&by=sure", ["run__b", "walk__c", "run__a"]),
        ("class=run", ["run__b", "run__a"]),
        ("q=WALK+c", ["walk__c"]),
        ("q=nothing", []),
        ("min-confidence=0.5", ["walk__c", "run__a"]),
        ("max-confidence=0.5", ["run__b"]),
        ("min-confidence=0.3&max-confidence=0.7&class=walk", ["walk__c"]),
        ("min-inside=0.01&min-confidence=0.3", ["run__b", "walk__c", "run__a"]),
        ("sort=confidence", ["walk__d", "run__b", "walk__c", "run__a"]),
        ("sort=confidence&order=down&by=sure", ["run__a", "walk__c", "run__b", "walk__d"]),
        ("sort=id", ["run__a", "run__b", "walk__c", "walk__d"]),
        ("sort=class&order=down", ["walk__d", "walk__c", "run__b", "run__a"]),
        ("flagged=only&flags=run__a,walk__c", ["walk__c", "run__a"]),
        ("class=of+another+page&sort=nonsense&unknown=1", ["walk__d", "run__b", "walk__c", "run__a"]),
    ],
)
def test_the_address_says_what_is_shown(
    window: Browser, page: Path, wanted: str, expected: list[str]
) -> None:
    window.open(page, wanted)
    assert shown(window) == expected
    assert window.evaluate("document.getElementById('shown').textContent").startswith(f"{len(expected)} of 4")
    assert visible(window, "#none") == (not expected)


def test_clips_are_sorted_by_the_gain_of_the_manifest_that_judges(
    window: Browser, workdir: Workdir, page: Path
) -> None:
    for name in ("sure", "other"):
        rows = rows_of(workdir, name)
        gains = {one: (row.motion_inside or 0) / (row.area or 1) for one, row in rows.items()}
        window.open(page, f"sort=gain&by={name}")
        order = [one for one in shown(window) if rows[one].status == "ok"]
        assert [gains[one] for one in order] == sorted(gains[one] for one in order)


def test_clips_can_be_sorted_by_how_little_the_manifests_agree(
    window: Browser, workdir: Workdir, page: Path
) -> None:
    window.open(page, "sort=agreement")
    sure, other = rows_of(workdir, "sure"), rows_of(workdir, "other")
    overlaps = [overlap(sure[one], other[one]) for one in shown(window)]
    assert overlaps == sorted(overlaps)
    assert overlaps[0] < overlaps[-1] < 1


def test_the_form_writes_the_address(window: Browser, page: Path) -> None:
    window.open(page)
    window.press("/", *"walk")
    assert shown(window) == ["walk__d", "walk__c"]
    assert address(window) == "#q=walk"
    window.press("Enter")
    assert window.evaluate("document.activeElement.closest('.card').dataset.id") == "walk__d"
    window.evaluate(
        "const s = document.querySelector('[name=sort]'); s.value = 'id';"
        "s.dispatchEvent(new Event('input', { bubbles: true }))"
    )
    assert shown(window) == ["walk__c", "walk__d"]
    assert address(window) == "#q=walk&sort=id"
    window.press("0")
    assert (len(shown(window)), address(window)) == (4, "")


def test_a_bar_of_the_histogram_and_a_count_filter(window: Browser, page: Path) -> None:
    window.open(page)
    window.click('.press[data-set*="min-confidence=0.35"]')
    assert shown(window) == ["run__b"]
    assert address(window) == "#by=sure&min-confidence=0.35&max-confidence=0.4"
    window.click("#reset")
    window.click(".summary button.fallback")
    assert shown(window) == ["walk__d"]


def test_a_clip_opens_large_and_the_keys_go_from_clip_to_clip(window: Browser, page: Path) -> None:
    window.open(page)
    window.press("j", "ArrowRight", "Enter")
    assert window.evaluate("document.getElementById('large').open")
    assert window.evaluate("document.getElementById('large-title').textContent") == "run__b"
    assert address(window) == "#clip=run__b"
    # the frame, the arrows, and a density map for each manifest; then the stored frames
    assert visible(window, "#large .views .panel") == 4
    assert visible(window, "#large .views .heat") == 2
    assert visible(window, "#large .arrow") == 1
    assert visible(window, "#large .stored img") == 1
    assert visible(window, "#large table") == 1
    window.press("j", "f")
    assert window.evaluate("document.getElementById('large-title').textContent") == "walk__c"
    assert address(window) == "#clip=walk__c&flags=walk__c"
    window.press("Escape")
    assert not window.evaluate("document.getElementById('large').open")
    assert window.evaluate("document.activeElement.closest('.card').dataset.id") == "walk__c"
    assert visible(window, ".card.flagged") == 1
    saved = window.evaluate("document.getElementById('save').href")
    assert unquote(saved) == "data:text/plain;charset=utf-8,walk__c\n"
    window.press("?")
    assert window.evaluate("document.getElementById('keys').open")


def test_pointing_at_a_crop_shows_its_density_on_the_frame(window: Browser, page: Path) -> None:
    window.open(page)
    density = "document.querySelector('#clip-run__a .panel .heat')"
    mini = "document.querySelector('#clip-run__a .crop[data-of=\"{}\"] .heat').src"
    for colour in (0, 1):
        window.hover(f'#clip-run__a .crop[data-of="{colour}"] h4')
        assert window.evaluate(f"{density}.src === {mini.format(colour)}")
        assert visible(window, ".card .panel .heat") == 1
    window.hover("h1")
    assert visible(window, ".card .panel .heat") == 0


def test_a_clip_without_a_crop_can_be_looked_at_too(window: Browser, workdir: Workdir) -> None:
    target = workdir.reports / "broken.html"
    wanted = Wanted(clip_ids=("walk__e", "run__a"))
    write_preview(workdir, wanted, names=("sure",), target=target, boxes=None, run=RUN, quiet=True)
    window.open(target, "show=crop,density")
    assert shown(window) == ["walk__e", "run__a"]
    window.press("j", "Enter")
    assert window.evaluate("document.getElementById('large-title').textContent") == "walk__e"
    assert "not-video" in window.evaluate("document.getElementById('large').textContent")
    window.press("j", "Escape")
    assert window.evaluate("document.querySelectorAll('.failures tbody tr').length") == 1


def test_a_press_on_a_picture_opens_it_and_the_way_back_closes_it(window: Browser, page: Path) -> None:
    window.open(page)
    window.click("#clip-run__a .panel")
    assert address(window) == "#clip=run__a"
    window.evaluate("new Promise((done) => { addEventListener('popstate', done); history.back(); })")
    assert not window.evaluate("document.getElementById('large').open")


def test_an_actor_is_drawn_white_and_can_be_hidden(window: Browser, workdir: Workdir, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("clip,actor,frame,x,y,w,h\na,0,0,40,30,40,30\n")
    window.open(write(workdir, "sure", boxes=boxes), "q=run__a&size=l")
    assert visible(window, ".card .actor") == 1
    seen = coloured(panel(window, "#clip-run__a .panel"), (255, 255, 255)).sum()
    window.press("b")
    hidden = coloured(panel(window, "#clip-run__a .panel"), (255, 255, 255)).sum()
    assert seen > hidden + 100


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(window: Browser, page: Path, scheme: str) -> None:
    window.prefer(prefers_color_scheme=scheme)
    window.open(page)
    assert (window.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")) == (scheme == "dark")
    pairs = window.evaluate(GROUNDS)
    assert len(pairs) > 10
    weak = [
        (what, round(contrast(text, ground), 1))
        for what, text, ground in pairs
        if contrast(text, ground) < 4.5
    ]
    assert weak == []


@pytest.mark.parametrize("width", [360, 800, 1900])
def test_nothing_sticks_out_at_any_width(window: Browser, page: Path, width: int) -> None:
    window.resize(width, 900)
    window.open(page)
    assert window.evaluate("document.documentElement.scrollWidth") <= width
    window.press("j", "Enter")
    assert window.evaluate("document.getElementById('large').getBoundingClientRect().right") <= width


def test_everything_that_can_be_used_has_a_name(window: Browser, page: Path) -> None:
    window.open(page)
    window.call("Accessibility.enable")
    nodes = window.call("Accessibility.getFullAXTree")["nodes"]
    used = {"button", "link", "checkbox", "combobox", "slider", "searchbox", "image", "img"}
    found = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if "role" in n]
    found = [(role, name) for role, name in found if role in used]
    assert {role for role, _ in found} >= {"button", "link", "checkbox", "combobox", "slider", "searchbox"}
    assert [role for role, name in found if not name] == []


def test_the_print_has_the_cards_and_no_controls(window: Browser, page: Path) -> None:
    window.open(page)
    window.prefer(media="print")
    assert visible(window, "#controls") == 0
    assert visible(window, ".card .panel") == 4


def test_hundreds_of_clips_open_sort_and_filter_at_once(
    window: Browser, workdir: Workdir, tmp_path: Path
) -> None:
    many = multiplied(workdir, tmp_path / "many", SEVERAL)
    page = write(many, "sure", "other")
    assert page.stat().st_size < 25_000_000
    window.open(page)
    assert len(shown(window)) == SEVERAL
    timing = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
    assert window.evaluate(timing) < 10_000
    spent = window.evaluate(
        "(async () => { const start = performance.now();"
        "setState({ sort: 'gain', order: 'down', show: 'crop,density,arrows' });"
        "await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));"
        "return performance.now() - start; })()"
    )
    assert spent < 3_000
    window.press("/", *"n017")
    assert [re.sub(r"^n(\d+)_.*", r"\1", one) for one in shown(window)] == ["017"]


def multiplied(workdir: Workdir, root: Path, count: int) -> Workdir:
    """Return a WORKDIR in which the clips of another occur again and again, under other names."""
    for folder in ("journal", "crops", "motion", "transcoded", "reports"):
        (root / folder).mkdir(parents=True)
    for name in (
        "workdir.json",
        "transcode.settings.json",
        "crop-sure.settings.json",
        "crop-other.settings.json",
    ):
        (root / "journal" / name).symlink_to(workdir.root / "journal" / name)
    made = open_workdir(root)
    for name in ("sure", "other"):
        rows = [row for row in rows_of(workdir, name).values() if row.status != "failed"]
        again = []
        for number in range(count):
            row = rows[number % len(rows)]
            clip_id = f"n{number:03d}_{row.clip_id}"
            again.append(dataclasses.replace(row, clip_id=clip_id))
            if name == "sure":
                made.motion(clip_id).symlink_to(workdir.motion(row.clip_id))
                made.transcoded(clip_id).symlink_to(workdir.transcoded(row.clip_id))
        made.crops(name).write_text(write_crops(again), encoding="utf-8")
    return made


def overlap(a: CropRow, b: CropRow) -> float:
    """Return the intersection over union of two crops."""
    sides = []
    for start, size in (("x", "w"), ("y", "h")):
        low, high = (
            max(getattr(a, start), getattr(b, start)),
            min(getattr(a, start) + getattr(a, size), getattr(b, start) + getattr(b, size)),
        )
        sides.append(max(high - low, 0))
    common = sides[0] * sides[1]
    return float(common / ((a.w or 0) * (a.h or 0) + (b.w or 0) * (b.h or 0) - common))


GROUNDS = """
const texts = "h1, h2, h3 a, p, dt, dd, td, th, figcaption, label, button, output, .chip, .axis";
[...document.querySelectorAll(texts)]
  .filter((one) => one.offsetWidth && one.textContent.trim())
  .map((one) => {
    let ground = one;
    const clear = (other) => getComputedStyle(other).backgroundColor === "rgba(0, 0, 0, 0)";
    while (clear(ground) && ground.parentElement) ground = ground.parentElement;
    const numbers = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
    const { color } = getComputedStyle(one);
    const what = `${one.tagName} ${one.className} ${one.textContent.trim().slice(0, 20)}`;
    return [what, numbers(color), numbers(getComputedStyle(ground).backgroundColor)];
  })
"""


def contrast(one: list[float], other: list[float]) -> float:
    """Return the contrast ratio of two sRGB colours (WCAG 2.2, relative luminance)."""

    def luminance(colour: list[float]) -> float:
        linear = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
            for part in (c / 255 for c in colour)
        ]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)

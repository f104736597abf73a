"""What people look at shows names as text: the preview page, in a real browser, and the card of a set."""

from __future__ import annotations

import csv
import dataclasses
import re
import shutil
from collections.abc import Iterator

import pytest
from mocrop_manifests import CropRow, read_crops, write_crops
from mocrop_prep.card import dataset_card, tally
from mocrop_prep.clips.paths import cell
from mocrop_prep.workdir import Workdir, open_workdir

from tests.browser import CHROMIUM, Browser, browser
from tests.commands import ok, prep
from tests.films import Film, encode, moving_square
from tests.unit.test_manifests_dataset import INDEX

PAYLOADS = (
    '<img src=x onerror="window.ran=1">',
    '"><script>window.ran=1</script>',
    "' onmouseover='window.ran=1' x='",
    "</title></style></script><script>window.ran=1</script>",
    "--><svg/onload=window.ran=1>",
    '<iframe srcdoc="<script>parent.ran=1</script>"></iframe>',
    '<link rel=stylesheet href="http://127.0.0.1:9/x.css">',
    '<meta http-equiv=refresh content="0;url=http://127.0.0.1:9/">',
    "<base href='http://127.0.0.1:9/'>",
    "javascript:window.ran=1",
    "&lt;b&gt; &amp; &#0; &quot;",
    "${window.ran=1} `window.ran=1`",
    "\u202eesrever",
)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Workdir:
    """Clips with such labels, groups and paths in a WORKDIR of such a name, one of them broken."""
    root = tmp_path_factory.mktemp("page")
    film = encode(root / "clip.mp4", moving_square(14), Film(codec="mpeg4"))
    (root / "in").mkdir()
    rows = [("path", "label", "split", "group")]
    for number, payload in enumerate(PAYLOADS):
        name = payload.replace("/", "_") + f"{number}.mp4"
        shutil.copy(film, root / "in" / name)
        rows.append((name, payload, "train", payload))
    (root / "in/<img src=x onerror=window.ran=1>.mp4").write_bytes(b"no video")
    rows.append(("<img src=x onerror=window.ran=1>.mp4", PAYLOADS[0], "test", ""))
    with (root / "in/clips.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    home = root / "<img src=x onerror=window.ran=1>"
    assert (
        prep("run", root / "in/clips.csv", home, "--size", 32, "--jobs", 1, "--name", "ours", "--keep").status
        == 1
    )
    opened = open_workdir(home)
    # a manifest that somebody else wrote, without any escape
    by_hand = [
        dataclasses.replace(
            row, label_name=payload, group=payload, method=payload, grid=payload, config=payload
        )
        for row, payload in zip(read_crops(opened.crops("ours")), (*PAYLOADS, PAYLOADS[0]), strict=True)
    ]
    by_hand[0] = dataclasses.replace(by_hand[0], status="fallback", reason=PAYLOADS[0])
    opened.crops("hand").write_text(write_crops(by_hand), encoding="utf-8")
    return opened


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with browser(tmp_path_factory.mktemp("chromium") / "profile") as running:
        running.resize(1200, 900)
        yield running


def texts(window: Browser, selector: str) -> set[str]:
    return set(window.evaluate(f"[...document.querySelectorAll({selector!r})].map((one) => one.textContent)"))


@pytest.mark.parametrize("name", ["ours", "hand"])
def test_the_page_shows_names_and_runs_and_loads_none_of_them(
    workdir: Workdir, window: Browser, name: str
) -> None:
    ok("preview", workdir.root, "--crops", name, "--all")
    window.complaints.clear()
    window.open(workdir.reports / "preview.html", f"class={PAYLOADS[0]}&find={PAYLOADS[1]}")
    window.open(workdir.reports / "preview.html")
    rows = read_crops(workdir.crops(name))
    shown = {row.label_name for row in rows if row.status != "failed"}
    assert shown <= ({cell(payload) for payload in PAYLOADS} if name == "ours" else set(PAYLOADS))
    assert len(shown) >= len(PAYLOADS) - 1
    assert texts(window, ".card strong") == shown
    assert {f"group {payload}" for payload in shown} <= texts(window, ".card .chip")
    window.click(".card .open")
    for key in ("ArrowRight", "ArrowRight", "Escape"):
        window.press(key)
    for selector in (".card strong", ".card .chip", "select"):
        window.hover(selector)
    # neither the page's own policy nor anything else had to stop something: there was nothing to stop
    assert window.complaints == []
    assert window.evaluate("typeof window.ran") == "undefined"
    assert window.evaluate("document.scripts.length") == 1
    assert window.evaluate("[...document.images].every((one) => one.src.startsWith('data:'))")
    assert (
        window.evaluate(
            "document.querySelectorAll('iframe, link, base, object, embed, body svg[onload]').length"
        )
        == 0
    )
    attributes = "[...document.querySelectorAll('*')].flatMap((one) => one.getAttributeNames())"
    assert window.evaluate(f"{attributes}.filter((one) => one.startsWith('on'))") == []
    links = "[...document.links].filter((one) => !/^(file|data):/.test(one.protocol))"
    assert window.evaluate(f"{links}.length") == 0


def test_the_card_of_a_set_holds_no_markup_of_a_manifest(workdir: Workdir) -> None:
    assert prep("shard", workdir.root, "--crops", "hand", "--size", 32, "--jobs", 1).status == 1
    for name in ("ours", "hand"):
        card = (workdir.shards(name) / "README.md").read_text(encoding="utf-8")
        assert card.startswith("---\n")
        assert card.count("\n---\n") == 1
        for mark in ("<", "onerror=", "javascript:", "](", "${"):
            assert mark not in card


def test_a_card_takes_words_of_a_manifest_as_words(workdir: Workdir) -> None:
    row = read_crops(workdir.crops("hand"))[0]
    rows: list[CropRow] = [dataclasses.replace(row, method="`</code><script>x</script>\n---\n# a|b")]
    card = dataset_card(INDEX, tally(rows))
    assert "<" not in card
    assert re.search(r"chosen by `[a-z-]+` from the motion vectors", card)

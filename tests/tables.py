"""Rows for tests of tables: good ones, any at all, and files that hold them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from mocrop_manifests import Clip, CropRow, ManifestError, write_crops
from mocrop_manifests.crops import ROUTES

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12) | st.sampled_from(
    (
        "a,b",
        '"',
        '""',
        'say "hi", twice',
        "two\nlines",
        "\r",
        "\r\n",
        " padded ",
        "Jürgen 走る 🎬",
        "\ufeff",
        "'",
    )
)
IDS = st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True)
CLIPS = st.builds(
    Clip,
    clip_id=IDS,
    path=TEXT,
    label=st.integers(0, 1000),
    label_name=TEXT,
    split=st.sampled_from(("train", "val", "test")),
    group=TEXT,
)


@st.composite
def crop_rows(draw: st.DrawFn) -> CropRow:
    """A valid row of any status."""
    clip = draw(CLIPS)
    width, height = draw(st.integers(1, 9000)), draw(st.integers(1, 9000))
    x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    status = draw(st.sampled_from(("ok", "fallback", "failed")))
    known = status != "failed" or draw(st.booleans())
    share = st.floats(0, 1)
    return CropRow(
        **dataclasses.asdict(clip),
        status=status,
        reason="" if status == "ok" else draw(st.sampled_from(("corrupt", "no-motion", "ä,b"))),
        width=width if known else None,
        height=height if known else None,
        fps=draw(st.floats(0, 1000)) if known else None,
        frames=draw(st.integers(1, 10**9)) if known else None,
        key_frames=draw(st.integers(1, 10**6)) if known else None,
        x=x if known else None,
        y=y if known else None,
        w=draw(st.integers(1, width - x)) if known else None,
        h=draw(st.integers(1, height - y)) if known else None,
        area=draw(share) if known else None,
        method=draw(TEXT),
        grid="6x8",
        vectors=draw(st.none() | st.integers(0, 2**62)),
        kept=draw(st.none() | st.integers(0, 2**62)),
        sampled=draw(st.none() | st.integers(0, 2**62)),
        motion_inside=draw(st.none() | share),
        score=draw(st.none() | st.floats(0, 1e12)),
        seed=draw(st.none() | st.integers(0, 2**63 - 1)),
        config="0123456789ab",
        confidence=draw(st.none() | share),
        damaged=draw(st.none() | st.integers(0, 10**6)),
        route=draw(st.none() | st.sampled_from(ROUTES)),
    )


CLIP = Clip("walk__a", "walk/a.avi", 0, "walk", "train", "g01")
ROW = CropRow(
    **dataclasses.asdict(CLIP),
    status="ok",
    reason="",
    width=320,
    height=240,
    fps=25.0,
    frames=60,
    key_frames=5,
    x=40,
    y=0,
    w=240,
    h=240,
    area=0.75,
    method="mocrop-v1",
    grid="6x8",
    vectors=1000,
    kept=900,
    sampled=800,
    motion_inside=0.9,
    score=720.0,
    seed=2**63 - 1,
    config="abc",
)


def saved(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def refused(read: Callable[[Path], Any], path: Path) -> str:
    with pytest.raises(ManifestError) as raised:
        read(path)
    message = str(raised.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


HEADER, FIRST = (line.split(",") for line in write_crops([ROW]).splitlines())
CELLS = dict(zip(HEADER, FIRST, strict=True))


def crops_with(folder: Path, **changes: str) -> Path:
    """A manifest of a good row and one, in line 3, with the given cells."""
    other = CELLS | {"clip_id": "other"} | changes
    lines = [",".join(CELLS), ",".join(CELLS.values()), ",".join(other.values())]
    return saved(folder, "\n".join(lines) + "\n", "v1.csv")

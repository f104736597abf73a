"""Clip ids: what the other paths of a list may change about an id, and what they may not."""

from __future__ import annotations

import os
import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from mocrop_prep.clips.ids import LONGEST, clip_ids

safe = st.from_regex(
    r"[A-Za-z0-9-]{1,6}(_[A-Za-z0-9-]{1,6})?(/[A-Za-z0-9-]{1,6}){0,3}\.(avi|mp4)", fullmatch=True
)
any_path = st.one_of(
    safe,
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=200),
    st.lists(st.sampled_from(["a", "A", "/", "-", "_", ".", " ", "é", ".avi", "x" * 80]), min_size=1).map(
        "".join
    ),
)


@given(safe)
def test_the_id_of_a_safe_path_gives_the_path_back(path: str) -> None:
    (clip_id,) = clip_ids([path])
    assert clip_id.replace("__", "/") == os.path.splitext(path)[0]


@given(st.lists(any_path, unique=True, min_size=1, max_size=12))
def test_an_id_is_that_of_the_path_alone_unless_two_would_be_alike(paths: list[str]) -> None:
    alone = [clip_ids([path])[0] for path in paths]
    together = clip_ids(paths)
    alike = Counter(clip_id.lower() for clip_id in alone)
    for one, among in zip(alone, together, strict=True):
        if alike[one.lower()] == 1 and not any(
            len(other) > len(a) for other, a in zip(together, alone, strict=True)
        ):
            assert among == one
        # digits are added and never taken away: the start tells the clip
        assert among == one or re.fullmatch(r".*-[0-9a-f]{8,64}", among)


@given(any_path)
def test_an_id_has_digits_if_and_only_if_the_path_had_to_change(path: str) -> None:
    (clip_id,) = clip_ids([path])
    plain = os.path.splitext(path)[0].replace("/", "__")
    unchanged = re.fullmatch(r"[A-Za-z0-9_-]+", plain) is not None and len(plain) <= LONGEST
    assert (clip_id == plain) == unchanged
    assert len(clip_id) <= LONGEST
    if not unchanged:
        assert re.fullmatch(r".*-[0-9a-f]{8}", clip_id)

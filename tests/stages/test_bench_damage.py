"""The bench of damage: its figures repeat by seed, differ by codec, and show what STRICT is for."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.benchmarks.bench_damage import SOURCES, flip_bits, is_visible, main, measure
from tests.films import decode, encode, moving_square


def test_flips_in_mpeg2_are_noticed_more_often_than_in_vp8_and_the_same_ones_for_a_seed() -> None:
    mpeg2, vp8 = (measure(codec, flips=12, seed=0) for codec in ("MPEG-2", "VP8"))
    assert min(mpeg2.visible, vp8.visible) > 6
    assert 0 <= vp8.noticed < mpeg2.noticed <= mpeg2.visible <= mpeg2.flips == 12
    assert measure("MPEG-2", flips=12, seed=0) == mpeg2


def test_only_the_strict_options_notice_flips_by_the_picture_hashes_of_hevc() -> None:
    found = measure("HEVC with picture hashes", flips=8, seed=0)
    assert found.noticed == found.visible > found.noticed_without


def test_a_flip_changes_one_bit_of_the_file_and_the_sound_film_itself_is_not_visible(tmp_path: Path) -> None:
    suffix, film = SOURCES["MPEG-2"]
    sound = encode(tmp_path / f"a{suffix}", moving_square(6), film)
    content = int.from_bytes(sound.read_bytes())
    assert not is_visible(sound, decode(sound))
    for flipped in flip_bits(sound, 5, random.Random(0)):
        assert (int.from_bytes(flipped) ^ content).bit_count() == 1


@pytest.mark.parametrize("markdown", [False, True])
def test_the_command_prints_a_row_for_each_codec_and_writes_the_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], markdown: bool
) -> None:
    only = ("MPEG-2", "VP8")
    words = [word for codec in only for word in ("--only", codec)]
    main([*words, "--flips", "4", "--json", str(tmp_path / "a.json"), *(["--markdown"] * markdown)])
    printed = capsys.readouterr()
    counts = json.loads((tmp_path / "a.json").read_text())["codecs"]
    assert [(one["codec"], one["flips"]) for one in counts] == [(codec, 4) for codec in only]
    rows = [line for line in printed.out.splitlines() if line.lstrip("| ").startswith(only)]
    assert [f"{one['visible']} of 4" in row for one, row in zip(counts, rows, strict=True)] == [True, True]
    assert all(row.startswith("| ") == markdown for row in rows)
    assert all(f"{codec}: 4 flips" in printed.err for codec in only)

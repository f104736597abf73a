"""The benchmark of speed: both sides of a pair do the work, and the tables say what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import bench
from tests.benchmarks.speed.interleaved import Pair, compare, result_of
from tests.benchmarks.spent import Spent


def pair(calls: list[str], **goal: Any) -> Pair:
    return Pair("a / b", "a", lambda: calls.append("a"), "b", lambda: calls.append("b"), 120, **goal)


def test_the_sides_of_a_pair_take_turns_after_a_run_that_does_not_count() -> None:
    calls: list[str] = []
    (result,) = compare([pair(calls)], rounds=3)
    assert calls == ["a", "b"] * 4
    assert result.low <= result.ratio <= result.high
    assert result.met is None


def test_a_result_is_the_median_of_the_ratios_of_pairs() -> None:
    times = [(Spent(6, 4), Spent(2, 2)), (Spent(3, 3), Spent(3, 3)), (Spent(8, 8), Spent(4, 3))]
    result = result_of(pair([], goal=2.5), times)
    assert (result.ratio, result.low, result.high, result.cpu) == (2, 1, 3, 2)
    assert result.rates == {"a": 120 / 6, "b": 120 / 3}
    assert result.row() == "| a / b | a 20, b 40 frames/s | 2.00 (1.00-3.00) | 2.00 | at most 2.5: met |"
    assert result_of(pair([], goal=2.5, above=True), times).row().endswith("| at least 2.5: missed |")


def test_processor_time_is_left_out_where_other_processes_work() -> None:
    assert result_of(pair([]), [(Spent(6, 1), Spent(2, 2))]).cpu is None


def test_every_comparison_has_its_line_in_the_table_and_the_file(
    walks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme, out = tmp_path / "README.md", tmp_path / "bench.json"
    begin, end = bench.marks(bench.TARGET)
    readme.write_text(f"above\n{begin}\nold\n{end}\nbelow\n")
    words = (
        "--source",
        walks,
        "--clips",
        2,
        "--rounds",
        1,
        "--only",
        "work",
        "--out",
        out,
        "--readme",
        readme,
    )
    bench.main(list(map(str, words)))
    found = json.loads(out.read_text())["comparisons"]
    names = [each["name"] for each in found]
    assert len(set(names)) == len(names) >= 9
    printed = capsys.readouterr().out
    text = readme.read_text()
    assert text.startswith("above\n")
    assert text.endswith("below\n")
    assert "old" not in text
    for name in names:
        assert f"\n| {name} | " in printed
        assert f"\n| {name} | " in text


def test_a_page_without_the_marks_is_left_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="lacks the marks"):
        bench.write_readme(page, "table")
    assert page.read_text() == "nothing\n"

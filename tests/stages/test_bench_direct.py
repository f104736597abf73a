"""The bench of reading in place: it compares what it says, and its figures are those of its runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.bench_direct import Bench, measure


def test_time_and_crops_are_measured_and_printed(
    walks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = measure(walks, tmp_path, clips=2, rounds=1, parts=("time", "crops"))
    assert found["time"]["ratio"] == pytest.approx(found["time"]["transcoded"] / found["time"]["direct"])
    assert found["crops"]["routes"] == {"direct": 2}
    assert 0.5 < found["crops"]["mean"] <= 1
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_what_both_keep_of_an_actor_is_paired_by_clip(walks: Path, tmp_path: Path) -> None:
    lines = [f"{seed},0,{n},{4 + 2 * n},{6 + n},28,28" for seed in (1, 2) for n in range(20)]
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("\n".join(["clip,actor,frame,x,y,w,h", *lines]) + "\n")
    by_area = Bench(walks, None, tmp_path / "work").retentions(boxes, (0.5,))
    assert set(by_area) == {"its own", "0.5"}
    found = by_area["its own"]
    assert found.difference == pytest.approx(found.direct - found.transcoded)
    assert min(found.direct, found.transcoded) > 0.9

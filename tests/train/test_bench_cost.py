"""The benchmark of a prediction's price: its parts are the pipeline's own work, and add up as it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mocrop_manifests import Clip
from mocrop_prep.samples import read_samples
from mocrop_train.models.cost import Cost

from tests.benchmarks import bench_cost
from tests.benchmarks.cost_bench import parts, report
from tests.benchmarks.cost_bench.measure import Figure, Prices
from tests.benchmarks.cost_bench.parts import IN_PLACE, SIDES, TRANSCODED, ClipWork, choice, sized

METHOD = bench_cost.METHODS[0]


@pytest.fixture(scope="module")
def work(source: Path, tmp_path_factory: pytest.TempPathFactory) -> ClipWork:
    clip = Clip("walk", "walk/v_walk_g01_c01.avi", 0, "walk", "train", "")
    return ClipWork(clip, source / clip.path, tmp_path_factory.mktemp("work"), bench_cost.METHODS)


@pytest.mark.parametrize("route", [IN_PLACE, TRANSCODED])
def test_the_parts_of_a_route_make_the_sample_of_the_pipeline(work: ClipWork, route: str) -> None:
    done = {name: part() for name, part in work.parts[route].items()}
    assert (parts.TRANSCODE in done) == (route == TRANSCODED)
    with (work.folder / "sample.tar").open("rb") as stream:
        (sample,) = read_samples(stream)
    box = done[choice(METHOD)].box
    assert sample.info.crop == (box.x, box.y, box.w, box.h)
    assert list(sample.jpegs) == done[sized(parts.WRITE, 224)]
    for side in SIDES:
        shown, read, full = (done[sized(name, side)] for name in (parts.CROP, parts.READ, parts.FULL))
        assert shown.shape == read.shape == full.shape == (len(sample.jpegs), 3, side, side)
        assert shown.dtype == read.dtype == torch.uint8
        # all that lies between is the loss of a JPEG
        assert (shown.float() - read.float()).abs().mean() < 3 < (shown.float() - full.float()).abs().mean()


@pytest.mark.parametrize("route", [IN_PLACE, TRANSCODED])
def test_what_is_decoded_without_vectors_is_the_same(work: ClipWork, route: str) -> None:
    stored, every, watched = (
        work.parts[route][name]()[1] for name in (parts.STORED, parts.ALL, parts.VECTORS)
    )
    assert set(stored) <= set(every) == set(watched)
    for number, picture in stored.items():
        for other in (every, watched):
            assert all(np.array_equal(*planes) for planes in zip(picture, other[number], strict=True))


def made(**milliseconds: float) -> Prices:
    """Return prices whose parts take so many milliseconds, double that on the transcoded route."""
    names = {
        "transcode": parts.TRANSCODE,
        "stored": parts.STORED,
        "every": parts.ALL,
        "vectors": parts.VECTORS,
        "choice": choice(METHOD),
    } | {f"{part}{side}": sized(name, side) for side in SIDES for part, name in PIXELS.items()}
    figures = {
        route: {names[name]: steady(factor * value) for name, value in milliseconds.items()}
        for route, factor in ((IN_PLACE, 1.0), (TRANSCODED, 2.0))
    }
    networks = {"resnet18": {224: steady(1000), 192: steady(800)}}
    counts = {"resnet18": dict.fromkeys(SIDES, Cost(8, 10, 4_000_000_000, 0))}
    return Prices(3, 2.0, 5, figures, networks, counts)


PIXELS = {"full": parts.FULL, "crop": parts.CROP}


def steady(milliseconds: float) -> Figure:
    return Figure(*[milliseconds / 1000] * 3)


def test_whole_prices_are_the_sums_of_what_each_way_needs() -> None:
    prices = made(
        transcode=500, stored=10, every=40, vectors=50, choice=7, full224=4, full192=3, crop224=2, crop192=1
    )
    full = {way: report.frames_without_crop(prices, way) for way in report.WAYS}
    crop = {way: report.frames_with_crop(prices, METHOD, way) for way in report.WAYS}
    # what would have to be transcoded for its vectors is read in place without a crop
    assert full == {
        "in place": pytest.approx({224: 0.014, 192: 0.013}),
        "transcoded before": pytest.approx({224: 0.028, 192: 0.026}),
        "to be transcoded": pytest.approx({224: 0.014, 192: 0.013}),
    }
    assert crop == {
        "in place": pytest.approx({224: 0.059, 192: 0.058}),
        "transcoded before": pytest.approx({224: 0.118, 192: 0.116}),
        "to be transcoded": pytest.approx({224: 1.118, 192: 1.116}),
    }
    assert report.own_price(prices, METHOD, IN_PLACE) == pytest.approx(0.017)
    assert report.own_price(prices, METHOD, TRANSCODED, frames=True) == pytest.approx(0.094)
    row = next(line for line in report.whole_table(prices, METHOD, "in place") if "resnet18" in line)
    # (1000 + 59) / (1000 + 14) and (800 + 58) / (1000 + 14)
    assert row == "| resnet18 | 1.01e+03 | 813 | 1.06e+03 | 858 | 1.04 | 0.85 |"
    row = next(line for line in report.own_table(prices, METHOD) if "resnet18" in line)
    assert row.endswith("| 0.80 | 200 | 1.7% | 3.4% | 9.4% |")


def test_the_command_measures_all_and_says_what_it_passes_over(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    arguments = ["--source", source, "--clips", 3, "--rounds", 1, "--models", "mobilenet_v2"]
    bench_cost.main([str(word) for word in (*arguments, "--out", tmp_path / "out" / "cost.md")])
    torch.set_num_threads(threads)
    text = (tmp_path / "out" / "cost.md").read_text()
    assert "2 clips" in text
    for name in (parts.TRANSCODE, parts.VECTORS, choice("mocrop-v1"), sized(parts.READ, 192)):
        assert f"| {name} | " in text
    assert text.count("| mobilenet_v2 | ") == len(report.WAYS) + 1
    assert "vp9" in capsys.readouterr().err

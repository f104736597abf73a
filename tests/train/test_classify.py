"""A video file comes to the scores that evaluation gave its clip, whichever way clips were made."""

from __future__ import annotations

import functools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mocrop_manifests import read_clips, read_dataset
from mocrop_prep.errors import ClipError
from mocrop_prep.frames import read_frames
from mocrop_train.classify import Classifier
from mocrop_train.data.loading import ClipFrames
from mocrop_train.errors import TrainError
from mocrop_train.evaluation.predictions import read_predictions

from tests.commands import DEFAULT
from tests.train.conftest import train_on_films

ROOT = Path(__file__).parents[2]
HOW: list[tuple[str, ...]] = [
    (),
    ("--direct",),
    ("--frames", "uniform:5", "--aspect", "keep"),
    ("--direct", "--frames", "uniform:5"),
    ("--method", "mocrop-v1", "--samples", "40"),
    ("--direct", "--method", "mocrop-v1", "--samples", "40", "--frames", "uniform:3"),
]


def of_the_test(run: Path, source: Path) -> list[tuple[Path, list[float]]]:
    """Return the videos of the split test, and what evaluation said of them."""
    paths = {clip.clip_id: source / clip.path for clip in read_clips(run.parent / "clips.csv")}
    found = read_predictions(run / "predictions.json").clips
    assert {clip.label for clip in found} == {0, 1}
    first, second = (clip.scores for clip in found)
    assert abs(first[0] - second[0]) > 1e-4, "a network that says one thing of all proves nothing"
    return [(paths[clip.clip_id], clip.scores) for clip in found]


@pytest.mark.parametrize("how", HOW, ids=" ".join)
def test_a_video_has_the_scores_of_its_clip(source: Path, tmp_path: Path, how: tuple[str, ...]) -> None:
    run = train_on_films(source, tmp_path, how)
    classifier = Classifier.load(run / "best.pt", device="cpu")
    assert classifier.classes == ["run", "walk"]
    for video, expected in of_the_test(run, source):
        found = classifier.classify(video, read_frames)
        assert list(found) == classifier.classes
        np.testing.assert_allclose(list(found.values()), expected, rtol=0, atol=1e-5)


def test_the_average_of_the_weights_is_what_classifies(source: Path, tmp_path: Path) -> None:
    run = train_on_films(source, tmp_path, (), "--ema", 0.9)
    for video, expected in of_the_test(run, source):
        found = Classifier.load(run / "best.pt", device="cpu").classify(video, read_frames)
        np.testing.assert_allclose(list(found.values()), expected, rtol=0, atol=1e-5)
    body = torch.load(run / "best.pt", weights_only=True)
    assert any((body["model"][name] != body["ema"][name]).any() for name in body["ema"])


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_an_export_has_the_same_scores(film_run: Path, source: Path, film_export: Path, backend: str) -> None:
    if backend == "onnx":
        pytest.importorskip("onnxruntime")
    classifier = Classifier.load(film_export, device="cpu", backend=backend)
    assert classifier.made == read_dataset(film_run.parent / "shards" / DEFAULT).config
    for video, expected in of_the_test(film_run, source):
        found = classifier.classify(video, read_frames)
        np.testing.assert_allclose(list(found.values()), expected, rtol=0, atol=1e-5)


def test_stored_frames_in_either_order_have_the_scores_of_their_clip(film_run: Path) -> None:
    folder = film_run.parent / "shards" / DEFAULT
    stored = ClipFrames(folder, read_dataset(folder), "test")
    expected = {clip.clip_id: clip.scores for clip in read_predictions(film_run / "predictions.json").clips}
    classifier = Classifier.load(film_run / "best.pt", device="cpu")
    for number, clip in enumerate(stored.clips):
        frames = stored.read(number, range(clip.frames))
        last = frames.permute(0, 2, 3, 1).numpy()
        for given in (frames, frames.contiguous(), last, np.ascontiguousarray(last)):
            found = list(classifier.scores(given).values())
            np.testing.assert_allclose(found, expected[clip.clip_id], rtol=0, atol=1e-5)


def test_a_clip_is_the_mean_of_its_frames_however_many_there_are() -> None:
    """By a network whose logits are known: the mean of each channel."""
    means = lambda frames: frames.float().mean((2, 3))  # noqa: E731
    classifier = Classifier(means, ["red", "green", "blue"], 8)
    frames = np.zeros((150, 8, 8, 3), np.uint8)
    frames[:75, ..., 1] = 4
    frames[75:, ..., 2] = 2
    logits = np.array([0, 2, 1])
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(list(classifier.scores(frames).values()), expected, atol=1e-6)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((2, 8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
        np.zeros((2, 8, 8, 4), np.uint8),
    ],
    ids=["floats", "one picture", "none", "four channels"],
)
def test_what_are_no_frames_of_a_clip_is_refused(frames: Any) -> None:
    classifier = Classifier(lambda frames: frames.float().mean((2, 3)), ["a", "b", "c"], 8)
    with pytest.raises(TrainError, match=r"frames of shape \(.*: uint8 RGB frames of one clip are wanted"):
        classifier.scores(frames)


def test_faults_are_told(film_run: Path, film_export: Path, tmp_path: Path) -> None:
    classifier = Classifier.load(film_run / "best.pt", device="cpu")
    with pytest.raises(ClipError, match="missing-file"):
        classifier.classify(tmp_path / "nowhere.mp4", read_frames)
    bare = Classifier(lambda frames: frames.float().mean((2, 3)), ["a", "b", "c"], 8)
    with pytest.raises(TrainError, match="does not say how its shards were made"):
        bare.classify(tmp_path / "film.mp4", read_frames)
    broken = Classifier(lambda frames: frames.float().mean((2, 3)) / 0, ["a", "b", "c"], 8)
    with pytest.raises(TrainError, match="not finite"):
        broken.scores(np.zeros((1, 8, 8, 3), np.uint8))
    fewer = Classifier(lambda frames: frames.float().mean((2, 3)), ["a", "b"], 8)
    with pytest.raises(TrainError, match="tells 3 classes apart, 2 are named"):
        fewer.scores(np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(TrainError, match="backend onnx takes the folder of an export"):
        Classifier.load(film_run / "best.pt", backend="onnx")
    with pytest.raises(TrainError, match="is not one of torch, onnx"):
        Classifier.load(film_export, backend="tensorrt")
    with pytest.raises(TrainError, match=r"model\.json: no such file; is .* an export"):
        Classifier.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 9}, "version 9 of mocrop-model"),
        ({"format": "other"}, "not the description of a model"),
        ({"classes": "ab"}, "classes is not a list"),
        ({"classes": []}, "without classes"),
        ({"preprocessing": {}}, "side is not"),
        ({"files": {}}, r"holds no model\.pt2; there are none"),
        ({"made": None}, "made is not"),
    ],
)
def test_a_description_that_is_none_is_refused(
    film_export: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    body = json.loads((film_export / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**body, **change}))
    with pytest.raises(TrainError, match=words):
        Classifier.load(tmp_path, device="cpu")


def test_a_program_that_is_not_the_one_described_is_refused(film_export: Path, tmp_path: Path) -> None:
    shutil.copy(film_export / "model.json", tmp_path)
    with pytest.raises(TrainError, match=r"model\.pt2: is not the file that model\.json tells of"):
        Classifier.load(tmp_path, device="cpu")
    content = bytearray((film_export / "model.pt2").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "model.pt2").write_bytes(content)
    with pytest.raises(TrainError, match=r"model\.pt2: is not the file that model\.json tells of"):
        Classifier.load(tmp_path, device="cpu")


def test_the_example_of_the_readme_runs(
    film_run: Path, source: Path, tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "train/README.md").read_text(), flags=re.MULTILINE | re.DOTALL
    )
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    Path("runs/first").symlink_to(film_run)
    shutil.copy(source / "walk/v_walk_g01_c01.avi", "video.avi")
    exec(compile(example, "train/README.md", "exec"), {})
    said = capsys.readouterr().out
    expected = Classifier.load(film_run / "best.pt").classify(Path("video.avi").absolute(), read_frames)
    best = max(expected, key=lambda name: expected[name])
    assert said.startswith(best)


def test_seeds_go_by_the_clip_id_that_is_handed_in(source: Path, tmp_path: Path) -> None:
    run = train_on_films(source, tmp_path, ("--method", "random", "--area", "0.3"))
    classifier = Classifier.load(run / "best.pt", device="cpu")
    [(video, expected), *_] = of_the_test(run, source)
    moved = Path(shutil.copy(video, tmp_path / "elsewhere.avi"))
    clip_id = f"{video.parent.name}__{video.stem}"
    found = classifier.classify(moved, functools.partial(read_frames, clip_id=clip_id))
    np.testing.assert_allclose(list(found.values()), expected, rtol=0, atol=1e-5)
    others = [
        classifier.classify(moved, functools.partial(read_frames, clip_id=str(n)))["run"] for n in range(5)
    ]
    assert max(abs(other - found["run"]) for other in others) > 1e-5

"""Features of a frozen backbone: right, computed once, and never taken for those of something else."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mocrop_manifests import read_dataset
from mocrop_manifests.files import publish
from mocrop_train import loop
from mocrop_train.config import TrainConfig
from mocrop_train.data import features, loading
from mocrop_train.data.features import CachedFeatures, cache_features
from mocrop_train.data.featurestore import FeatureStore
from mocrop_train.data.loading import ClipFrames
from mocrop_train.errors import InterruptionError, TrainError
from mocrop_train.evaluation.evaluate import evaluate_checkpoint
from mocrop_train.models import FrameClassifier, build_model
from mocrop_train.run import checkpoint, parallel
from mocrop_train.run.parallel import Ranks
from safetensors.torch import load_file
from torch import Tensor

CPU = torch.device("cpu")
FROZEN = TrainConfig(
    model="mobilenet_v2",
    freeze=True,
    epochs=2,
    batch_size=4,
    device="cpu",
    workers=0,
    segments=2,
    input_size=32,
)


class StopError(Exception):
    pass


@dataclasses.dataclass
class Spy:
    """Counts the frames of which features are computed; `then` is called with the count before each batch."""

    frames: int = 0
    then: Callable[[int], None] = lambda count: None


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    seen, compute = Spy(), FrameClassifier.features

    def counting(model: FrameClassifier, frames: Tensor) -> Tensor:
        if not frames.is_meta:  # what a clip costs is counted without computing
            seen.then(seen.frames)
            seen.frames += len(frames)
        return compute(model, frames)

    monkeypatch.setattr(FrameClassifier, "features", counting)
    return seen


@pytest.fixture(scope="module")
def model() -> FrameClassifier:
    torch.manual_seed(5)
    return build_model(FROZEN, 3)


@pytest.fixture(scope="module")
def backbone(model: FrameClassifier, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "backbone.pth"
    torch.save(model.backbone.state_dict(), path)
    return str(path)


def opened(folder: Path, split: str = "train", limit: int | None = None) -> ClipFrames:
    return ClipFrames(folder, read_dataset(folder), split, limit=limit)


def all_of(cached: CachedFeatures) -> list[Tensor]:
    return [cached.read(at, range(clip.frames)) for at, clip in enumerate(cached.clips)]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(map(torch.equal, a, b))


def test_they_are_those_of_every_stored_frame_and_of_its_mirror_image(
    toys: Any, tmp_path: Path, model: FrameClassifier
) -> None:
    clips = toys.clips(train=5, test=0)
    source = opened(toys.write(clips=clips))
    stored = {clip.clip_id: torch.from_numpy(toys.stored(clip)) for clip in clips}
    cached = cache_features(model, source, FROZEN, CPU, tmp_path, label="train", mirrored=True)
    for entry, found in zip(cached.clips, all_of(cached), strict=True):
        pixels = stored[entry.clip_id]
        with torch.no_grad():
            views = [model.features(pixels), model.features(pixels.flip(-1))]
        assert found.dtype == torch.float32
        assert torch.allclose(found, torch.stack(views, 1), atol=1e-5)


def test_another_seed_or_learning_rate_computes_none(
    toys: Any, tmp_path: Path, spy: Spy, backbone: str
) -> None:
    folder = toys.write(clips=toys.clips(train=8, val=3, test=3))
    settings = dataclasses.replace(FROZEN, weights=backbone, feature_cache=str(tmp_path / "cache"))
    loop.train(folder, tmp_path / "first", settings)
    assert spy.frames > 0
    spy.frames = 0
    for name, changes in (
        ("seed", {"seed": 1, "lr": 0.1}),
        ("limit", {"limit": 3, "segments": 3, "flip": False}),
    ):
        loop.train(folder, tmp_path / name, dataclasses.replace(settings, **changes))
    assert spy.frames == 0


def test_a_resumed_run_has_its_features_in_its_folder(toys: Any, tmp_path: Path, spy: Spy) -> None:
    folder = toys.write(clips=toys.clips(train=6, test=3))
    loop.train(folder, tmp_path / "run", FROZEN)
    assert list((tmp_path / "run" / "features").glob("*/*.safetensors"))
    spy.frames = 0
    loop.train(folder, tmp_path / "run", FROZEN.resolved(32), resume=True)
    assert spy.frames == 0


def test_a_checkpoint_is_evaluated_with_them_on_any_shards(
    toys: Any, tmp_path: Path, spy: Spy, backbone: str
) -> None:
    one, other = toys.write("one"), toys.write("other", toys.clips(train=3, test=5))
    loop.train(one, tmp_path / "run", dataclasses.replace(FROZEN, weights=backbone))
    plain = evaluate_checkpoint(other, tmp_path / "run" / "best.pt")
    given = {"feature_cache": str(tmp_path / "cache")}
    first = evaluate_checkpoint(other, tmp_path / "run" / "best.pt", given)
    spy.frames = 0
    assert evaluate_checkpoint(other, tmp_path / "run" / "best.pt", given) == first
    assert spy.frames == 0
    for mine, theirs in zip(first.clips, plain.clips, strict=True):
        assert mine.scores == pytest.approx(theirs.scores, abs=1e-5)


def test_an_interruption_loses_no_batch_and_changes_nothing(
    toys: Any, tmp_path: Path, spy: Spy, model: FrameClassifier
) -> None:
    source = opened(toys.write())
    whole = cache_features(model, source, FROZEN, CPU, tmp_path / "whole", label="train")
    frames = spy.frames

    def stop(count: int) -> None:
        if count > frames / 2:
            raise StopError

    spy.frames, spy.then = 0, stop
    with pytest.raises(StopError):
        cache_features(model, source, FROZEN, CPU, tmp_path / "cut", label="train")
    before, spy.then = spy.frames, lambda count: None
    again = cache_features(model, source, FROZEN, CPU, tmp_path / "cut", label="train")
    assert frames / 2 < before < frames == spy.frames
    assert same(all_of(again), all_of(whole))


def test_a_run_that_is_asked_to_stop_stores_the_features_it_has(toys: Any, tmp_path: Path, spy: Spy) -> None:
    spy.then = lambda count: os.kill(os.getpid(), signal.SIGTERM) if count > 40 else None
    folder = toys.write()
    with pytest.raises(InterruptionError):
        loop.train(folder, tmp_path / "run", FROZEN)
    stored = sum(len(load_file(path)) for path in tmp_path.glob("run/features/*/*.safetensors"))
    assert 0 < stored < len(opened(folder).clips)


def test_a_file_that_another_run_is_writing_is_left_alone(
    toys: Any, tmp_path: Path, model: FrameClassifier, caplog: pytest.LogCaptureFixture
) -> None:
    source = opened(toys.write())
    whole = cache_features(model, source, FROZEN, CPU, tmp_path, label="train")
    (stored,) = tmp_path.glob("*/*.safetensors")
    with publish(stored.with_name(f"{'0' * 32}.safetensors")) as temporary:
        temporary.write_bytes(stored.read_bytes()[:-100])
        again = cache_features(model, source, FROZEN, CPU, tmp_path, label="train")
        assert temporary.exists()
    assert caplog.messages == []
    assert same(all_of(again), all_of(whole))


def test_a_killed_run_keeps_what_it_has_stored(
    toys: Any, tmp_path: Path, spy: Spy, model: FrameClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened(toys.write())
    monkeypatch.setattr(features, "_SECONDS_BETWEEN_SAVES", -1.0)
    stored: list[int] = []
    spy.then = lambda count: stored.append(len(list(tmp_path.glob("*/*.safetensors"))))
    settings = dataclasses.replace(FROZEN, segments=6)  # a batch goes through the network at once
    cache_features(model, source, settings, CPU, tmp_path, label="train")
    assert stored == list(range(6))  # 24 clips: a kill before any batch finds those before it


def test_a_part_of_the_clips_serves_the_whole_and_the_whole_a_part(
    toys: Any, tmp_path: Path, spy: Spy, model: FrameClassifier
) -> None:
    folder = toys.write()
    some, every = opened(folder, limit=7), opened(folder)
    cache_features(model, some, FROZEN, CPU, tmp_path, label="train", mirrored=True)
    cache_features(model, every, FROZEN, CPU, tmp_path, label="train", mirrored=True)
    assert spy.frames == 2 * sum(clip.frames for clip in every.clips)
    cached = cache_features(model, some, FROZEN, CPU, tmp_path, label="val")
    assert spy.frames == 2 * sum(clip.frames for clip in every.clips)
    assert {found.shape[1] for found in all_of(cached)} == {1}
    assert [clip.clip_id for clip in cached.clips] == [clip.clip_id for clip in some.clips]


def test_clips_stored_without_their_mirror_image_are_computed_anew(
    toys: Any, tmp_path: Path, spy: Spy, model: FrameClassifier
) -> None:
    source = opened(toys.write())
    cache_features(model, source, FROZEN, CPU, tmp_path, label="val")
    cached = cache_features(model, source, FROZEN, CPU, tmp_path, label="train", mirrored=True)
    assert {found.shape[1] for found in all_of(cached)} == {2}
    assert spy.frames == 3 * sum(clip.frames for clip in source.clips)


@pytest.mark.parametrize("damage", ["changed", "cut", "empty", "no tensors"])
def test_a_damaged_file_is_told_of_and_its_clips_are_computed_again(
    toys: Any,
    tmp_path: Path,
    spy: Spy,
    model: FrameClassifier,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    source = opened(toys.write(clips=toys.clips(train=6, test=0)))
    first = cache_features(model, source, FROZEN, CPU, tmp_path, label="train")
    (path,) = tmp_path.glob("*/*.safetensors")
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(
        {"changed": bytes(data), "cut": bytes(data[:-9]), "empty": b"", "no tensors": b"not tensors at all"}[
            damage
        ]
    )
    before = spy.frames
    again = cache_features(model, source, FROZEN, CPU, tmp_path, label="train")
    assert spy.frames == 2 * before
    assert same(all_of(again), all_of(first))
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert path.name in warnings[0]
    assert "computed again" in warnings[0]
    cache_features(model, source, FROZEN, CPU, tmp_path, label="train")
    assert spy.frames == 2 * before


def test_whatever_changes_features_has_a_place_of_its_own(
    toys: Any, tmp_path: Path, spy: Spy, model: FrameClassifier
) -> None:
    clips = toys.clips(train=4, test=0)
    source = opened(toys.write(clips=clips))
    torch.manual_seed(6)
    another = build_model(FROZEN, 3)
    relit = [
        dataclasses.replace(clip, frames=[frame // 2 for frame in clip.frames]) for clip in clips
    ]  # the same ids
    frames = sum(clip.frames for clip in source.clips)
    cases = [
        (model, source, FROZEN),
        (another, source, FROZEN),
        (model, opened(toys.write("relit", relit)), FROZEN),
        (model, source, dataclasses.replace(FROZEN, input_size=48)),
        (model, source, dataclasses.replace(FROZEN, amp="bf16")),
    ]
    for number, (network, shards, settings) in enumerate(cases, start=1):
        cached = cache_features(network, shards, settings, CPU, tmp_path, label="train")
        fresh = cache_features(network, shards, settings, CPU, tmp_path / str(number), label="train")
        assert same(all_of(cached), all_of(fresh)), number
        assert spy.frames == 2 * number * frames
    assert len(list(tmp_path.glob("*/key.json"))) == len(cases)


def test_a_batch_norm_statistic_is_part_of_the_weights(
    toys: Any, tmp_path: Path, model: FrameClassifier
) -> None:
    source = opened(toys.write())
    key = features.what_features_depend_on(model, source, FROZEN, CPU)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    name = next(name for name in state if name.endswith("running_var"))
    changed = build_model(FROZEN, 3)
    changed.load_state_dict(state)
    assert features.what_features_depend_on(changed, source, FROZEN, CPU) == key
    state[name][0] *= 1.001
    changed.load_state_dict(state)
    assert features.what_features_depend_on(changed, source, FROZEN, CPU) != key


def test_two_runs_at_once_do_each_other_no_harm(
    toys: Any, tmp_path: Path, spy: Spy, model: FrameClassifier
) -> None:
    source = opened(toys.write())
    alone = cache_features(model, source, FROZEN, CPU, tmp_path / "alone", label="train")
    meanwhile: list[CachedFeatures] = []

    def another_run(count: int) -> None:
        if not meanwhile:
            spy.then = lambda count: None
            meanwhile.append(cache_features(model, source, FROZEN, CPU, tmp_path / "both", label="train"))

    spy.then = another_run
    mine = cache_features(model, source, FROZEN, CPU, tmp_path / "both", label="train")
    assert same(all_of(mine), all_of(alone))
    assert same(all_of(meanwhile[0]), all_of(alone))


def test_a_cache_that_is_emptied_in_use_is_one_line(
    toys: Any, tmp_path: Path, spy: Spy, model: FrameClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened(toys.write())

    def emptied(ranks: Ranks) -> None:
        for path in tmp_path.glob("*/*.safetensors"):
            path.unlink()

    monkeypatch.setattr(parallel.Ranks, "barrier", emptied)
    with pytest.raises(TrainError, match="lost 24 clips while in use; start again"):
        cache_features(model, source, FROZEN, CPU, tmp_path, label="train")


def test_processes_compute_disjoint_parts_that_make_the_whole(
    toys: Any, tmp_path: Path, spy: Spy, model: FrameClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened(toys.write())
    alone = cache_features(model, source, FROZEN, CPU, tmp_path / "alone", label="train")
    total, spy.frames = spy.frames, 0
    monkeypatch.setattr(Ranks, "gather", lambda self, item: [item])
    for rank in range(3):
        monkeypatch.setattr(parallel, "current", lambda rank=rank: Ranks(rank, 3))
        missing = list(range(len(source.clips)))
        store = FeatureStore(tmp_path / "three", {"version": 1})
        features._compute(model, source, missing, FROZEN, CPU, store, label="train", mirrored=False)
    assert spy.frames == total
    found = store.load(source.clips, 1)
    assert same([found[clip.clip_id] for clip in source.clips], all_of(alone))


def test_features_are_those_of_the_checkpoint_that_is_resumed(toys: Any, tmp_path: Path) -> None:
    folder = toys.write(clips=toys.clips(train=6, test=3))
    loop.train(folder, tmp_path / "run", FROZEN)
    saved = checkpoint.load(tmp_path / "run" / "best.pt")
    network = build_model(FROZEN.resolved(32), 3, load=False)
    network.load_state_dict(saved["model"])
    stored = opened(folder)
    before = sorted((tmp_path / "run" / "features").glob("*/*.safetensors"))
    cache_features(network, stored, FROZEN.resolved(32), CPU, tmp_path / "run" / "features", label="train")
    assert sorted((tmp_path / "run" / "features").glob("*/*.safetensors")) == before
    assert loading.stored_size(folder, read_dataset(folder)) == 32

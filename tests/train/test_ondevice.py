"""Batches decoded where the network computes are those of the workers: one order, the same draws."""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mocrop_manifests import read_dataset
from mocrop_train import loop
from mocrop_train.config import TrainConfig
from mocrop_train.data import loading, transforms
from mocrop_train.data.loading import Batch, ClipFrames, EvalClips, TrainClips
from mocrop_train.data.ondevice import AugmentedThere, DecodedThere, batches, one_ahead
from mocrop_train.data.sampling import ShuffledClips
from mocrop_train.errors import TrainError
from mocrop_train.run import checkpoint, device

CPU = torch.device("cpu")
TINY = TrainConfig(model="mobilenet_v2", epochs=1, batch_size=8, device="cpu", workers=0, segments=2)


def opened(folder: Path) -> ClipFrames:
    return ClipFrames(folder, read_dataset(folder), "train")


def same(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(mine, theirs)
        for one, other in zip(a, b, strict=True)
        for mine, theirs in zip(one, other, strict=True)
    )


def augmented(source: ClipFrames) -> TrainClips:
    return TrainClips(source, 3, transforms.training(32, min_scale=0.66, flip=True, color_jitter=0.2))


def test_training_batches_are_those_that_workers_decode(toys: Any, form: dict[str, str]) -> None:
    source = opened(toys.write(clips=toys.clips(test=0, size=(40, 48)), aspect="keep", **form))
    order = ShuffledClips(source.chunks, 5)
    there = DecodedThere(augmented(source), source, 5, 0, CPU, order)
    by_workers = loading.loader(augmented(source), batch_size=5, workers=0, device=CPU, sampler=order)
    first = list(there)
    assert len(there) == len(first)
    assert same(first, list(by_workers))
    order.epoch = 1
    second = list(there)
    assert same(second, list(by_workers))
    assert not same(second, first)


def test_they_do_not_depend_on_the_number_of_workers(toys: Any) -> None:
    source = opened(toys.write())
    order = ShuffledClips(source.chunks, 5)
    none, two = (list(DecodedThere(augmented(source), source, 5, workers, CPU, order)) for workers in (0, 2))
    assert same(none, two)


@pytest.mark.parametrize("workers", [0, 2])
def test_clips_augmented_on_the_device_are_those_that_workers_augment(
    toys: Any, form: dict[str, str], workers: int
) -> None:
    source = opened(toys.write(clips=toys.clips(test=0, size=(40, 48)), aspect="keep", **form))
    augment = transforms.training(32, min_scale=0.66, flip=True, color_jitter=0.3, shape="free", hue=0.1)
    clips, order = TrainClips(source, 3, augment), ShuffledClips(source.chunks, 5)
    there = AugmentedThere(clips, 5, workers, CPU, order)
    by_workers = loading.loader(clips, batch_size=5, workers=0, device=CPU, sampler=order)
    first = list(there)
    assert len(there) == len(first)
    assert same(first, list(by_workers))
    order.epoch = 1
    second = list(there)
    assert same(second, list(by_workers))
    assert not same(second, first)


@pytest.mark.parametrize(
    ("augment", "device_type", "expected"),
    [("auto", "cuda", True), ("cuda", "cuda", True), ("cpu", "cuda", False), ("auto", "cpu", False)],
)
def test_augmentation_goes_to_a_gpu_that_computes(
    toys: Any, monkeypatch: pytest.MonkeyPatch, augment: str, device_type: str, expected: bool
) -> None:
    monkeypatch.setattr(torch.utils.data.DataLoader, "__init__", lambda *_, **__: None)  # it would pin memory
    source = opened(toys.write())
    config, where = dataclasses.replace(TINY, augment=augment), torch.device(device_type)
    for clips in (augmented(source), EvalClips(source, transforms.evaluation(32))):
        found = batches(clips, config, where, workers=0)
        assert isinstance(found, AugmentedThere) == (expected and isinstance(clips, TrainClips))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_augments_nearly_as_workers_do(toys: Any) -> None:
    gpu = device.prepare(dataclasses.replace(TINY, device="cuda"))
    source = opened(toys.write(clips=toys.clips(train=60, test=0, size=(64, 64))))
    order = ShuffledClips(source.chunks, 5)
    expected = list(loading.loader(augmented(source), batch_size=5, workers=0, device=CPU, sampler=order))
    for mine, theirs in zip(AugmentedThere(augmented(source), 5, 2, gpu, order), expected, strict=True):
        assert mine.frames.device.type == "cuda"
        assert torch.equal(mine.labels, theirs.labels)
        assert (mine.frames.cpu().int() - theirs.frames.int()).abs().max() <= 3


def test_evaluation_batches_are_those_that_workers_decode(toys: Any) -> None:
    source = opened(toys.write())
    clips = EvalClips(source, transforms.evaluation(32))
    expected = list(loading.loader(clips, batch_size=5, workers=0, device=CPU))
    assert same(list(DecodedThere(clips, source, 5, 0, CPU)), expected)


def test_a_frame_that_fails_is_named(toys: Any) -> None:
    folder = toys.write(clips=[toys.clip("a", 0, frames=2), toys.clip("bb", 1, frames=3)])
    source = opened(folder)
    cut = source.encoded(1, [2])[0]
    path = folder / "train-000000.tar"
    content = path.read_bytes()
    status = path.stat()
    path.write_bytes(content.replace(cut, b"no" + cut[2:]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    there = DecodedThere(EvalClips(source, lambda frames: frames), source, 2, 0, CPU)
    with pytest.raises(TrainError, match=r"train-000000\.tar: clip bb, frame 2: not a whole JPEG"):
        list(there)


def test_a_shard_that_changes_in_use_is_refused(toys: Any) -> None:
    folder = toys.write()
    source = opened(folder)
    there = DecodedThere(EvalClips(source, lambda frames: frames), source, 4, 0, CPU)
    coming = iter(there)
    next(coming)
    path = folder / "train-000000.tar"
    path.write_bytes(path.read_bytes()[:-512] + b"x" * 512)
    with pytest.raises(TrainError, match=r"train-000000\.tar: .*changed while in use"):
        list(coming)


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about a machine without a GPU")
@pytest.mark.parametrize("freeze", [False, True])
def test_without_nvjpeg_the_cpu_decodes_and_the_run_is_the_same(
    toys: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, freeze: bool
) -> None:
    folder = toys.write(clips=toys.clips(train=8, val=3, test=3))
    weights = []
    with caplog.at_level(logging.WARNING):
        for decode in ("cpu", "cuda"):
            settings = dataclasses.replace(TINY, decode=decode, freeze=freeze)
            loop.train(folder, tmp_path / decode, settings)
            weights.append(checkpoint.load(tmp_path / decode / "last.pt")["model"])
    assert [record.message for record in caplog.records].count(
        "--decode cuda: no nvJPEG to be had (computing on cpu); the CPU decodes"
    ) == 1
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_fed_nearly_the_frames_of_the_workers(toys: Any) -> None:
    gpu = device.prepare(dataclasses.replace(TINY, device="cuda", decode="cuda"))
    if not device.decodes(dataclasses.replace(TINY, decode="cuda"), gpu):
        pytest.skip("torchvision was built without nvJPEG")
    source = opened(toys.write(clips=toys.clips(train=60, test=0, size=(64, 64))))
    order = ShuffledClips(source.chunks, 5)
    expected = list(loading.loader(augmented(source), batch_size=5, workers=0, device=CPU, sampler=order))
    for mine, theirs in zip(DecodedThere(augmented(source), source, 5, 2, gpu, order), expected, strict=True):
        assert mine.frames.device.type == "cuda"
        assert torch.equal(mine.labels, theirs.labels)
        assert (mine.frames.cpu().float() - theirs.frames.float()).abs().mean() < 4


def test_one_item_is_made_ahead_and_no_more() -> None:
    made: list[int] = []
    second = threading.Event()

    def numbers() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    ahead = one_ahead(numbers())
    assert next(ahead) == 0
    assert second.wait(10)
    assert made == [0, 1]
    assert list(ahead) == [1, 2, 3, 4]


def test_an_error_ahead_comes_when_its_item_is_due() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise TrainError("the second one")

    ahead = one_ahead(numbers())
    assert next(ahead) == 1
    with pytest.raises(TrainError, match="the second one"):
        next(ahead)

"""Temporal segments, the order of an epoch, and batches of unequal clips."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mocrop_manifests import read_dataset
from mocrop_train.data import loading, transforms
from mocrop_train.data.loading import ClipFrames, EvalClips, TrainClips, collate
from mocrop_train.data.sampling import ShuffledClips, segment_frames

CPU = torch.device("cpu")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(stored=st.integers(1, 60), segments=st.integers(1, 12), seed=st.integers(0, 2**32 - 1))
def test_one_frame_of_each_segment_in_order(stored: int, segments: int, seed: int) -> None:
    drawn = segment_frames(stored, segments, seeded(seed))
    assert len(drawn) == segments
    assert drawn == sorted(drawn)
    for part, frame in enumerate(drawn):
        if stored >= segments:
            assert part * stored // segments <= frame < (part + 1) * stored // segments
    if stored <= segments:
        assert set(drawn) == set(range(stored))


@given(stored=st.integers(1, 20), segments=st.integers(1, 6))
def test_every_stored_frame_has_its_turn(stored: int, segments: int) -> None:
    rng = seeded(0)
    seen = {frame for _ in range(400) for frame in segment_frames(stored, segments, rng)}
    assert seen == set(range(stored))


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    window=st.integers(1, 5),
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 1000),
)
def test_an_epoch_has_every_clip_once_and_follows_from_seed_and_number(
    sizes: list[int], window: int, seed: int, epoch: int
) -> None:
    edges = np.cumsum([0, *sizes]).tolist()
    chunks = [range(a, b) for a, b in itertools.pairwise(edges)]
    order = ShuffledClips(chunks, seed, window=window)
    order.epoch = epoch
    drawn = list(order)
    assert sorted(clip for clip, _ in drawn) == list(range(sum(sizes)))
    assert len(order) == len(drawn)
    again = ShuffledClips(chunks, seed, window=window)
    again.epoch = epoch
    assert list(again) == drawn


def test_epochs_and_seeds_differ_in_order_and_in_draws() -> None:
    chunks = [range(10 * i, 10 * i + 10) for i in range(8)]
    orders = []
    for seed, epoch in ((0, 0), (0, 1), (1, 0)):
        order = ShuffledClips(chunks, seed)
        order.epoch = epoch
        orders.append(list(order))
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]


def test_clips_are_shuffled_within_a_window_of_chunks_only() -> None:
    chunks = [range(10 * i, 10 * i + 10) for i in range(6)]
    order = [clip for clip, _ in ShuffledClips(chunks, 3, window=2)]
    for start in range(0, 60, 20):
        assert len({clip // 10 for clip in order[start : start + 20]}) == 2
    assert order[:20] != sorted(order[:20])


def test_training_clips_do_not_depend_on_the_workers(toys: Any) -> None:
    folder = toys.write()
    source = ClipFrames(folder, read_dataset(folder), "train")

    def noisy(frames: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        return frames + torch.randint(0, 9, frames.shape, dtype=torch.uint8, generator=rng)

    found = []
    for workers in (0, 2):
        clips = TrainClips(source, 3, noisy)
        order = ShuffledClips(source.chunks, 5)
        found.append(list(loading.loader(clips, batch_size=5, workers=workers, device=CPU, sampler=order)))
    assert all(torch.equal(a.frames, b.frames) for a, b in zip(*found, strict=True))
    assert all(torch.equal(a.labels, b.labels) for a, b in zip(*found, strict=True))


def test_reading_a_training_clip_leaves_the_global_generator_alone(toys: Any) -> None:
    folder = toys.write()
    clips = TrainClips(ClipFrames(folder, read_dataset(folder), "train"), 3, lambda frames, rng: frames)
    torch.manual_seed(1)
    expected = torch.rand(4)
    torch.manual_seed(1)
    clips[0, 99]
    assert torch.equal(torch.rand(4), expected)


def test_evaluation_sees_all_frames_of_clips_of_any_length(toys: Any) -> None:
    clips = [toys.clip("a", 0, frames=1), toys.clip("bb", 2, frames=5), toys.clip("ccc", 1, frames=2)]
    folder = toys.write(clips=clips)
    source = ClipFrames(folder, read_dataset(folder), "train")
    batch = collate([EvalClips(source, lambda frames: frames)[i] for i in range(3)])
    assert batch.counts.tolist() == [1, 5, 2]
    assert batch.labels.tolist() == [0, 2, 1]
    assert torch.equal(batch.frames[1:6], source.read(1, range(5)))


def many(toys: Any, storage: str, clips: int = 230) -> ClipFrames:
    """Write and open a set of so many clips, which all look like one of three."""
    looks = [toys.clip("x" * (label + 1), label, frames=2) for label in range(3)]
    named = [dataclasses.replace(looks[number % 3], clip_id=f"clip_{number:04d}") for number in range(clips)]
    folder = toys.write(storage, named, storage=storage)
    return ClipFrames(folder, read_dataset(folder), "train")


def test_tars_and_parquet_are_read_in_one_order_to_the_same_batches(toys: Any) -> None:
    found = []
    for storage in ("webdataset", "parquet"):
        source = many(toys, storage)
        assert [len(chunk) for chunk in source.chunks] == [100, 100, 30]
        clips = TrainClips(source, 2, transforms.training(24, min_scale=0.66, flip=True, color_jitter=0.2))
        order = ShuffledClips(source.chunks, 5)
        found.append(list(loading.loader(clips, batch_size=50, workers=0, device=CPU, sampler=order)))
    for tar, parquet in zip(*found, strict=True):
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(tar, parquet, strict=True))


def test_what_is_read_ahead_of_a_tar_holds_the_frames_that_are_read_next(
    toys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = many(toys, "webdataset")
    advise = os.posix_fadvise
    asked: list[tuple[int, int]] = []

    def noting(descriptor: int, at: int, length: int, advice: int) -> None:
        asked.append((at, at + length))
        advise(descriptor, at, length, advice)

    monkeypatch.setattr(os, "posix_fadvise", noting)
    source.read(120, [0])
    start, end = min(asked)[0], max(asked)[1]
    path = next(source.folder.glob("train-*.tar"))
    with tarfile.open(path) as tar:
        frames = [member for member in tar if member.name.endswith(".jpg")]
    places = {member.name: member.offset_data for member in frames}
    sizes = {member.name: member.size for member in frames}
    for clip in range(100, 200):
        for name in (f"clip_{clip:04d}.000.jpg", f"clip_{clip:04d}.001.jpg"):
            assert start <= places[name] <= places[name] + sizes[name] <= end
    assert places["clip_0099.001.jpg"] < start
    asked.clear()
    source.read(199, [1])
    assert not asked  # once is enough
    source.read(200, [1])
    assert asked


@pytest.mark.parametrize("storage", ["webdataset", "parquet"])
def test_memory_does_not_grow_with_the_clips_that_are_read(toys: Any, storage: str) -> None:
    looks = toys.clip("look", 0, frames=4, size=(256, 256))
    named = [dataclasses.replace(looks, clip_id=f"clip_{number:04d}") for number in range(120)]
    folder = toys.write(storage, named, storage=storage, rows_per_group=10)
    source = ClipFrames(folder, read_dataset(folder), "train")
    batches = loading.loader(
        EvalClips(source, transforms.evaluation(256)), batch_size=4, workers=0, device=CPU
    )
    for _ in batches:
        pass
    before = held()
    pixels = sum(batch.frames.numel() for _ in range(2) for batch in batches)
    assert held() - before < pixels / 10


def held() -> int:
    """Return the bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


LEFT_READING = """
import builtins
from mocrop_train.data import loading

class Numbers(loading.Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, number):
        return number

batches = loading.in_batches(Numbers(), list, 2, 2, range(8), pinned=False)
reading = iter(batches)
next(reading)
builtins.kept = batches, reading  # alive to the end, as in a traceback that somebody holds
"""


def test_a_process_ends_though_others_still_read_for_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LEFT_READING], timeout=60, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")

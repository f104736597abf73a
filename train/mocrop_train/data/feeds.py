"""What the loop is fed: batches of every split, of pictures or of the features of a frozen backbone."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from mocrop_train.config import TrainConfig
from mocrop_train.data import features, loading, ondevice, transforms
from mocrop_train.data.loading import Batch, Batches, FrameSource
from mocrop_train.data.sampling import ShuffledClips
from mocrop_train.data.shards import ClipEntry
from mocrop_train.models import FrameClassifier
from mocrop_train.run import device


@dataclass(frozen=True, slots=True)
class Feeds:
    """Training batches in the order of `order`; batches and clips of the other splits, in file order."""

    train: Batches
    order: ShuffledClips
    held_out: dict[str, Batches]
    clips: dict[str, Sequence[ClipEntry]]

    def begin(self, epoch: int, clips: int) -> None:
        """Let the training batches be those of an epoch, from 0, after its first clips."""
        self.order.epoch, self.order.start = epoch, clips

    def next_clips(self, start: int, count: int) -> list[str]:
        """Return the ids of training clips in the order of the epoch, for messages."""
        self.order.start = start
        return [self.clips["train"][clip].clip_id for clip, _ in itertools.islice(self.order, count)]


class Clock:
    """Adds the time that passes to the sums of an epoch: all `seconds`, and those `waited` for batches."""

    def __init__(self, sums: dict[str, float]) -> None:
        self._sums = sums
        self._last = time.perf_counter()

    def tick(self) -> None:
        """Let the sums hold all time until now, as they must before they are saved."""
        now = time.perf_counter()
        self._sums["seconds"] += now - self._last
        self._last = now

    def waiting(self, batches: Batches) -> Iterator[Batch]:
        """Yield the batches; what passes until one is there is waited for."""
        coming = iter(batches)
        while True:
            self.tick()
            before = self._last
            batch = next(coming, None)
            self.tick()
            if batch is None:
                return
            self._sums["waited"] += self._last - before
            yield batch


class Postponed:
    """Batches that are prepared when they are first asked for."""

    def __init__(self, prepare: Callable[[], Batches]) -> None:
        self._prepare = prepare

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._batches)

    @functools.cached_property
    def _batches(self) -> Batches:
        return self._prepare()


def feeds(
    splits: Mapping[str, FrameSource],
    model: FrameClassifier,
    config: TrainConfig,
    where: torch.device,
    out: Path,
) -> Feeds:
    """Prepare the batches of a run, whose folder is `out`; with `freeze` this is where the backbone runs.

    No frame of the split test is read, let alone run through the network, before its batches are asked for.
    """
    augment = transforms.training(
        config.side,
        min_scale=config.min_scale,
        flip=config.flip,
        color_jitter=config.color_jitter,
        shape=config.crop_shape,
        hue=config.hue,
    )
    view = transforms.evaluation(config.side)
    workers = device.loader_workers(config, where)
    if config.freeze:
        # the features will be in memory: other processes would only pass them around
        augment, view, workers = features.random_view, features.plain_view, 0

    def source(split: str) -> FrameSource:
        if not config.freeze:
            return splits[split]
        cache, mirrored = Path(config.feature_cache or out / "features"), config.flip and split == "train"
        return features.cache_features(
            model, splits[split], config, where, cache, label=split, mirrored=mirrored
        )

    def shown(split: str) -> Batches:
        return ondevice.batches(loading.EvalClips(source(split), view), config, where, workers=workers)

    train = source("train")
    order = ShuffledClips(train.chunks, config.seed)
    clips = loading.TrainClips(train, config.segments, augment)
    held_out = {split: shown(split) for split in splits if split not in ("train", "test")}
    if "test" in splits:
        peeked = splits["test"] is splits.get("val")
        held_out["test"] = held_out["val"] if peeked else Postponed(functools.partial(shown, "test"))
    return Feeds(
        train=ondevice.batches(clips, config, where, workers=workers, sampler=order),
        order=order,
        held_out=held_out,
        clips={split: source.clips for split, source in splits.items()},
    )


def unseen(
    model: FrameClassifier, source: FrameSource, config: TrainConfig, where: torch.device, label: str
) -> tuple[nn.Module, Batches]:
    """Return what is to be run over the clips of a split in evaluation, and their batches.

    The model over pictures; its head over features if the backbone was frozen and a cache of them is given.
    """
    if config.freeze and config.feature_cache:
        cached = features.cache_features(
            model, source, config, where, Path(config.feature_cache), label=label
        )
        clips = loading.EvalClips(cached, features.plain_view)
        return model.head, ondevice.batches(clips, config, where, workers=0)
    clips = loading.EvalClips(source, transforms.evaluation(config.side))
    workers = device.loader_workers(config, where)
    return model, ondevice.batches(clips, config, where, workers=workers)

"""What the loop is fed: batches of every split, of pictures or of the features of a frozen backbone."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

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


def clocked(batches: Batches, sums: dict[str, float]) -> Iterator[Batch]:
    """Yield the batches; to `sums` are added all `seconds`, and those `waited` until a batch was there."""
    before = time.perf_counter()
    for batch in batches:
        came = time.perf_counter()
        sums["waited"] += came - before
        yield batch
        before, start = time.perf_counter(), before
        sums["seconds"] += before - start


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
    splits: Mapping[str, FrameSource], model: FrameClassifier, config: TrainConfig, where: torch.device
) -> Feeds:
    """Prepare the batches of a run; with `freeze` this is where the backbone runs, over every split but test.

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
        mirrored = config.flip and split == "train"
        return features.cache_features(model, splits[split], config, where, label=split, mirrored=mirrored)

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

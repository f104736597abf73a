"""The price of a prediction: what a network computes for a clip, and how long that takes on this machine."""

from __future__ import annotations

import dataclasses
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mocrop_manifests import read_dataset

from mocrop_train import overrides
from mocrop_train.config import TrainConfig
from mocrop_train.data import loading
from mocrop_train.errors import TrainError
from mocrop_train.evaluation.speed import Timing, timings
from mocrop_train.models import build_model
from mocrop_train.models.cost import Cost, clip_cost
from mocrop_train.progress import log
from mocrop_train.run import checkpoint, device

SIDES = (224, 192)
"""The sizes of the paper's settings, attention and efficiency, in px."""
FRAMES = 8
"""The frames of a clip that shards hold unless asked for others."""
_IMAGENET_CLASSES = 1000
_NOTES = """\
Multiply-adds are those of convolutions and matrix products; a GFLOP of many papers is one of them, of others
two. As published: with normalisation and pooling, as in papers that count by fvcore. Activations, softmax
and sums are in neither. Times are from frames in memory to scores: the price of the frames is not in them."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is priced: the network of `config` with `classes` outputs, for clips of `frames` frames.

    sides: the sizes of its input in px.
    """

    config: TrainConfig
    classes: int
    frames: int
    sides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Price:
    """What a clip costs at one size of input: counted, and timed alone and in a batch."""

    side: int
    cost: Cost
    alone: Timing
    batch: Timing


@dataclass(frozen=True, slots=True)
class Bill:
    """The prices of a network at several sizes, and where they were measured."""

    model: str
    classes: int
    device: str
    threads: int
    amp: str
    torch: str
    prices: list[Price]


def subject(asked: dict[str, Any], *, shards: Path | None, saved: Path | None, frames: int | None) -> Subject:
    """Find out what to price from settings, a shard set and a checkpoint, each of which may be left out.

    Model and classes are the checkpoint's, which must be those of the settings; sizes and frames are those
    asked for, else those of the shards. Raises TrainError or ManifestError.
    """
    side = asked.get("input_size")
    body = checkpoint.load(saved) if saved else None
    if body is None:
        config = overrides.build(asked)
    else:
        config = overrides.evaluated(
            body["config"], {name: value for name, value in asked.items() if name != "input_size"}
        )
    classes = len(body["classes"]) if body else _IMAGENET_CLASSES
    sides = (side,) if side else (config.side,) if body else SIDES
    if shards:
        index = read_dataset(shards)
        if body and saved:
            checkpoint.check_classes(saved, body["classes"], index.classes)
        classes = len(index.classes)
        sides = sides if side or body else (loading.stored_size(shards, index),)
        frames = frames or _stored_frames(shards, loading.open_splits(shards, index))
    return Subject(config, classes, frames or FRAMES, sides)


def measure(about: Subject) -> Bill:
    """Count and time; weights are of no account, so none are loaded."""
    config = about.config
    where = device.prepare(config)
    costs = {
        side: clip_cost(dataclasses.replace(config, input_size=side), about.classes, about.frames)
        for side in about.sides
    }
    network = build_model(config, about.classes, load=False).to(where)
    log.info(
        "timing %s on %s; for a large network on a CPU a smaller --batch-size ends sooner",
        config.model,
        where,
    )
    found = timings(network, about.sides, about.frames, config, where)
    return Bill(
        config.model,
        about.classes,
        torch.cuda.get_device_name(where) if where.type == "cuda" else where.type,
        torch.get_num_threads(),
        config.amp,
        torch.__version__,
        [Price(side, costs[side], found[side, 1], found[side, config.batch_size]) for side in about.sides],
    )


def format_table(bill: Bill) -> str:
    """Return a bill as text for people."""
    cost, batch = bill.prices[0].cost, bill.prices[0].batch
    lines = [
        f"{bill.model}, {bill.classes} classes: {cost.parameters / 1e6:.2f} M parameters",
        f"clips of {cost.frames} frames; {bill.device}, {bill.threads} CPU threads, --amp {bill.amp}, "
        f"torch {bill.torch}; medians (and ranges) of {batch.runs} rounds",
        "",
        f"{'':>5}  {'multiply-adds, G':^19}  {'as published, G':>15}  {'latency of a clip, ms':>26}  "
        f"{f'clips/s in batches of {batch.clips}':>26}",
        f"{'px':>5}  {'a frame':>9} {'a clip':>9}  {'a frame':>15}",
    ]
    for price in bill.prices:
        alone, batch, cost = price.alone, price.batch, price.cost
        latency = f"{milliseconds(alone.median)} ({milliseconds(alone.low)}-{milliseconds(alone.high)})"
        rates = [f"{batch.clips / seconds:.3g}" for seconds in (batch.median, batch.high, batch.low)]
        lines.append(
            f"{price.side:5}  {cost.multiply_adds / cost.frames / 1e9:9.3f} {cost.multiply_adds / 1e9:9.2f}  "
            f"{cost.published / cost.frames / 1e9:15.3f}  {latency:>26}  "
            f"{f'{rates[0]} ({rates[1]}-{rates[2]})':>26}"
        )
    return "\n".join([*lines, "", _NOTES])


def format_json(bill: Bill) -> str:
    """Return a bill as JSON, in whole operations and in seconds."""
    body = dataclasses.asdict(bill)
    for row, price in zip(body["prices"], bill.prices, strict=True):
        cost = price.cost
        row["cost"] |= {
            "multiply_adds_per_frame": cost.multiply_adds / cost.frames,
            "published_per_frame": cost.published / cost.frames,
        }
        row["clips_per_second"] = price.batch.clips / price.batch.median
    return json.dumps(body, indent=2) + "\n"


def milliseconds(seconds: float) -> str:
    """Return a time in milliseconds with three digits or more."""
    return f"{1000 * seconds:,.0f}" if seconds >= 0.1 else f"{1000 * seconds:.3g}"


def _stored_frames(shards: Path, splits: dict[str, loading.ClipFrames]) -> int:
    """Return the median number of frames that the clips of a shard set hold."""
    stored = [clip.frames for source in splits.values() for clip in source.clips]
    if not stored:
        raise TrainError(f"{shards}: no clips; give --frames N, the frames of a clip")
    if min(stored) < max(stored):
        log.info("%s: clips of %d to %d frames; priced for the median", shards, min(stored), max(stored))
    return statistics.median_low(stored)

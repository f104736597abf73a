"""Every setting of a training run: its default, its range and its help, in one place.

The command line, the TOML file and the checks are all made from the fields of TrainConfig.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TypeVar

from mocrop_train import recipes
from mocrop_train.settings import Checked, option

Number = TypeVar("Number", int, float)
MODELS = (
    "resnet18",
    "resnet50",
    "resnet50-v1",
    "resnet152",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "efficientnet_b1",
    "swin_t",
    "swin_b",
)
# settings of the machine, which may change while a run goes on
ANY_RUN = ("device", "workers", "decode", "augment", "threads", "save_every", "feature_cache", "tensorboard")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig(Checked):
    """Settings of a run; raises TrainError when one is out of its range."""

    recipe: str = option(
        "none",
        "Values for settings that are given neither here nor in --config. "
        + " ".join(f"{name}: {recipes.in_words(name)}." for name in recipes.RECIPES if name != "none"),
        section="Recipe",
        choices=tuple(recipes.RECIPES),
    )

    model: str = option(
        "resnet18",
        "Backbone. resnet50-v1 is ResNet-50 with the strides of 2015, as most weights from outside "
        "torchvision expect.",
        section="Model",
        choices=MODELS,
    )
    weights: str = option(
        "none",
        "Where the backbone starts: none (at random), imagenet (torchvision's, downloaded once), or a file: "
        ".pth, .pt or .safetensors with torchvision's keys, or a checkpoint of this trainer.",
        section="Model",
    )
    allow_partial: bool = option(
        False,
        "Load what fits from a weights file that misses keys or has others.",
        section="Model",
    )
    freeze: bool = option(
        False,
        "Keep the backbone as it is: compute the features of every stored frame once, then train a linear "
        "head on them. The fastest way to a first number.",
        section="Model",
    )
    dropout: float = option(0.0, "Dropout before the linear head.", section="Model", low=0.0, high=0.95)

    segments: int = option(
        3,
        "Frames per clip in training: one at random from each of so many equal parts of the stored frames "
        "(temporal segments, TSN). Evaluation always uses all stored frames.",
        section="Data",
        low=1,
        high=1024,
    )
    input_size: int | None = option(
        None,
        "Side of the network's square input, in px.",
        section="Data",
        low=16,
        high=2048,
        auto="stored size",
    )
    crop_shape: str = option(
        "square",
        "Multi-scale crop: square, from a corner or the centre, leaves shapes as the shards hold them; free "
        "draws a scale for the width and one for the height, and places it anywhere.",
        section="Data",
        choices=("square", "free"),
    )
    min_scale: float = option(
        0.66,
        "Smallest side of the multi-scale crop, as a share of the short side; the scales are 1, 0.875, "
        "0.75 and 0.66. 1 turns it off.",
        section="Data",
        low=0.66,
        high=1.0,
    )
    flip: bool = option(
        True,
        "Mirror half of the training clips; turn it off where left and right tell classes apart.",
        section="Data",
    )
    color_jitter: float = option(
        0.2,
        "Strength of random brightness, contrast and saturation; one draw per clip.",
        section="Data",
        low=0.0,
        high=1.0,
    )
    hue: float = option(
        0.0,
        "Largest turn of all colours, either way, as a share of the circle of hues; one draw per clip.",
        section="Data",
        low=0.0,
        high=0.5,
    )
    limit: int | None = option(
        None,
        "Use only so many clips of each split, spread evenly: for a quick try.",
        section="Data",
        low=1,
        auto="all",
    )

    val_share: float = option(
        0.15,
        "Share of the training clips on which the best epoch is chosen if the shards have no split val; "
        "whole groups are held out of training. 0 trains on all and keeps the last epoch.",
        section="Selection",
        low=0.0,
        high=0.5,
    )
    peek_at_test: bool = option(
        False,
        "Choose the best epoch on the split test. The result is optimistic, not one to report, and every "
        "file of the run says so.",
        section="Selection",
    )

    epochs: int = option(30, "Passes over the training clips.", section="Optimisation", low=1)
    batch_size: int = option(
        16, "Clips per forward pass, over all processes of torchrun.", section="Optimisation", low=1
    )
    accumulate: int = option(
        1,
        "Batches per step: gradients are averaged over all of their clips, so that 4 batches of 16 make the "
        "step of 64 clips in the memory of 16. Batch normalisation still sees 16.",
        section="Optimisation",
        low=1,
    )
    optimizer: str = option(
        "adamw", "AdamW, or SGD with momentum 0.9.", section="Optimisation", choices=("adamw", "sgd")
    )
    lr: float | None = option(
        None,
        "Peak learning rate.",
        section="Optimisation",
        low=0.0,
        auto="0.001 for adamw, 0.01 for sgd; tenfold with --freeze",
    )
    weight_decay: float | None = option(
        None,
        "Weight decay; biases and normalisation layers have none, unless --decay-norms.",
        section="Optimisation",
        low=0.0,
        auto="0.05 for adamw, 0.0005 for sgd",
    )
    decay_norms: bool = option(
        False, "Weight decay on biases and normalisation layers too.", section="Optimisation"
    )
    schedule: str = option(
        "cosine",
        "How the learning rate falls: cosine, to zero; step, at --lr-steps by --lr-decay.",
        section="Optimisation",
        choices=("cosine", "step"),
    )
    lr_steps: tuple[float, ...] = option(
        (0.5, 0.75),
        "Where --schedule step lowers the learning rate, as shares of the run.",
        section="Optimisation",
        low=0.0,
        high=1.0,
    )
    lr_decay: float = option(
        0.1, "What --schedule step multiplies it by.", section="Optimisation", low=0.0, high=1.0
    )
    warmup: float = option(
        0.1,
        "Share of the run in which the learning rate rises from zero.",
        section="Optimisation",
        low=0.0,
        high=0.5,
    )
    label_smoothing: float = option(
        0.0,
        "Share of the target spread over all classes.",
        section="Optimisation",
        low=0.0,
        high=0.9,
    )
    mixup: float = option(
        0.0,
        "Blend pairs of clips and their labels by a share from Beta(a, a), one per batch; 0.2 is usual, 0 is "
        "off.",
        section="Optimisation",
        low=0.0,
        high=10.0,
    )
    ema: float | None = option(
        None,
        "Evaluate an average of the weights in which every step counts so much less than the next, such as "
        "0.999; it reaches less far back in the first steps.",
        section="Optimisation",
        low=0.0,
        high=0.999999,
        auto="no average",
    )
    clip_grad: float | None = option(
        None, "Largest norm of the gradient; 0 is no limit.", section="Optimisation", low=0.0, auto="no limit"
    )
    amp: str = option(
        "off",
        "Mixed precision. bf16 is about twice as fast on GPUs, and on CPUs that have it; fp16 needs a GPU.",
        section="Optimisation",
        choices=("off", "bf16", "fp16"),
    )
    compile: bool = option(
        False,
        "Compile the network for training; the first two steps take minutes, the others less time. Needs a "
        "C++ compiler on a CPU.",
        section="Optimisation",
    )
    seed: int = option(
        0,
        "Seed of the weights, the order, the frames, the augmentation, and the groups that are held out.",
        section="Optimisation",
        low=0,
        high=2**32 - 1,
    )

    device: str = option(
        "auto",
        "Where to compute; auto takes the GPU if there is one.",
        section="Machine",
        choices=("auto", "cpu", "cuda"),
    )
    workers: int | None = option(
        None,
        "Processes that read and decode, for each process of torchrun; 0 reads in the training process.",
        section="Machine",
        low=0,
        high=256,
        auto="0 on a CPU, up to 8 for a GPU",
    )
    decode: str = option(
        "cpu",
        "Where JPEGs become pixels: cpu, in the processes that read, the same pixels on every machine; cuda, "
        "on the GPU by nvJPEG, where few cores feed a fast GPU.",
        section="Machine",
        choices=("cpu", "cuda"),
    )
    augment: str = option(
        "auto",
        "Where training clips are augmented; draws are the same, pixels differ by a level here and there. "
        "auto takes the device that computes: workers decode, and a GPU does the rest.",
        section="Machine",
        choices=("auto", "cpu", "cuda"),
    )
    threads: int | None = option(
        None, "CPU threads of torch.", section="Machine", low=1, high=1024, auto="torch's own choice"
    )
    save_every: float = option(
        10.0,
        "Minutes from one save of last.pt to the next within an epoch; it is saved at the end of every epoch "
        "too. 0 leaves it at that.",
        section="Machine",
        low=0.0,
    )
    feature_cache: str | None = option(
        None,
        "Folder for the features that --freeze computes, which runs may share: what one has computed, the "
        "others read.",
        section="Machine",
        auto="features in the run folder",
    )
    tensorboard: bool = option(
        False,
        "Write the curves of log.csv for TensorBoard too: tensorboard --logdir RUN/tensorboard.",
        section="Machine",
    )

    @property
    def side(self) -> int:
        """The network's input size in px, of a resolved config."""
        return _known(self.input_size, "input_size")

    @property
    def peak_lr(self) -> float:
        """The peak learning rate, of a resolved config."""
        return _known(self.lr, "lr")

    def resolved(self, stored_size: int) -> TrainConfig:
        """Return the settings with every automatic value that changes results filled in."""
        adamw = self.optimizer == "adamw"
        lr = (0.001 if adamw else 0.01) * (10 if self.freeze else 1)
        return dataclasses.replace(
            self,
            input_size=self.input_size or stored_size,
            lr=lr if self.lr is None else self.lr,
            weight_decay=(0.05 if adamw else 0.0005) if self.weight_decay is None else self.weight_decay,
        )


def _known(value: Number | None, name: str) -> Number:
    if value is None:
        raise ValueError(f"{name} is automatic; use TrainConfig.resolved first")
    return value

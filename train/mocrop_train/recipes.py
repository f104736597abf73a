"""Named sets of settings; what is given on the command line or in a file wins over them.

`paper` holds the values of MoCrop's own training code, not of its article: scripts/train.py and
src/mocrop_dataset.py of github.com/microa/MoCrop at commit dd3a4b3 (Huang et al., arXiv 2509.18473).
Each value below is a default there; models start from torchvision's ImageNet weights.

Where ours differs from that code, and why:
- The best epoch there is the one that is best on the test list. That is not copied: see val_share.
- Colours there are shifted in HLS, for each frame anew: hue by up to 36 of 180, lightness and saturation by
  up to 50 of 255. Here a clip gets one draw, and all but the hue are factors: hue .2, the others 1 +- .2.
- An epoch there draws clips with replacement; here every clip comes once.
- Training there takes one of three segments of all frames, evaluation 25 frames evenly spread over the clip,
  where the article speaks of I-frames; here both take what the shards store.
- Evaluation there squashes the crop to a square: so does the pipeline, unless `--aspect keep`.
- As published the script stops before it trains: it joins transforms that cannot be added.

`modern` is what is usual today for fine-tuning an ImageNet network on a small set. It was tuned on no clips.
"""

from __future__ import annotations

from typing import Any

from mocrop_train.settings import flag
from mocrop_train.settings import in_words as value_in_words

RECIPES: dict[str, dict[str, Any]] = {
    "none": {},
    "paper": {
        "weights": "imagenet",
        "segments": 3,
        "crop_shape": "free",
        "min_scale": 0.66,
        "flip": True,
        "color_jitter": 0.2,
        "hue": 0.2,
        "epochs": 100,
        "batch_size": 32,
        "optimizer": "adamw",
        "lr": 1e-3,
        "weight_decay": 1e-4,
        "decay_norms": True,
        "schedule": "step",
        "lr_steps": (0.4, 0.8),
        "lr_decay": 0.1,
        "warmup": 0.0,
        "label_smoothing": 0.0,
        "mixup": 0.2,
    },
    "modern": {
        "weights": "imagenet",
        "epochs": 30,  # pretrained features need few passes, and small sets overfit in more
        "batch_size": 32,  # batch normalisation over 96 frames, in the memory of a common GPU
        "optimizer": "adamw",  # one choice for convolutions and attention alike
        "lr": 3e-4,  # under the 1e-3 of training from scratch: pretrained features are to stay
        "weight_decay": 0.05,  # of Liu et al., "Swin Transformer", 2021, and ConvNeXt after it
        "schedule": "cosine",  # no steps to place
        "warmup": 0.1,  # the new head's first gradients are large, and would go through the backbone
        "label_smoothing": 0.1,  # Szegedy et al., "Rethinking the Inception Architecture", 2016
        "mixup": 0.2,  # Zhang et al., "mixup", 2018, for ImageNet: the mild end
        "clip_grad": 1.0,  # a rare bad batch does not undo an epoch
        "ema": 0.999,  # the mean of about the last thousand steps, which swings less between epochs
    },
}


def in_words(name: str) -> str:
    """Return what a recipe sets, as one would write it on the command line."""
    return ", ".join(
        f"{flag(setting)[2:]} {value_in_words(value)}" for setting, value in RECIPES[name].items()
    )

"""The backbones of table 1: those whose weights lie here, and those of the paper that can be downloaded."""

from __future__ import annotations

import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import torchvision
from mocrop_manifests.files import sha256

from tests.benchmarks.crop_bench import backbones as here
from tests.benchmarks.crop_bench.sets import SHARED

LOCAL = ("mobilenet_v2", "resnet50")
DOWNLOADED = ("resnet152", "mobilenet_v3_large", "efficientnet_b1", "swin_b")
NAMES = (*LOCAL, *DOWNLOADED)
_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Backbone:
    """A backbone: the trainer's `model` and `weights`, and a `digest` that tells its weights from others."""

    name: str
    model: str
    weights: str
    digest: str


def found(names: Sequence[str]) -> tuple[list[Backbone], list[str]]:
    """Return the backbones whose weights can be had, and a line for each of the others."""
    backbones, notes = [], []
    online = _online() if set(names) & set(DOWNLOADED) else True
    for name in names:
        if name in LOCAL:
            local = here.find(name)
            if local is None:
                notes.append(f"{name}: its weights are not in {SHARED / 'weights'}, passed over")
            else:
                digest = sha256(local.weights)[:8]
                backbones.append(Backbone(name, here.FILES[name][0], str(local.weights), digest))
        elif online:
            backbones.append(Backbone(name, name, "imagenet", Path(_url(name)).stem.rpartition("-")[2]))
        else:
            notes.append(f"{name}: --weights imagenet cannot be downloaded here, passed over")
    return backbones, notes


def _url(name: str) -> str:
    return str(torchvision.models.get_model_weights(name).DEFAULT.url)


def _online() -> bool:
    """Say whether torchvision's weights can be downloaded: one question for all backbones."""
    request = urllib.request.Request(_url(DOWNLOADED[1]), method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE):
            return True
    except (URLError, OSError):
        return False

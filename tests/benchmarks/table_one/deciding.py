"""What decides a result of the table, as digests for file names: what depends on other things has another."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from mocrop_manifests.files import sha256
from mocrop_train.config import ANY_RUN, TrainConfig


def decisive(config: TrainConfig) -> dict[str, Any]:
    """Return the settings that change results, but for the weights, which folders tell by their digest.

    Here the weights would be a path of this machine.
    """
    settings = dataclasses.asdict(config)
    return {name: value for name, value in settings.items() if name not in (*ANY_RUN, "weights")}


def digest_of(shards: Path) -> str:
    """Return the first eight digits of the SHA-256 of a shard set's index, which has those of its shards."""
    return sha256(shards / "dataset.json")[:8]


def short_digest(decides: Any) -> str:
    """Return eight hexadecimal digits for what can be written as JSON."""
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:8]

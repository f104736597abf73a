"""Features on disk: computed once, read by every run that they serve."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mocrop_manifests.files import TEMPORARY, publish_bytes, publish_text, sha256, sha256_of_text
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mocrop_train.data.shards import ClipEntry
from mocrop_train.progress import log

_LETTERS = 32


class FeatureStore:
    """The features of clips under one key: float32 (frames, views, width) for a clip id.

    A folder of safetensors files, each with some clips, which are written once and named by their own
    SHA-256: what two runs write at once does not clash, and a file that is damaged is known.
    """

    def __init__(self, cache: Path, key: dict[str, Any]) -> None:
        """Open the folder of a key in a cache; `key` holds all that the features depend on."""
        text = json.dumps(key, indent=2, sort_keys=True) + "\n"
        self.folder = cache / sha256_of_text(text)[:_LETTERS]
        self._about = text

    def load(self, clips: Sequence[ClipEntry], views: int) -> dict[str, Tensor]:
        """Return what is stored of some clips, by clip id; what does not fit them is left out.

        A damaged file is told of and removed.
        """
        wanted = {clip.clip_id: clip.frames for clip in clips}
        found: dict[str, Tensor] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            if path.name.startswith(TEMPORARY):  # another run, perhaps on another machine, is writing it
                continue
            try:
                stored = _read(path, wanted.keys() - found.keys())
            except FileNotFoundError:  # another run has found it damaged
                continue
            except SafetensorError as error:
                log.warning("%s: damaged (%s); these features are computed again", path, error)
                path.unlink(missing_ok=True)
                continue
            for clip_id, features in stored.items():
                if features.ndim == 3 and len(features) == wanted[clip_id] and features.shape[1] >= views:
                    # a copy: what was read is the file itself, and a file may change
                    found[clip_id] = features[:, :views].clone()
        return found

    def add(self, features: dict[str, Tensor]) -> None:
        """Store the features of some clips; they appear whole or not at all."""
        if not features:
            return
        publish_text(self.folder / "key.json", self._about)
        data = save({name: tensor.contiguous() for name, tensor in features.items()})
        name = hashlib.sha256(data).hexdigest()[:_LETTERS]
        publish_bytes(self.folder / f"{name}.safetensors", data)


def _read(path: Path, wanted: set[str]) -> dict[str, Tensor]:
    """Return the tensors of a file that are wanted; raises SafetensorError if it is not what was written."""
    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if name in wanted]  # noqa: SIM118  # it is no dict
        if names and sha256(path)[:_LETTERS] != path.stem:
            raise SafetensorError("its content is not that of its name")
        return {name: file.get_tensor(name) for name in names}

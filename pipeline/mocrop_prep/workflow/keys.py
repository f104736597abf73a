"""The keys of clips: fingerprints of what goes into each stage, by name, so that a change can be told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from operator import attrgetter
from typing import Any

import cv2
import numpy as np
from mocrop_manifests import Clip, CropRow
from mocrop_manifests.tables import columns

from mocrop_prep.config import PRESETS, CropSettings, ShardSettings, TranscodeSettings
from mocrop_prep.journal import fingerprint, short_digest
from mocrop_prep.vectors import MOTION_FORMAT
from mocrop_prep.video import library_versions
from mocrop_prep.video.encode import x264_options

Inputs = dict[str, str]
_ROW_VALUES = attrgetter(*columns(CropRow))
_CLIP_TEXTS = attrgetter("clip_id", "path", "label_name", "split", "group")
_quoted = json.encoder.encode_basestring_ascii  # what JSON makes of a text


def transcode_inputs(source: str, settings: TranscodeSettings) -> Inputs:
    """Return what decides a transcoded clip; `source` stands for the video."""
    return {
        "source": source,
        "settings": settings.digest(),
        "encoder options": _encoder(),
        "libraries": _libraries(),
    }


def extract_inputs(video: Mapping[str, Any]) -> Inputs:
    """Return what decides a clip's vectors; `video` is what the transcode stage has on record of it."""
    return {
        **_video(video),
        "form of the vectors": str(MOTION_FORMAT),
        "libraries": _picture_libraries(),
    }


def crop_inputs(motion_sha256: str, clip: Clip, settings: CropSettings) -> Inputs:
    """Return what decides a clip's row of the manifest."""
    return {
        "vectors": motion_sha256,
        "settings": settings.digest(),
        "clip list": _row(clip),
        "libraries": np.__version__,
    }


def shard_inputs(video: Mapping[str, Any], row: CropRow, settings: ShardSettings) -> Inputs:
    """Return what decides a clip's sample; `video` is as for its vectors."""
    return {
        **_video(video),
        "settings": settings.digest(),
        "manifest row": _row(row),
        "libraries": _picture_libraries(),
    }


def run_inputs(source: str, clip: Clip, constant: Inputs) -> Inputs:
    """Return what decides a clip's sample and row in a fused run; `constant` is what all clips share."""
    return {**constant, "source": source, "clip list": _row(clip)}


class RunKeys:
    """The keys of a fused run: those of `run_inputs`, for a million clips, without writing JSON for each."""

    def __init__(self, constant: Inputs) -> None:
        marks = {"source": "\0", "clip list": "\1"}
        text = json.dumps([{**constant, **marks}], sort_keys=True)
        # "clip list" sorts before "source"
        self._before, rest = text.split('"\\u0001"')
        self._between, self._after = rest.split('"\\u0000"')

    def key(self, source: str, clip: Clip) -> str:
        """Return the fingerprint of a clip's inputs; `source` stands for its video."""
        text = f'{self._before}"{_row(clip)}"{self._between}"{source}"{self._after}'
        return short_digest(text)


def run_constant(transcode: TranscodeSettings, crop: CropSettings, shard: ShardSettings) -> Inputs:
    """Return the inputs that all clips of a fused run share."""
    return {
        "transcode settings": transcode.digest(),
        "encoder options": _encoder(),
        "crop settings": crop.digest(),
        "shard settings": shard.digest(),
        "form of the vectors": str(MOTION_FORMAT),
        "libraries": f"{_picture_libraries()} {np.__version__}",
    }


def _video(video: Mapping[str, Any]) -> Inputs:
    # the same bytes are read in another way in place
    route = {"route": "direct"} if is_direct(video) else {}
    return {"transcoded clip": video["sha256"], **route}


def is_direct(video: Mapping[str, Any]) -> bool:
    """Say whether a clip is read in place, by what the transcode stage has on record of it."""
    return video.get("action") == "direct"


@cache
def _libraries() -> str:
    return fingerprint(library_versions())


@cache
def _encoder() -> str:
    # what we add to the settings: those have a key of their own
    return fingerprint([x264_options(TranscodeSettings(preset=preset)) for preset in PRESETS])


@cache
def _picture_libraries() -> str:
    return fingerprint(library_versions(), cv2.__version__)


def _row(row: Clip | CropRow) -> str:
    if not isinstance(row, Clip):
        return fingerprint(_ROW_VALUES(row))
    # as `fingerprint` of the values: a run asks for it once for every clip
    clip_id, path, name, split, group = map(_quoted, _CLIP_TEXTS(row))
    return short_digest(f"[[{clip_id}, {path}, {row.label}, {name}, {split}, {group}]]")

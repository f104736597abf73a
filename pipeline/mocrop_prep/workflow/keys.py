"""The keys of clips: fingerprints of what goes into each stage, by name, so that a change can be told."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import cv2
import numpy as np
from mocrop_manifests import Clip, CropRow

from mocrop_prep.config import CropSettings, ShardSettings, TranscodeSettings
from mocrop_prep.journal import fingerprint
from mocrop_prep.vectors import MOTION_FORMAT
from mocrop_prep.video import library_versions
from mocrop_prep.video.encode import x264_options

Inputs = dict[str, str]


def transcode_inputs(source: str, settings: TranscodeSettings) -> Inputs:
    """Return what decides a transcoded clip; `source` stands for the video."""
    return {
        "source": source,
        "settings": settings.digest(),
        "encoder options": _encoder(),
        "libraries": _libraries(),
    }


def extract_inputs(video_sha256: str) -> Inputs:
    """Return what decides a clip's vectors."""
    return {
        "transcoded clip": video_sha256,
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


def shard_inputs(video_sha256: str, row: CropRow, settings: ShardSettings) -> Inputs:
    """Return what decides a clip's sample."""
    return {
        "transcoded clip": video_sha256,
        "settings": settings.digest(),
        "manifest row": _row(row),
        "libraries": _picture_libraries(),
    }


def run_inputs(
    source: str, transcode: TranscodeSettings, crop: CropSettings, shard: ShardSettings, clip: Clip
) -> Inputs:
    """Return what decides a clip's sample and row in a fused run."""
    return {
        "source": source,
        "transcode settings": transcode.digest(),
        "encoder options": _encoder(),
        "crop settings": crop.digest(),
        "shard settings": shard.digest(),
        "clip list": _row(clip),
        "form of the vectors": str(MOTION_FORMAT),
        "libraries": f"{_picture_libraries()} {np.__version__}",
    }


@cache
def _libraries() -> str:
    return fingerprint(library_versions())


@cache
def _encoder() -> str:
    # of no setting: those have a key of their own
    return fingerprint(x264_options(TranscodeSettings()))


@cache
def _picture_libraries() -> str:
    return fingerprint(library_versions(), cv2.__version__)


def _row(row: Clip | CropRow) -> str:
    values: list[Any] = [getattr(row, field.name) for field in dataclasses.fields(row)]
    return fingerprint(values)

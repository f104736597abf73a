"""Features of crops, computed once: kept by clip, frames, crop and backbone."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import joblib
import numpy as np
import torch
from mocrop_manifests.files import publish, sha256
from mocrop_prep.config import RunSettings, ShardSettings
from mocrop_prep.geometry import Box
from mocrop_prep.pictures import Planes, render_jpeg
from mocrop_prep.progress import Progress
from mocrop_prep.runner import worker_count
from mocrop_prep.stages.shard import frames_to_keep
from mocrop_prep.video import open_clip
from numpy.typing import NDArray

from tests.benchmarks.crop_bench.backbones import Backbone, load
from tests.benchmarks.crop_bench.contenders import Contender
from tests.benchmarks.crop_bench.sets import ClipSet

SHARDS = ShardSettings(frames="key:3", size=224)
"""The pictures are those of shards made so: three key frames a clip, 224 pixels square."""
_AT_ONCE = 24


@dataclass(frozen=True, slots=True)
class _Job:
    """One clip's crops to be described, and the file that keeps what is known of it."""

    video: Path
    boxes: tuple[Box, ...]
    kept: Path


def clip_features(
    clips: ClipSet, crops: Sequence[Contender], backbone: Backbone, folder: Path, run: RunSettings
) -> NDArray[np.float32]:
    """Return features (contenders, clips, width), each the mean over the clip's frames."""
    home = folder / f"{backbone.name}-{_weights_digest(backbone.weights)}" / clips.name
    journal = clips.workdir.journal("transcode").read()
    jobs = []
    for number, clip in enumerate(clips.clips):
        boxes = tuple(contender.boxes[number] for contender in crops)
        # another video is another file: what is kept of a clip never outlives its pictures
        kept = home / f"{clip.clip_id}-{journal[clip.clip_id].data['sha256'][:12]}.npz"
        jobs.append(_Job(clips.workdir.transcoded(clip.clip_id), boxes, kept))
    found = []
    label = f"{clips.name}, {backbone.name}"
    parallel = joblib.Parallel(n_jobs=worker_count(run), return_as="generator")
    with Progress(label, len(jobs), quiet=False) as progress:
        for features in parallel(joblib.delayed(_describe)(job, backbone) for job in jobs):
            found.append(features)
            progress.advance()
    return np.stack(found, axis=1)


@functools.cache
def _weights_digest(weights: Path) -> str:
    return sha256(weights)[:8]


def _describe(job: _Job, backbone: Backbone) -> NDArray[np.float32]:
    """Return the features (crops, width) of one clip; crops that are not kept yet are computed and kept."""
    known = _read(job.kept)
    missing = [box for box in dict.fromkeys(job.boxes) if box not in known]
    if missing:
        known |= dict(zip(missing, _compute(job.video, missing, backbone), strict=True))
        with publish(job.kept) as temporary, temporary.open("wb") as stream:
            rows = [(box.x, box.y, box.w, box.h) for box in known]
            np.savez(stream, boxes=np.array(rows, np.int64), features=np.stack(list(known.values())))
    return np.stack([known[box].mean(axis=0) for box in job.boxes])


def _read(path: Path) -> dict[Box, NDArray[np.float32]]:
    """Return the features (frames, width) that are kept of a clip, by crop."""
    if not path.exists():
        return {}
    with np.load(path) as kept:
        boxes = [Box(*row) for row in kept["boxes"].tolist()]
        return dict(zip(boxes, kept["features"], strict=True))


def _compute(video: Path, boxes: Sequence[Box], backbone: Backbone) -> NDArray[np.float32]:
    """Return the features (boxes, frames, width) of a clip's key frames, each cut to each of the boxes."""
    with open_clip(video) as clip:
        pictures = clip.decode_exact(frames_to_keep(clip.index, SHARDS)).values()
    frames = np.stack([_rgb(picture, box) for box in boxes for picture in pictures])
    extract = load(backbone)
    parts = [extract(part) for part in torch.split(torch.from_numpy(frames), _AT_ONCE)]
    features = torch.cat(parts).numpy()
    return features.reshape(len(boxes), len(pictures), -1)


def _rgb(picture: Planes, box: Box) -> NDArray[np.uint8]:
    """Return the frame that a shard holds, as a trainer reads it: (3, size, size) RGB uint8."""
    jpeg = render_jpeg(picture, box, size=SHARDS.pixels, aspect=SHARDS.aspect, quality=SHARDS.quality)
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(np.asarray(bgr, np.uint8)[:, :, ::-1].transpose(2, 0, 1))

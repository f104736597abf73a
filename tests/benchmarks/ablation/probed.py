"""Crops of a few variants as contenders of the linear probes, each paired with the whole method."""

from __future__ import annotations

import joblib
from mocrop_manifests import Clip
from mocrop_prep.config import RunSettings
from mocrop_prep.geometry import Box
from mocrop_prep.runner import worker_count
from mocrop_prep.vectors import read_vectors

from tests.benchmarks.ablation.variants import OURS, PROBED
from tests.benchmarks.crop_bench.contenders import Contender
from tests.benchmarks.crop_bench.sets import ClipSet


def probed(clips: ClipSet, run: RunSettings) -> list[Contender]:
    """Return the crops of PROBED, of the method's own sizes, for every clip of a set."""
    calls = (joblib.delayed(_chosen)(clips, clip) for clip in clips.clips)
    found = joblib.Parallel(n_jobs=worker_count(run))(calls)
    contenders = []
    for number, name in enumerate(PROBED):
        boxes = tuple(crops[number] for _, crops in found)
        shares = [box.w * box.h / pixels for box, (pixels, _) in zip(boxes, found, strict=True)]
        contenders.append(Contender(name, boxes, sum(shares) / len(shares)))
    return contenders


def _chosen(clips: ClipSet, clip: Clip) -> tuple[int, list[Box]]:
    """Return the pixels of a clip's frame and its crops."""
    info, batches = read_vectors(clips.workdir.motion(clip.clip_id))
    choosers = [OURS[name](clip, info, None) for name in PROBED]
    for vectors in batches:
        for chooser in choosers:
            chooser.add(vectors)
    return info.width * info.height, [chooser.choose().box for chooser in choosers]

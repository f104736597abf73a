"""What has to be done to a video before a network sees it, split into parts that can be timed one by one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mocrop_manifests import Clip
from mocrop_prep.appearance import AppearanceGauge
from mocrop_prep.config import CropSettings, ShardSettings, TranscodeSettings
from mocrop_prep.geometry import Box
from mocrop_prep.methods import Choice
from mocrop_prep.pictures import Planes, crop_bgr, scale
from mocrop_prep.stages.crop import clip_chooser, needs_appearance
from mocrop_prep.stages.fused import fuse_clip
from mocrop_prep.stages.shard import frames_to_keep
from mocrop_prep.stages.transcode import transcode_clip
from mocrop_prep.vectors import Vectors
from mocrop_prep.video import Film, StreamIndex, inspect_source, read_clip
from mocrop_train.data import jpegs
from numpy.typing import NDArray
from torch import Tensor

Part = Callable[[], Any]
Seen = dict[int, Planes]

IN_PLACE, TRANSCODED = "in place", "transcoded"
"""How a clip is read: the source as it is, or what transcoding made of it."""
TRANSCODE = "transcoding"
STORED = "decoding for the stored frames alone"
ALL = "decoding all frames"
VECTORS = "decoding all frames, with vectors"
FULL, CROP = "full frame to pixels", "crop to pixels"
WRITE, READ = "JPEGs written", "JPEGs read"
FUSED = "all but the network in one go"
SIDES = (224, 192)
SHARD = ShardSettings()
"""How frames become a sample: 8 of a clip, squashed to a square, quality 95."""


def choice(method: str) -> str:
    """Return the name of the part in which a method chooses the crop."""
    return f"choice of the crop, {method}"


def sized(part: str, side: int) -> str:
    """Return the name of a part that is done at a size in px."""
    return f"{part}, {side} px"


class Route:
    """One clip, read in one way, and its parts; what a part needs of those before it is made beforehand.

    `seconds` is how long the clip plays.
    """

    def __init__(
        self, clip: Clip, video: Path, folder: Path, methods: Sequence[str], *, direct: bool
    ) -> None:
        self._clip, self._video, self._folder, self._direct = clip, video, folder, direct
        self._vectors: list[Vectors] = []
        index, self._pictures = self._read(self._watch)
        self._index = index
        self._numbers = frames_to_keep(index, SHARD)
        self._crops = [CropSettings(method=method) for method in methods]
        self._box = self._choose(self._crops[0]).box
        self.seconds = index.info.frames / index.info.fps

    def parts(self) -> dict[str, Part]:
        """Return the parts of this route by their names; those from the crop on take the first method's."""
        everything = Box(0, 0, self._index.info.width, self._index.info.height)
        found: dict[str, Part] = {
            STORED: partial(self._read, self._decode_stored),
            ALL: partial(self._read, self._decode_all),
            VECTORS: partial(self._read, self._watch),
            FUSED: self._fuse,
        }
        for settings in self._crops:
            found[choice(settings.method)] = partial(self._choose, settings)
        for side in SIDES:
            scaled = self._scaled(self._box, side)
            files = write_jpegs(scaled)
            found[sized(FULL, side)] = partial(self._pixels, everything, side)
            found[sized(CROP, side)] = partial(self._pixels, self._box, side)
            found[sized(WRITE, side)] = partial(write_jpegs, scaled)
            found[sized(READ, side)] = partial(read_jpegs, files)
        return found

    def _read(self, work: Callable[[Film], Seen]) -> tuple[StreamIndex, Seen]:
        source = inspect_source(self._video) if self._direct else None
        return read_clip(self._video, work, source=source)

    def _decode_stored(self, film: Film) -> Seen:
        return film.decode_exact(frames_to_keep(film.index, SHARD))

    def _decode_all(self, film: Film) -> Seen:
        return film.decode(sink=None, keep=self._wanted(film))

    def _watch(self, film: Film) -> Seen:
        self._vectors = []
        return film.decode(sink=self._vectors.append, keep=self._wanted(film))

    @staticmethod
    def _wanted(film: Film) -> Collection[int]:
        return {*frames_to_keep(film.index, SHARD), *_gauge(film.index).numbers}

    def _choose(self, settings: CropSettings) -> Choice:
        """Choose the crop, with the look at some pictures where the method takes one."""
        appearance = None
        if needs_appearance(settings):
            gauge = _gauge(self._index)
            for number in sorted(gauge.numbers):
                gauge.add(self._pictures[number].luma)
            appearance = gauge.result()
        chooser = clip_chooser(self._clip, self._index.info, settings)
        for vectors in self._vectors:
            chooser.add(vectors)
        return chooser.choose(appearance)

    def _scaled(self, box: Box, side: int) -> list[NDArray[np.uint8]]:
        return [scale(crop_bgr(self._pictures[number], box), side, side) for number in self._numbers]

    def _pixels(self, box: Box, side: int) -> Tensor:
        """Return what a network is shown, without the way over JPEGs: uint8 RGB (frames, 3, side, side)."""
        pictures = [cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) for picture in self._scaled(box, side)]
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)

    def _fuse(self) -> None:
        source = inspect_source(self._video) if self._direct else None
        target = self._folder / "sample.tar"
        fuse_clip(self._video, self._clip, target, self._crops[0], SHARD, source=source)


def write_jpegs(pictures: Sequence[NDArray[np.uint8]]) -> list[bytes]:
    """Return pictures as the JPEGs that shards hold."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, SHARD.quality]
    return [cv2.imencode(".jpg", picture, quality)[1].tobytes() for picture in pictures]


def read_jpegs(files: Sequence[bytes]) -> Tensor:
    """Return the pixels of JPEGs as the trainer reads them, uint8 RGB (frames, 3, height, width)."""
    frames = [jpegs.decode(file).permute(1, 2, 0) for file in files]
    return torch.stack(frames).permute(0, 3, 1, 2)


class ClipWork:
    """A clip of the benchmark: its source and what transcoding makes of it, with the parts of both routes."""

    def __init__(self, clip: Clip, source: Path, folder: Path, methods: Sequence[str]) -> None:
        self.folder, self._source = folder, source
        self._video = folder / f"{clip.clip_id}.mp4"
        self._transcode(self._video)
        routes = {
            IN_PLACE: Route(clip, source, folder, methods, direct=True),
            TRANSCODED: Route(clip, self._video, folder, methods, direct=False),
        }
        self.seconds = routes[TRANSCODED].seconds
        again = folder / "again.mp4"
        self.parts: Mapping[str, Mapping[str, Part]] = {
            IN_PLACE: routes[IN_PLACE].parts(),
            TRANSCODED: {TRANSCODE: partial(self._transcode, again), **routes[TRANSCODED].parts()},
        }

    def _transcode(self, target: Path) -> None:
        transcode_clip(self._source, target, TranscodeSettings(transcode="always"))


def _gauge(index: StreamIndex) -> AppearanceGauge:
    return AppearanceGauge(index.info.width, index.info.height, index.exact)

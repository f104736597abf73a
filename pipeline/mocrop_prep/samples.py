"""One clip's sample: its cropped frames and what is known of them, and its form in a tar.

A sample lies on disk as the members of a WebDataset shard, so that a shard is its samples behind each other.
"""

from __future__ import annotations

import io
import json
import math
import reprlib
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any

from mocrop_manifests.clips import CLIP_ID
from mocrop_manifests.records import parse_json
from mocrop_manifests.tars import file_members

END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True, slots=True)
class SampleInfo:
    """What a sample says beside its pictures.

    `frame_index` are decoded frame numbers from 0 and `pts` their times in seconds; `crop` is x, y, w, h in
    pixels of the upright, transcoded clip, whose size is `width` x `height`.
    """

    clip_id: str
    label: int
    label_name: str
    split: str
    group: str
    frame_index: tuple[int, ...]
    pts: tuple[float, ...]
    crop: tuple[int, int, int, int]
    width: int
    height: int
    method: str


_SEVERAL = frozenset({"frame_index", "pts", "crop"})
_KINDS: dict[str, type] = {
    **dict.fromkeys(("clip_id", "label_name", "split", "group", "method"), str),
    **dict.fromkeys(("label", "frame_index", "crop", "width", "height"), int),
    "pts": float,
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One clip: JPEG files in the order of time, and their description."""

    info: SampleInfo
    jpegs: tuple[bytes, ...]


def clip_members(sample: Sample) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of a sample of one clip: its frames, label and description."""
    clip_id = sample.info.clip_id
    for number, jpeg in enumerate(sample.jpegs):
        yield f"{clip_id}.{number:03d}.jpg", jpeg
    yield f"{clip_id}.cls", str(sample.info.label).encode()
    yield f"{clip_id}.json", _json(asdict(sample.info))


def frame_members(sample: Sample) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of a clip as samples of one frame each, for image tools."""
    for number, jpeg in enumerate(sample.jpegs):
        name = f"{sample.info.clip_id}_{number:03d}"
        body = asdict(sample.info)
        body |= {
            "frame": number,
            "frame_index": sample.info.frame_index[number],
            "pts": sample.info.pts[number],
        }
        yield f"{name}.jpg", jpeg
        yield f"{name}.cls", str(sample.info.label).encode()
        yield f"{name}.json", _json(body)


def tar_bytes(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Return members as tar blocks without the end mark; owner 0, time 0: equal content, equal bytes."""
    out = io.BytesIO()
    for name, content in members:
        header = tarfile.TarInfo(name)
        header.size = len(content)
        header.mode = 0o644
        out.write(header.tobuf(tarfile.PAX_FORMAT))
        out.write(content)
        out.write(bytes(-len(content) % tarfile.BLOCKSIZE))
    return out.getvalue()


def read_samples(stream: IO[bytes]) -> Iterator[Sample]:
    """Yield the samples of a tar of clips; raises TarError or ValueError if it is damaged."""
    jpegs: list[bytes] = []
    for member in file_members(stream):
        stream.seek(member.offset_data)
        content = stream.read(member.size)
        if member.name.endswith(".jpg"):
            jpegs.append(content)
        elif member.name.endswith(".json"):
            yield checked_sample(parse_json(content), jpegs)
            jpegs = []


def checked_sample(body: Any, jpegs: Iterable[Any]) -> Sample:
    """Return a sample as its stored description and pictures have it; raises ValueError unless they fit."""
    sample = Sample(parse_info(body), tuple(jpegs))
    info = sample.info
    if not len(info.frame_index) == len(info.pts) == len(sample.jpegs):
        raise ValueError(
            f"{info.clip_id} has {len(sample.jpegs)} pictures, but tells of {len(info.frame_index)} frames "
            f"and {len(info.pts)} times"
        )
    if not all(type(jpeg) is bytes for jpeg in sample.jpegs):
        raise ValueError(f"{info.clip_id} lacks the bytes of a picture")
    return sample


def parse_info(body: Any) -> SampleInfo:
    """Return the description in a sample's JSON; raises ValueError unless all of it is there."""
    if not isinstance(body, dict):
        raise ValueError("the description of a sample is no object")
    values: dict[str, Any] = {}
    for name, kind in _KINDS.items():
        value: Any = body.get(name)
        if name in _SEVERAL:  # a sample of one frame has single numbers
            value = tuple(value) if isinstance(value, list | tuple) else (value,)
        if not all(type(item) is kind for item in (value if name in _SEVERAL else (value,))):
            raise ValueError(f"the description of a sample has {name} {reprlib.repr(body.get(name))}")
        values[name] = value
    texts = [value for value in values.values() if isinstance(value, str)]
    "".join(texts).encode()  # a lone surrogate, which no file can hold, raises ValueError
    if not CLIP_ID.fullmatch(values["clip_id"]) or len(values["crop"]) != 4:
        raise ValueError(f"{reprlib.repr(values['clip_id'])} is no clip id, or its crop is no box")
    if not all(map(math.isfinite, values["pts"])):
        raise ValueError(f"{values['clip_id']} has a time that is no number")
    return SampleInfo(**values)


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, ensure_ascii=False).encode()

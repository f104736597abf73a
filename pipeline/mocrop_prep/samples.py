"""One clip's sample: its cropped frames and what is known of them, and its form in a tar.

A sample lies on disk as the members of a WebDataset shard, so that a shard is its samples behind each other.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any

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
    """Yield the samples of a tar of clips; raises TarError, KeyError or ValueError if it is damaged."""
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        jpegs: list[bytes] = []
        for member in archive:
            content = archive.extractfile(member)
            if content is None:
                raise ValueError(f"{member.name} is not a file")
            if member.name.endswith(".jpg"):
                jpegs.append(content.read())
            elif member.name.endswith(".json"):
                info = parse_info(json.loads(content.read()))
                if len(info.frame_index) != len(jpegs):
                    raise ValueError(
                        f"{member.name} tells of {len(info.frame_index)} frames, not {len(jpegs)}"
                    )
                yield Sample(info, tuple(jpegs))
                jpegs = []


def parse_info(body: dict[str, Any]) -> SampleInfo:
    """Return the description in a sample's JSON; raises KeyError or ValueError."""
    values = {name: body[name] for name in SampleInfo.__slots__}
    for name in ("frame_index", "pts", "crop"):
        value = values[name]  # a sample of one frame has single numbers
        values[name] = tuple(value) if isinstance(value, list | tuple) else (value,)
    return SampleInfo(**values)


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, ensure_ascii=False).encode()

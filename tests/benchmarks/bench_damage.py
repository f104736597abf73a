"""How much damage is noticed, codec by codec: of single flipped bits, those that change what is seen.

    python -m tests.benchmarks.bench_damage [--flips N] [--seed N] [--only CODEC] [--markdown] [--json FILE]

Bits are flipped one at a time, anywhere in the video packets of a small film. A flip is visible if a bare
decode gives another picture or another number of them; it is noticed if transcode fails with `corrupt`. The
last column is what the same reading notices without the decoder options of mocrop_prep.video.damage.STRICT.

A share is known to within 13 points with 60 flips, to within 5 with 400 (95 %).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from av.error import FFmpegError
from mocrop_prep.config import TranscodeSettings
from mocrop_prep.errors import ClipError
from mocrop_prep.evaluation.tables import markdown_table
from mocrop_prep.stages.transcode import transcode_clip
from mocrop_prep.video.damage import Damage, read_frames
from mocrop_prep.video.opening import open_video
from mocrop_prep.video.source import library_versions

from tests.corpus.bases import COUNT, FILMS, HEVC, PLAIN
from tests.films import DVD, VP9, WEB, XVID, Film, Picture, decode, encode, moving_square

HASHED = Film(
    codec=HEVC.codec, options={**HEVC.options, "x265-params": f"{HEVC.options['x265-params']}:hash=1"}
)
SOURCES: dict[str, tuple[str, Film]] = {
    "H.264": (".mp4", PLAIN),
    "H.264 with B-frames": (".mkv", WEB),
    "MPEG-4 (Xvid)": (".avi", XVID),
    "MPEG-2": (".mkv", DVD),
    "VP8": (".webm", Film(codec="libvpx", options=VP9.options)),
    "VP9": (".webm", VP9),
    "HEVC": (".mp4", HEVC),
    "HEVC with picture hashes": (".mp4", HASHED),
    "AV1": (".mkv", Film(codec="libsvtav1", options={"preset": "12"})),
    "MJPEG": (".avi", FILMS["mjpeg.avi"]),
    "WMV2": (".avi", FILMS["media.asf"]),
    "FLV": (".flv", FILMS["old.flv"]),
}
"""For each codec the container's suffix and the film; in these containers a packet's bytes lie together."""
# always: a source that could be copied is read here too, not only by extract
SETTINGS = TranscodeSettings(transcode="always", preset="ultrafast")
HEAD = ("codec", "visible flips", "noticed", "without STRICT")


@dataclass(frozen=True)
class Result:
    """How many flips were made in a codec's film, were visible, and were noticed with and without STRICT."""

    codec: str
    flips: int
    visible: int
    noticed: int
    noticed_without: int


def measure(codec: str, *, flips: int, seed: int) -> Result:
    """Flip bits of a codec's film, one at a time, and count; the same for a seed."""
    suffix, film = SOURCES[codec]
    visible = noticed = without = 0
    with TemporaryDirectory() as folder:
        sound = encode(Path(folder) / f"sound{suffix}", moving_square(COUNT), film)
        pictures, flipped = decode(sound), sound.with_stem("flipped")
        for content in flip_bits(sound, flips, random.Random(f"{seed} {codec}")):
            flipped.write_bytes(content)
            if is_visible(flipped, pictures):
                visible += 1
                noticed += is_noticed(flipped)
                without += is_noticed_without_strict(flipped)
    return Result(codec, flips, visible, noticed, without)


def flip_bits(sound: Path, flips: int, rng: random.Random) -> Iterator[bytes]:
    """Yield a film's bytes again and again, each time with another bit of its video packets flipped."""
    content = sound.read_bytes()
    places: list[int] = []
    with av.open(str(sound)) as container:
        for packet in container.demux(video=0):
            if packet.size:
                start = content.index(bytes(packet), packet.pos or 0)  # pos may be that of a header before it
                places += range(start, start + packet.size)
    for _ in range(flips):
        flipped = bytearray(content)
        flipped[rng.choice(places)] ^= 1 << rng.randrange(8)
        yield bytes(flipped)


def is_visible(path: Path, sound: Sequence[Picture]) -> bool:
    """Say whether a bare decode of a film breaks off or gives other pictures than the sound ones."""
    try:
        seen = decode(path)
    except FFmpegError:
        return True
    return len(seen) != len(sound) or any(not np.array_equal(a, b) for a, b in zip(seen, sound, strict=True))


def is_noticed(path: Path) -> bool:
    """Say whether transcode refuses a film as corrupt."""
    try:
        transcode_clip(path, path.with_name("out.mp4"), SETTINGS)
    except ClipError as error:
        return error.code == "corrupt"
    return False


def is_noticed_without_strict(path: Path) -> bool:
    """Say whether reading a film with the decoder's own defaults counts any damage."""
    damage = Damage()
    with open_video(path) as (container, stream):
        for _ in read_frames(container, stream, damage):
            pass
    return damage.count > 0


def table(results: Sequence[Result], *, markdown: bool) -> list[str]:
    """Return the results as a table: shares of the visible flips in per cent."""
    rows = [
        (
            one.codec,
            f"{one.visible} of {one.flips}",
            *(share(one, n) for n in (one.noticed, one.noticed_without)),
        )
        for one in results
    ]
    if markdown:
        return markdown_table(HEAD, rows)
    return [f"{row[0]:26}{row[1]:>14}{row[2]:>10}{row[3]:>16}" for row in (HEAD, *rows)]


def share(result: Result, noticed: int) -> str:
    """Return a share of a result's visible flips in per cent; a dash where none was visible."""
    return f"{100 * noticed / result.visible:.1f} %" if result.visible else "-"


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print, and write the JSON file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flips", type=int, default=60, help="flips for each codec; default 60")
    parser.add_argument("--seed", type=int, default=0, help="which bits are flipped; default 0")
    parser.add_argument("--only", action="append", choices=SOURCES, help="this codec; may be repeated")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--json", type=Path, help="write the counts to this file")
    arguments = parser.parse_args(words)
    os.environ.setdefault("SVT_LOG", "1")  # errors only: the AV1 encoder would talk into the progress
    results = []
    for codec in arguments.only or SOURCES:
        encoder = SOURCES[codec][1].codec
        if encoder not in av.codecs_available:
            print(f"{codec}: this build of FFmpeg has no {encoder}, passed over", file=sys.stderr)
            continue
        print(f"{codec}: {arguments.flips} flips", file=sys.stderr, flush=True)
        results.append(measure(codec, flips=arguments.flips, seed=arguments.seed))
    print(*table(results, markdown=arguments.markdown), sep="\n")
    if arguments.json:
        body = {"seed": arguments.seed, **library_versions(), "codecs": [asdict(one) for one in results]}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(body, indent=2) + "\n")


if __name__ == "__main__":
    main()

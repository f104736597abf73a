"""The x264 settings that are measured against each other, all within the contract of transcoded clips."""

from __future__ import annotations

from dataclasses import dataclass

from mocrop_prep.config import TranscodeSettings


@dataclass(frozen=True, slots=True)
class Candidate:
    """A preset with more of x264's own options behind it; `seed` is that of the methods that sample."""

    name: str
    preset: str
    tuning: str = ""
    crf: float = 20.0
    seed: int = 0

    @property
    def settings(self) -> TranscodeSettings:
        """Return the settings of the transcode stage, which always encodes here."""
        return TranscodeSettings(transcode="always", preset=self.preset, crf=self.crf)


_P8X8 = "cabac=0:partitions=p8x8,i4x4,i8x8"
_OPTIONS = {
    "me dia": "me=dia",
    "me hex": "me=hex",
    "me umh": "me=umh",
    **{f"subme {level}": f"subme={level}" for level in (0, 1, 2, 4, 7)},
    "subme 7, no psy": "subme=7:psy=0",
    "no psy": "psy=0",
    "no trellis": "trellis=0",
    "no early skip": "no-fast-pskip=1",
    "partitions none": "partitions=none",
    "partitions i4x4,i8x8": "partitions=i4x4,i8x8",
    "partitions p8x8": "partitions=p8x8",
    "partitions p8x8,i4x4,i8x8": "partitions=p8x8,i4x4,i8x8",
    "no CABAC": "cabac=0",
    "no deblocking": "no-deblock=1",
    "no weighted P": "weightp=0",
    "tune fastdecode": "cabac=0:no-deblock=1:weightp=0",
    "no CABAC, subme 1": "cabac=0:subme=1",
    "no CABAC, no deblocking": "cabac=0:no-deblock=1",
    "no CABAC, no 8x8 DCT": "cabac=0:8x8dct=0",
    "no CABAC, partitions p8x8,i4x4,i8x8": _P8X8,
}
_TUNED = {
    "veryfast": ("me hex", "subme 2"),
    "superfast": ("me dia", "subme 1", "partitions i4x4,i8x8", "no CABAC, subme 1"),
}
"""The presets that the options are put on, and those that they have already."""
_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium")
BASE = "veryfast"
"""A preset as x264 has it, which the others are compared with."""
DEFAULT = BASE
"""What the transcode stage does."""
CANDIDATES: dict[str, Candidate] = {
    one.name: one
    for one in (
        *(Candidate(preset, preset) for preset in _PRESETS),
        *(
            Candidate(f"{preset}, {what}", preset, tuning)
            for preset, already in _TUNED.items()
            for what, tuning in _OPTIONS.items()
            if what not in already
        ),
        *(Candidate(f"{preset}, crf {crf}", preset, crf=crf) for preset in _TUNED for crf in (23, 26)),
        Candidate("veryfast, no CABAC, me dia", "veryfast", "cabac=0:me=dia"),
        Candidate("veryfast, no CABAC, no deblocking, me dia", "veryfast", "cabac=0:no-deblock=1:me=dia"),
        Candidate(
            "superfast, no CABAC, no deblocking, partitions p8x8,i4x4,i8x8",
            "superfast",
            f"{_P8X8}:no-deblock=1",
        ),
        Candidate("superfast, no CABAC, partitions p8x8,i4x4,i8x8, crf 21", "superfast", _P8X8, crf=21),
        Candidate("superfast, no CABAC, partitions p8x8,i4x4,i8x8, subme 0", "superfast", f"{_P8X8}:subme=0"),
        Candidate("ultrafast, AQ, subme 1", "ultrafast", "aq-mode=1:subme=1"),
        Candidate("ultrafast, partitions p8x8,i4x4,i8x8", "ultrafast", _P8X8),
        Candidate(
            "ultrafast, AQ, subme 1, partitions p8x8,i4x4,i8x8", "ultrafast", f"{_P8X8}:aq-mode=1:subme=1"
        ),
    )
}
_EXHAUSTIVE = "me=tesa:merange=32:subme=10:no-fast-pskip=1"
REFERENCE = Candidate("exhaustive search", "veryslow", _EXHAUSTIVE)
"""Every vector within 32 pixels is tried, by Hadamard cost: what the density maps are held against."""
REDRAWN = Candidate("exhaustive search, drawn again", "veryslow", _EXHAUSTIVE, seed=1)
"""The same encode with another seed: no candidate can be nearer to a map of samples than samples are."""
LOSSLESS = Candidate("lossless", "ultrafast", "qp=0")
"""The source as the encoder sees it, upright and in limited range: what its pictures are held against."""

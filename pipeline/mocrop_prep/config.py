"""Every setting of the pipeline: its default, its range and its help, in one place.

Each stage has a frozen dataclass. The command line, the TOML file and the Python API all go through it, so
all three know the same settings and accept the same values.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mocrop_prep.errors import UsageError

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
CLUSTERS = ("dask", "ray", "spark")
METHODS = ("foreground", "mocrop-v1", "mocrop-v2", "full", "center", "center-square", "random")
DEFAULT_AREA = 0.75
SETTINGS = {"attention": 224, "efficiency": 192}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_GRID = re.compile(r"([1-9][0-9]{0,3})x([1-9][0-9]{0,3})")
_SHAPE = re.compile(r"([1-9][0-9]{0,3}):([1-9][0-9]{0,3})")
_FRAMES = re.compile(r"all|(?:(key|uniform):)?([1-9][0-9]{0,8})")
_SIZE = re.compile(r"([1-9][0-9]{0,11})(KB|MB|GB)?", re.IGNORECASE)
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}


def option(
    default: Any,
    meaning: str,
    *,
    low: float | None = None,
    high: float | None = None,
    open_low: bool = False,
    choices: tuple[str, ...] = (),
    many: bool = False,
) -> Any:
    """Declare a setting: its default, help, and either a closed range or a closed set of values."""
    note = {
        "help": meaning,
        "low": low,
        "high": high,
        "open_low": open_low,
        "choices": choices,
        "many": many,
    }
    return dataclasses.field(default=default, metadata=note)


class Settings:
    """Base of the stages' settings: checks every value against its declaration."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            # frozen for everybody else: 1 and 1.0, a list and a tuple are one setting with one digest
            object.__setattr__(self, field.name, check(field, getattr(self, field.name)))

    def digest(self) -> str:
        """Return a short hash of all values: equal settings, equal digest."""
        return _digest(self)


@lru_cache(maxsize=64)  # each clip's key asks for it
def _digest(settings: Settings) -> str:
    text = json.dumps(dataclasses.asdict(settings), sort_keys=True)  # type: ignore[call-overload]
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def flag(field: dataclasses.Field[Any]) -> str:
    """Return the command-line name of a setting."""
    return "--" + field.name.replace("_", "-")


def check(field: dataclasses.Field[Any], value: Any) -> Any:
    """Return the value of a setting in its own type; UsageError names setting, value and what fits."""
    note, name = field.metadata, flag(field)
    kind, _, optional = str(field.type).partition(" | ")
    if value is None and optional:
        return None
    value = _typed(kind, value, name)
    if note["choices"] and value not in note["choices"]:
        raise UsageError(f"{name} {value!r}: choose one of {', '.join(note['choices'])}")
    low, high = note["low"], note["high"]
    if low is not None and (value < low or (note["open_low"] and value == low)):
        raise UsageError(f"{name} {value}: must be {'above' if note['open_low'] else 'at least'} {low:g}")
    if high is not None and value > high:
        raise UsageError(f"{name} {value}: must be at most {high:g}")
    return value


def _typed(kind: str, value: Any, name: str) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if kind == "int" and number and isinstance(value, int):
        return value
    if kind == "float" and number:
        return float(value)
    if kind == "str" and isinstance(value, str):
        return value
    if kind == "bool" and isinstance(value, bool):
        return value
    many = kind.startswith("tuple") and isinstance(value, list | tuple)
    if many and all(isinstance(item, str) for item in value):
        return tuple(value)
    words = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false"}
    raise UsageError(f"{name} {value!r}: must be {words.get(kind, 'a list of texts')}")


@dataclass(frozen=True)
class ClipSettings(Settings):
    """Which clips there are and what part of the data set each belongs to."""

    train_list: tuple[str, ...] = option(
        (),
        "Official list of training clips (UCF101, HMDB51 or Kinetics form), or a folder of them.",
        many=True,
    )
    val_list: tuple[str, ...] = option((), "Official list of validation clips.", many=True)
    test_list: tuple[str, ...] = option((), "Official list of test clips.", many=True)
    list_split: int = option(1, "Which split to take from a folder of HMDB51 lists.", low=1, high=3)
    holdout_groups: str = option("", "Groups that form the test split, such as 1-7 or daria,denis.")
    val_fraction: float = option(
        0.0, "Share of the training groups that becomes the validation split.", low=0.0, high=0.9
    )
    seed: int = option(0, "Seed of everything that is drawn.", low=0, high=2**63 - 1)
    limit: int | None = option(None, "Take only this many clips, from all classes in turn.", low=1)


@dataclass(frozen=True)
class TranscodeSettings(Settings):
    """How sources become plain H.264."""

    transcode: str = option(
        "auto",
        "auto copies a source that already meets the contract and encodes the rest; always encodes; "
        "never fails what does not meet it.",
        choices=("auto", "always", "never"),
    )
    direct: bool = option(
        False,
        "Read a source in place, without transcoding it, where its codec exports motion vectors (H.264, "
        "MPEG-1, -2 and -4, MS-MPEG4 2 and 3, H.263, FLV1, WMV1 and 2) and its pictures are upright yuv420p "
        "with square pixels already.",
    )
    gop: int = option(12, "Frames from one key frame to the next.", low=1, high=600)
    preset: str = option("veryfast", "x264 preset; slower ones give smaller files.", choices=PRESETS)
    entropy: str = option(
        "cabac",
        "Entropy coder of x264: cavlc makes encoding and decoding 1.1 to 1.3 times as quick, and files 5 to "
        "15 % larger.",
        choices=("cabac", "cavlc"),
    )
    crf: float = option(20.0, "x264 constant rate factor; lower is better and larger.", low=0.0, high=51.0)
    short_side: int | None = option(
        None,
        "Scale the short side down to this many pixels; smaller clips stay as they are.",
        low=16,
        high=16384,
    )
    on_corrupt: str = option(
        "fail",
        "fail drops a clip with damaged packets or frames; keep uses what decodes.",
        choices=("fail", "keep"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.direct and self.transcode == "always":
            raise UsageError("--direct reads sources in place, --transcode always encodes them: drop one")


@dataclass(frozen=True)
class CropSettings(Settings):
    """How a crop is chosen."""

    method: str = option("foreground", "Crop method or control.", choices=METHODS)
    area: float | None = option(
        None,
        "Share of the frame that the crop covers; default 0.75, for foreground chosen for each clip.",
        low=0.0,
        high=1.0,
        open_low=True,
    )
    share: float = option(
        0.93,
        "foreground without --area: the crop is as large as the smallest that holds this share of motion.",
        low=0.0,
        high=1.0,
        open_low=True,
    )
    least_side: float = option(
        0.5,
        "foreground without --area: the crop's short side is at least this share of the frame's.",
        low=0.0,
        high=1.0,
        open_low=True,
    )
    most_side: float = option(
        1.0,
        "foreground without --area: the crop's short side is at most this share of the frame's.",
        low=0.0,
        high=1.0,
        open_low=True,
    )
    shape: str = option(
        "square",
        "foreground: width to height of the crop: square, frame (the frame's own), a ratio such as 4:3, or a "
        "range such as 3:4-4:3.",
    )
    grid: str = option(
        "",
        "Rows x columns of the density map; default 6x8, for mocrop-v2 9x16, for foreground by the frame.",
    )
    eps: float = option(
        1.0, "mocrop-v1 drops vectors not longer than this many pixels.", low=0.0, high=1000.0
    )
    samples: int = option(10_000, "mocrop-v1 samples at most this many vectors.", low=1, high=10**9)
    seed: int = option(0, "Seed of everything that is drawn.", low=0, high=2**63 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grid:
            parse_grid(self.grid)
        parse_shape(self.shape, 1, 1)
        if self.least_side > self.most_side:
            raise UsageError(f"--least-side {self.least_side:g} is above --most-side {self.most_side:g}")

    @property
    def covered(self) -> float:
        """Return the share of the frame that a crop of fixed area covers."""
        return DEFAULT_AREA if self.area is None else self.area


@dataclass(frozen=True)
class ShardSettings(Settings):
    """What a sample holds and how samples are packed."""

    format: str = option("webdataset", "Form of the shards.", choices=("webdataset", "parquet"))
    setting: str = option(
        "attention",
        "The paper's two settings: attention is 224 px, efficiency is 192 px.",
        choices=tuple(SETTINGS),
    )
    size: int | None = option(
        None, "Side of the stored frames in pixels; overrides --setting.", low=8, high=4096
    )
    aspect: str = option(
        "squash",
        "squash makes the crop a square of --size; keep makes its short side --size.",
        choices=("squash", "keep"),
    )
    quality: int = option(95, "JPEG quality.", low=1, high=100)
    frames: str = option(
        "8",
        "Frames of a clip: N or key:N key frames evenly spread, all for every key frame, uniform:N for N "
        "frames of any kind, evenly spread. N alone is uniform:N for a clip that is read in place (--direct) "
        "and has fewer key frames.",
    )
    sample: str = option("clip", "What one sample is.", choices=("clip", "frame"))
    shard_size: str = option("256MB", "Samples in a shard (1000) or its size (256MB).")
    seed: int = option(0, "Seed of everything that is drawn.", low=0, high=2**63 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_frames(self.frames)
        parse_shard_size(self.shard_size)
        # the size in pixels goes on record, whichever option gave it
        object.__setattr__(self, "size", self.pixels)

    @property
    def pixels(self) -> int:
        """Return the side of the stored frames in pixels."""
        return self.size or SETTINGS[self.setting]


@dataclass(frozen=True)
class JobSettings(Settings):
    """How many work, and as what; nothing here changes an output byte."""

    jobs: int = option(
        0, "Worker processes; 0 takes one for each core, or all workers of a cluster.", low=0, high=4096
    )
    backend: str = option(
        "loky",
        "joblib backend: loky processes, threading, or sequential; dask, ray or spark work on a cluster.",
        choices=("loky", "threading", "sequential", *CLUSTERS),
    )
    scheduler: str = option(
        "",
        "Address of the cluster that --backend dask, ray or spark is to use; without one, a cluster is "
        "started on this machine.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scheduler and not self.on_cluster:
            raise UsageError(f"--scheduler {self.scheduler} goes with --backend dask, ray or spark")

    @property
    def on_cluster(self) -> bool:
        """Say whether an engine does the work, perhaps on other machines."""
        return self.backend in CLUSTERS


@dataclass(frozen=True)
class RunSettings(JobSettings):
    """How the work on clips is done, and what becomes of clips that fail; no output byte depends on it."""

    timeout: float | None = option(
        None,
        "End a clip that takes longer than this many seconds; it fails, the rest goes on.",
        low=0.0,
        open_low=True,
    )
    max_memory: str = option(
        "", "End a clip whose worker holds more memory than this, such as 2GB; it fails, the rest goes on."
    )
    retry_failed: bool = option(False, "Try the clips again that failed before; what is done stays done.")
    fail_fast: bool = option(False, "Stop at the first clip that fails, or that failed before.")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in (("--timeout", self.timeout), ("--max-memory", self.memory_limit)):
            if value is not None and self.backend != "loky":
                raise UsageError(f"{name} ends worker processes: it goes with --backend loky alone")
        if self.max_memory and not Path("/proc/self/statm").exists():
            raise UsageError("--max-memory reads /proc, which this system does not have")

    @property
    def memory_limit(self) -> int | None:
        """Return the most bytes that a worker may hold, or None."""
        return parse_size("--max-memory", self.max_memory) if self.max_memory else None


def parse_grid(text: str) -> tuple[int, int]:
    """Return (rows, columns) of a grid such as 6x8; raises UsageError."""
    match = _GRID.fullmatch(text)
    if not match or int(match[1]) * int(match[2]) > 1 << 20:
        raise UsageError(f"--grid {text!r}: expected rows x columns, such as 6x8, of at most a million cells")
    return int(match[1]), int(match[2])


def parse_shape(text: str, width: int, height: int) -> tuple[float, float]:
    """Return the least and greatest width over height of a --shape value in a frame; raises UsageError."""
    if text in ("square", "frame"):
        ratio = 1.0 if text == "square" else width / height
        return ratio, ratio
    ends = [_SHAPE.fullmatch(end) for end in text.split("-")]
    ratios = [int(end[1]) / int(end[2]) for end in ends if end]
    if len(ratios) != len(ends) or len(ends) > 2 or ratios != sorted(ratios):
        raise UsageError(
            f"--shape {text!r}: expected square, frame, W:H such as 4:3, or a range such as 3:4-4:3"
        )
    return ratios[0], ratios[-1]


def parse_frames(text: str) -> tuple[str, int | None]:
    """Return ("key" or "uniform", count or None for all) of a --frames value; raises UsageError."""
    match = _FRAMES.fullmatch(text)
    if not match:
        raise UsageError(f"--frames {text!r}: expected a number, all, key:N or uniform:N")
    return match[1] or "key", int(match[2]) if match[2] else None


def parse_shard_size(text: str) -> tuple[str, int]:
    """Return ("samples" or "bytes", limit) of a --shard-size value; raises UsageError."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise UsageError(f"--shard-size {text!r}: expected samples (1000) or a size (256MB)")
    return ("bytes", parse_size("--shard-size", text)) if match[2] else ("samples", int(match[1]))


def parse_size(name: str, text: str) -> int:
    """Return the bytes of a size such as 256MB; raises UsageError that names the setting."""
    match = _SIZE.fullmatch(text)
    if not match or not match[2]:
        raise UsageError(f"{name} {text!r}: expected a size such as 256MB or 2GB")
    return int(match[1]) * _UNITS[match[2].upper()]


def check_name(name: str) -> str:
    """Return a name for a crop manifest or shard set if it is safe as a file name, else raise UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"--name {name!r}: use letters, digits, `.`, `_` and `-`, starting with a letter or digit"
        )
    return name


TABLES: dict[str, type[Settings]] = {
    "clips": ClipSettings,
    "transcode": TranscodeSettings,
    "crop": CropSettings,
    "shard": ShardSettings,
    "run": RunSettings,
}


def read_toml(path: Path) -> dict[str, Any]:
    """Read a settings file with the tables of TABLES; return its values by setting name.

    `seed`, which several tables share, may also stand on its own at the top. Raises UsageError that names
    the file and the key.
    """
    try:
        body = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path}: {error}") from None
    values: dict[str, Any] = {}
    seed = {"seed": body.pop("seed")} if "seed" in body else {}
    for table, content in [("crop", seed), *body.items()]:
        if table not in TABLES or not isinstance(content, dict):
            raise UsageError(f"--config {path}: unknown table [{table}]; there are {', '.join(TABLES)}")
        known = {field.name.replace("_", "-"): field for field in dataclasses.fields(TABLES[table])}  # type: ignore[arg-type]
        for key, value in content.items():
            field = known.get(key.replace("_", "-"))
            if field is None:
                raise UsageError(
                    f"--config {path}: unknown key {key} in [{table}]; there are {', '.join(known)}"
                )
            try:
                typed = check(field, value)
            except UsageError as error:
                raise UsageError(f"--config {path}: [{table}] {error}") from None
            if values.setdefault(field.name, typed) != typed:
                raise UsageError(f"--config {path}: {key} has two values; all tables share one")
    return values

"""Memory that is refused is said to be refused: it is no damage, and no fault of the clip."""

from __future__ import annotations

import multiprocessing
import resource
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from mocrop_prep.config import TranscodeSettings
from mocrop_prep.errors import ClipError
from mocrop_prep.stages.transcode import transcode_clip

from tests.films import Film, corner_mark, encode

MEGABYTE = 1 << 20


def _attempt(source: Path, target: Path, limit: int, settings: TranscodeSettings, told: Connection) -> None:
    transcode_clip(source.with_name("small.avi"), target, settings)  # loads what is loaded on first use
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    ceiling = int(status["VmData"].split()[0]) * 1024 + limit
    resource.setrlimit(resource.RLIMIT_DATA, (ceiling, ceiling))
    try:
        transcode_clip(source, target, settings)
        told.send("ok")
    except MemoryError:
        told.send("out-of-memory")
    except ClipError as error:
        told.send(error.code)


def fate(source: Path, limit: int, settings: TranscodeSettings) -> str:
    """Transcode in a process that may hold `limit` bytes more than it does; return `ok` or the code."""
    # not forked from here: what earlier tests have left free in this process would not be asked for again
    forking = multiprocessing.get_context("forkserver")
    ours, theirs = forking.Pipe()
    target = source.with_name("out.mp4")
    process = forking.Process(target=_attempt, args=(source, target, limit, settings, theirs))
    process.start()
    theirs.close()
    try:
        return str(ours.recv())
    finally:
        process.join()


@pytest.mark.parametrize("policy", ["fail", "keep"])
def test_refused_memory_is_told_wherever_it_is_refused(tmp_path: Path, policy: str) -> None:
    film = Film(codec="mjpeg", pix_fmt="yuvj420p")
    source = encode(tmp_path / "large.avi", corner_mark(3, size=(2560, 1440)), film)
    encode(tmp_path / "small.avi", corner_mark(3, size=(64, 48)), film)
    settings = TranscodeSettings(preset="ultrafast", on_corrupt=policy)
    fates = [fate(source, limit * MEGABYTE, settings) for limit in (0, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96)]
    assert set(fates) <= {"ok", "out-of-memory"}
    assert "out-of-memory" in fates
    assert fate(source, 2048 * MEGABYTE, settings) == "ok"

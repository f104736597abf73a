"""Stage 1: a source becomes plain H.264, by copy where it already is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mocrop_prep.config import TranscodeSettings
from mocrop_prep.errors import ClipError
from mocrop_prep.video import (
    SourceInfo,
    TranscodeReport,
    contract_violations,
    copy_clip,
    decode_clip,
    encode_clip,
    index_stream,
    inspect_source,
    refusal,
)


def transcode_clip(source: Path, target: Path, settings: TranscodeSettings) -> dict[str, Any]:
    """Write `target`, an MP4 that meets the contract, and return what was done; raises ClipError.

    Returns action (`copy` or `encode`), frames, damaged (packets and frames), and constant_rate: whether the
    frames were renumbered.
    """
    info = inspect_source(source)
    if settings.on_corrupt == "fail" and info.damaged:
        raise refusal(source, info.damaged, info.packets)
    action, report = _write(source, target, info, settings)
    if settings.on_corrupt == "fail" and report.damaged:
        raise refusal(source, report.damaged, info.packets)
    return {
        "action": action,
        "frames": report.frames,
        "damaged": max(report.damaged, info.damaged),
        "constant_rate": report.constant_rate,
    }


def _write(
    source: Path, target: Path, info: SourceInfo, settings: TranscodeSettings
) -> tuple[str, TranscodeReport]:
    if settings.transcode == "always":
        return "encode", encode_clip(source, target, info, settings)
    differences = contract_violations(info, gop=settings.gop, short_side=settings.short_side)
    if not differences and settings.on_corrupt == "keep" and not _decodes(source):
        differences = ["not all of it decodes"]
    if not differences:
        try:
            return "copy", copy_clip(source, target)
        except ClipError as error:
            if error.code != "corrupt":
                raise
            differences = [f"it cannot be copied ({error.detail})"]
    if settings.transcode == "never":
        raise ClipError("needs-transcode", f"{source}: {'; '.join(differences)}")
    return "encode", encode_clip(source, target, info, settings)


def _decodes(source: Path) -> bool:
    """Say whether a source that could be copied has no damage that only decoding shows."""
    try:
        decode_clip(source, frames=index_stream(source).info.frames, sink=None)
    except ClipError:
        return False
    return True

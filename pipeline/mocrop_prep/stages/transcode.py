"""Stage 1: a source becomes plain H.264, by copy where it already is, or is left to be read in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mocrop_prep.config import TranscodeSettings
from mocrop_prep.errors import ClipError
from mocrop_prep.video import (
    SourceInfo,
    TranscodeReport,
    contract_violations,
    copy_clip,
    direct_violations,
    encode_clip,
    inspect_source,
    read_clip,
    refusal,
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a source is to be read: `action` is `direct`, `copy` or `encode`.

    `info` is what is known of it without decoding it.
    """

    action: str
    info: SourceInfo


def transcode_clip(source: Path, target: Path, settings: TranscodeSettings) -> dict[str, Any]:
    """Write `target`, an MP4 that meets the contract, unless the source can be read in place.

    Returns action (`direct`, `copy` or `encode`), frames (of a source read in place its packets), damaged
    (packets and frames), and constant_rate: whether the frames were renumbered. Raises ClipError.
    """
    return carry_out(plan_clip(source, settings), source, target, settings)


def plan_clip(source: Path, settings: TranscodeSettings) -> Plan:
    """Choose the least work that makes a source readable, and nothing yet; raises ClipError."""
    info = inspect_source(source)
    if settings.on_corrupt == "fail" and info.damaged:
        raise refusal(source, info.damaged, info.packets)
    if settings.transcode == "always":
        return Plan("encode", info)
    if settings.direct:
        differences = direct_violations(info, short_side=settings.short_side)
    else:
        differences = contract_violations(info, gop=settings.gop, short_side=settings.short_side)
    if (
        not differences
        and settings.on_corrupt == "keep"
        and not _decodes(source, info if settings.direct else None)
    ):
        differences = ["not all of it decodes"]
    if not differences:
        return Plan("direct" if settings.direct else "copy", info)
    if settings.transcode == "never":
        raise _refused(source, differences)
    return Plan("encode", info)


def carry_out(plan: Plan, source: Path, target: Path, settings: TranscodeSettings) -> dict[str, Any]:
    """Write `target` as planned, nothing for `direct`; return what transcode_clip returns."""
    info = plan.info
    try:
        if plan.action == "direct":
            report = TranscodeReport(info.packets, 0, not info.sound_timestamps)
        elif plan.action == "encode":
            report = encode_clip(source, target, info, settings)
        else:
            report = copy_clip(source, target)
        if settings.on_corrupt == "fail" and report.damaged:
            raise refusal(source, report.damaged, info.packets)
    except ClipError as error:
        if plan.action == "copy" and error.code == "corrupt":
            if settings.transcode == "never":
                raise _refused(source, [f"it cannot be copied ({error.detail})"]) from None
            return carry_out(replace(plan, action="encode"), source, target, settings)
        error.data = {"action": plan.action} | error.data
        raise
    return {
        "action": plan.action,
        "frames": report.frames,
        "damaged": max(report.damaged, info.damaged),
        "constant_rate": report.constant_rate,
    }


def _refused(source: Path, differences: Sequence[str]) -> ClipError:
    return ClipError("needs-transcode", f"{source}: {'; '.join(differences)}")


def _decodes(source: Path, info: SourceInfo | None) -> bool:
    """Say whether a source has no damage that only decoding shows; `info` as read_clip's, None for a copy."""
    try:
        read_clip(source, lambda film: film.decode(sink=None), source=info)
    except ClipError:
        return False
    return True

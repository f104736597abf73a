"""What can go wrong: a usage error stops the command; a clip error costs one row and carries one code."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})
"""Error numbers that say that a file could not be written, whoever reports them."""
NOT_WRITTEN = DISK_ERRORS | {errno.EACCES, errno.EPERM}
"""DISK_ERRORS, and the error numbers of a file that must not be written."""

CODES: dict[str, str] = {
    "missing-file": "the source file is not there",
    "unreadable": "the source file cannot be opened: permissions or an I/O error",
    "empty-file": "the source file has no bytes",
    "not-video": "no known container or stream was found in the file",
    "no-video-stream": "the file holds sound or pictures of a cover, but no video",
    "unsupported-codec": "this FFmpeg build has no decoder for the stream",
    "no-frames": "the stream decodes to no frame at all",
    "corrupt": "damaged packets or frames; --on-corrupt keep uses what decodes",
    "too-small": "the picture is smaller than the encoder can take",
    "too-large": "the picture is larger than the encoder can take",
    "needs-transcode": "--transcode never, and the source does not meet the contract",
    "encode-failed": "the encoder refused the clip",
    "bad-intermediate": "a file of an earlier stage is missing or damaged; run that stage again",
    "disk": "a file could not be written: disk full, quota or permissions",
    "out-of-memory": "the clip needed more memory than there is, or than --max-memory",
    "timed-out": "the clip took longer than --timeout and was ended",
    "worker-died": "the clip killed its worker twice and was set aside",
    "internal": "a fault of this program; the report holds the traceback",
}
"""Why a clip fails: the closed set of codes."""

PASSING = frozenset({"unreadable", "bad-intermediate", "disk", "internal"})
"""Codes that say nothing of the clip itself: the next run tries it again; others wait for --retry-failed."""

FALLBACKS: dict[str, str] = {
    "no-vectors": "the clip has no motion vectors: a single frame, or key frames only",
    "no-motion": "no vector is left after denoising: nothing moves",
    "unsure-motion": "the motion is spread out or faint: it does not say where the action is",
    "flat-motion": "the density is the same everywhere: no window is better than another",
    "too-small": "the frame has fewer pixels than the grid has cells; for foreground, a side under 16 px",
}
"""Why a crop fell back to the centre: the closed set of reasons."""


class UsageError(Exception):
    """A request that cannot be carried out; the message is one line that says what to do."""


class ClipError(Exception):
    """One clip cannot be processed: `code` is one of CODES, `detail` says what was found.

    `stage` names the stage at fault where several run as one. `data` goes into the clip's record.
    """

    def __init__(
        self, code: str, detail: str, stage: str = "", data: Mapping[str, Any] | None = None
    ) -> None:
        if code not in CODES:
            raise ValueError(f"unknown clip error code {code!r}")
        super().__init__(code, detail, stage, data)
        self.code = code
        self.detail = detail
        self.stage = stage
        self.data = dict(data or {})

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class Stopped(BaseException):  # as KeyboardInterrupt is: nothing may swallow it
    """Work on clips was stopped by a signal; the message says how far it got."""


class FirstFailure(Exception):  # noqa: N818  it is no error of the program
    """A clip failed, and nothing more was to be done after that; the message says which and why."""

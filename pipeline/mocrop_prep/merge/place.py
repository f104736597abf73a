"""Files of a part in their place in WORKDIR: linked, or copied where the file system has no links."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from mocrop_manifests.files import make_folder, publish, sha256

from mocrop_prep.errors import UsageError

_CANNOT_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS, errno.EACCES})

_CHANGED = "{} is not what was written: delete it, and run that part again"


def place(source: Path, target: Path, *, size: int, digest: str, move: bool) -> None:
    """Let `target` be the file that `source` is: a link, or else a copy, or with `move` the file itself.

    Names are put on the disk by who syncs the folder. A target that is there already, from a merge that was
    ended, stays if it is the same. Raises UsageError if a file is missing or not of its size, or a
    copy not of its SHA-256; to link reads nothing.
    """
    make_folder(target.parent)
    try:
        if source.stat().st_size != size:
            raise UsageError(_CHANGED.format(source))
        os.link(source, target)
    except FileExistsError:
        if not _is_same(source, target, digest):
            target.unlink()
            place(source, target, size=size, digest=digest, move=move)
    except FileNotFoundError:
        if not target.exists() or sha256(target) != digest:
            raise UsageError(f"{source} is missing: run that part again") from None
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        _bring(source, target, digest=digest, move=move)


def _is_same(source: Path, target: Path, digest: str) -> bool:
    if not source.exists():
        return sha256(target) == digest
    return os.path.samefile(source, target) or sha256(target) == digest


def _bring(source: Path, target: Path, *, digest: str, move: bool) -> None:
    """Move a file, within its file system, or copy it."""
    if move:
        try:
            os.replace(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        else:
            return
    with publish(target) as temporary:
        shutil.copyfile(source, temporary)
        if sha256(temporary) != digest:
            raise UsageError(_CHANGED.format(source))

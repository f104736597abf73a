"""Progress for people: a bar with rate and remaining time on a terminal, a sparse line elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 20.0
_SHARE_BETWEEN_LINES = 0.25


class Progress:
    """Counts finished items on stderr; use as a context manager."""

    def __init__(self, label: str, total: int, *, quiet: bool, unit: str = "clip") -> None:
        self._label, self._total, self._unit = label, total, unit
        self._done = self._failed = 0
        self._started = self._last_line = time.monotonic()
        self._last_share = 0.0
        self._lines = not quiet and not sys.stderr.isatty()
        self._bar = tqdm(
            total=total, desc=label, unit=unit, disable=quiet or self._lines, dynamic_ncols=True, leave=False
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def advance(self, items: int = 1, *, failed: int = 0) -> None:
        """Count more items."""
        self._done += items
        self._failed += failed
        if self._failed:
            self._bar.set_postfix_str(f"{self._failed} failed", refresh=False)
        self._bar.update(items)
        if self._lines:
            self._say()

    def _say(self) -> None:
        now, share = time.monotonic(), self._done / self._total
        due = (
            share - self._last_share >= _SHARE_BETWEEN_LINES
            or now - self._last_line >= _SECONDS_BETWEEN_LINES
            or self._done == self._total
        )
        if not due:
            return
        rate = self._done / max(now - self._started, 1e-9)
        failed = f", {self._failed} failed" if self._failed else ""
        print(
            f"{self._label}: {self._done}/{self._total} {self._unit}s, {rate:.1f}/s{failed}",
            file=sys.stderr,
            flush=True,
        )
        self._last_line, self._last_share = now, share

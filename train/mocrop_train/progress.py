"""What a run tells a person: bars on a terminal, sparse lines elsewhere, nothing when quiet."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

log = logging.getLogger("mocrop_train")
Item = TypeVar("Item")
_SECONDS_BETWEEN_LINES = 30.0


@contextlib.contextmanager
def console(*, quiet: bool, silent: bool = False) -> Iterator[None]:
    """Send the trainer's log lines to stderr while the context is open.

    Only warnings when `quiet`; nothing when `silent`, as another process says the same.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.CRITICAL if silent else logging.WARNING if quiet else logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


def track(
    items: Iterable[Item],
    label: str,
    total: int,
    *,
    done: int = 0,
    remark: Callable[[], str] | None = None,
) -> Iterator[Item]:
    """Yield the items while showing how far we are; without a terminal, a line now and then.

    `done` of the `total` have been seen before; `remark` says how it goes, asked only when it is shown.
    """
    # disable=None is tqdm's own test for a terminal
    silent = None if log.isEnabledFor(logging.INFO) else True
    last = time.monotonic()
    with tqdm(total=total, initial=done, desc=label, disable=silent, leave=False) as bar:
        for count, item in enumerate(items, start=done + 1):
            yield item
            if bar.update() and remark:  # True when it has been drawn anew
                bar.set_postfix_str(remark(), refresh=False)
            if bar.disable and time.monotonic() - last > _SECONDS_BETWEEN_LINES:
                log.info("%s: %d of %d batches%s", label, count, total, f"  {remark()}" if remark else "")
                last = time.monotonic()

"""How a process asks the system for memory."""

from __future__ import annotations

from functools import cache

import numpy as np

_LARGEST = (32 << 20) - (8 << 10)  # the largest that glibc learns from, less its own bookkeeping


@cache
def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next use of it, up to 64 MB, instead of giving it back at once.

    Every clip needs what the one before it needed, and pages that come from the system cost more to map and
    clear than most of what is done with them. glibc gives back what is larger than the largest block that it
    has seen freed so far (mallopt(3), M_MMAP_THRESHOLD), and keeps twice as much: it is shown one. That block
    is never touched, so it takes no memory. Elsewhere this does nothing.
    """
    np.empty(_LARGEST, np.uint8)

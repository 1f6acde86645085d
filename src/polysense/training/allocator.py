"""Freed memory is kept for the next step, where the C library is glibc.

Tensors of a step are as large as those of the step before. By default glibc hands such blocks back
to the kernel at once and gets fresh pages for the next, each of which is cleared and mapped anew:
on processors, training then spends up to a third of its time in the kernel (docs/performance.md).
"""

from __future__ import annotations

import ctypes

# Parameters of mallopt(3).
TRIM_THRESHOLD, MMAP_MAX = -1, -4
KEPT_BYTES = 2**31 - 1  # the largest value that it takes


def keep_freed_memory() -> bool:
    """Let the process keep what it frees; returns whether the C library could be told so."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  (glibc alone has it)
    except (AttributeError, OSError, TypeError):
        return False
    return bool(library.mallopt(TRIM_THRESHOLD, KEPT_BYTES) and library.mallopt(MMAP_MAX, 0))

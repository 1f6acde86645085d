"""Ctrl-C and SIGTERM end a training between two steps, with a checkpoint, and not within one."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# A terminal or a cluster sends a signal to all processes, and torchrun sends it on to its own: what
# arrives so soon after the first is the first, not a wish to end at once.
ONE_SIGNAL = 3.0  # seconds


@contextmanager
def interruptible() -> Iterator[list[float]]:
    """Turn Ctrl-C and SIGTERM into a mark that the loop reads between steps (a list, once filled).

    The second signal, if it comes later than `ONE_SIGNAL`, ends the program as usual.
    """
    stopped: list[float] = []
    previous = {}

    def mark(number: int, frame: Any) -> None:
        stopped.append(time.monotonic())
        if stopped[-1] - stopped[0] > ONE_SIGNAL:
            signal.signal(number, previous[number])
            signal.raise_signal(number)

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, mark)
    except ValueError:
        pass  # not the main thread: signals are somebody else's
    try:
        yield stopped
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

"""Batches are made ready while the step before them runs, and the time spent waiting is counted.

Reading signals means decoding files, mostly in libraries that let other threads run meanwhile; so a
few threads read ahead of the loop. What they return depends on the step alone, never on timing.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
Wanted = TypeVar("Wanted")


class Prefetcher(Generic[Wanted, Item]):
    """Items in the order of `wanted`, up to `depth` of them made before they are asked for.

    A context manager and an iterator. `waited` is how long, in seconds, the iterating side has
    stood still so far. With a depth of 0 no thread is started, and items are made when asked for.
    What `make` raises is raised here, at its item.
    """

    def __init__(
        self, make: Callable[[Wanted], Item], wanted: Iterator[Wanted], depth: int, threads: int = 2
    ) -> None:
        self.make, self.wanted, self.depth = make, wanted, depth
        self.waited = 0.0
        self._pool = ThreadPoolExecutor(threads, "read-ahead") if depth else None
        self._queue: deque[Future[Item]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        started = time.monotonic()
        try:
            if self._pool is None:
                return self.make(next(self.wanted))
            self._fill(self._pool)
            if not self._queue:
                raise StopIteration
            item = self._queue.popleft().result()
            self._fill(self._pool)  # before the step, not after it
            return item
        finally:
            self.waited += time.monotonic() - started

    def _fill(self, pool: ThreadPoolExecutor) -> None:
        """Ask for items until `depth` are on their way."""
        while len(self._queue) < self.depth:
            try:
                wanted = next(self.wanted)
            except StopIteration:
                return
            self._queue.append(pool.submit(self.make, wanted))

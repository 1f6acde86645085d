"""What is told while features are computed: why, how many, how fast, and how long it will take.

The first minutes of a run go to them, before any loss is seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console

from polysense.data.datasets import Record
from polysense.data.loading.feature_cache import FeatureCache, media_of
from polysense.training.progress.metric_logger import progress_bar, readable_seconds
from polysense.types import Media

PARTS = 10  # how often progress is told where there is no bar


def fill_cache(
    cache: FeatureCache, records: Sequence[Record], console: Console
) -> dict[Media, str]:
    """Compute the features of all records, and tell of it; return those that failed."""
    media = media_of(records)
    views = f", in {cache.count} views each" if cache.count > 1 else ""
    console.print(
        f"Features: the frozen encoder sees {len(media):,} signals once{views}, and training reads "
        f"what it said of them; those in {cache.folder} already are not computed again.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    with told("features", len(media), console) as advance:
        return cache.fill(media, advance)


@contextmanager
def told(what: str, total: int, console: Console) -> Iterator[Callable[[int], None]]:
    """Give what is to be called with each count of signals done: a bar, or a line each tenth."""
    done, started = 0, time.monotonic()
    shown = progress_bar(console, "{task.fields[rate]}", disable=not console.is_terminal)
    with shown as progress:
        task = progress.add_task(what, total=total, rate="")

        def advance(count: int) -> None:
            nonlocal done
            before, done = done, done + count
            rate = done / max(time.monotonic() - started, 1e-9)
            progress.update(task, completed=done, rate=f"{rate:.1f} a second")
            if not console.is_terminal and done * PARTS // total > before * PARTS // total:
                left = readable_seconds((total - done) / rate)
                said = f"{what} {done}/{total}  {rate:.1f} a second  ETA {left}"
                console.print(said, soft_wrap=True)

        yield advance

"""The shuffled-input baseline: which sample takes whose place.

A score means something beside what the same outputs score against other samples' captions. A sample
whose caption is the same is no stranger: a right answer about it is right about both.
"""

from __future__ import annotations

from collections.abc import Sequence

TURNS = 8  # strangers that a sample is compared with, at most


def strangers(captions: Sequence[str] | Sequence[int]) -> list[list[int]]:
    """Return turns; each gives every sample the index of one with another caption.

    A sample's strangers are spread evenly over the others, in their order from the sample on. []
    where a sample has none: of one sample, or where all captions are the same.
    """
    count = len(captions)
    others = [
        [
            other % count
            for other in range(own + 1, own + count)
            if captions[other % count] != captions[own]
        ]
        for own in range(count)
    ]
    if not all(others):
        return []
    turns = min(TURNS, max(map(len, others), default=0))
    return [[them[turn * len(them) // turns] for them in others] for turn in range(turns)]

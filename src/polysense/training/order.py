"""Data order and learning rate as pure functions of the step.

Nothing about the order is stored in a checkpoint, because nothing needs to be: step 731 of a stage
takes the same samples, the same views and the same random numbers in every run with that seed, on
any number of processes, whether or not it was interrupted before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from polysense.config import Stage


@dataclass(frozen=True)
class Pick:
    """One sample of one step: its index in the dataset and the epoch it is seen in."""

    index: int
    epoch: int


@dataclass(frozen=True)
class Order:
    """Shuffled epochs over `size` samples, cut into steps of `batch` samples."""

    size: int
    batch: int
    seed: int

    def steps(self, epochs: float) -> int:
        """Return how many steps `epochs` passes take; a started batch is filled from the next."""
        return max(1, math.ceil(self.size * epochs / self.batch))

    def at(self, step: int) -> list[Pick]:
        """Return the samples of a step, counted from 0."""
        first = step * self.batch
        picks = []
        for position in range(first, first + self.batch):
            epoch, place = divmod(position, self.size)
            picks.append(Pick(self._epoch(epoch)[place], epoch))
        return picks

    def _epoch(self, epoch: int) -> list[int]:
        # The cache is a plain dict on the instance: an epoch's permutation is used for many steps.
        cache = self.__dict__.setdefault("_permutations", {})
        if epoch not in cache:
            cache.clear()
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            cache[epoch] = torch.randperm(self.size, generator=generator).tolist()
        return cache[epoch]


def learning_rate(stage: Stage, step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to `minimum_rate` (step counted from 0)."""
    warm = math.ceil(stage.warmup * steps)
    if step < warm:
        return stage.learning_rate * (step + 1) / warm
    progress = (step - warm) / max(1, steps - warm)
    swing = 0.5 * (1 + math.cos(math.pi * progress))
    return stage.minimum_rate + (stage.learning_rate - stage.minimum_rate) * swing

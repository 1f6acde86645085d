"""Data order and learning rate as pure functions of the step.

Nothing about the order is stored in a checkpoint, because nothing needs to be: step 731 of a stage
takes the same samples, the same views and the same random numbers in every run with that seed, on
any number of processes, whether or not it was interrupted before.

Samples come in groups (one a modality, or one for all), and groups take turns: each is equally
likely however many samples it has. That is OneLLM's balanced sampling, and the replay of modalities
learnt before (arXiv 2312.03700, section 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class SampleIndex:
    """One sample of one step: its index in the dataset and the epoch it is seen in."""

    index: int
    epoch: int


@dataclass(frozen=True)
class BalancedSampler:
    """Shuffled epochs over each group's indices, dealt in turn into steps of `batch` samples."""

    groups: tuple[tuple[int, ...], ...]
    batch: int
    seed: int
    _shuffled: dict[int, tuple[int, list[int]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def steps(self, epochs: float) -> int:
        """Return how many steps have as many samples as `epochs` passes over all groups."""
        size = sum(len(group) for group in self.groups)
        return max(1, math.ceil(size * epochs / self.batch))

    def at(self, step: int) -> list[SampleIndex]:
        """Return the samples of a step, counted from 0."""
        first = step * self.batch
        picks = []
        for position in range(first, first + self.batch):
            turn, group = divmod(position, len(self.groups))
            epoch, place = divmod(turn, len(self.groups[group]))
            picks.append(SampleIndex(self._epoch(group, epoch)[place], epoch))
        return picks

    def _epoch(self, group: int, epoch: int) -> list[int]:
        # Kept: an epoch's permutation serves many steps.
        if self._shuffled.get(group, (-1,))[0] != epoch:
            seed = (self.seed * 1_000_003 + epoch) * 8191 + group
            indices = self.groups[group]
            order = torch.randperm(len(indices), generator=torch.Generator().manual_seed(seed))
            self._shuffled[group] = epoch, [indices[place] for place in order.tolist()]
        return self._shuffled[group][1]


def grouped(labels: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Return the indices of each distinct label, labels in alphabetical order."""
    return tuple(
        tuple(index for index, label in enumerate(labels) if label == chosen)
        for chosen in sorted(set(labels))
    )

"""The contract of a connector and of its branches.

In: features of the encoder. Out: embeddings in the width of the LLM. Kinds are in build.py.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import nn

from polysense.errors import PolysenseError

OutputProjection = Callable[[int], nn.Module]  # a width -> the network from that width to the LLM's


class Connector(nn.Module, ABC):
    """features [N, F, E] of one modality -> embeddings [N, M, D].

    tags  how many embeddings at either end are a mark of the modality, the same for every signal
    """

    tags: int = 0

    @abstractmethod
    def num_embeddings(self, positions: int) -> int:
        """Return M, the number of embeddings for a signal of `positions` features."""

    @abstractmethod
    def forward(self, features: torch.Tensor, modality: str) -> torch.Tensor:
        """Map features [N, F, E] of `modality` to embeddings [N, M, D]."""


class Branch(nn.Module, ABC):
    """features [N, F, E] -> embeddings [N, M, D]: a network of one modality, or shared by all."""

    @abstractmethod
    def num_embeddings(self, positions: int) -> int:
        """Return M for a signal of `positions` features."""


class Pointwise(nn.Sequential):
    """A branch that treats each position by itself: M = F."""

    def num_embeddings(self, positions: int) -> int:
        """Every position gives one embedding."""
        return positions


def square_side(positions: int, what: str) -> int:
    """Return the side of a square grid of `positions`; raises PolysenseError where it is none."""
    side = math.isqrt(positions)
    if side * side != positions:
        raise PolysenseError(
            f"{what} needs a square grid of positions, and {positions} are none: pool them with "
            "encoder.pooled_grid, leave the class token out (encoder.class_token=false), or use a "
            "connector without a grid (qformer, perceiver, merge, pool)"
        )
    return side


def head_width(width: int, heads: int, what: str) -> int:
    """Return the width of a head; raises PolysenseError where `heads` does not divide `width`."""
    if width % heads:
        raise PolysenseError(f"connector.heads={heads} does not divide {what} {width}")
    return width // heads

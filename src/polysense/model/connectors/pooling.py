"""Connectors that make fewer embeddings out of neighbouring features, keeping their order.

Honeybee's C-Abstractor (arXiv 2312.06742, section 3.3) mixes them by convolutions, MiniGPT-v2
(arXiv 2310.09478, section 2) writes neighbours side by side, and the plainest way averages them.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from polysense.model.connectors.base import Branch, OutputProjection


class TokenMerge(Branch):
    """features [N, F, E] -> [N, F / window, D]: each `window` neighbours side by side, projected.

    Neighbours are those in reading order. The last group is filled up with zeros where F is no
    multiple of the window.
    """

    def __init__(
        self, encoder_width: int, output_projection: OutputProjection, merge_factor: int = 4
    ) -> None:
        super().__init__()
        self.merge_factor = merge_factor
        self.output_projection = output_projection(merge_factor * encoder_width)

    def num_embeddings(self, positions: int) -> int:
        """One for each group, the last included."""
        return -(-positions // self.merge_factor)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Merge and project."""
        short = -features.shape[1] % self.merge_factor
        whole = functional.pad(features, (0, 0, 0, short))
        return self.output_projection(whole.unflatten(1, (-1, self.merge_factor)).flatten(2))


class AveragePool(Branch):
    """features [N, F, E] -> [N, at most queries, D]: means of neighbours, projected.

    Where F is a square, the features are taken as a grid and pooled to the largest square grid of
    at most `queries` places; else as a line. Fewer features than that stay as they are.
    """

    def __init__(
        self, encoder_width: int, output_projection: OutputProjection, queries: int = 64
    ) -> None:
        super().__init__()
        self.queries = queries
        self.output_projection = output_projection(encoder_width)

    def num_embeddings(self, positions: int) -> int:
        """The places after pooling."""
        if positions <= self.queries:
            return positions
        is_grid = math.isqrt(positions) ** 2 == positions
        return math.isqrt(self.queries) ** 2 if is_grid else self.queries

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Pool and project."""
        positions = features.shape[1]
        kept, side = self.num_embeddings(positions), math.isqrt(positions)
        line = features.transpose(1, 2)
        if side * side == positions:
            grid = line.unflatten(2, (side, side))
            pooled = functional.adaptive_avg_pool2d(grid, math.isqrt(kept)).flatten(2)
        else:
            pooled = functional.adaptive_avg_pool1d(line, kept)
        return self.output_projection(pooled.transpose(1, 2))

"""Connectors that make fewer embeddings out of neighbouring features, keeping their order.

Honeybee's C-Abstractor (arXiv 2312.06742, section 3.3) mixes them by convolutions, MiniGPT-v2
(arXiv 2310.09478, section 2) writes neighbours side by side, and the plainest way averages them.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from polysense.model.connector import Branch, Readout, square_side


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of a map [N, C, h, w], place by place."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the normed map, of the same shape."""
        return super().forward(input.movedim(1, -1)).movedim(-1, 1)


class ConvolutionBlock(nn.Module):
    """A residual block: 1x1, depthwise 3x3, channels weighed by their means, 1x1; SiLU between.

    It is RegNet's bottleneck block with squeeze-and-excitation, as Honeybee uses it: of full width
    inside, with LayerNorm for batch norm.
    """

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        squeezed = max(1, width_in // 4)
        self.before = nn.Sequential(
            nn.Conv2d(width_in, width, 1, bias=False),
            ChannelNorm(width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
            ChannelNorm(width),
            nn.SiLU(),
        )
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, squeezed, 1),
            nn.SiLU(),
            nn.Conv2d(squeezed, width, 1),
            nn.Sigmoid(),
        )
        self.after = nn.Sequential(nn.Conv2d(width, width, 1, bias=False), ChannelNorm(width))
        self.shortcut = (
            nn.Identity()
            if width_in == width
            else nn.Sequential(nn.Conv2d(width_in, width, 1, bias=False), ChannelNorm(width))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, width_in, h, w] -> [N, width, h, w]."""
        mixed = self.before(x)
        mixed = self.after(mixed * self.weigh(mixed))
        return functional.silu(mixed + self.shortcut(x))


def convolution_stage(width_in: int, width: int, layers: int) -> nn.Sequential:
    """`layers` blocks in a row, the first of which brings width_in to width."""
    widths = [width_in] + [width] * layers
    return nn.Sequential(*(ConvolutionBlock(a, b) for a, b in pairwise(widths)))


class ConvolutionalAbstractor(Branch):
    """features [N, F, E] of a square grid -> [N, queries, D]: convolve, pool, convolve, project.

    Honeybee adds learned positions, which fix F; we leave them out (encoders have put theirs in,
    and a padded convolution knows the borders), so that any square grid will do.
    """

    def __init__(
        self,
        encoder_width: int,
        readout: Readout,
        width: int = 1024,
        layers: int = 3,
        queries: int = 144,
    ) -> None:
        super().__init__()
        self.side = square_side(queries, f"the abstractor with connector.queries={queries}")
        self.feature_norm = nn.LayerNorm(encoder_width)
        self.fine = convolution_stage(encoder_width, width, layers)
        self.coarse = convolution_stage(width, width, layers)
        self.readout = readout(width)

    def embeddings(self, positions: int) -> int:
        """The pooled grid's places; the features must be a square grid."""
        square_side(positions, "the abstractor")
        return self.side**2

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Abstract the grid; raises PolysenseError where F is no square."""
        side = square_side(features.shape[1], "the abstractor")
        grid = self.feature_norm(features).transpose(1, 2).unflatten(2, (side, side))
        grid = functional.adaptive_avg_pool2d(self.fine(grid), self.side)
        return self.readout(self.coarse(grid).flatten(2).transpose(1, 2))


class NeighbourMerge(Branch):
    """features [N, F, E] -> [N, F / window, D]: each `window` neighbours side by side, projected.

    Neighbours are those in reading order. The last group is filled up with zeros where F is no
    multiple of the window.
    """

    def __init__(self, encoder_width: int, readout: Readout, window: int = 4) -> None:
        super().__init__()
        self.window = window
        self.readout = readout(window * encoder_width)

    def embeddings(self, positions: int) -> int:
        """One for each group, the last included."""
        return -(-positions // self.window)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Merge and project."""
        short = -features.shape[1] % self.window
        whole = functional.pad(features, (0, 0, 0, short))
        return self.readout(whole.unflatten(1, (-1, self.window)).flatten(2))


class AveragePool(Branch):
    """features [N, F, E] -> [N, at most queries, D]: means of neighbours, projected.

    Where F is a square, the features are taken as a grid and pooled to the largest square grid of
    at most `queries` places; else as a line. Fewer features than that stay as they are.
    """

    def __init__(self, encoder_width: int, readout: Readout, queries: int = 64) -> None:
        super().__init__()
        self.queries = queries
        self.readout = readout(encoder_width)

    def embeddings(self, positions: int) -> int:
        """The places after pooling."""
        if positions <= self.queries:
            return positions
        is_grid = math.isqrt(positions) ** 2 == positions
        return math.isqrt(self.queries) ** 2 if is_grid else self.queries

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Pool and project."""
        positions = features.shape[1]
        kept, side = self.embeddings(positions), math.isqrt(positions)
        line = features.transpose(1, 2)
        if side * side == positions:
            grid = line.unflatten(2, (side, side))
            pooled = functional.adaptive_avg_pool2d(grid, math.isqrt(kept)).flatten(2)
        else:
            pooled = functional.adaptive_avg_pool1d(line, kept)
        return self.readout(pooled.transpose(1, 2))
